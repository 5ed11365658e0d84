"""The consents of synthetic people: what the legacy system recorded of how each was given."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final

from custody.demo.people import Person, World
from custody.demo.rows import Row

CONSENT_COLUMNS: Final[Mapping[str, str]] = {
    "resident_id": "身份证号",
    "customer_no": "客户号",
    "purpose": "目的",
    "kind": "同意类型",
    "recipient": "接收方",
    "given_at": "同意时间",
    "withdrawn_at": "撤回时间",
    "notice_version": "告知版本",
    "notice_shown_at": "告知时间",
    "control_id": "控件编号",
    "control_initial": "控件初始状态",
    "signed_text_digest": "签署文本摘要",
    "act": "动作",
    "guardian_name": "监护人",
    "evidence_ref": "证据编号",
}

SERVICE: Final = "insurance_service"
CARE: Final = "customer_care"
PROFILING: Final = "profiling"
PARTNER: Final = "partner_service"
RECIPIENT: Final = "rescue_partner"
OLD_NOTICE: Final = "2020-01"

NOTICES: Final = {
    SERVICE: "2021-11",
    CARE: "2021-11",
    PROFILING: "2021-11",
    PARTNER: "2021-11",
}
_ACTS = ("tick", "tick", "tick", "signature", "confirmation")
_CARE_SHARE, _PROFILING_SHARE, _PARTNER_SHARE, _PARTNER_WITHDRAWN = 0.8, 0.6, 0.5, 0.06


@dataclass(frozen=True, kw_only=True, slots=True)
class Choices:
    """What a person agreed to beside the service itself."""

    care: bool = False
    profiling: bool = False
    partner: bool = False
    partner_withdrawn: bool = False


NOTHING_MORE: Final = Choices()


def choices_of(world: World, person: Person) -> Choices:
    """Return what the person chose; a child's guardian chose the service alone."""
    chance = world.draw("choices", person.index)
    care, profiling, partner, withdrawn = (chance.random() for _ in range(4))
    if person.minor:
        return NOTHING_MORE
    return Choices(
        care=care < _CARE_SHARE,
        profiling=profiling < _PROFILING_SHARE,
        partner=partner < _PARTNER_SHARE,
        partner_withdrawn=withdrawn < _PARTNER_WITHDRAWN,
    )


def consent_rows(world: World, person: Person, number: str, choices: Choices) -> list[Row]:
    """Return the person's consents, all sound, as given just before the record was collected."""
    act = world.draw("act", person.index).choice(_ACTS)
    rows = [
        _consent(person, number, turn, purpose, kind) | {"act": act}
        for turn, (purpose, kind) in enumerate(_wanted(person, choices))
    ]
    if choices.partner and choices.partner_withdrawn:
        rows[-1]["withdrawn_at"] = (person.collected_at + timedelta(days=3)).isoformat()
    return rows


def outdated(consent: Row) -> Row:
    """Return the consent that ``consent`` renewed five years later: its box was ticked before."""
    given_at = datetime.fromisoformat(consent["given_at"]) - timedelta(days=1826)
    return consent | {
        "given_at": given_at.isoformat(),
        "notice_shown_at": (given_at - timedelta(minutes=2)).isoformat(),
        "notice_version": OLD_NOTICE,
        "control_initial": "checked",
        "withdrawn_at": "",
        "evidence_ref": f"{consent['evidence_ref']}-0",
    }


def _wanted(person: Person, choices: Choices) -> list[tuple[str, str]]:
    wanted = [(SERVICE, "purpose"), (SERVICE, "sensitive")]
    if person.minor:
        wanted.append((SERVICE, "guardian"))
    if choices.care:
        wanted.append((CARE, "purpose"))
    if choices.profiling:
        wanted.append((PROFILING, "purpose"))
    if choices.partner:
        wanted.append((PARTNER, "recipient"))
    return wanted


def _consent(person: Person, number: str, turn: int, purpose: str, kind: str) -> Row:
    given_at = person.collected_at - timedelta(seconds=600 - 20 * turn)
    return {
        "resident_id": person.resident_id,
        "customer_no": number,
        "purpose": purpose,
        "kind": kind,
        "recipient": RECIPIENT if kind == "recipient" else "",
        "given_at": given_at.isoformat(),
        "withdrawn_at": "",
        "notice_version": NOTICES[purpose],
        "notice_shown_at": (person.collected_at - timedelta(seconds=700)).isoformat(),
        "control_id": f"app-7/{purpose}/{kind}",
        "control_initial": "unchecked",
        "signed_text_digest": sha256(f"{purpose}/{kind}".encode()).hexdigest(),
        "act": "",
        "guardian_name": f"{person.name[0]}建国" if person.minor else "",
        "evidence_ref": f"EV{number[1:]}-{turn + 1}",
    }
