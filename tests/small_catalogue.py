"""Tiny catalogue values for tests of what reads, checks and classifies rows."""

from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

from custody.policy.model import (
    Category,
    Dataset,
    Field,
    FieldType,
    Level,
    SubjectReference,
)

SHANGHAI = ZoneInfo("Asia/Shanghai")


def field(name: str, number: int = 1, **changes: Any) -> Field:
    """Return a plain text field, with what the test is about changed."""
    plain = Field(
        name=name,
        number=number,
        title={"zh": name, "en": name},
        type=FieldType.TEXT,
        category=Category.BASIC_IDENTITY,
        level=Level.GENERAL,
        jrt_class="C1",
    )
    return replace(plain, **changes)


def customers() -> Dataset:
    """Return a dataset of customers with one field of every kind the checks know."""
    return Dataset(
        name="customers",
        title={"zh": "客户", "en": "Customers"},
        creates_customer=True,
        record_key=("customer_no",),
        references=(
            SubjectReference(name="resident_id", field="resident_id", single=True),
            SubjectReference(name="customer_no", field="customer_no", namespaced=True, single=True),
        ),
        fields=(
            field("customer_no", 1, aliases=("客户号",)),
            field("name", 2, aliases=("姓名",), max_length=20),
            field(
                "sex",
                3,
                type=FieldType.CODE,
                values=("M", "F"),
                synonyms={"男": "M", "女": "F"},
                aliases=("性别",),
            ),
            field("birth_on", 4, type=FieldType.DATE, aliases=("出生日期",)),
            field(
                "resident_id",
                5,
                detector="resident_id",
                level=Level.SENSITIVE,
                aliases=("身份证号",),
            ),
            field("mobile", 6, detector="mobile", aliases=("手机号",)),
            field("email", 7, detector="email", aliases=("邮箱",)),
            field("address", 8, aliases=("地址",)),
            field(
                "bank_card", 9, detector="bank_card", level=Level.SENSITIVE, aliases=("银行卡号",)
            ),
            field("health_note", 10, level=Level.SECRET, free_text=True, aliases=("健康告知",)),
            field("social_account", 11, aliases=("社交账号",)),
            field("phone", 12, detector="phone", aliases=("电话",), severity="warning"),
            field("collected_at", 13, type=FieldType.INSTANT, aliases=("采集时间",)),
            field("registered_on", 14, type=FieldType.DATE, aliases=("登记日期",)),
        ),
        birth_field="birth_on",
        sex_field="sex",
        collected_at_field="collected_at",
    )
