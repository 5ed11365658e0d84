"""Re-encryption (重新加密): what is not under the policy's suite is sealed again meanwhile."""

from prefect import State
from prefect.states import Failed

from tasks.keys import SealStanding, count_seals, rekey_others, rekey_span, require_suite
from tasks.parameters import MaybeSuite, PauseMs
from tasks.stage import stage


@stage("rekey", about=("suite",))
def rekey(suite: MaybeSuite = "", pause_ms: PauseMs = 0) -> SealStanding | State[None]:
    """Seal again what is not under the policy's suite · 按策略套件重新加密.

    It can be interrupted and run again. What does not open stays as it is. What lies in clear is
    listed, and sealed by the command line only, once somebody has looked at it. The run fails where
    anything is left amiss.

    Args:
        suite: The suite the policy wants, to be sure of it; may be empty.
            · 策略要求的套件名称,用于核对;可留空。
        pause_ms: Milliseconds to wait between chunks of 2,000 records.
            · 每处理 2000 条记录后暂停的毫秒数。
    """
    require_suite(suite)
    after, records, seals = "", 0, 0
    while True:
        span = rekey_span(after, pause_ms)
        records, seals, after = records + span.records, seals + span.seals, span.last
        if not after:
            break
    standing = count_seals(records, seals + rekey_others())
    if standing.amiss:
        return Failed(message=f"{standing.amiss} of {standing.seals} seals are not as wanted")
    return standing
