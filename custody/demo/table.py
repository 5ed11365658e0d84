"""The table of defects (``defects.toml``) as values: what may be planted where, and its codes."""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from itertools import combinations
from typing import Any

_CONSENTS = "consents"


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """One kind of defect.

    Attributes:
        sources: The sources it is planted in.
        codes: The codes a row must be refused with because of it.
        touches: What it changes.
        needs: What must be untouched for it to be seen.
        alone: Whether it never shares a row with another kind.
        minor: Whether the customer must be younger than 14.
    """

    name: str
    sources: frozenset[str]
    codes: frozenset[str]
    touches: frozenset[str] = frozenset()
    needs: frozenset[str] = frozenset()
    alone: bool = False
    minor: bool = False

    def spoils(self, other: "Kind") -> bool:
        """Return whether ``other`` cannot be seen in a row that has this kind too."""
        return self.alone or not self.touches.isdisjoint(other.touches | other.needs)


@dataclass(frozen=True, kw_only=True, slots=True)
class Planting:
    """How much is planted in a source, and by what its rows' consents are found."""

    share: float
    consents_found_by: frozenset[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """All kinds, in the order in which they are applied to a row, and the sources."""

    kinds: Mapping[str, Kind]
    sources: Mapping[str, Planting]

    def singles(self, source: str) -> tuple[tuple[str, ...], ...]:
        """Return every kind of ``source``, each alone."""
        return tuple((kind.name,) for kind in self.kinds.values() if source in kind.sources)

    def pairs(self, source: str) -> tuple[tuple[str, ...], ...]:
        """Return every two kinds of ``source`` that one row can show."""
        there = [self._within(source, self.kinds[name]) for (name,) in self.singles(source)]
        return tuple(
            (a.name, b.name) for a, b in combinations(there, 2) if not (a.spoils(b) or b.spoils(a))
        )

    def _within(self, source: str, kind: Kind) -> Kind:
        if _CONSENTS not in kind.needs:
            return kind
        return replace(kind, needs=kind.needs | self.sources[source].consents_found_by)

    def codes(self, kinds: Iterable[str]) -> frozenset[str]:
        """Return the codes a row with ``kinds`` must be refused with."""
        return frozenset[str]().union(*(self.kinds[name].codes for name in kinds))

    def wants_minor(self, kinds: Iterable[str]) -> bool:
        """Return whether a row with ``kinds`` must be a child's."""
        return any(self.kinds[name].minor for name in kinds)


@cache
def load_table() -> Table:
    """Return the table that lies beside this module."""
    text = files("custody.demo").joinpath("defects.toml").read_text(encoding="utf-8")
    document = tomllib.loads(text)
    return Table(
        kinds={name: _kind(name, entry) for name, entry in document["kinds"].items()},
        sources={name: _planting(entry) for name, entry in document["sources"].items()},
    )


def _kind(name: str, entry: Mapping[str, Any]) -> Kind:
    return Kind(
        name=name,
        sources=frozenset(entry["sources"]),
        codes=frozenset(entry["codes"]),
        touches=frozenset(entry.get("touches", ())),
        needs=frozenset(entry.get("needs", ())),
        alone=entry.get("alone", False),
        minor=entry.get("minor", False),
    )


def _planting(entry: Mapping[str, Any]) -> Planting:
    return Planting(share=entry["share"], consents_found_by=frozenset(entry["consents_found_by"]))
