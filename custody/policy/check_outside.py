"""What sources, recipients and roles must agree on with the rest of the policy."""

import re
from collections.abc import Iterator
from typing import Final

from custody.policy.check_purposes import field_map_dangling
from custody.policy.drafts import Drafts, Entry, sound
from custody.policy.model import CONSENT_FIELDS, CONSENTS, column_key
from custody.policy.problems import Problem
from custody.policy.shapes import (
    DatasetShape,
    FieldShape,
    RecipientShape,
    ScopeShape,
    SourceShape,
)

_DANGLING: Final = "policy_dangling_reference"
_ILLEGAL: Final = "policy_illegal_value"
_BECH32: Final = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_AGE_KEY: Final = re.compile(rf"age1([{_BECH32}]{{58}})\Z")
_GENERATOR: Final = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_ONLY_FOR: Final = {
    "encoding": {"csv"},
    "sheet": {"xlsx"},
    "table": {"sql"},
    "query": {"sql"},
}


def check_sources(drafts: Drafts) -> Iterator[Problem]:
    """Yield what is wrong with the sources."""
    for entry, source in drafts.sound("sources", SourceShape):
        yield from _check_kind(entry, source)
        if source.dataset == CONSENTS:
            yield from _check_consents(drafts, entry, source)
        elif source.dataset not in drafts.section("datasets"):
            yield entry.problem(_DANGLING, f"no dataset is called {source.dataset}", "dataset")
        else:
            yield from _check_purpose(drafts, entry, source)
            yield from _check_columns(drafts, entry, source)


def _check_kind(entry: Entry, source: SourceShape) -> Iterator[Problem]:
    for key, kinds in _ONLY_FOR.items():
        if getattr(source, key) is not None and source.kind not in kinds:
            yield entry.problem(_ILLEGAL, f"a source of kind {source.kind} has no {key}", key)
    if source.kind != "sql":
        return
    if source.location is None:
        yield entry.problem("policy_missing_key", "a source of kind sql has a location")
    if (source.table is None) == (source.query is None):
        yield entry.problem("policy_missing_key", "a source of kind sql has a table or a query")


def _check_consents(drafts: Drafts, entry: Entry, source: SourceShape) -> Iterator[Problem]:
    if source.purpose is not None:
        message = "a source of consents has no purpose; each row names its own"
        yield entry.problem(_ILLEGAL, message, "purpose")
    references = {
        name for _, dataset in drafts.sound("datasets", DatasetShape) for name in dataset.references
    }
    for column, name in source.columns.items():
        if name not in CONSENT_FIELDS | references:
            message = f"a consent has neither field nor subject reference {name}"
            yield entry.problem(_DANGLING, message, "columns", column)


def _check_purpose(drafts: Drafts, entry: Entry, source: SourceShape) -> Iterator[Problem]:
    if source.purpose is None:
        yield entry.problem("policy_missing_key", "a source of records has a purpose")
        return
    purpose = drafts.section("purposes").get(source.purpose)
    if purpose is None:
        yield entry.problem(_DANGLING, f"no purpose is called {source.purpose}", "purpose")
    elif source.dataset not in purpose.parts:
        message = f"the purpose {source.purpose} needs nothing of {source.dataset}"
        yield entry.problem(_DANGLING, message, "purpose")


def _check_columns(drafts: Drafts, entry: Entry, source: SourceShape) -> Iterator[Problem]:
    dataset = drafts.section("datasets")[source.dataset]
    owners = {
        column_key(alias): field_entry.name
        for field_entry, field in sound(dataset.parts, FieldShape)
        for alias in (field_entry.name, *field.aliases)
    }
    for column, name in source.columns.items():
        if name not in dataset.parts:
            message = f"{source.dataset} has no field {name}"
            yield entry.problem(_DANGLING, message, "columns", column)
        elif owners.get(column_key(column), name) != name:
            message = f"the column {column} means {owners[column_key(column)]} by its alias"
            yield entry.problem("policy_alias_collision", message, "columns", column)


def check_recipients(drafts: Drafts) -> Iterator[Problem]:
    """Yield what is wrong with the recipients."""
    for entry, recipient in drafts.sound("recipients", RecipientShape):
        contract = recipient.contract
        if not _is_age_key(recipient.key):
            message = "not an age public key (age1…), or one with a slip of the pen"
            yield entry.problem(_ILLEGAL, message, "key")
        if contract.valid_to < contract.valid_from:
            message = "the contract ends before it begins"
            yield entry.problem(_ILLEGAL, message, "contract", "valid_to")
        for index, name in enumerate(contract.purposes):
            if name not in drafts.section("purposes"):
                message = f"no purpose is called {name}"
                yield entry.problem(_DANGLING, message, "contract", "purposes", index)
        yield from field_map_dangling(drafts, entry, recipient.fields)
        yield from _check_necessary(drafts, entry, recipient)


def _check_necessary(drafts: Drafts, entry: Entry, recipient: RecipientShape) -> Iterator[Problem]:
    # Measure H1.3b holds outside the house as well: no field that no contracted purpose needs.
    needed: dict[str, set[str]] = {}
    for name in recipient.contract.purposes:
        purpose = drafts.section("purposes").get(name)
        if purpose is None or any(part.shape is None for part in purpose.parts.values()):
            return
        for scope_entry, scope in sound(purpose.parts, ScopeShape):
            needed.setdefault(scope_entry.name, set()).update(scope.required, scope.optional)
    for dataset, names in recipient.fields.items():
        known = drafts.section("datasets").get(dataset)
        for index, name in enumerate(names):
            if known and name in known.parts and name not in needed.get(dataset, set()):
                message = f"no purpose of the contract needs {dataset}.{name}"
                yield entry.problem("fields_not_necessary", message, "fields", dataset, index)


def _is_age_key(text: str) -> bool:
    """Whether it is a bech32 string with the prefix ``age`` and a right checksum (BIP 173)."""
    match = _AGE_KEY.match(text)
    if match is None:
        return False
    # The prefix, expanded: the high bits of "age", a zero, the low bits.
    values = [3, 3, 3, 0, 1, 7, 5, *(_BECH32.index(letter) for letter in match[1])]
    checksum = 1
    for value in values:
        top = checksum >> 25
        checksum = (checksum & 0x1FFFFFF) << 5 ^ value
        for bit, term in enumerate(_GENERATOR):
            checksum ^= term if top >> bit & 1 else 0
    return checksum == 1
