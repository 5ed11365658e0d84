"""Counts by code: how often each reason, warning or outcome occurred."""

from collections.abc import Iterable, Mapping


def count_codes(rows: Iterable[Iterable[str]]) -> dict[str, int]:
    """Return how often each code occurs, in order of code."""
    counts: dict[str, int] = {}
    for codes in rows:
        for code in codes:
            counts[code] = counts.get(code, 0) + 1
    return dict(sorted(counts.items()))


def add_counts(*counts: Mapping[str, int]) -> dict[str, int]:
    """Return the sum of several counts, zeros left out, in order of code."""
    total: dict[str, int] = {}
    for one in counts:
        for code, count in one.items():
            total[code] = total.get(code, 0) + count
    return {code: count for code, count in sorted(total.items()) if count}
