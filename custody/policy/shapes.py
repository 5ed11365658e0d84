"""The shape of each entry of a policy's documents: which keys, of which type.

What one entry says about another is not looked at here but in the ``check_*`` modules, so that a
broken entry hides no problem of its neighbours.
"""

import re
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Annotated, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StringConstraints,
)
from pydantic_core import PydanticCustomError

from custody.errors import UsageError
from custody.ledger import MOST_YEARS
from custody.policy import model
from custody.retention import parse_duration

LONGEST_RETENTION_YEARS: Final = 200
START_EVENTS: Final = frozenset({"relationship_ended", "purpose_fulfilled", "service_stopped"})
ENCODINGS: Final = frozenset({"utf-8", "gb18030"})
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")
_NUMBER: Final = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,10})?\Z")


def _refuse(code: str, message: str) -> PydanticCustomError:
    return PydanticCustomError(code, "{message}", {"message": message})


def _iso_date(value: object) -> object:
    # Left to itself pydantic reads a bare number as seconds since 1970.
    if isinstance(value, str) and _DATE.match(value):
        return value
    raise _refuse("policy_wrong_type", "expected a date such as 2026-01-31")


def _number(value: object) -> object:
    if not isinstance(value, bool) and isinstance(value, int | str) and _NUMBER.match(str(value)):
        return Decimal(str(value))
    raise _refuse("policy_wrong_type", "expected a decimal number")


def _period(value: str) -> str:
    try:
        years, months, days = parse_duration(value)
    except UsageError:
        message = "expected a period such as P5Y, P18M or P30D"
        raise _refuse("policy_illegal_value", message) from None
    if not 0 < years * 366 + months * 31 + days <= LONGEST_RETENTION_YEARS * 366:
        message = f"a period lasts a day at least and {LONGEST_RETENTION_YEARS} years at most"
        raise _refuse("policy_illegal_value", message)
    return value


def one_of(
    allowed: frozenset[str], code: str = "policy_illegal_value", what: str = "value"
) -> Callable[[str], str]:
    """Return what lets only the allowed values pass."""

    def check(value: str) -> str:
        if value not in allowed:
            raise _refuse(code, f"unknown {what}; known are {', '.join(sorted(allowed))}")
        return value

    return check


def _no_repeats(values: list[str]) -> list[str]:
    if len(set(values)) != len(values):
        raise _refuse("policy_illegal_value", "something is listed twice")
    return values


Name = Annotated[str, StringConstraints(strict=True, pattern=r"^[a-z][a-z0-9_]{0,62}\z")]
Words = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=4000)]
Names = Annotated[list[Name], AfterValidator(_no_repeats)]
WordList = Annotated[list[Words], AfterValidator(_no_repeats)]
Day = Annotated[date, BeforeValidator(_iso_date)]
Number = Annotated[Decimal, BeforeValidator(_number)]
Action = Annotated[
    str, AfterValidator(one_of(model.ACTIONS, "policy_dangling_reference", "action"))
]


class Shape(BaseModel):
    """An entry: unknown keys are refused, nothing is coerced."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TextShape(Shape):
    """A text in every language custody speaks."""

    zh: Words
    en: Words


class FieldShape(Shape):
    """A field of a dataset."""

    number: Annotated[StrictInt, Field(ge=1, le=65535)]
    title: TextShape
    type: model.FieldType
    category: model.Category
    level: model.Level
    jrt_class: Literal["C1", "C2", "C3"]
    sensitive_kind: Annotated[str, AfterValidator(one_of(model.SENSITIVE_KINDS))] | None = None
    detector: Annotated[str, AfterValidator(one_of(model.DETECTORS))] | None = None
    mask: Annotated[str, AfterValidator(one_of(model.MASKS))] = "hidden"
    search: list[Annotated[str, AfterValidator(one_of(model.SEARCHES))]] = []
    values: WordList = []
    synonyms: dict[Words, Words] = {}
    max_length: Annotated[StrictInt, Field(ge=1, le=100_000)] = 200
    minimum: Number | None = None
    maximum: Number | None = None
    earliest: Day | None = None
    aliases: WordList = []
    severity: Literal["blocking", "warning"] = "blocking"
    free_text: StrictBool = False


class ReferenceShape(Shape):
    """A subject reference of a dataset."""

    field: Name
    namespaced: StrictBool = False
    single: StrictBool = False


class DatasetShape(Shape):
    """A dataset without its fields."""

    title: TextShape
    creates_customer: StrictBool
    record_key: Annotated[Names, Field(min_length=1)]
    references: Annotated[dict[Name, ReferenceShape], Field(min_length=1)]
    birth_field: Name | None = None
    sex_field: Name | None = None
    collected_at_field: Name | None = None
    retired_numbers: list[StrictInt] = []


class RetentionShape(Shape):
    """How long, and from when."""

    period: Annotated[str, StringConstraints(strict=True), AfterValidator(_period)]
    basis: Words
    start_field: Name | None = None
    start_event: Annotated[str, AfterValidator(one_of(START_EVENTS, what="event"))] | None = None


class ScopeShape(Shape):
    """What a purpose needs of a dataset."""

    required: Annotated[Names, Field(min_length=1)]
    optional: Names = []
    retention: RetentionShape


class PurposeShape(Shape):
    """A purpose without its scopes."""

    title: TextShape
    legal_basis: Annotated[
        str, AfterValidator(one_of(model.LEGAL_BASES, "basis_not_established", "legal basis"))
    ]
    notice_version: Words | None = None
    consent_kinds: list[Annotated[str, AfterValidator(one_of(model.CONSENT_KINDS))]] = []


class StatementsShape(Shape):
    """The six things PIPL art. 17 wants said before anything is collected."""

    identity_and_contact: TextShape
    purpose: TextShape
    method: TextShape
    categories: TextShape
    retention: TextShape
    rights: TextShape


class NoticeShape(Shape):
    """A version of what subjects are told."""

    published_on: Day
    purposes: Annotated[Names, Field(min_length=1)]
    fields: dict[Name, Names]
    methods: Annotated[WordList, Field(min_length=1)]
    statements: StatementsShape
    text_sha256: (
        Annotated[str, StringConstraints(strict=True, pattern=r"^[0-9a-f]{64}\z")] | None
    ) = None


class SourceShape(Shape):
    """Where records come from."""

    title: TextShape
    kind: Literal["csv", "xlsx", "sql"]
    dataset: Name
    namespace: Name
    purpose: Name | None = None
    location: Words | None = None
    encoding: Annotated[str, AfterValidator(one_of(ENCODINGS, what="encoding"))] | None = None
    sheet: Words | None = None
    table: Words | None = None
    query: Words | None = None
    columns: dict[Words, Name] = {}


class ContractShape(Shape):
    """The agreement behind a transfer."""

    number: Words
    valid_from: Day
    valid_to: Day
    purposes: Annotated[Names, Field(min_length=1)]


class RecipientShape(Shape):
    """Somebody outside the firm."""

    title: TextShape
    country: Annotated[str, StringConstraints(strict=True, pattern=r"^[A-Z]{2}\z")]
    key: Words
    contract: ContractShape
    fields: dict[Name, Names]


class RoleShape(Shape):
    """What a member of staff may do."""

    title: TextShape
    may: list[Action]
    up_to: model.Level


class RuleShape(Shape):
    """A rule of law or of the house."""

    article: Words
    text: TextShape
    source: Words
    valid_from: Day
    valid_to: Day | None = None
    evidence: Literal["H", "S", "Q", "L", "M"]
    mode: Literal["block", "warn", "report"]
    switched_on_by_policy: StrictBool = False


class CryptoShape(Shape):
    """Under which suite custody seals."""

    suite: Literal["intl", "gm", "intl-siv"] = "intl"


class SettingsShape(Shape):
    """The figures a firm decides; caps keep a slip of the pen from becoming a policy."""

    log_retention_years: Annotated[StrictInt, Field(le=MOST_YEARS)]
    suppression_years: Annotated[StrictInt, Field(ge=1, le=100)]
    consent_retention_years: Annotated[StrictInt, Field(ge=3, le=100)] = 3
    quarantine_days: Annotated[StrictInt, Field(ge=1, le=90)] = 30
    purge_cap_minimum: Annotated[StrictInt, Field(ge=0, le=1_000_000)] = 500
    purge_cap_percent: Annotated[StrictInt, Field(ge=0, le=100)] = 1
    crypto: CryptoShape = CryptoShape()
    window_days: Annotated[StrictInt, Field(ge=1, le=366)] = 92
    session_minutes: Annotated[StrictInt, Field(ge=5, le=1440)] = 480
