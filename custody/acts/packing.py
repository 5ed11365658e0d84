"""What goes into a package: columns and cells of what was approved, and the gate of transfer."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from custody.acts.context import Actor, Custody
from custody.acts.gates import TRANSFER, require_passed
from custody.acts.proof import refusal
from custody.acts.reveal import Revealed, reveal
from custody.approval import Request
from custody.database.requests import PresentRow, VoteRow
from custody.gates import GateResult, judge, stage_suite
from custody.packages.sheet import Cell
from custody.policy.model import Field, FieldType
from custody.showing import GENERAL_ONLY, in_clear, show_value

_NUMBERS = frozenset({FieldType.DECIMAL, FieldType.INTEGER})


@dataclass(frozen=True, kw_only=True, slots=True)
class Approved:
    """A request as it is about to be delivered: everything looked at again, under locks."""

    request: Request
    rows: Sequence[PresentRow]
    left_out: Mapping[str, int]
    votes: Sequence[VoteRow]


def columns_of(custody: Custody, request: Request) -> list[Field]:
    """Return the fields in the catalogue's order, which is the order of their numbers."""
    dataset = custody.policy.dataset(request.dataset)
    chosen = (dataset.field(name) for name in request.fields)
    return sorted(chosen, key=lambda field: field.number)


def cells_of(
    custody: Custody,
    actor: Actor,
    approved: Approved,
    columns: Sequence[Field],
    sent: list[UUID],
) -> Iterator[list[Cell]]:
    """Yield one row of cells per record; each chunk is revealed when the sheet asks for it.

    The sheet has taken in every record that ``sent`` names.
    """
    request = approved.request
    for start in range(0, len(approved.rows), custody.chunk_rows):
        chunk = approved.rows[start : start + custody.chunk_rows]
        revealed = reveal(
            custody,
            actor,
            record_ids=[row.record_id for row in chunk],
            fields=frozenset(request.fields),
            event="transfer:records:opened",
            facts={"request": request.shown, "recipient": request.recipient},
        )
        if [(one.record_id, one.version) for one in revealed] != [
            (row.record_id, row.version) for row in chunk
        ]:
            raise refusal(request.shown, "digest_mismatch", "records")
        for one in revealed:
            yield [_cell(column, one, request.fields[column.name]) for column in columns]
            sent.append(one.record_id)


def _cell(column: Field, revealed: Revealed, asked: str) -> Cell:
    value = revealed.values.get(column.name)
    sealed_at = revealed.levels.get(column.name, column.level)
    numeric = column.type in _NUMBERS and in_clear(column, asked, sealed_at, GENERAL_ONLY)
    if numeric and not isinstance(value, str) and value is not None:
        return value  # type: ignore[return-value]  # a numeric field's value is a number
    return show_value(column, value, asked=asked, sealed_at=sealed_at, reach=GENERAL_ONLY)


def check_sent(custody: Custody, approved: Approved, sent: Sequence[UUID]) -> GateResult:
    """Check that the package holds what was approved less what is accounted for.

    Raises:
        GateFailedError: It does not; nothing is delivered.
    """
    request = approved.request
    due = request.rows - sum(approved.left_out.values())
    counts = {
        "rows_as_approved_less_accounted": (due, abs(due - len(sent))),
        "no_record_twice": (len(sent), len(sent) - len(set(sent))),
    }
    result = judge(stage_suite(custody.policy, TRANSFER, request.dataset), counts)
    require_passed(result, {"request": request.shown})
    return result
