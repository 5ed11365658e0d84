"""Synthetic people: every one follows from the seed and a number, alone and in any order.

Resident IDs agree with birth date and sex and carry the right check digit; cards pass Luhn;
mail addresses lie in domains reserved for examples. Nobody is meant; a valid number drawn at
random may still belong to somebody, as every valid number may, so nothing made here is kept.
"""

import random
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from functools import cache
from typing import Final

from custody.demo.regions import REGIONS, STREETS, Region
from custody.errors import UsageError

FIRST_DAY: Final = date(2023, 1, 1)
"""The first day the demo can be played: the notice its customers saw is of November 2021."""

ADULT_YEARS: Final = 19
MINOR_SHARE: Final = 0.02
RARE_SHARE: Final = 0.01
OLD_ID_SHARE: Final = 0.01

_SHARES = {"email": 0.7, "bank_card": 0.5, "health_note": 0.1, "social_account": 0.3, "phone": 0.03}
_OLD_FORM_UNTIL = date(2000, 1, 1)
_COLLECTED_WITHIN = 290
_CALM_DAYS = 10
_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CHECKS = "10X98765432"
_RARE = "𠮷㐂䶮𫖯𬍛𪚥䲜㛃𣲘"  # CJK extensions; GB18030 writes each in four bytes
_MOBILE_HEADS = ("135", "138", "139", "150", "158", "177", "186", "188", "199")
_BANKS = (("622202", 19), ("621700", 19), ("622848", 19), ("436742", 16), ("622588", 16))
_MAILS = ("example.com", "example.org", "example.net")
_HEALTH = ("高血压，长期服药", "二型糖尿病", "青霉素过敏", "三年前做过阑尾手术", "无重大疾病史")
_STEP = 7919  # prime to both spans of birth dates, so that no two people share number and day
_SEQUENCES = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class World:
    """What the whole legacy system has in common.

    Attributes:
        today: The demo's day.
        zone: The zone the legacy system's clocks show.
    """

    seed: int
    today: date
    zone: tzinfo

    def draw(self, *about: object) -> random.Random:
        """Return a source of chance that depends on the seed and ``about`` only."""
        return random.Random(f"{self.seed}/{'/'.join(map(str, about))}")  # noqa: S311 - not a secret


@dataclass(frozen=True, kw_only=True, slots=True)
class Person:
    """One synthetic customer; empty text where the firm never asked.

    Attributes:
        index: The number the person was made from.
        resident_id: In the form the legacy system has: 18 characters, or 15 for a few.
        collected_at: When the firm collected the record, in the legacy system's zone.
        minor: Younger than 14 on the demo's day; all others are 19 or older.
    """

    index: int
    customer_no: str
    name: str
    sex: str
    birth_on: date
    resident_id: str
    mobile: str
    email: str
    address: str
    bank_card: str
    health_note: str
    social_account: str
    phone: str
    collected_at: datetime
    registered_on: date
    minor: bool


def require_playable(today: date) -> None:
    """Refuse a day on which the demo's story cannot have happened.

    Raises:
        UsageError: ``today`` lies before :data:`FIRST_DAY`.
    """
    if today < FIRST_DAY:
        raise UsageError("the demo needs a day not before", FIRST_DAY.isoformat())


def make_person(
    world: World, index: int, *, minor: bool | None = None, check_x: bool = False
) -> Person:
    """Return person number ``index``.

    Args:
        world: The legacy system the person is a customer of.
        index: The person's number.
        minor: Whether the person is a child; by chance when None, and only then may an adult's
            resident ID have the old form.
        check_x: Whether the resident ID must end in X.
    """
    chance = world.draw("person", index)
    child = chance.random() < MINOR_SHARE if minor is None else minor
    sex = chance.choice("MF")
    region = REGIONS[index % len(REGIONS)]
    birth_on = _birth_on(world, index, minor=child)
    collected_at = _collected_at(world, chance)
    identifier = _identifier(region, birth_on, sex, index // len(REGIONS), check_x=check_x)
    old = minor is None and birth_on < _OLD_FORM_UNTIL and chance.random() < OLD_ID_SHARE
    return Person(
        index=index,
        customer_no=f"C{index + 1:07d}",
        name=_name(chance, sex),
        sex=sex,
        birth_on=birth_on,
        resident_id=identifier[:6] + identifier[8:17] if old else identifier,
        mobile=chance.choice(_MOBILE_HEADS) + _digits(chance, 8),
        email=_some(chance, "email", _email(chance, index)),
        address=_address(chance, region),
        bank_card=_some(chance, "bank_card", bank_card(chance)),
        health_note=_some(chance, "health_note", chance.choice(_HEALTH)),
        social_account=_some(chance, "social_account", f"wx_{_digits(chance, 9)}"),
        phone=_some(chance, "phone", f"+44 20 7946 0{_digits(chance, 3)}"),
        collected_at=collected_at,
        registered_on=_registered_on(world, chance, birth_on, collected_at.date(), minor=child),
        minor=child,
    )


def check_character(seventeen: str) -> str:
    """Return the 18th character of a resident ID (GB 11643-1999, ISO 7064 MOD 11-2)."""
    total = sum(int(digit) * weight for digit, weight in zip(seventeen, _WEIGHTS, strict=True))
    return _CHECKS[total % 11]


def bank_card(chance: random.Random) -> str:
    """Return a card number that passes Luhn (ISO/IEC 7812-1)."""
    head, length = chance.choice(_BANKS)
    body = head + _digits(chance, length - len(head) - 1)
    doubled = (int(digit) * 2 for digit in body[::-2])
    total = sum(value - 9 if value > 9 else value for value in doubled)  # noqa: PLR2004 - digit sum
    return body + str(-(total + sum(map(int, body[-2::-2]))) % 10)


def _identifier(region: Region, birth_on: date, sex: str, turn: int, *, check_x: bool) -> str:
    for step in range(_SEQUENCES):
        sequence = (turn + step) % _SEQUENCES * 2 + (sex == "M")
        body = f"{region.code}{birth_on:%Y%m%d}{sequence:03d}"
        check = check_character(body)
        if not check_x or check == "X":
            break
    return body + check


def _birth_on(world: World, index: int, *, minor: bool) -> date:
    # Whoever shares district and sequence number with somebody else is born on another day.
    family, turn = index % (len(REGIONS) * _SEQUENCES), index // (len(REGIONS) * _SEQUENCES)
    first, span = (13, 10) if minor else (90, 90 - ADULT_YEARS)
    offset = world.draw("family", family).randrange(span * 365) + turn * _STEP
    return _years_before(world.today, first) + timedelta(days=1 + offset % (span * 365))


def _years_before(day: date, years: int) -> date:
    return day.replace(year=day.year - years, day=min(day.day, 28))


def _collected_at(world: World, chance: random.Random) -> datetime:
    last = world.today - timedelta(days=_CALM_DAYS)
    first = last - timedelta(days=_COLLECTED_WITHIN)
    day = first + timedelta(days=chance.randrange((last - first).days + 1))
    minute = chance.randrange(9 * 60, 18 * 60)
    return datetime(
        day.year, day.month, day.day, minute // 60, minute % 60, chance.randrange(60),
        tzinfo=world.zone,
    )  # fmt: skip


def _registered_on(
    world: World, chance: random.Random, birth_on: date, last: date, *, minor: bool
) -> date:
    grown = birth_on if minor else birth_on + timedelta(days=int(365.25 * 18))
    first = min(max(grown, _years_before(world.today, 10)), last)
    return first + timedelta(days=chance.randrange((last - first).days + 1))


def _name(chance: random.Random, sex: str) -> str:
    surnames, given = _names(sex)
    name = chance.choice(surnames) + chance.choice(given)
    return name[:-1] + chance.choice(_RARE) if chance.random() < RARE_SHARE else name


@cache
def _names(sex: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    # Faker's lists alone: the generator object around them costs 20 times as much.
    from faker.providers.person.zh_CN import Provider  # noqa: PLC0415 - only the demo needs it

    given = Provider.first_names_male if sex == "M" else Provider.first_names_female
    single = [name for name in given if len(name) == 1]
    doubled = [first + second for first in single for second in single if first != second]
    return tuple(Provider.last_names), (*given, *doubled)


def _address(chance: random.Random, region: Region) -> str:
    street, house = chance.choice(STREETS), chance.randint(1, 399)
    entrance, flat = chance.randint(1, 30), chance.randint(101, 2908)
    return f"{region.name}{street}{house}号{entrance}单元{flat}室"


def _email(chance: random.Random, index: int) -> str:
    return f"user{index + 1}.{_digits(chance, 3)}@{chance.choice(_MAILS)}"


def _some(chance: random.Random, field: str, value: str) -> str:
    return value if chance.random() < _SHARES[field] else ""


def _digits(chance: random.Random, count: int) -> str:
    return f"{chance.randrange(10**count):0{count}d}"
