"""The policy as values: what a firm's documents say once they were found sound.

Nothing here reads a file. :mod:`custody.policy.parse` turns documents into these values and
refuses what contradicts itself, so that code which holds a :class:`Policy` need not check again.
The module is long because everybody reads it as the one page of the policy's vocabulary.
"""

import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import ClassVar, Final, Literal, Protocol, TypeVar

from custody.errors import UsageError
from custody.suites import AES_256_GCM, Suite

Text = Mapping[str, str]
"""A text by language code (``zh`` and ``en`` are always there)."""

LEGAL_BASES = frozenset(
    {
        "consent",
        "contract",
        "human_resources",
        "legal_duty",
        "emergency",
        "news",
        "public_data",
        "other_law",
    }
)
"""The bases of PIPL art. 13; the second comprises contract and human resources."""

DETECTORS = frozenset(
    {"resident_id", "mobile", "phone", "email", "bank_card", "uscc", "passport", "any"}
)
MASKS = frozenset(
    {"none", "name", "resident_id", "mobile", "phone", "email", "bank_card", "address", "hidden"}
)
EQUALITY: Final = "equality"
LAST_FOUR: Final = "last_four"
SEARCHES = frozenset({EQUALITY, LAST_FOUR})
SENSITIVE_KINDS = frozenset(
    {
        "biometric",
        "religion",
        "specific_identity",
        "health",
        "financial_account",
        "location_track",
        "minor",
    }
)
"""The kinds of sensitive personal information PIPL art. 28 names."""

CONSENT_KINDS = frozenset({"purpose", "sensitive"})
ACTIONS = frozenset(
    {
        "file_use",
        "file_transfer",
        "approve",
        "enrol",
        "add_staff",
        "hold",
        "plan_destruction",
        "apply_destruction",
        "read",
    }
)
STAGES = ("ingest", "store", "transfer", "destroy")
"""The stages that have quality checks of their own."""
ALL_PERMILLE = 1000
CONSENTS = "consents"
"""The name a source gives instead of a dataset when its rows are consents."""

CONSENT_FIELDS = frozenset(
    {
        "purpose",
        "kind",
        "recipient",
        "given_at",
        "withdrawn_at",
        "notice_version",
        "notice_shown_at",
        "control_id",
        "control_initial",
        "signed_text_digest",
        "act",
        "guardian_name",
        "evidence_ref",
    }
)
"""What a column of a consent source can mean, besides the policy's subject references."""

Severity = Literal["blocking", "warning"]
SourceKind = Literal["csv", "xlsx", "sql"]
Evidence = Literal["H", "S", "Q", "L", "M"]
Mode = Literal["block", "warn", "report"]


class UnknownNameError(UsageError):
    """The policy has nothing of that kind under that name."""

    code: ClassVar[str] = "unknown_reference"

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(kind, name)
        self.kind, self.name = kind, name

    def __str__(self) -> str:
        """Return the kind and the name that was not found."""
        return f"the policy has no {self.kind} called {self.name}"


class Level(StrEnum):
    """How much protection a field needs, lowest first."""

    GENERAL = "general"
    SENSITIVE = "sensitive"
    SECRET = "secret"  # noqa: S105 - a level's name, not a password

    @property
    def rank(self) -> int:
        """Return the place in the order; a higher rank needs more protection."""
        return _RANKS[self.value]


_RANKS = {"general": 0, "sensitive": 1, "secret": 2}


class Category(StrEnum):
    """The three kinds of customer information of measure H1.2."""

    BASIC_IDENTITY = "basic_identity"
    TRANSACTION = "transaction"
    DERIVED = "derived"


class FieldType(StrEnum):
    """How a field's value is written."""

    TEXT = "text"
    CODE = "code"
    DATE = "date"
    INSTANT = "instant"
    DECIMAL = "decimal"
    INTEGER = "integer"


@dataclass(frozen=True, kw_only=True, slots=True)
class Field:
    """One field of a dataset.

    Attributes:
        name: Its name in code and policy.
        number: Its number in the sealed payload; never reused within the dataset.
        level: The declared level; detection may raise it, nothing lowers it.
        jrt_class: ``C1``, ``C2`` or ``C3`` of JR/T 0171-2020.
        sensitive_kind: Which kind of PIPL art. 28 it is, or None.
        detector: Which detector its values must satisfy; ``any`` runs all over free text.
        mask: How it is shown when not in clear, one of ``MASKS``.
        search: Which lookups are indexed, of ``SEARCHES``.
        values: The values a ``code`` may take; empty for other types.
        synonyms: Raw value to code, applied before ``values`` is checked.
        max_length: Characters at most.
        aliases: Column names, in any language, that mean this field.
        severity: Whether a breach of format refuses the row or only warns.
        free_text: Whether people write sentences into it.
    """

    name: str
    number: int
    title: Text
    type: FieldType
    category: Category
    level: Level
    jrt_class: str
    sensitive_kind: str | None = None
    detector: str | None = None
    mask: str = "hidden"
    search: frozenset[str] = frozenset()
    values: tuple[str, ...] = ()
    synonyms: Mapping[str, str] = field(default_factory=dict)
    max_length: int = 200
    minimum: Decimal | None = None
    maximum: Decimal | None = None
    earliest: date | None = None
    aliases: tuple[str, ...] = ()
    severity: Severity = "blocking"
    free_text: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class SubjectReference:
    """A field that tells whose record it is.

    Attributes:
        name: The reference's name; the same name in two datasets means the same reference.
        namespaced: Whether it is unique only within a source's namespace.
        single: Whether one customer can have only one value of it.
    """

    name: str
    field: str
    namespaced: bool = False
    single: bool = False


class _Named(Protocol):
    """Anything with a name."""

    @property
    def name(self) -> str: ...


_N = TypeVar("_N", bound=_Named)
_K = TypeVar("_K", str, int)
_V = TypeVar("_V")


def _by_name(things: Iterable[_N]) -> dict[str, _N]:
    return {thing.name: thing for thing in things}


def _find(kind: str, things: Mapping[_K, _V], name: _K) -> _V:
    try:
        return things[name]
    except KeyError:
        raise UnknownNameError(kind, str(name)) from None


class _Numbering(dict[str, int]):
    """Numbers by name, for those who ask for every field of every row."""

    def __missing__(self, name: str) -> int:
        return _find("field", dict(self), name)


def column_key(header: str) -> str:
    """Return the form in which column names are compared: width, case and spaces do not count."""
    return "".join(unicodedata.normalize("NFKC", header).casefold().split())


@dataclass(frozen=True, kw_only=True, slots=True)
class Dataset:
    """One kind of record.

    Attributes:
        creates_customer: Whether an unknown subject in it becomes a new customer.
        record_key: The fields that together name a record within a source's namespace.
        birth_field: The field with the subject's date of birth, if it has one.
        collected_at_field: The field that says when the firm collected the record, if any.
        retired_numbers: The numbers of fields that the policy has dropped; records may have them.
    """

    name: str
    title: Text
    creates_customer: bool
    record_key: tuple[str, ...]
    references: tuple[SubjectReference, ...]
    fields: tuple[Field, ...]
    birth_field: str | None = None
    sex_field: str | None = None
    collected_at_field: str | None = None
    retired_numbers: frozenset[int] = frozenset()
    _names: dict[str, Field] = field(init=False, repr=False, compare=False)
    _numbers: dict[int, Field] = field(init=False, repr=False, compare=False)
    _columns: dict[str, Field] = field(init=False, repr=False, compare=False)
    _longest: dict[int, int] = field(init=False, repr=False, compare=False)
    _numbering: "_Numbering" = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Index the fields by name, by number and by what columns may be called."""
        longest = {
            one.number: max(len(code.encode()) for code in one.values)
            for one in self.fields
            if one.values
        }
        object.__setattr__(self, "_longest", longest)
        object.__setattr__(self, "_names", _by_name(self.fields))
        object.__setattr__(self, "_numbers", {one.number: one for one in self.fields})
        numbering = _Numbering((one.name, one.number) for one in self.fields)
        object.__setattr__(self, "_numbering", numbering)
        columns = {
            column_key(name): one for one in self.fields for name in (one.name, *one.aliases)
        }
        object.__setattr__(self, "_columns", columns)

    def field(self, name: str) -> Field:
        """Return the field called ``name``.

        Raises:
            UnknownNameError: The dataset has no such field.
        """
        return _find("field", self._names, name)

    def by_number(self, number: int) -> Field:
        """Return the field that carries ``number`` in sealed payloads.

        Raises:
            UnknownNameError: The dataset has no such field.
        """
        return _find("field number", self._numbers, number)

    def present(self, values: Mapping[int, _V]) -> Iterator[tuple[Field, _V]]:
        """Yield a payload's values with their fields, without those of retired fields.

        Raises:
            UnknownNameError: The dataset has no such field and never had.
        """
        for number, value in values.items():
            if number not in self.retired_numbers:
                yield self.by_number(number), value

    @property
    def numbering(self) -> Mapping[str, int]:
        """The number of each field by its name; asking for another raises UnknownNameError."""
        return self._numbering

    @property
    def longest_codes(self) -> Mapping[int, int]:
        """The length in bytes of the longest code of each field that takes codes, by number."""
        return self._longest

    def by_column(self, header: str) -> Field | None:
        """Return the field that a column's name means by name or alias, or None."""
        return self._columns.get(column_key(header))

    @property
    def field_names(self) -> frozenset[str]:
        """Return the names of all fields."""
        return frozenset(self._names)


@dataclass(frozen=True, kw_only=True, slots=True)
class Retention:
    """How long records are kept, from when, and why.

    Attributes:
        period: An ISO 8601 calendar period such as ``P5Y``.
        basis: The rule's id, or the reason in words, that fixes the period.
        start_field: The date or instant field the period runs from, or None.
        start_event: The event the period runs from, or None; exactly one of the two is set.
    """

    period: str
    basis: str
    start_field: str | None = None
    start_event: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Scope:
    """What one purpose needs of one dataset (measure H1.3b)."""

    required: frozenset[str]
    optional: frozenset[str]
    retention: Retention

    @property
    def fields(self) -> frozenset[str]:
        """Return every field the purpose may have; any other is dropped."""
        return self.required | self.optional


@dataclass(frozen=True, kw_only=True, slots=True)
class Purpose:
    """Why data is processed.

    Attributes:
        legal_basis: One of ``LEGAL_BASES``.
        notice_version: The notice a consent to it must have been given under, or None.
        consent_kinds: Which consents it needs, of ``CONSENT_KINDS``; empty without consent.
        scopes: What it needs, by dataset name.
    """

    name: str
    title: Text
    legal_basis: str
    notice_version: str | None
    consent_kinds: frozenset[str]
    scopes: Mapping[str, Scope]

    @property
    def needs_consent(self) -> bool:
        """Return whether consent is the purpose's legal basis."""
        return self.legal_basis == "consent"

    def scope(self, dataset: str) -> Scope:
        """Return what the purpose needs of ``dataset``.

        Raises:
            UnknownNameError: The purpose needs nothing of that dataset.
        """
        return _find(f"scope of purpose {self.name} in a dataset", self.scopes, dataset)


@dataclass(frozen=True, kw_only=True, slots=True)
class Notice:
    """What subjects were told, version by version (PIPL art. 17)."""

    version: str
    published_on: date
    purposes: frozenset[str]
    fields: Mapping[str, frozenset[str]]
    methods: tuple[str, ...]
    text_sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """Where records come from.

    Attributes:
        location: An environment reference such as ``${NAME}``, a URL without secrets, or None
            where a file is named at ingest.
        dataset: The dataset its rows belong to, or ``CONSENTS``.
        namespace: Within which customer numbers and record keys are unique.
        purpose: The purpose its records are ingested under; None for consents.
        columns: Column name to field name, for columns that no alias explains.
    """

    name: str
    title: Text
    kind: SourceKind
    dataset: str
    namespace: str
    purpose: str | None
    location: str | None = None
    encoding: str | None = None
    sheet: str | None = None
    table: str | None = None
    query: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Contract:
    """The agreement a transfer rests on; both days inclusive."""

    number: str
    valid_from: date
    valid_to: date
    purposes: frozenset[str]

    def in_force(self, on: date) -> bool:
        """Return whether the contract runs on the day ``on``."""
        return self.valid_from <= on <= self.valid_to


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipient:
    """Somebody outside the firm who may receive data.

    Attributes:
        country: ISO 3166 two-letter code of where the data goes.
        key: The recipient's age public key.
        fields: What may be given to it at most, by dataset name.
    """

    name: str
    title: Text
    country: str
    key: str
    contract: Contract
    fields: Mapping[str, frozenset[str]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Role:
    """What a member of staff may do, and up to which level."""

    name: str
    title: Text
    may: frozenset[str]
    up_to: Level


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """A rule of law or of the house, as the firm signed it.

    Attributes:
        evidence: H house, S full text read, Q quoted, L summary, M memory.
        mode: What a breach does. L and M block only where ``switched_on`` by the policy.
    """

    id: str
    article: str
    text: Text
    source: str
    valid_from: date
    valid_to: date | None
    evidence: Evidence
    mode: Mode
    switched_on: bool = False

    def in_force(self, on: date) -> bool:
        """Return whether the rule holds on the day ``on``."""
        return self.valid_from <= on and (self.valid_to is None or on <= self.valid_to)


@dataclass(frozen=True, kw_only=True, slots=True)
class Gate:
    """Who answers for the quality checks of a stage, and what they let pass.

    Attributes:
        owner: A role.
        tolerated_permille: Of a thousand rows that a check judges, how many may fail it before the
            whole batch is stopped; what fails is refused row by row in any case.
    """

    owner: str
    tolerated_permille: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Expectation:
    """What a firm expects of the rows of a dataset beside what its catalogue says.

    Attributes:
        expect: A kind of :mod:`custody.policy.expectations`.
        severity: Whether a row that fails is refused, or only told of.
        tolerated_permille: As the gate's; None for just that.
    """

    name: str
    expect: str
    fields: tuple[str, ...]
    parameters: Mapping[str, str | int | bool | tuple[str, ...]]
    severity: Severity
    tolerated_permille: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class QualitySuite:
    """A firm's own expectations of a dataset, and how many rows it expects of a batch."""

    name: str
    title: Text
    dataset: str
    owner: str
    rows_at_least: int | None
    rows_at_most: int | None
    expectations: tuple[Expectation, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """The figures a firm decides."""

    log_retention_years: int
    suppression_years: int
    consent_retention_years: int = 3
    quarantine_days: int = 30
    purge_cap_minimum: int = 500
    purge_cap_percent: int = 1
    suite: Suite = AES_256_GCM
    window_days: int = 92
    session_minutes: int = 480


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """Everything a firm signed, and the documents it signed.

    Attributes:
        notices: By version; all others by name, rules by id.
        documents: The texts of the documents by file name.
        digest: SHA-256, in hex, of the canonical JSON of ``documents``.
    """

    controller: Text
    datasets: Mapping[str, Dataset]
    purposes: Mapping[str, Purpose]
    notices: Mapping[str, Notice]
    sources: Mapping[str, Source]
    recipients: Mapping[str, Recipient]
    roles: Mapping[str, Role]
    rules: Mapping[str, Rule]
    gates: Mapping[str, Gate]
    suites: Mapping[str, QualitySuite]
    settings: Settings
    documents: Mapping[str, str]
    digest: str

    def dataset(self, name: str) -> Dataset:
        """Return the dataset called ``name``; UnknownNameError if there is none."""
        return _find("dataset", self.datasets, name)

    def purpose(self, name: str) -> Purpose:
        """Return the purpose called ``name``; UnknownNameError if there is none."""
        return _find("purpose", self.purposes, name)

    def notice(self, version: str) -> Notice:
        """Return the notice of that version; UnknownNameError if there is none."""
        return _find("notice", self.notices, version)

    def source(self, name: str) -> Source:
        """Return the source called ``name``; UnknownNameError if there is none."""
        return _find("source", self.sources, name)

    def recipient(self, name: str) -> Recipient:
        """Return the recipient called ``name``; UnknownNameError if there is none."""
        return _find("recipient", self.recipients, name)

    def role(self, name: str) -> Role:
        """Return the role called ``name``; UnknownNameError if there is none."""
        return _find("role", self.roles, name)

    def rule(self, identifier: str) -> Rule:
        """Return the rule with that id; UnknownNameError if there is none."""
        return _find("rule", self.rules, identifier)

    def gate(self, stage: str) -> Gate:
        """Return the gate of a stage; without one, nobody is named and ingest stops no batch."""
        return self.gates.get(stage) or Gate(
            owner="", tolerated_permille=ALL_PERMILLE if stage == "ingest" else 0
        )

    def suites_of(self, dataset: str) -> tuple[QualitySuite, ...]:
        """Return the firm's own suites for a dataset."""
        return tuple(one for one in self.suites.values() if one.dataset == dataset)

    def scope(self, purpose: str, dataset: str) -> Scope:
        """Return what ``purpose`` needs of ``dataset``; UnknownNameError if nothing."""
        return self.purpose(purpose).scope(dataset)
