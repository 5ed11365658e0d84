"""The expectations a firm may add to its catalogue, by the names of Great Expectations.

Only kinds that judge each row by itself are among them. One that looks at a whole column (its
greatest value, its mean, whether values repeat) would answer with a customer's value, or would say
of a chunk of rows what is meant of all of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from custody.policy.model import FieldType

Parameter = Literal["text", "texts", "bound", "whole", "flag", "match_on"]
Fields = Literal["one", "pair", "several"]

NUMBERS: Final = frozenset({FieldType.INTEGER, FieldType.DECIMAL})
DAYS: Final = frozenset({FieldType.DATE})
INSTANTS: Final = frozenset({FieldType.INSTANT})
TEXTS: Final = frozenset({FieldType.TEXT, FieldType.CODE})
_COMPARED: Final = NUMBERS | DAYS | TEXTS  # an instant's day depends on where one is
_ANY: Final = _COMPARED | INSTANTS
_BOUNDS: Final[Mapping[str, Parameter]] = {
    "min_value": "bound",
    "max_value": "bound",
    "strict_min": "flag",
    "strict_max": "flag",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """A kind of expectation.

    Attributes:
        native: Its class in Great Expectations.
        fields: How many fields it looks at.
        types: Of which types they may be; those of one expectation are all of one sort.
        parameters: What else it takes.
        needed: Which of these it cannot do without; of ``min_value`` and ``max_value`` one does.
    """

    native: str
    fields: Fields = "one"
    types: frozenset[FieldType] = _ANY
    parameters: Mapping[str, Parameter]
    needed: frozenset[str] = frozenset()


def _asking(native: str, name: str, kind: Parameter, **more: Parameter) -> Kind:
    return Kind(
        native=native, types=TEXTS, parameters={name: kind, **more}, needed=frozenset({name})
    )


KINDS: Final[Mapping[str, Kind]] = {
    "column_values_to_not_be_null": Kind(native="ExpectColumnValuesToNotBeNull", parameters={}),
    "column_values_to_be_null": Kind(native="ExpectColumnValuesToBeNull", parameters={}),
    "column_values_to_be_between": Kind(
        native="ExpectColumnValuesToBeBetween", types=NUMBERS | DAYS, parameters=_BOUNDS
    ),
    "column_values_to_be_in_set": _asking("ExpectColumnValuesToBeInSet", "value_set", "texts"),
    "column_values_to_not_be_in_set": _asking(
        "ExpectColumnValuesToNotBeInSet", "value_set", "texts"
    ),
    "column_values_to_match_regex": _asking("ExpectColumnValuesToMatchRegex", "regex", "text"),
    "column_values_to_not_match_regex": _asking(
        "ExpectColumnValuesToNotMatchRegex", "regex", "text"
    ),
    "column_values_to_match_regex_list": _asking(
        "ExpectColumnValuesToMatchRegexList", "regex_list", "texts", match_on="match_on"
    ),
    "column_values_to_not_match_regex_list": _asking(
        "ExpectColumnValuesToNotMatchRegexList", "regex_list", "texts"
    ),
    "column_values_to_match_strftime_format": _asking(
        "ExpectColumnValuesToMatchStrftimeFormat", "strftime_format", "text"
    ),
    "column_value_lengths_to_be_between": Kind(
        native="ExpectColumnValueLengthsToBeBetween",
        types=TEXTS,
        parameters={**_BOUNDS, "min_value": "whole", "max_value": "whole"},
    ),
    "column_value_lengths_to_equal": _asking("ExpectColumnValueLengthsToEqual", "value", "whole"),
    "column_pair_values_to_be_equal": Kind(
        native="ExpectColumnPairValuesToBeEqual", fields="pair", types=_COMPARED, parameters={}
    ),
    "column_pair_values_a_to_be_greater_than_b": Kind(
        native="ExpectColumnPairValuesAToBeGreaterThanB",
        fields="pair",
        types=NUMBERS | DAYS,
        parameters={"or_equal": "flag"},
    ),
    "multicolumn_sum_to_equal": Kind(
        native="ExpectMulticolumnSumToEqual",
        fields="several",
        types=frozenset({FieldType.INTEGER}),  # sums of fractions are not exact
        parameters={"sum_total": "bound"},
        needed=frozenset({"sum_total"}),
    ),
    "select_column_values_to_be_unique_within_record": Kind(
        native="ExpectSelectColumnValuesToBeUniqueWithinRecord",
        fields="several",
        types=_COMPARED,
        parameters={},
    ),
}
NULLS: Final = frozenset({"column_values_to_not_be_null", "column_values_to_be_null"})
"""The kinds that look at whether something is given, also where it is not as it should be."""


def sort_of(kind: FieldType) -> frozenset[FieldType]:
    """Return the types whose values can be compared with those of one type."""
    return next(sort for sort in (NUMBERS, DAYS, TEXTS, INSTANTS) if kind in sort)
