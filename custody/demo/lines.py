"""What one person contributes to the legacy system's files, line by line."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, time
from random import Random
from typing import Final

from custody.demo.agreements import (
    CARE,
    NOTHING_MORE,
    PROFILING,
    SERVICE,
    Choices,
    choices_of,
    consent_rows,
    outdated,
)
from custody.demo.layout import Cast, Layout, Part
from custody.demo.people import Person, World, make_person
from custody.demo.planting import (
    AFTER_THE_SOUND_ROW,
    CONTRADICTING,
    Moment,
    spoil_consents,
    spoil_row,
    strangers_number,
)
from custody.demo.rows import (
    Row,
    customer_row,
    enquiry_row,
    profile_row,
    transaction_rows,
    untidy,
)
from custody.demo.table import Table

CUSTOMERS: Final = "legacy_customers"
BRANCH: Final = "branch_customers"
CONSENTS: Final = "legacy_consents"
TRANSACTIONS: Final = "legacy_transactions"
ENQUIRIES: Final = "legacy_enquiries"
PROFILES: Final = "legacy_profiles"

_LATE_SHARE = 0.5
_ENQUIRY_SHARE = 0.3
_PROFILE_SHARE = 0.65


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One row of one source.

    Attributes:
        kinds: The defects planted in it or in the consents behind it.
        repeats: Whether it is an exact repeat of an earlier row of the source.
        late: Whether it comes at the source's end, chunks away from what it resembles.
        raises_level: Whether its free text holds what the declared level does not expect.
    """

    source: str
    values: Row
    kinds: tuple[str, ...] = ()
    repeats: bool = False
    late: bool = False
    raises_level: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """One person with a part to play.

    Attributes:
        stranger: Whose customer number a row with two people in it bears.
    """

    world: World
    person: Person
    cast: Cast
    choices: Choices
    stranger: Person

    def draw(self, about: str) -> Random:
        """Return the person's own source of chance for ``about``."""
        return self.world.draw(about, self.person.index)


def lines_of(world: World, layout: Layout, table: Table, index: int) -> Iterator[Line]:
    """Yield what person ``index`` contributes to all sources."""
    scene = _scene(world, layout, table, index)
    yield from _consents(scene)
    if layout.in_branch_only(index):
        yield from _spoilt(scene, _customer(scene, BRANCH, scene.person.customer_no))
        return
    yield from _customers(scene)
    if scene.cast.part is not Part.CUSTOMER:
        yield from _transactions(scene)
        yield from _enquiries(scene)
        yield from _profiles(scene)


def _scene(world: World, layout: Layout, table: Table, index: int) -> Scene:
    person, cast = layout.person(world, table, index), layout.cast(index)
    if layout.in_branch_only(index):
        person = replace(person, customer_no=f"B{person.customer_no[1:]}")
    choices = choices_of(world, person)
    return Scene(
        world=world,
        person=person,
        cast=cast,
        choices=replace(
            choices,
            care=choices.care or cast.part is Part.ENQUIRY,
            profiling=choices.profiling or cast.part is Part.PROFILE,
        ),
        stranger=make_person(world, layout.customers + index, minor=False),
    )


def _customer(scene: Scene, source: str, number: str) -> Line:
    return Line(source=source, values=customer_row(scene.person, number))


def _spoilt(scene: Scene, line: Line) -> Iterator[Line]:
    """Yield ``line`` with the person's defects, after the sound line where a defect needs it."""
    chance, kinds = scene.draw("defects"), scene.cast.kinds
    if not CONTRADICTING.isdisjoint(kinds):
        yield replace(line, kinds=kinds, raises_level=False)
    elif not AFTER_THE_SOUND_ROW.isdisjoint(kinds):
        yield line
    yield replace(
        line,
        values=spoil_row(line.values, kinds, chance),
        kinds=kinds,
        late=chance.random() < _LATE_SHARE,
        raises_level=line.raises_level and not kinds,
    )


def _customers(scene: Scene) -> Iterator[Line]:
    number = scene.person.customer_no
    line = _customer(scene, CUSTOMERS, number)
    late = scene.draw("again").random() < _LATE_SHARE
    match scene.cast.part:
        case Part.CUSTOMER:
            yield from _spoilt(scene, line)
        case Part.REPEATED:
            yield from (line, replace(line, repeats=True, late=late))
        case Part.BRANCH_TOO:
            yield from (line, _customer(scene, BRANCH, f"E{number[1:]}"))
        case Part.UNTIDY:
            yield replace(line, values=untidy(line.values))
        case _:
            yield line


def _transactions(scene: Scene) -> Iterator[Line]:
    if scene.person.minor:
        return
    *others, last = transaction_rows(scene.world, scene.person)
    yield from (Line(source=TRANSACTIONS, values=row) for row in others)
    if scene.cast.part is Part.TRANSACTION:
        yield from _spoilt(scene, Line(source=TRANSACTIONS, values=last))
    else:
        yield Line(source=TRANSACTIONS, values=last)


def _enquiries(scene: Scene) -> Iterator[Line]:
    row, telling = enquiry_row(scene.world, scene.person)
    line = Line(source=ENQUIRIES, values=row, raises_level=telling)
    if scene.cast.part is Part.ENQUIRY:
        yield from _spoilt(scene, line)
    elif scene.choices.care and scene.draw("asks").random() < _ENQUIRY_SHARE:
        yield line


def _profiles(scene: Scene) -> Iterator[Line]:
    line = Line(source=PROFILES, values=profile_row(scene.world, scene.person))
    if scene.cast.part is Part.PROFILE:
        yield from _spoilt(scene, line)
    elif scene.choices.profiling and scene.draw("scored").random() < _PROFILE_SHARE:
        yield line


def _consents(scene: Scene) -> Iterator[Line]:
    person, kinds = scene.person, scene.cast.kinds
    rows = consent_rows(scene.world, person, person.customer_no, scene.choices)
    purpose, collected_at = _concerned(scene)
    moment = Moment(collected_at=collected_at, today=scene.world.today)
    if scene.cast.part is Part.RENEWED:
        rows.append(outdated(rows[0]))
    if "two_people_in_one_row" in kinds:
        number = strangers_number(person.customer_no)
        # Sound for this row as well, whichever of the two people somebody takes it to be about.
        stranger = replace(scene.stranger, collected_at=person.collected_at)
        rows += consent_rows(scene.world, stranger, number, NOTHING_MORE)
    for row in spoil_consents(rows, purpose, kinds, moment):
        yield Line(source=CONSENTS, values=row)


def _concerned(scene: Scene) -> tuple[str, datetime]:
    """Return the purpose whose consent the defects concern, and when the row was collected."""
    world, person = scene.world, scene.person
    match scene.cast.part:
        case Part.ENQUIRY:
            return CARE, datetime.fromisoformat(enquiry_row(world, person)[0]["asked_at"])
        case Part.PROFILE:
            scored_on = date.fromisoformat(profile_row(world, person)["scored_on"])
            return PROFILING, datetime.combine(scored_on, time(), world.zone)
        case _:
            return SERVICE, person.collected_at
