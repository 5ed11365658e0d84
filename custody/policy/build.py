"""From sound drafts to the policy's values."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from custody.canonical import canonical
from custody.policy import model
from custody.policy.drafts import Drafts, Entry, sound
from custody.policy.shapes import (
    DatasetShape,
    FieldShape,
    NoticeShape,
    PurposeShape,
    RecipientShape,
    RoleShape,
    RuleShape,
    ScopeShape,
    SettingsShape,
    Shape,
    SourceShape,
    TextShape,
)
from custody.policy.shapes_quality import ExpectationShape, GateShape, SuiteShape
from custody.suites import CHOICES

S = TypeVar("S", bound=Shape)
V = TypeVar("V")


def build_policy(drafts: Drafts, documents: Mapping[str, str]) -> model.Policy:
    """Return the policy of drafts in which no problem was found."""
    return model.Policy(
        controller=_single(drafts, "controller", TextShape).model_dump(),
        datasets=_built(drafts, "datasets", DatasetShape, _dataset),
        purposes=_built(drafts, "purposes", PurposeShape, _purpose),
        notices=_built(drafts, "notices", NoticeShape, _notice),
        sources=_built(drafts, "sources", SourceShape, _source),
        recipients=_built(drafts, "recipients", RecipientShape, _recipient),
        roles=_built(drafts, "roles", RoleShape, _role),
        rules=_built(drafts, "rules", RuleShape, _rule),
        gates=_built(drafts, "gates", GateShape, _gate),
        suites=_built(drafts, "suites", SuiteShape, _suite),
        settings=_settings(_single(drafts, "settings", SettingsShape)),
        documents=dict(documents),
        digest=digest_of(documents),
    )


def _settings(shape: SettingsShape) -> model.Settings:
    figures = shape.model_dump(exclude={"crypto"})
    return model.Settings(suite=CHOICES[shape.crypto.suite], **figures)


def digest_of(documents: Mapping[str, str]) -> str:
    """Return the policy's digest: SHA-256, in hex, of the canonical JSON of its documents."""
    return hashlib.sha256(canonical(dict(documents))).hexdigest()


def _single(drafts: Drafts, section: str, kind: type[S]) -> S:
    return next(shape for _, shape in drafts.sound(section, kind))


def _built(
    drafts: Drafts, section: str, kind: type[S], build: Callable[[Entry, S], V]
) -> dict[str, V]:
    return {entry.name: build(entry, shape) for entry, shape in drafts.sound(section, kind)}


def _field(name: str, shape: FieldShape) -> model.Field:
    said: dict[str, Any] = shape.model_dump()
    for key in ("values", "aliases"):
        said[key] = tuple(said[key])
    said["search"] = frozenset(said["search"])
    return model.Field(name=name, **said)


def _dataset(entry: Entry, shape: DatasetShape) -> model.Dataset:
    return model.Dataset(
        name=entry.name,
        title=shape.title.model_dump(),
        creates_customer=shape.creates_customer,
        record_key=tuple(shape.record_key),
        references=tuple(
            model.SubjectReference(name=name, **reference.model_dump())
            for name, reference in shape.references.items()
        ),
        fields=tuple(_field(part.name, field) for part, field in sound(entry.parts, FieldShape)),
        birth_field=shape.birth_field,
        sex_field=shape.sex_field,
        collected_at_field=shape.collected_at_field,
        retired_numbers=frozenset(shape.retired_numbers),
    )


def _scope(shape: ScopeShape) -> model.Scope:
    return model.Scope(
        required=frozenset(shape.required),
        optional=frozenset(shape.optional),
        retention=model.Retention(**shape.retention.model_dump()),
    )


def _purpose(entry: Entry, shape: PurposeShape) -> model.Purpose:
    return model.Purpose(
        name=entry.name,
        title=shape.title.model_dump(),
        legal_basis=shape.legal_basis,
        notice_version=shape.notice_version,
        consent_kinds=frozenset(shape.consent_kinds),
        scopes={part.name: _scope(scope) for part, scope in sound(entry.parts, ScopeShape)},
    )


def _field_sets(fields: Mapping[str, list[str]]) -> dict[str, frozenset[str]]:
    return {dataset: frozenset(names) for dataset, names in fields.items()}


def _notice(entry: Entry, shape: NoticeShape) -> model.Notice:
    # The statements are the notice's text, unless a document outside the policy is.
    text = hashlib.sha256(canonical(shape.statements.model_dump())).hexdigest()
    return model.Notice(
        version=entry.name,
        published_on=shape.published_on,
        purposes=frozenset(shape.purposes),
        fields=_field_sets(shape.fields),
        methods=tuple(shape.methods),
        text_sha256=shape.text_sha256 or text,
    )


def _source(entry: Entry, shape: SourceShape) -> model.Source:
    return model.Source(name=entry.name, **shape.model_dump())


def _recipient(entry: Entry, shape: RecipientShape) -> model.Recipient:
    return model.Recipient(
        name=entry.name,
        title=shape.title.model_dump(),
        country=shape.country,
        key=shape.key,
        contract=model.Contract(
            number=shape.contract.number,
            valid_from=shape.contract.valid_from,
            valid_to=shape.contract.valid_to,
            purposes=frozenset(shape.contract.purposes),
        ),
        fields=_field_sets(shape.fields),
    )


def _role(entry: Entry, shape: RoleShape) -> model.Role:
    return model.Role(
        name=entry.name,
        title=shape.title.model_dump(),
        may=frozenset(shape.may),
        up_to=shape.up_to,
    )


def _rule(entry: Entry, shape: RuleShape) -> model.Rule:
    said = shape.model_dump()
    switched_on = said.pop("switched_on_by_policy")
    return model.Rule(id=entry.name, switched_on=switched_on, **said)


def _gate(entry: Entry, shape: GateShape) -> model.Gate:
    by_default = model.ALL_PERMILLE if entry.name == "ingest" else 0
    given = shape.tolerated_permille
    return model.Gate(owner=shape.owner, tolerated_permille=by_default if given is None else given)


def _suite(entry: Entry, shape: SuiteShape) -> model.QualitySuite:
    return model.QualitySuite(
        name=entry.name,
        title=shape.title.model_dump(),
        dataset=shape.dataset,
        owner=shape.owner,
        rows_at_least=shape.rows_at_least,
        rows_at_most=shape.rows_at_most,
        expectations=tuple(
            _expectation(part.name, one) for part, one in sound(entry.parts, ExpectationShape)
        ),
    )


def _expectation(name: str, shape: ExpectationShape) -> model.Expectation:
    return model.Expectation(
        name=name,
        expect=shape.expect,
        fields=tuple(shape.fields),
        parameters={
            key: tuple(value) if isinstance(value, list) else value
            for key, value in shape.parameters.items()
        },
        severity=shape.severity,
        tolerated_permille=shape.tolerated_permille,
    )
