"""How each kind of defect is made: one small change of a row or of the consents behind it.

The names are those of ``defects.toml``. What custody must answer stands there, not here.
"""

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from custody.demo.agreements import NOTICES, OLD_NOTICE, PARTNER, outdated
from custody.demo.people import check_character
from custody.demo.rows import Row

CONTRADICTING: Final = frozenset({"customer_twice", "transaction_twice", "profile_twice"})
"""The kinds of two rows: a sound one, and one with the same record key and other content."""

AFTER_THE_SOUND_ROW: Final = frozenset({"second_customer_number", "two_people_in_one_row"})
"""The kinds that need the person's sound row earlier in the same source."""

EXTRA_CELL: Final = ""
"""The field name of a cell beyond the last column."""

NUMERIC_CELL: Final = "resident_id_numeric_cell"
"""The kind that the workbook's writer makes, because no text can show it."""

_CYRILLIC_HA = "\N{CYRILLIC CAPITAL LETTER HA}"
_BELL = "\a"


@dataclass(frozen=True, kw_only=True, slots=True)
class Moment:
    """When the row was collected that the consents must have come before, and the demo's day."""

    collected_at: datetime
    today: date


RowChange = Callable[[Row, random.Random], None]
ConsentChange = Callable[[list[Row], Row, Moment], None]


def strangers_number(number: str) -> str:
    """Return the customer number of the second person in ``two_people_in_one_row``."""
    return f"D{number[1:]}"


def spoil_row(row: Row, kinds: Iterable[str], chance: random.Random) -> Row:
    """Return ``row`` with every kind that changes rows."""
    spoilt = dict(row)
    for kind in kinds:
        if kind in _ROW_CHANGES:
            _ROW_CHANGES[kind](spoilt, chance)
    return spoilt


def spoil_consents(
    rows: list[Row], purpose: str, kinds: Iterable[str], moment: Moment
) -> list[Row]:
    """Return the consents with every kind that changes those to ``purpose``."""
    spoilt = [dict(row) for row in rows]
    target = _of_kind(spoilt, purpose, "purpose")
    for kind in kinds:
        if kind in _CONSENT_CHANGES:
            _CONSENT_CHANGES[kind](spoilt, target, moment)
    return spoilt


def _of_kind(rows: list[Row], purpose: str, kind: str) -> Row:
    return next(row for row in rows if (row["purpose"], row["kind"]) == (purpose, kind))


def _put(field: str, *values: str) -> RowChange:
    def change(row: Row, chance: random.Random) -> None:
        row[field] = chance.choice(values)

    return change


def _wrong_last_digit(field: str, sample: str = "") -> RowChange:
    def change(row: Row, _: random.Random) -> None:
        number = row[field] or sample
        row[field] = number[:-1] + ("1" if number[-1] in "0X" else str(int(number[-1]) - 1))

    return change


def _impossible_day(row: Row, chance: random.Random) -> None:
    body = row["resident_id"][:6] + chance.choice(("19900231", "19851301", "19790400")) + "123"
    row["resident_id"] = body + check_character(body)


def _letters_in_number(row: Row, chance: random.Random) -> None:
    number = row["resident_id"]
    row["resident_id"] = chance.choice((number[:-1], f"{number}7", f"{number[:8]}AB{number[10:]}"))


def _look_alike(row: Row, _: random.Random) -> None:
    row["resident_id"] = row["resident_id"][:-1] + _CYRILLIC_HA


def _shift_day(field: str, days: int) -> RowChange:
    def change(row: Row, _: random.Random) -> None:
        row[field] = (date.fromisoformat(row[field]) + timedelta(days=days)).isoformat()

    return change


def _other_sex(row: Row, _: random.Random) -> None:
    row["sex"] = "女" if row["sex"] == "男" else "男"


def _bell(field: str) -> RowChange:
    def change(row: Row, _: random.Random) -> None:
        row[field] = row[field][:1] + _BELL + row[field][1:]

    return change


def _other_power(row: Row, _: random.Random) -> None:
    row["spending_power"] = "low" if row["spending_power"] != "low" else "high"


def _strangers_number(row: Row, _: random.Random) -> None:
    row["customer_no"] = strangers_number(row["customer_no"])


def _second_number(row: Row, _: random.Random) -> None:
    row["customer_no"] = f"F{row['customer_no'][1:]}"


_CARD = "6222021234567890128"
_ROW_CHANGES: Mapping[str, RowChange] = {
    "customer_no_missing": _put("customer_no", ""),
    "name_missing": _put("name", "", "   "),
    "collected_at_missing": _put("collected_at", ""),
    "sex_not_listed": _put("sex", "X", "不详"),
    "branch_resident_id_check_digit": _wrong_last_digit("resident_id"),
    "resident_id_check_digit": _wrong_last_digit("resident_id"),
    "resident_id_date": _impossible_day,
    "resident_id_malformed": _letters_in_number,
    "resident_id_confusable": _look_alike,
    "birth_on_differs": _shift_day("birth_on", 1),
    "sex_differs": _other_sex,
    "mobile_malformed": _put("mobile", "1380013800", "23800138000", "138-0013-800X"),
    "email_malformed": _put("email", "user.example.com", "user@@example.com", "user@"),
    "bank_card_check_digit": _wrong_last_digit("bank_card", _CARD),
    "registered_in_future": _put("registered_on", "2999-01-01"),
    "registered_unreadable": _put("registered_on", "去年春天", "不详"),
    "address_too_long": _put("address", "幸福路" * 400),
    "name_control_character": _bell("name"),
    "second_customer_number": _second_number,
    "two_people_in_one_row": _strangers_number,
    "customer_twice": _shift_day("registered_on", -1),
    "ragged_row": _put(EXTRA_CELL, "多出的一格"),
    "transaction_no_missing": _put("transaction_no", ""),
    "amount_out_of_range": _put("amount", "0.00", "-88.00", "999999999999.00"),
    "amount_unreadable": _put("amount", "一百元", "12.5.0"),
    "currency_not_listed": _put("currency", "XBT", "???"),
    "occurred_in_future": _put("occurred_on", "2999-12-31"),
    "payment_account_check_digit": _wrong_last_digit("payment_account", _CARD),
    "product_control_character": _bell("product"),
    "transaction_twice": _put("billing_address", "北京市东城区另一条路1号"),
    "customer_unknown": _put("customer_no", "C9999001", "C9999002", "C9999003"),
    "body_missing": _put("body", ""),
    "channel_not_listed": _put("channel", "fax", "飞鸽"),
    "asked_at_unreadable": _put("asked_at", "上周二下午", "昨天"),
    "score_out_of_range": _put("score", "1001", "-1", "99999"),
    "score_unreadable": _put("score", "很高", "12.5"),
    "risk_level_not_listed": _put("risk_level", "R9", "高"),
    "profile_twice": _other_power,
}


def _set(field: str, value: str) -> ConsentChange:
    def change(_: list[Row], target: Row, __: Moment) -> None:
        target[field] = value

    return change


def _drop(kind: str) -> ConsentChange:
    def change(rows: list[Row], target: Row, _: Moment) -> None:
        rows.remove(_of_kind(rows, target["purpose"], kind))

    return change


def _give_late(_: list[Row], target: Row, moment: Moment) -> None:
    target["given_at"] = (moment.collected_at + timedelta(days=1)).isoformat()


def _withdraw(_: list[Row], target: Row, moment: Moment) -> None:
    yesterday = datetime.combine(moment.today, datetime.min.time(), moment.collected_at.tzinfo)
    target["withdrawn_at"] = (yesterday - timedelta(hours=6)).isoformat()


def _show_late(_: list[Row], target: Row, __: Moment) -> None:
    given_at = datetime.fromisoformat(target["given_at"])
    target["notice_shown_at"] = (given_at + timedelta(minutes=5)).isoformat()


def _bundle(rows: list[Row], target: Row, _: Moment) -> None:
    rows.append(target | {"purpose": PARTNER, "notice_version": NOTICES[PARTNER]})


def _renew_and_withdraw(rows: list[Row], target: Row, moment: Moment) -> None:
    rows.append(outdated(target))
    _withdraw(rows, target, moment)


_CONSENT_CHANGES: Mapping[str, ConsentChange] = {
    "consent_missing": _drop("purpose"),
    "consent_after_collection": _give_late,
    "consent_withdrawn": _withdraw,
    "consent_pre_ticked": _set("control_initial", "checked"),
    "control_state_unknown": _set("control_initial", ""),
    "signed_text_unknown": _set("signed_text_digest", ""),
    "control_unknown": _set("control_id", ""),
    "consent_bundled": _bundle,
    "consent_by_silence": _set("act", "silence"),
    "notice_not_shown": _set("notice_shown_at", ""),
    "notice_late": _show_late,
    "notice_unknown": _set("notice_version", "1999-01"),
    "notice_too_narrow": _set("notice_version", OLD_NOTICE),
    "consent_renewed_and_withdrawn": _renew_and_withdraw,
    "separate_consent_missing": _drop("sensitive"),
    "guardian_missing": _drop("guardian"),
}
