"""The records of synthetic people as the legacy system writes them: text by field name."""

import random
from collections.abc import Iterator, Mapping
from datetime import date, datetime, time, timedelta
from typing import Final

from custody.demo.people import Person, World, bank_card

Row = dict[str, str]

# The headers, by field, in the order of the columns. Profiles come from a younger system that
# speaks English.
CUSTOMER_COLUMNS: Final[Mapping[str, str]] = {
    "customer_no": "客户号",
    "name": "姓名",
    "sex": "性别",
    "birth_on": "出生日期",
    "resident_id": "身份证号",
    "mobile": "手机号",
    "email": "邮箱",
    "address": "地址",
    "bank_card": "银行卡号",
    "health_note": "健康告知",
    "social_account": "社交账号",
    "phone": "电话",
    "collected_at": "采集时间",
    "registered_on": "登记日期",
}
TRANSACTION_COLUMNS: Final[Mapping[str, str]] = {
    "transaction_no": "交易号",
    "customer_no": "客户号",
    "occurred_on": "交易日期",
    "product": "产品",
    "amount": "金额",
    "currency": "币种",
    "payment_account": "支付账户",
    "billing_address": "账单地址",
}
ENQUIRY_COLUMNS: Final[Mapping[str, str]] = {
    "enquiry_no": "咨询编号",
    "customer_no": "客户号",
    "asked_at": "咨询时间",
    "channel": "渠道",
    "body": "内容",
}
PROFILE_COLUMNS: Final[Mapping[str, str]] = {
    name: name for name in ("customer_no", "scored_on", "spending_power", "risk_level", "score")
}

YEARS_OF_TRANSACTIONS: Final = 8

_SEXES = {"M": "男", "F": "女"}
_PRODUCTS = ("重疾险", "医疗险", "定期寿险", "年金保险", "车险", "家财险", "意外险")
_CURRENCIES = ("CNY",) * 17 + ("USD", "HKD", "EUR")
_CHANNELS = ("phone", "web", "branch", "app")
_POWERS = ("low", "medium", "high")
_BODIES = (
    "请问保单什么时候生效？",
    "我想把缴费方式改为年缴。",
    "理赔材料已经寄出，请查收。",
    "咨询医疗险的等待期是多久。",
    "搬家了，想更新通讯地址，需要带什么证件？",
    "家里老人想投保，年龄有没有限制？",
)
_WITH_ID = "本人身份证{}，麻烦查一下保单状态。"
_WITH_CARD = "续期保费请从卡{}扣款，谢谢。"
_ID_LENGTH = 18
_FULL_WIDTH = {ord("0") + digit: ord("\N{FULLWIDTH DIGIT ZERO}") + digit for digit in range(10)}


def customer_row(person: Person, number: str) -> Row:
    """Return the person's record under customer number ``number``."""
    return {
        "customer_no": number,
        "name": person.name,
        "sex": _SEXES[person.sex],
        "birth_on": person.birth_on.isoformat(),
        "resident_id": person.resident_id,
        "mobile": person.mobile,
        "email": person.email,
        "address": person.address,
        "bank_card": person.bank_card,
        "health_note": person.health_note,
        "social_account": person.social_account,
        "phone": person.phone,
        "collected_at": person.collected_at.isoformat(),
        "registered_on": person.registered_on.isoformat(),
    }


def untidy(row: Row) -> Row:
    """Return the customer's record as a careless clerk typed it: odd to look at, but right."""
    mobile, birth_on = row["mobile"], date.fromisoformat(row["birth_on"])
    return row | {
        "resident_id": f" {row['resident_id'].translate(_FULL_WIDTH).lower()}",
        "mobile": f"+86 {mobile[:3]}-{mobile[3:7]}-{mobile[7:]}",
        "birth_on": f"{birth_on.year}年{birth_on.month}月{birth_on.day}日",
        "registered_on": row["registered_on"].replace("-", "/"),
    }


def transaction_rows(world: World, person: Person) -> Iterator[Row]:
    """Yield the person's one to three transactions of the last eight years."""
    chance = world.draw("transactions", person.index)
    earliest = world.today - timedelta(days=365 * YEARS_OF_TRANSACTIONS)
    for turn in range(chance.randint(1, 3)):
        yield {
            "transaction_no": f"T{person.index + 1:07d}{turn + 1:02d}",
            "customer_no": person.customer_no,
            "occurred_on": _day(chance, earliest, world.today - timedelta(days=1)).isoformat(),
            "product": chance.choice(_PRODUCTS),
            "amount": f"{chance.randint(5_000, 2_000_000) / 100:.2f}",
            "currency": chance.choice(_CURRENCIES),
            "payment_account": person.bank_card,
            "billing_address": person.address,
        }


def enquiry_row(world: World, person: Person) -> tuple[Row, bool]:
    """Return one enquiry after the person's record was made, and whether it names a number.

    One enquiry in twelve holds an ID or card number in its text, although free text is declared
    general.
    """
    chance = world.draw("enquiry", person.index)
    body, telling = _body(chance, person)
    last = datetime.combine(world.today - timedelta(days=3), time(18), world.zone)
    room = int((last - person.collected_at).total_seconds())
    asked_at = person.collected_at + timedelta(seconds=chance.randrange(3600, room))
    row = {
        "enquiry_no": f"Q{person.index + 1:07d}",
        "customer_no": person.customer_no,
        "asked_at": asked_at.isoformat(),
        "channel": chance.choice(_CHANNELS),
        "body": body,
    }
    return row, telling


def profile_row(world: World, person: Person) -> Row:
    """Return the person's profile, scored on a day after the record was made."""
    chance = world.draw("profile", person.index)
    first = person.collected_at.date() + timedelta(days=1)
    return {
        "customer_no": person.customer_no,
        "scored_on": _day(chance, first, world.today - timedelta(days=3)).isoformat(),
        "spending_power": chance.choice(_POWERS),
        "risk_level": f"R{chance.randint(1, 5)}",
        "score": str(chance.randint(0, 1000)),
    }


def _body(chance: random.Random, person: Person) -> tuple[str, bool]:
    draw = chance.randrange(24)
    if draw == 0 and len(person.resident_id) == _ID_LENGTH:
        return _WITH_ID.format(person.resident_id), True
    if draw == 1:
        return _WITH_CARD.format(bank_card(chance)), True
    return chance.choice(_BODIES), False


def _day(chance: random.Random, first: date, last: date) -> date:
    return first + timedelta(days=chance.randrange((last - first).days + 1))
