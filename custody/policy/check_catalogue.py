"""What a dataset and its fields must agree on."""

from collections.abc import Iterator

from custody.policy.drafts import Drafts, Entry, sound
from custody.policy.model import LAST_FOUR, FieldType, Level, column_key
from custody.policy.problems import Problem
from custody.policy.shapes import DatasetShape, FieldShape

_MEASURED = frozenset({FieldType.DECIMAL, FieldType.INTEGER})
_NUMBERS = frozenset({"mobile", "phone", "bank_card", "resident_id"})
_DATED = frozenset({FieldType.DATE, FieldType.INSTANT})


def check_catalogue(drafts: Drafts) -> Iterator[Problem]:
    """Yield what is wrong with the datasets."""
    for entry, dataset in drafts.sound("datasets", DatasetShape):
        yield from _check_named_fields(entry, dataset)
    for entry in drafts.section("datasets").values():
        yield from _check_numbers(entry)
        yield from _check_aliases(entry)
        for field_entry, field in sound(entry.parts, FieldShape):
            yield from _check_values(field_entry, field)
            yield from _check_range(field_entry, field)
            yield from _check_level(field_entry, field)
            yield from _check_mask(field_entry, field)
            yield from _check_search(field_entry, field)
    yield from _check_references(drafts)


def _check_named_fields(entry: Entry, dataset: DatasetShape) -> Iterator[Problem]:
    for index, name in enumerate(dataset.record_key):
        yield from _dangling_field(entry, name, "record_key", index)
    for name, reference in dataset.references.items():
        yield from _dangling_field(entry, reference.field, "references", name, "field")
    for key, types in (
        ("birth_field", {FieldType.DATE}),
        ("sex_field", {FieldType.CODE}),
        ("collected_at_field", _DATED),
    ):
        name = getattr(dataset, key)
        if name is not None:
            yield from _dangling_field(entry, name, key)
            yield from _check_type(entry, name, key, types)


def _dangling_field(dataset: Entry, name: str, *below: str | int) -> Iterator[Problem]:
    """Yield a problem when the dataset has no field called ``name``."""
    if name not in dataset.parts:
        yield dataset.problem(
            "policy_dangling_reference", f"{dataset.name} has no field {name}", *below
        )


def _check_type(
    entry: Entry, name: str, key: str, types: frozenset[FieldType] | set[FieldType]
) -> Iterator[Problem]:
    shape = entry.parts[name].shape if name in entry.parts else None
    if isinstance(shape, FieldShape) and shape.type not in types:
        wanted = " or ".join(sorted(types))
        yield entry.problem("policy_illegal_value", f"{name} is no {wanted} field", key)


def _check_numbers(entry: Entry) -> Iterator[Problem]:
    shape = entry.shape
    retired = shape.retired_numbers if isinstance(shape, DatasetShape) else []
    seen = dict.fromkeys(retired, "a retired field")
    for field_entry, field in sound(entry.parts, FieldShape):
        if field.number in seen:
            message = f"number {field.number} belongs to {seen[field.number]}; it is never reused"
            yield field_entry.problem("policy_number_reused", message, "number")
        seen.setdefault(field.number, field_entry.name)


def _check_aliases(entry: Entry) -> Iterator[Problem]:
    seen = {column_key(name): name for name in entry.parts}
    for field_entry, field in sound(entry.parts, FieldShape):
        for index, alias in enumerate(field.aliases):
            owner = seen.setdefault(column_key(alias), field_entry.name)
            if owner != field_entry.name:
                message = f"the column name {alias} means {owner} already"
                yield field_entry.problem("policy_alias_collision", message, "aliases", index)


def _check_values(entry: Entry, field: FieldShape) -> Iterator[Problem]:
    if field.type is FieldType.CODE and not field.values:
        yield entry.problem("policy_missing_key", "a code field lists its values")
    if field.type is not FieldType.CODE and field.values:
        yield entry.problem("policy_illegal_value", "only a code field lists values", "values")
    for raw, value in field.synonyms.items():
        if value not in field.values:
            message = f"the synonym means {value}, which is not among the values"
            yield entry.problem("policy_dangling_reference", message, "synonyms", raw)


def _check_range(entry: Entry, field: FieldShape) -> Iterator[Problem]:
    for key in ("minimum", "maximum"):
        if getattr(field, key) is not None and field.type not in _MEASURED:
            yield entry.problem("policy_illegal_value", f"only a number has a {key}", key)
    if field.earliest is not None and field.type not in _DATED:
        yield entry.problem("policy_illegal_value", "only a date has an earliest day", "earliest")
    if field.minimum is not None and field.maximum is not None and field.minimum > field.maximum:
        yield entry.problem("policy_illegal_value", "the minimum is above the maximum", "minimum")
    if field.free_text and field.type is not FieldType.TEXT:
        yield entry.problem("policy_illegal_value", "only text is free text", "free_text")


def _check_level(entry: Entry, field: FieldShape) -> Iterator[Problem]:
    # PIPL art. 28 with measure H2.4a: sensitive information is kept apart from the rest.
    if field.sensitive_kind is not None and field.level is Level.GENERAL:
        message = f"{field.sensitive_kind} information is at least of level sensitive"
        yield entry.problem("policy_level_too_low", message, "level")


def _check_mask(entry: Entry, field: FieldShape) -> Iterator[Problem]:
    # Masked use asks for no approval (measures 2.4b), so a mask that hides nothing would be a way
    # around the two people a clear use of these levels needs.
    if field.mask == "none" and field.level is not Level.GENERAL:
        message = f"a field of level {field.level} is never shown without a mask"
        yield entry.problem("policy_illegal_value", message, "mask")


def _check_search(entry: Entry, field: FieldShape) -> Iterator[Problem]:
    # An index of few values tells whose is whose by counting, however coarse its tags (T11).
    if field.search and (field.type is not FieldType.TEXT or field.free_text):
        message = "only a text of one value is searched; others take too few values, or too many"
        yield entry.problem("policy_illegal_value", message, "search")
    if LAST_FOUR in field.search and field.detector not in _NUMBERS:
        message = (
            f"the last four are searched of numbers: a detector of {', '.join(sorted(_NUMBERS))}"
        )
        yield entry.problem("policy_illegal_value", message, "search")


def _check_references(drafts: Drafts) -> Iterator[Problem]:
    # One name is one reference: its tags are compared across datasets.
    first: dict[str, tuple[str, bool, bool]] = {}
    for entry, dataset in drafts.sound("datasets", DatasetShape):
        for name, reference in dataset.references.items():
            kind = (entry.name, reference.namespaced, reference.single)
            other = first.setdefault(name, kind)
            if kind[1:] != other[1:]:
                message = f"the reference {name} is declared otherwise in {other[0]}"
                yield entry.problem("policy_illegal_value", message, "references", name)
