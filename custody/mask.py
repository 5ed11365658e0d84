"""How a value is shown to somebody who may not see it in clear.

============  =====================================================
name          王小明 → 王*
resident_id   11010519491231002X → 1101**********002X
mobile, phone 13812345678 → 138****5678
bank_card     6222021234567890128 → 6222***********0128
email         wang@example.com → w***@example.com
address       江西省九江市濂溪区十里大道1号 → 江西省九江市濂溪区****
hidden        ``****``, whatever the value
============  =====================================================

A value that has not the shape its mask expects is hidden whole: a mask must not depend on the value
having been checked before.
"""

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Final

from custody.errors import UsageError

Maskable = str | int | Decimal | date | datetime | None

HIDDEN: Final = "****"
_RESIDENT_ID: Final = re.compile(r"[0-9]{17}[0-9X]\Z")
_MOBILE: Final = re.compile(r"1[0-9]{10}\Z")
_BANK_CARD: Final = re.compile(r"[0-9]{13,19}\Z")
_EMAIL: Final = re.compile(r"([^@\s])[^@\s]*@([^@\s]+)\Z")
_PHONE_DIGITS_AT_LEAST: Final = 8
_PLACE: Final = "[^镇乡街路村号里弄巷区县旗\u0000-\u02ff]"  # hanzi, but not where a street begins
_DISTRICT: Final = re.compile(
    f"(?:{_PLACE}{{2,8}}?(?:省|自治区|特别行政区))?"
    f"(?:{_PLACE}{{2,8}}?(?:(?<![超城菜])市|自治州|地区|盟))?"
    f"(?:{_PLACE}{{1,6}}?(?:(?<![小社园])区|县|旗))?"
)


def mask_value(mask: str, value: Maskable) -> str | None:
    """Return ``value`` as ``mask`` shows it; None stays None.

    Raises:
        UsageError: There is no such mask.
    """
    if mask not in _MASKS:
        raise UsageError("no such mask", mask)
    return None if value is None else _MASKS[mask](str(value))


def _name(text: str) -> str:
    return f"{text[0]}*" if len(text) > 1 else "*"


def _middle(text: str, first: int, last: int) -> str:
    return text[:first] + "*" * (len(text) - first - last) + text[-last:]


def _resident_id(text: str) -> str:
    return _middle(text, 4, 4) if _RESIDENT_ID.match(text) else HIDDEN


def _mobile(text: str) -> str:
    return _middle(text, 3, 4) if _MOBILE.match(text) else HIDDEN


def _phone(text: str) -> str:
    if _MOBILE.match(text):
        return _mobile(text)
    return HIDDEN + text[-2:] if len(text) >= _PHONE_DIGITS_AT_LEAST else HIDDEN


def _bank_card(text: str) -> str:
    return _middle(text, 4, 4) if _BANK_CARD.match(text) else HIDDEN


def _email(text: str) -> str:
    found = _EMAIL.match(text)
    return f"{found[1]}***@{found[2]}" if found else HIDDEN


def _address(text: str) -> str:
    found = _DISTRICT.match(text)
    return (found[0] if found else "") + HIDDEN


def _hidden(_: str) -> str:
    return HIDDEN


_MASKS: Final[Mapping[str, Callable[[str], str]]] = {
    "none": str,
    "name": _name,
    "resident_id": _resident_id,
    "mobile": _mobile,
    "phone": _phone,
    "bank_card": _bank_card,
    "email": _email,
    "address": _address,
    "hidden": _hidden,
}
