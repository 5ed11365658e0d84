"""One reader per detector: the folded text of an identifier, and the first thing wrong with it.

Each takes the raw text and returns ``(text, code)``; the code is None for a sound identifier, and
the text is None where folding leaves nothing.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias, TypeVar

from custody import resident_id
from custody.folding import fold, has_confusable

_T = TypeVar("_T")
Reading: TypeAlias = tuple[_T, str | None]

MOBILE_PATTERN: Final = "^1[3-9][0-9]{9}$"
PHONE_PATTERN: Final = r"^\+?[0-9]{3,20}(?:x[0-9]{1,6})?$"
# Latin letters with marks, as European and Vietnamese names have them (RFC 6531 allows them).
LATIN_BEYOND_ASCII: Final = "\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u1e00-\u1eff"
_LETTERS: Final = f"A-Za-z{LATIN_BEYOND_ASCII}"
_LABEL: Final = f"[{_LETTERS}0-9-]{{1,63}}"
EMAIL_PATTERN: Final = (
    rf"^[{_LETTERS}0-9._%+'&/=~-]{{1,64}}@(?:{_LABEL}\.){{1,8}}[{_LETTERS}]{{2,63}}$"
)
BANK_CARD_PATTERN: Final = "^[0-9]{13,19}$"
USCC_PATTERN: Final = "^[0-9A-HJ-NPQRTUWXY]{18}$"
PASSPORT_PATTERN: Final = "^[A-Z0-9]{5,15}$"

# From a digit, as ASCII writes it, to the sum of the digits of its double.
_DOUBLED: Final = bytes.maketrans(b"0123456789", bytes((0, 2, 4, 6, 8, 1, 3, 5, 7, 9)))
_BEYOND_ASCII: Final = re.compile(f"[{LATIN_BEYOND_ASCII}]")
_SEPARATORS: Final = re.compile("[-\u2010-\u2015\u2212]")
_PHONE_SEPARATORS: Final = re.compile("[-\u2010-\u2015\u2212()./]")
_EXTENSION: Final = re.compile(r"(?:转|ext\.?|#)(?=[0-9]{1,6}$)", re.IGNORECASE)
_COUNTRY_CODE: Final = re.compile(r"(?:\+|00)?86(?=1[0-9]{10}$)")


def luhn_holds(digits: str) -> bool:
    """Return whether ``digits`` carries a sound Luhn check digit (ISO/IEC 7812-1, annex B)."""
    written = digits.encode("ascii")
    single, doubled = written[-1::-2], written[-2::-2].translate(_DOUBLED)
    return (sum(single) - ord("0") * len(single) + sum(doubled)) % 10 == 0


def read_resident_id(raw: str) -> Reading[str | None]:
    """Read a resident ID; the old form of fifteen digits becomes eighteen characters."""
    text = fold(raw).upper()
    if not text or has_confusable(text):
        return _unread(text)
    if resident_id.is_old_form(text):
        text = resident_id.to_new_form(text)
    return text, resident_id.problem_of(text)


def read_mobile(raw: str) -> Reading[str | None]:
    """Read a mainland mobile number: eleven digits, without country code and separators."""
    text = _SEPARATORS.sub("", fold(raw))
    return _shaped(_COUNTRY_CODE.sub("", text), MOBILE_PATTERN, "mobile_malformed")


def read_phone(raw: str) -> Reading[str | None]:
    """Read a telephone number of any country: digits, a leading plus, an extension after x."""
    text = _EXTENSION.sub("x", _PHONE_SEPARATORS.sub("", fold(raw)))
    return _shaped(text, PHONE_PATTERN, "format_invalid")


def read_email(raw: str) -> Reading[str | None]:
    """Read an e-mail address; the domain in lower case, because only that part may be changed.

    Latin letters with marks are letters of people's names; what passes for one is refused all the
    same, be it Cyrillic, Greek or a mark that composes with nothing.
    """
    local, at, domain = fold(raw).rpartition("@")
    text = f"{local}{at}{domain.lower()}"
    if not text or has_confusable(_BEYOND_ASCII.sub("", text)):
        return _unread(text)
    return text, None if re.match(EMAIL_PATTERN[:-1] + r"\Z", text) else "email_malformed"


def read_bank_card(raw: str) -> Reading[str | None]:
    """Read a bank card number, 13 to 19 digits with a Luhn check digit."""
    text, problem = _shaped(_SEPARATORS.sub("", fold(raw)), BANK_CARD_PATTERN, "format_invalid")
    if text and not problem and not luhn_holds(text):
        return text, "bank_card_check_digit"
    return text, problem


def read_uscc(raw: str) -> Reading[str | None]:
    """Read a unified social credit code (GB 32100-2015); its check character is not judged here."""
    return _shaped(_SEPARATORS.sub("", fold(raw)).upper(), USCC_PATTERN, "format_invalid")


def read_passport(raw: str) -> Reading[str | None]:
    """Read a passport number of any country (ICAO 9303 allows letters and digits only)."""
    return _shaped(_SEPARATORS.sub("", fold(raw)).upper(), PASSPORT_PATTERN, "format_invalid")


def read_plain_identifier(raw: str) -> Reading[str | None]:
    """Read an identifier of the firm's own making: folded, and free of look-alikes."""
    text = fold(raw)
    return _unread(text) if not text or has_confusable(text) else (text, None)


def _unread(text: str) -> Reading[str | None]:
    return (text, "confusable_character") if text else (None, None)


def _shaped(text: str, pattern: str, otherwise: str) -> Reading[str | None]:
    if not text or has_confusable(text):
        return _unread(text)
    return text, None if re.match(pattern[:-1] + r"\Z", text) else otherwise


IDENTIFIERS: Final[Mapping[str, Callable[[str], Reading[str | None]]]] = {
    "resident_id": read_resident_id,
    "mobile": read_mobile,
    "phone": read_phone,
    "email": read_email,
    "bank_card": read_bank_card,
    "uscc": read_uscc,
    "passport": read_passport,
}
