"""The documents' entries, each read into its shape or reported.

Every entry, and every field and scope below one, is validated by itself: what is broken is missing
from the draft but its name is still known, so nobody who refers to it is blamed for it.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from custody.policy.problems import Problem
from custody.policy.sections import PARTS, SHAPES, SINGLES
from custody.policy.shapes import Shape
from custody.policy.tree import Path, Tree

S = TypeVar("S", bound=Shape)

_HOMES: Final = {
    "datasets": "catalogue.yaml",
    "purposes": "purposes.yaml",
    "roles": "roles.yaml",
    "settings": "settings.yaml",
    "controller": "settings.yaml",
}
"""The sections no policy can do without, and the document that usually holds each."""

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,62}\Z")
_VERSION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}\Z")
_NAME_RULES: Final = {"notices": _VERSION, "rules": _VERSION}


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One entry with its place.

    Attributes:
        name: Its key.
        tree: The document it stands in.
        path: Where in the document.
        shape: What it says, or None when it is broken.
        parts: Its fields or scopes by name, broken ones included.
    """

    name: str
    tree: Tree
    path: Path
    shape: Shape | None
    parts: Mapping[str, "Entry"] = field(default_factory=dict)

    def raw(self, key: str) -> object:
        """Return what stands under a key of this entry, whatever shape it has."""
        node: object = self.tree.data
        for step in (*self.path, key):
            node = node.get(step) if isinstance(node, Mapping) else None
        return node

    def problem(self, code: str, message: str, *below: str | int, on_key: bool = False) -> Problem:
        """Return a problem at ``below`` this entry; without it, at the entry's own key."""
        path = (*self.path, *below)
        return self.tree.problem(path, code, message, on_key=on_key or not below)


@dataclass(frozen=True, kw_only=True, slots=True)
class Drafts:
    """All entries of all documents, by section and name, and what is wrong with them."""

    entries: Mapping[str, Mapping[str, Entry]]
    problems: tuple[Problem, ...]

    def section(self, name: str) -> Mapping[str, Entry]:
        """Return the entries of a section."""
        return self.entries.get(name, {})

    def sound(self, section: str, kind: type[S]) -> Iterator[tuple[Entry, S]]:
        """Yield the entries of a section that have their shape, with it."""
        return sound(self.section(section), kind)

    def missing(self) -> Iterator[Problem]:
        """Yield a problem for each section no policy can do without and this one does."""
        for section, home in _HOMES.items():
            if not self.section(section):
                message = f"the policy has no section {section}"
                yield Tree(file=home).problem((), "policy_missing_key", message)


def sound(entries: Mapping[str, Entry], kind: type[S]) -> Iterator[tuple[Entry, S]]:
    """Yield the entries that have their shape, with it."""
    for entry in entries.values():
        if isinstance(entry.shape, kind):
            yield entry, entry.shape


def read_drafts(trees: Sequence[Tree]) -> Drafts:
    """Return every entry of the documents."""
    gatherer = _Gatherer()
    for tree in trees:
        for section, content in tree.data.items():
            gatherer.add_section(tree, section, content)
    return Drafts(entries=gatherer.entries, problems=tuple(gatherer.problems))


class _Gatherer:
    """Collects entries over all documents."""

    def __init__(self) -> None:
        self.entries: dict[str, dict[str, Entry]] = {}
        self.problems: list[Problem] = []

    def add_section(self, tree: Tree, section: str, content: object) -> None:
        if section in SINGLES:
            self._add(section, self._read(tree, (section,), SINGLES[section], content))
        elif section not in SHAPES:
            message = f"no section is called {section}"
            self._report(tree, (section,), "policy_unknown_key", message, on_key=True)
        elif isinstance(content, dict):
            for name, raw in content.items():
                self._add(section, self._read_named(tree, section, name, raw))
        else:
            message = "a section maps names to entries"
            self._report(tree, (section,), "policy_wrong_type", message)

    def _report(
        self, tree: Tree, path: Path, code: str, message: str, *, on_key: bool = False
    ) -> None:
        self.problems.append(tree.problem(path, code, message, on_key=on_key))

    def _add(self, section: str, entry: Entry) -> None:
        others = self.entries.setdefault(section, {})
        if entry.name in others:
            first = others[entry.name].tree.file
            message = f"{entry.name} is in {first} already"
            self.problems.append(entry.problem("policy_duplicate_key", message))
        else:
            others[entry.name] = entry

    def _read_named(self, tree: Tree, section: str, name: str, raw: object) -> Entry:
        path: Path = (section, name)
        self._check_name(tree, path, _NAME_RULES.get(section, _NAME))
        parts: dict[str, Entry] = {}
        if section in PARTS and isinstance(raw, dict):
            key, shape = PARTS[section]
            raw = dict(raw)
            parts = self._read_parts(tree, (*path, key), shape, raw.pop(key, None))
        return self._read(tree, path, SHAPES[section], raw, parts)

    def _read_parts(
        self, tree: Tree, path: Path, shape: type[Shape], content: object
    ) -> dict[str, Entry]:
        if not isinstance(content, dict) or not content:
            code = "policy_missing_key" if content is None else "policy_wrong_type"
            self._report(tree, path, code, f"{path[-1]} names at least one entry")
            return {}
        for name in content:
            self._check_name(tree, (*path, name))
        return {name: self._read(tree, (*path, name), shape, raw) for name, raw in content.items()}

    def _check_name(self, tree: Tree, path: Path, rule: re.Pattern[str] = _NAME) -> None:
        if not rule.match(str(path[-1])):
            message = f"a name here is written as {rule.pattern}"
            self._report(tree, path, "policy_illegal_value", message, on_key=True)

    def _read(
        self,
        tree: Tree,
        path: Path,
        shape: type[Shape],
        raw: object,
        parts: Mapping[str, Entry] | None = None,
    ) -> Entry:
        read, details = _validated(shape, raw)
        self.problems += [_problem_of(tree, path, detail) for detail in details]
        return Entry(name=str(path[-1]), tree=tree, path=path, shape=read, parts=parts or {})


def _validated(shape: type[S], raw: object) -> tuple[S | None, list[Mapping[str, Any]]]:
    """Return the entry's shape and what is wrong; superfluous keys do not cost it its shape."""
    try:
        return shape.model_validate(raw), []
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False)
    superfluous = {
        detail["loc"][0]
        for detail in details
        if detail["type"] == "extra_forbidden" and len(detail["loc"]) == 1
    }
    found: list[Mapping[str, Any]] = [*details]
    if superfluous and isinstance(raw, dict):
        kept = {key: value for key, value in raw.items() if key not in superfluous}
        return _validated(shape, kept)[0], found
    return None, found


def _problem_of(tree: Tree, path: Path, detail: Mapping[str, Any]) -> Problem:
    kind, place = detail["type"], detail["loc"]
    on_key = kind == "extra_forbidden" or place[-1:] == ("[key]",)
    below = tuple(step for step in place if step != "[key]")
    if kind == "missing":
        message, place_of = f"{below[-1]} is missing", below[:-1]
        return tree.problem((*path, *place_of), "policy_missing_key", message, on_key=True)
    message = f"{below[-1]}: {detail['msg']}" if below else str(detail["msg"])
    if kind == "extra_forbidden":
        message = f"no key is called {below[-1]} here"
    return tree.problem((*path, *below), _code_of(kind), message, on_key=on_key)


def _code_of(kind: str) -> str:
    if kind.startswith("policy_") or kind == "basis_not_established":
        return kind
    if kind == "extra_forbidden":
        return "policy_unknown_key"
    if kind.endswith(("_type", "_parsing")):
        return "policy_wrong_type"
    return "policy_illegal_value"
