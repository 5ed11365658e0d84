"""Every event of the ledger is documented, and nothing else is."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("custody", "tasks", "flows")
# As ledger.entries checks it.
FORM = re.compile(r"[a-z_]+(:[a-z_]+){1,2}")
HOLE = "*"
PLACE_OF_EVENT = 3  # among the arguments of record


def documented() -> set[str]:
    page = (ROOT / "docs" / "ledger.md").read_text(encoding="utf-8")
    return set(re.findall(r"^\| `([^`]+:[^`]+)` \|", page, flags=re.MULTILINE))


def text_of(node: ast.expr) -> str:
    """Return an event as written, with a hole where a part is computed."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    assert isinstance(node, ast.JoinedStr), ast.unparse(node)
    return "".join(
        str(part.value) if isinstance(part, ast.Constant) else HOLE for part in node.values
    )


def events_in(tree: ast.Module) -> Iterator[str]:
    """Yield the event of every call that records or reveals."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        named = [one.value for one in node.keywords if one.arg == "event"]
        name = getattr(node.func, "id", "")
        if name == "record" and len(node.args) > PLACE_OF_EVENT:
            named.append(node.args[PLACE_OF_EVENT])
        if name in {"record", "reveal"}:
            yield from (text_of(one) for one in named if not isinstance(one, ast.Name))


def trees() -> Iterator[ast.Module]:
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            yield ast.parse(path.read_text(encoding="utf-8"))


def words() -> set[str]:
    """Return every text constant of the code: what a hole may be filled with."""
    return {
        node.value
        for tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def events() -> set[str]:
    return {event for tree in trees() for event in events_in(tree)}


def filling(pattern: str, event: str) -> str | None:
    """Return what fills the pattern's hole in the event, empty without one, None for no match."""
    before, hole, after = pattern.partition(HOLE)
    match = re.fullmatch(
        re.escape(before) + ("([a-z_]+)" if hole else "") + re.escape(after), event
    )
    return None if match is None else "".join(match.groups())


def undocumented(patterns: set[str], pages: set[str]) -> set[str]:
    return {one for one in patterns if all(filling(one, event) is None for event in pages)}


def superfluous(patterns: set[str], pages: set[str], known: set[str]) -> set[str]:
    def is_used(event: str) -> bool:
        found = (filling(one, event) for one in patterns)
        return any(text == "" or text in known for text in found if text is not None)

    return {event for event in pages if not is_used(event)}


def test_every_event_of_the_code_is_documented() -> None:
    assert undocumented(events(), documented()) == set()


def test_every_documented_event_is_in_the_code() -> None:
    assert superfluous(events(), documented(), words()) == set()


def test_every_event_has_the_form_the_database_demands() -> None:
    written = {one.replace(HOLE, "x") for one in events()} | documented()
    assert [one for one in written if not FORM.fullmatch(one)] == []


def test_a_planted_event_is_found_whichever_way_it_is_written() -> None:
    planted = ast.parse(
        'record(c, d, a, "x:planted", {})\n'
        'record(c, d, a, f"y:{what}", {})\n'
        'reveal(c, a, record_ids=[], event="z:read:now")\n'
        "record(c, d, a, event, {})\n"
    )
    assert list(events_in(planted)) == ["x:planted", "y:*", "z:read:now"]


@pytest.mark.parametrize(
    ("patterns", "pages", "missing", "extra"),
    [
        ({"x:one"}, {"x:one"}, set(), set()),
        ({"x:one"}, {"x:two"}, {"x:one"}, {"x:two"}),
        ({"x:*:done"}, {"x:one:done"}, set(), set()),
        ({"x:*:done"}, {"x:nobody:done"}, set(), {"x:nobody:done"}),
    ],
)
def test_what_is_missing_or_superfluous_is_named(
    patterns: set[str], pages: set[str], missing: set[str], extra: set[str]
) -> None:
    assert undocumented(patterns, pages) == missing
    assert superfluous(patterns, pages, {"one", "two"}) == extra
