"""The dataset a source of consents has: fixed, because consent is custody's own and not a firm's.

A row states facts about one consent, and whether it carries anything is computed from them
(:mod:`custody.consent`); there is no column for the verdict.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from custody.policy.model import (
    CONSENTS,
    Category,
    Dataset,
    Field,
    FieldType,
    Level,
    Policy,
    SubjectReference,
)

REQUIRED_COLUMNS: Final = frozenset({"purpose", "kind", "given_at"})
_FIRST_REFERENCE_NUMBER: Final = 101
_KINDS: Final = ("purpose", "sensitive", "recipient", "guardian")
_CONTROL_STATES: Final = ("unchecked", "checked")
_ACTS: Final = ("tick", "signature", "confirmation", "silence")


def consents_dataset(policy: Policy) -> Dataset:
    """Return the dataset of consents; its subject is named by any reference of the catalogue."""
    named = dict(_references(policy))
    return Dataset(
        name=CONSENTS,
        title={"zh": "同意记录", "en": "Consents"},
        creates_customer=True,
        record_key=(),
        references=tuple(replace(one, field=one.name) for one, _ in named.values()),
        fields=(
            *_consent_fields(),
            *_evidence_fields(),
            *(
                replace(field, name=name, number=number, aliases=(*field.aliases, field.name))
                for number, (name, (_, field)) in enumerate(
                    named.items(), start=_FIRST_REFERENCE_NUMBER
                )
            ),
        ),
    )


def _references(policy: Policy) -> Iterator[tuple[str, tuple[SubjectReference, Field]]]:
    """Yield each reference by name, the dataset that creates customers having the last word."""
    for dataset in sorted(policy.datasets.values(), key=lambda one: one.creates_customer):
        for reference in dataset.references:
            yield reference.name, (reference, dataset.field(reference.field))


def _consent_fields() -> tuple[Field, ...]:
    return (
        _field(1, "purpose", "目的", "处理目的"),
        _code(
            2,
            "kind",
            "同意类型",
            "种类",
            values=_KINDS,
            synonyms={"目的": "purpose", "敏感": "sensitive", "接收方": "recipient"}
            | {"监护人": "guardian"},
        ),
        _field(3, "recipient", "接收方"),
        _field(4, "given_at", "同意时间", type_=FieldType.INSTANT),
        _field(5, "withdrawn_at", "撤回时间", type_=FieldType.INSTANT),
    )


def _evidence_fields() -> tuple[Field, ...]:
    return (
        _field(6, "notice_version", "告知版本"),
        _field(7, "notice_shown_at", "告知时间", type_=FieldType.INSTANT),
        _field(8, "control_id", "控件编号"),
        _code(
            9,
            "control_initial",
            "控件初始状态",
            values=_CONTROL_STATES,
            synonyms={"未勾选": "unchecked", "已勾选": "checked", "默认勾选": "checked"},
        ),
        _field(10, "signed_text_digest", "签署文本摘要"),
        _code(
            11,
            "act",
            "同意方式",
            "动作",
            values=_ACTS,
            synonyms={"勾选": "tick", "签名": "signature", "确认": "confirmation"}
            | {"默认": "silence"},
        ),
        _field(12, "guardian_name", "监护人姓名", "监护人", level=Level.SENSITIVE, mask="name"),
        _field(13, "evidence_ref", "凭证编号", "证据编号"),
    )


def _field(
    number: int,
    name: str,
    title: str,
    *aliases: str,
    type_: FieldType = FieldType.TEXT,
    level: Level = Level.GENERAL,
    mask: str = "hidden",
) -> Field:
    return Field(
        name=name,
        number=number,
        title={"zh": title, "en": name.replace("_", " ")},
        type=type_,
        category=Category.BASIC_IDENTITY,
        level=level,
        jrt_class="C2" if level is Level.SENSITIVE else "C1",
        mask=mask,
        aliases=(title, name.replace("_", " "), *aliases),
    )


def _code(
    number: int,
    name: str,
    title: str,
    *aliases: str,
    values: tuple[str, ...],
    synonyms: dict[str, str],
) -> Field:
    return Field(
        name=name,
        number=number,
        title={"zh": title, "en": name.replace("_", " ")},
        type=FieldType.CODE,
        category=Category.BASIC_IDENTITY,
        level=Level.GENERAL,
        jrt_class="C1",
        values=values,
        synonyms=synonyms,
        aliases=(title, name.replace("_", " "), *aliases),
    )
