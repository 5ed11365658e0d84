"""The shape of gates and of a firm's own quality suites."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StrictBool, StrictInt

from custody.policy.expectations import KINDS
from custody.policy.model import ALL_PERMILLE
from custody.policy.shapes import Name, Names, Shape, TextShape, WordList, Words, one_of

Permille = Annotated[StrictInt, Field(ge=0, le=ALL_PERMILLE)]

Parameter = StrictBool | StrictInt | Words | WordList


class GateShape(Shape):
    """Who answers for a stage's quality checks."""

    owner: Name
    tolerated_permille: Permille | None = None


class ExpectationShape(Shape):
    """What is expected of fields."""

    expect: Annotated[str, AfterValidator(one_of(frozenset(KINDS), what="expectation"))]
    fields: Annotated[Names, Field(min_length=1, max_length=20)]
    parameters: dict[Name, Parameter] = Field(default_factory=dict)
    severity: Literal["blocking", "warning"] = "blocking"
    tolerated_permille: Permille | None = None


class SuiteShape(Shape):
    """A firm's own suite without its expectations."""

    title: TextShape
    dataset: Name
    owner: Name
    rows_at_least: Annotated[StrictInt, Field(ge=0)] | None = None
    rows_at_most: Annotated[StrictInt, Field(ge=1)] | None = None
