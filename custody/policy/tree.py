"""YAML as plain values that remember where they stood.

Read as a graph of nodes and not into dictionaries, because a dictionary can no longer tell that a
key was written twice. Only what a policy needs is understood: mappings, lists, texts, whole
numbers, true and false, null. Fractions and dates stay text, so that nothing is rounded or
guessed before the policy's own types read them; anchors and tags are refused.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from custody.policy.problems import Problem

Path = tuple[str | int, ...]
Mark = tuple[int, int]

_TAG: Final = "tag:yaml.org,2002:"
_WHOLE: Final = re.compile(r"[-+]?[0-9]{1,18}\Z")
_START: Final[Mark] = (1, 1)
_MAX_DEPTH: Final = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Tree:
    """One document.

    Attributes:
        file: Its name.
        data: Its content in dictionaries, lists and scalars.
        keys: Where the key of each path stands, as line and column counted from 1.
        values: Where the value of each path stands.
    """

    file: str
    data: Mapping[str, Any] = field(default_factory=dict)
    keys: Mapping[Path, Mark] = field(default_factory=dict)
    values: Mapping[Path, Mark] = field(default_factory=dict)

    def problem(self, path: Path, code: str, message: str, *, on_key: bool = False) -> Problem:
        """Return a problem that stands at ``path``, or at the nearest place above it."""
        line, column = self._mark(path, on_key=on_key)
        return Problem(file=self.file, line=line, column=column, code=code, message=message)

    def _mark(self, path: Path, *, on_key: bool) -> Mark:
        for end in range(len(path), 0, -1):
            marks = self.keys if on_key or end < len(path) else self.values
            mark = marks.get(path[:end]) or self.values.get(path[:end])
            if mark is not None:
                return mark
        return _START

    def texts(self) -> Iterator[tuple[Path, str]]:
        """Yield every text of the document with its path."""
        yield from _texts((), self.data)


def _texts(path: Path, value: object) -> Iterator[tuple[Path, str]]:
    match value:
        case str():
            yield path, value
        case dict():
            for key, below in value.items():
                yield from _texts((*path, key), below)
        case list():
            for index, below in enumerate(value):
                yield from _texts((*path, index), below)


def read_tree(file: str, text: str) -> tuple[Tree, tuple[Problem, ...]]:
    """Return the document's tree, and what is wrong with it as YAML."""
    reader = _Reader(file)
    try:
        root = YAML(typ="safe", pure=False).compose(text)
    except (YAMLError, RecursionError) as error:
        return Tree(file=file), (_syntax_problem(file, error),)
    data = reader.read((), root) if root is not None else {}
    if not isinstance(data, dict):
        reader.report(root, "policy_wrong_type", "a policy document is a mapping")
        data = {}
    if any(problem.code == "policy_syntax" for problem in reader.problems):
        # What could not be read would be missing from the data, and be reported as missing.
        data = {}
    tree = Tree(file=file, data=data, keys=reader.keys, values=reader.values)
    return tree, tuple(reader.problems)


def _syntax_problem(file: str, error: Exception) -> Problem:
    mark = error.problem_mark if isinstance(error, MarkedYAMLError) else None
    line, column = (mark.line + 1, mark.column + 1) if mark is not None else _START
    what = (isinstance(error, MarkedYAMLError) and error.problem) or "this is not YAML"
    return Problem(file=file, line=line, column=column, code="policy_syntax", message=str(what))


class _Reader:
    """Turns nodes into values and notes where each stood."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.keys: dict[Path, Mark] = {}
        self.values: dict[Path, Mark] = {}
        self.problems: list[Problem] = []
        self._seen: set[int] = set()

    def report(self, node: Node, code: str, message: str) -> None:
        line, column = _mark_of(node)
        self.problems.append(
            Problem(file=self.file, line=line, column=column, code=code, message=message)
        )

    def read(self, path: Path, node: Node) -> Any:  # noqa: ANN401 - YAML holds anything
        if self._refused(path, node):
            return None
        self.values[path] = _mark_of(node)
        if isinstance(node, MappingNode):
            return self._mapping(path, node)
        if isinstance(node, SequenceNode):
            return [self.read((*path, index), item) for index, item in enumerate(node.value)]
        return _scalar(node)

    def _refused(self, path: Path, node: Node) -> bool:
        # An alias is the very node its anchor named; a shared or cyclic graph has no one place.
        if id(node) in self._seen:
            self.report(node, "policy_syntax", "anchors and aliases are not understood here")
            return True
        self._seen.add(id(node))
        if not str(node.tag).startswith(_TAG) or "/" in str(node.tag)[len(_TAG) :]:
            self.report(node, "policy_syntax", "tags are not understood here")
            return True
        if len(path) > _MAX_DEPTH:
            self.report(node, "policy_syntax", "nested too deeply")
            return True
        return False

    def _mapping(self, path: Path, node: MappingNode) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node)
            if key in found:
                self.report(key_node, "policy_duplicate_key", f"{key} is written twice")
            elif key is not None:
                self.keys[*path, key] = _mark_of(key_node)
                found[key] = self.read((*path, key), value_node)
        return found

    def _key(self, node: Node) -> str | None:
        if isinstance(node, ScalarNode):
            return str(node.value)
        self.report(node, "policy_syntax", "a key is a plain word")
        return None


def _mark_of(node: Node) -> Mark:
    return node.start_mark.line + 1, node.start_mark.column + 1


def _scalar(node: Node) -> str | int | bool | None:
    text = str(node.value)
    match str(node.tag).removeprefix(_TAG):
        case "null":
            return None
        case "bool":
            return text.lower() == "true"
        case "int" if _WHOLE.match(text):
            return int(text)
        case _:
            return text
