"""What purposes and notices must agree on with the catalogue and with each other."""

from collections.abc import Iterator, Mapping

from custody.policy.drafts import Drafts, Entry, sound
from custody.policy.model import FieldType, Level
from custody.policy.problems import Problem
from custody.policy.shapes import (
    DatasetShape,
    FieldShape,
    NoticeShape,
    PurposeShape,
    ScopeShape,
)

_DANGLING = "policy_dangling_reference"


def check_purposes(drafts: Drafts) -> Iterator[Problem]:
    """Yield what is wrong with the purposes and the notices."""
    for entry in drafts.section("purposes").values():
        for scope_entry, scope in sound(entry.parts, ScopeShape):
            yield from _check_scope(drafts, scope_entry, scope)
        yield from _check_unknown_datasets(drafts, entry)
    for entry, purpose in drafts.sound("purposes", PurposeShape):
        if purpose.legal_basis == "consent":
            yield from _check_consent(drafts, entry, purpose)
        elif purpose.consent_kinds:
            message = f"the basis {purpose.legal_basis} needs no consent"
            yield entry.problem("policy_illegal_value", message, "consent_kinds")
    for entry, notice in drafts.sound("notices", NoticeShape):
        yield from _check_notice(drafts, entry, notice)


def _check_unknown_datasets(drafts: Drafts, entry: Entry) -> Iterator[Problem]:
    for scope_entry in entry.parts.values():
        if scope_entry.name not in drafts.section("datasets"):
            yield scope_entry.problem(_DANGLING, f"no dataset is called {scope_entry.name}")


def _check_scope(drafts: Drafts, entry: Entry, scope: ScopeShape) -> Iterator[Problem]:
    dataset = drafts.section("datasets").get(entry.name)
    if dataset is None:
        return
    for part in ("required", "optional"):
        yield from fields_dangling(entry, dataset, getattr(scope, part), part)
    for index, name in enumerate(scope.optional):
        if name in scope.required:
            message = f"{name} is required and optional"
            yield entry.problem("policy_illegal_value", message, "optional", index)
    yield from _check_identifiable(entry, scope, dataset)
    yield from _check_retention(entry, scope, dataset)


def fields_dangling(
    entry: Entry, dataset: Entry, names: list[str], *below: str | int
) -> Iterator[Problem]:
    """Yield a problem of ``entry`` for each name that is no field of the dataset."""
    for index, name in enumerate(names):
        if name not in dataset.parts:
            message = f"{dataset.name} has no field {name}"
            yield entry.problem(_DANGLING, message, *below, index)


def _check_identifiable(entry: Entry, scope: ScopeShape, dataset: Entry) -> Iterator[Problem]:
    shape = dataset.shape
    if not isinstance(shape, DatasetShape):
        return
    for name in shape.record_key:
        if name in dataset.parts and name not in scope.required:
            message = f"{name} is part of the record key and so required"
            yield entry.problem("policy_missing_key", message, "required")
    references = {reference.field for reference in shape.references.values()}
    if references <= set(dataset.parts) and not references & set(scope.required):
        message = f"one of {', '.join(sorted(references))} is required, to know whose record it is"
        yield entry.problem("policy_missing_key", message, "required")


def _check_retention(entry: Entry, scope: ScopeShape, dataset: Entry) -> Iterator[Problem]:
    start, event = scope.retention.start_field, scope.retention.start_event
    if (start is None) == (event is None):
        message = "a retention starts at either start_field or start_event"
        yield entry.problem("policy_missing_key", message, "retention", on_key=True)
    if start is None:
        return
    below = ("retention", "start_field")
    if start not in dataset.parts:
        yield entry.problem(_DANGLING, f"{dataset.name} has no field {start}", *below)
        return
    field = dataset.parts[start].shape
    if isinstance(field, FieldShape) and field.type not in {FieldType.DATE, FieldType.INSTANT}:
        yield entry.problem("policy_illegal_value", f"{start} is neither date nor instant", *below)
    if start not in scope.required:
        message = f"{start} starts the retention and so is required"
        yield entry.problem("policy_illegal_value", message, *below)


def _check_consent(drafts: Drafts, entry: Entry, purpose: PurposeShape) -> Iterator[Problem]:
    if "purpose" not in purpose.consent_kinds:
        message = "the basis consent needs a consent of kind purpose"
        yield entry.problem("policy_illegal_value", message, "consent_kinds")
    sensitive = sorted(_sensitive_fields(drafts, entry))
    if sensitive and "sensitive" not in purpose.consent_kinds:
        # PIPL art. 29: sensitive information needs a separate consent.
        message = f"sensitive fields need a separate consent: {', '.join(sensitive)}"
        yield entry.problem("separate_consent_missing", message, "consent_kinds")
    yield from _check_notice_of(drafts, entry, purpose)


def _sensitive_fields(drafts: Drafts, entry: Entry) -> Iterator[str]:
    for scope_entry, scope in sound(entry.parts, ScopeShape):
        dataset = drafts.section("datasets").get(scope_entry.name)
        parts: Mapping[str, Entry] = dataset.parts if dataset else {}
        for name, field in sound(parts, FieldShape):
            if field.level is not Level.GENERAL and name.name in scope.required + scope.optional:
                yield name.name


def _check_notice_of(drafts: Drafts, entry: Entry, purpose: PurposeShape) -> Iterator[Problem]:
    version = purpose.notice_version
    if version is None:
        yield entry.problem("policy_missing_key", "consent rests on a notice: notice_version")
        return
    if version not in drafts.section("notices"):
        yield entry.problem(_DANGLING, f"no notice has version {version}", "notice_version")
        return
    notice = drafts.section("notices")[version].shape
    if isinstance(notice, NoticeShape):
        for gap in _gaps(drafts, entry, notice):
            message = f"notice {version} does not cover {gap}"
            yield entry.problem("notice_not_covering", message, "notice_version")


def _gaps(drafts: Drafts, entry: Entry, notice: NoticeShape) -> Iterator[str]:
    # PIPL art. 14: a consent covers the purpose and the categories its notice named.
    if entry.name not in notice.purposes:
        yield "the purpose"
    for scope_entry, scope in sound(entry.parts, ScopeShape):
        told = set(notice.fields.get(scope_entry.name, ()))
        dataset = drafts.section("datasets").get(scope_entry.name)
        known = set(dataset.parts) if dataset else set()
        for name in sorted({*scope.required, *scope.optional} & known - told):
            yield f"{scope_entry.name}.{name}"


def _check_notice(drafts: Drafts, entry: Entry, notice: NoticeShape) -> Iterator[Problem]:
    for index, purpose in enumerate(notice.purposes):
        if purpose not in drafts.section("purposes"):
            yield entry.problem(_DANGLING, f"no purpose is called {purpose}", "purposes", index)
    yield from field_map_dangling(drafts, entry, notice.fields)


def field_map_dangling(
    drafts: Drafts, entry: Entry, fields: Mapping[str, list[str]]
) -> Iterator[Problem]:
    """Yield a problem for each unknown dataset or field under the key ``fields``."""
    for name, names in fields.items():
        dataset = drafts.section("datasets").get(name)
        if dataset is None:
            message = f"no dataset is called {name}"
            yield entry.problem(_DANGLING, message, "fields", name, on_key=True)
        else:
            yield from fields_dangling(entry, dataset, names, "fields", name)
