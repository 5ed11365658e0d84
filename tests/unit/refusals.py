"""What a refusal says of itself, to hold refusals of different causes against each other."""

from collections.abc import Callable
from dataclasses import dataclass
from traceback import TracebackException

from custody.seal import SealInvalidError


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """All that tells one error from another, but for the lines it passed.

    Attributes:
        shown: What its traceback says without the lines passed: errors behind it, notes, itself.
    """

    kind: type[BaseException]
    text: str
    form: str
    arguments: tuple[object, ...]
    kept: str
    cause: BaseException | None
    context: type
    shown: tuple[str, ...]


def refusal_of(error: BaseException) -> Refusal:
    """Return what an error says of itself."""
    return Refusal(
        kind=type(error),
        text=str(error),
        form=repr(error),
        arguments=error.args,
        kept=repr(sorted(vars(error).items())),
        cause=error.__cause__,
        context=type(error.__context__),
        shown=tuple(_shown(TracebackException.from_exception(error))),
    )


def silent_error(place: str = "") -> Refusal:
    """Return the refusal that every seal has which does not open, whatever the cause."""
    return refusal_of(SealInvalidError(place))


def refusals_of(attempts: list[Callable[[], object]]) -> set[Refusal]:
    """Return how the attempts are refused, each of them.

    Raises:
        AssertionError: One was not.
    """
    return {_refusal_by(attempt, number) for number, attempt in enumerate(attempts)}


def _refusal_by(attempt: Callable[[], object], number: int) -> Refusal:
    try:
        attempt()
    except Exception as error:  # noqa: BLE001 - a refusal of any other kind is what is looked for
        return refusal_of(error)
    raise AssertionError(f"attempt {number} was not refused")


def _shown(told: TracebackException) -> list[str]:
    before: list[str] = []
    if told.__cause__ is not None:
        before = _shown(told.__cause__)
    elif told.__context__ is not None and not told.__suppress_context__:
        before = _shown(told.__context__)
    return [*before, *told.format_exception_only()]
