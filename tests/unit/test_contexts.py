"""Each part of each context binds: with the same key, one part changed, nothing opens.

The contexts come from the functions that the code itself asks, so a part that one of them lost
turns its row here red. What a function takes and what is changed here are held equal.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from inspect import signature
from itertools import combinations
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace as replaced
from refusals import refusals_of, silent_error

from custody import reference
from custody.consent import document_context
from custody.intake import intake_context, location_context, quarantine_context
from custody.keys.wrapping import BucketKek, batch_context, consent_context
from custody.policy.model import Level
from custody.record import seal_contexts
from custody.reference import open_reference, place_of, seal_reference
from custody.seal import Context, DataKey, WrappingKey, encode_context, open_seal, seal
from custody.suites import AES_256_GCM, SUITES, Suite

A, B, C, D = (UUID(f"{digit * 8}-0000-4000-8000-{digit * 12}") for digit in "1234")
KEY = DataKey(UUID(int=1), bytes(range(32)))
KEK = bytes(range(100, 132))


@dataclass(frozen=True, kw_only=True)
class Bound:
    """What is bound to a context, by the function that makes the context.

    Attributes:
        build: Makes the context of the parts.
        parts: The parts, by name.
        asked: The function of the code behind ``build``.
        by_hand: The parts of the context as its docstring has them.
    """

    build: Callable[..., Context]
    parts: Mapping[str, Any]
    asked: Callable[..., object]
    by_hand: tuple[bytes, ...]


def of_a_record(*, level: str, **parts: Any) -> Context:
    return seal_contexts(**parts)(level)


def number(value: int) -> bytes:
    return value.to_bytes(4, "big")


BOUND = {
    "record": Bound(
        build=of_a_record,
        parts={
            "installation": A,
            "record": B,
            "customer": C,
            "dataset": "orders",
            "version": 1,
            "level": "general",
        },
        asked=seal_contexts,
        by_hand=(A.bytes, C.bytes, b"orders", B.bytes, b"general", number(1)),
    ),
    "reference": Bound(
        build=reference._context,
        parts={"installation": A, "customer": C, "called": "legacy:customer_no"},
        asked=reference._context,
        by_hand=(A.bytes, b"reference", C.bytes, b"legacy:customer_no"),
    ),
    "consent document": Bound(
        build=document_context,
        parts={"installation": A, "customer": C, "consent_id": B},
        asked=document_context,
        by_hand=(A.bytes, b"consent", C.bytes, B.bytes),
    ),
    "intake": Bound(
        build=intake_context,
        parts={"installation": A, "batch_id": B, "chunk": 1},
        asked=intake_context,
        by_hand=(A.bytes, b"intake", B.bytes, number(1)),
    ),
    "quarantine": Bound(
        build=quarantine_context,
        parts={"installation": A, "batch_id": B, "row_number": 1},
        asked=quarantine_context,
        by_hand=(A.bytes, b"quarantine", B.bytes, number(1)),
    ),
    "location": Bound(
        build=location_context,
        parts={"installation": A, "batch_id": B},
        asked=location_context,
        by_hand=(A.bytes, b"location", B.bytes),
    ),
    "batch key": Bound(
        build=batch_context,
        parts={"installation": A.bytes, "batch_id": B, "kind": "intake", "key_id": D},
        asked=batch_context,
        by_hand=(b"intake", A.bytes, B.bytes, D.bytes),
    ),
    "consent key": Bound(
        build=consent_context,
        parts={"installation": A.bytes, "customer_id": C, "key_id": D},
        asked=consent_context,
        by_hand=(b"consent", A.bytes, C.bytes, D.bytes),
    ),
}
PARTS = [(name, part) for name, one in BOUND.items() for part in one.parts]


def others(value: Any) -> Iterator[Any]:
    """Yield values that differ from this one: a little, at either end, or in length."""
    if isinstance(value, UUID):
        yield from (UUID(int=value.int ^ 1 << bit) for bit in (0, 64, 127))
    elif isinstance(value, int):
        yield from (value + step for step in (1, 1 << 8, 1 << 16, 1 << 24))
        yield value - 1
    elif isinstance(value, str):
        yield from (value[:-1], value + "s", "x" + value[1:], value.swapcase(), "", value + "\0")
    else:
        yield from (bytes((value[0] ^ 1, *value[1:])), bytes((*value[:-1], value[-1] ^ 1)))


def attempts(sealed: bytes, contexts: list[Context]) -> list[Callable[[], bytes]]:
    return [lambda context=one: open_seal(KEY, sealed, context) for one in contexts]


@pytest.mark.parametrize("suite", SUITES.values(), ids=lambda one: one.name)
@pytest.mark.parametrize(("name", "part"), PARTS)
def test_nothing_opens_with_one_part_of_its_context_changed(
    name: str, part: str, suite: Suite
) -> None:
    one = BOUND[name]
    context = one.build(**one.parts)
    sealed = seal(KEY, b"plain", context, suite)
    assert open_seal(KEY, sealed, one.build(**one.parts)) == b"plain"
    changed = [one.build(**{**one.parts, part: other}) for other in others(one.parts[part])]
    assert refusals_of(attempts(sealed, changed)) == {silent_error()}


@pytest.mark.parametrize("name", BOUND)
def test_nothing_opens_with_two_parts_of_its_context_exchanged(name: str) -> None:
    one = BOUND[name]
    sealed = seal(KEY, b"plain", one.build(**one.parts), AES_256_GCM)
    alike = [
        (first, second)
        for first, second in combinations(one.parts, 2)
        if type(one.parts[first]) is type(one.parts[second])
    ]
    exchanged = [one.build(**{**one.parts, a: one.parts[b], b: one.parts[a]}) for a, b in alike]
    assert exchanged, "every context has two parts of one type"
    assert refusals_of(attempts(sealed, exchanged)) == {silent_error()}


@pytest.mark.parametrize("name", BOUND)
def test_every_part_that_a_context_takes_is_changed_here(name: str) -> None:
    one = BOUND[name]
    taken = signature(one.asked).parameters.keys() | ({"level"} if name == "record" else set())
    assert one.parts.keys() == taken


@pytest.mark.parametrize("name", BOUND)
def test_a_context_consists_of_the_parts_that_its_docstring_names(name: str) -> None:
    one = BOUND[name]
    assert encode_context(one.build(**one.parts)) == encode_context(one.by_hand)


def test_what_is_bound_to_the_same_things_as_something_else_is_told_apart_by_kind() -> None:
    """A batch's second row, its second chunk: the numbers are the same, what they count is not."""
    contexts: list[Context] = [
        intake_context(A, B, 1),
        quarantine_context(A, B, 1),
        location_context(A, B),
        document_context(A, B, C),
        reference._context(A, B, "1"),
        seal_contexts(A, C, B, "customers", 1)(Level.GENERAL),
        batch_context(A.bytes, B, "intake", C),
        batch_context(A.bytes, B, "quarantine", C),
        consent_context(A.bytes, B, C),
    ]
    for own in contexts:
        sealed = seal(KEY, b"plain", own, AES_256_GCM)
        rest = [other for other in contexts if other is not own]
        assert refusals_of(attempts(sealed, rest)) == {silent_error()}


def test_the_levels_of_a_record_do_not_open_as_each_other() -> None:
    context_of = seal_contexts(A, B, C, "orders", 1)
    for own in Level:
        sealed = seal(KEY, b"plain", context_of(own), AES_256_GCM)
        rest = [context_of(other) for other in Level if other is not own]
        assert refusals_of(attempts(sealed, rest)) == {silent_error()}
        assert open_seal(KEY, sealed, context_of(own.value)) == b"plain"


def careless_contexts(
    installation: UUID, record: UUID, customer: UUID, dataset: str, _: int
) -> Callable[[str], Context]:
    """The naive twin: bound to all but the version."""
    return lambda level: (
        installation.bytes,
        customer.bytes,
        dataset.encode(),
        record.bytes,
        level.encode(),
    )


@pytest.mark.parametrize("suite", SUITES.values(), ids=lambda one: one.name)
def test_an_old_version_of_a_record_put_back_does_not_open(suite: Suite) -> None:
    """Same key, same record: only the version in the row says that the seal is of yesterday."""
    for version in (1, 2, 255, 256, 65_535):
        old = seal_contexts(A, B, C, "orders", version)("general")
        new = seal_contexts(A, B, C, "orders", version + 1)("general")
        yesterdays, todays = (seal(KEY, text, of, suite) for text, of in ((b"a", old), (b"b", new)))
        assert yesterdays[:36] == todays[:36], "key and commitment do not tell them apart"
        assert refusals_of(attempts(yesterdays, [new])) == {silent_error()}
        assert refusals_of(attempts(todays, [old])) == {silent_error()}


def test_an_old_version_put_back_opens_where_the_version_is_not_bound() -> None:
    old, new = (careless_contexts(A, B, C, "orders", one)("general") for one in (1, 2))
    assert open_seal(KEY, seal(KEY, b"yesterday", old, AES_256_GCM), new) == b"yesterday"


def test_a_reference_opens_in_its_own_place_only() -> None:
    own = {"installation": A, "customer": C, "called": "legacy:customer_no"}
    sealed = seal_reference(KEY, **own, value="4711", suite=AES_256_GCM, randomness=bytes)
    assert open_reference(KEY, **own, sealed=sealed) == "4711"
    for part, value in own.items():
        for other in others(value):
            asked = {**own, part: other}
            place = place_of(asked["customer"], asked["called"])
            attempt = partial(open_reference, KEY, **asked, sealed=sealed)
            assert refusals_of([attempt]) == {silent_error(place)}


def bucket(installation: UUID = A, period: str = "2030Q1", generation: int = 1) -> BucketKek:
    """Return a bucket under one key-encryption key, whatever bucket it is."""
    return BucketKek(WrappingKey(KEK), installation.bytes, period, 1, generation)


@pytest.mark.parametrize("suite", SUITES.values(), ids=lambda one: one.name)
def test_a_wrapped_data_key_opens_in_its_own_place_only(suite: Suite) -> None:
    key = DataKey(D, bytes(range(32)))
    row = bucket().wrap(C, key, suite)
    assert bucket().open(row) == key
    elsewhere = [
        *(partial(bucket(installation=one).open, row) for one in others(A)),
        *(partial(bucket(period=one).open, row) for one in others("2030Q1")),
        *(partial(bucket(generation=one).open, row) for one in others(1)),
        *(partial(bucket().open, replaced(row, customer_id=one)) for one in others(C)),
    ]
    assert refusals_of(elsewhere) == {silent_error(f"wrapped key {D}")}
    for own in others(D):
        attempt = partial(bucket().open, replaced(row, key_id=own))
        assert refusals_of([attempt]) == {silent_error(f"wrapped key {own}")}


def test_a_turn_takes_no_key_over_that_is_not_in_its_own_place() -> None:
    key, before, after = DataKey(D, bytes(range(32))), bucket(), bucket(generation=2)
    there = before.wrap(C, key, AES_256_GCM).wrapped
    (taken,) = after.take_over([(D.bytes, C.bytes, there)], before, AES_256_GCM)
    assert after.open(replaced(after.wrap(C, key, AES_256_GCM), wrapped=taken)) == key
    misplaced = [(D.bytes, A.bytes, there), (A.bytes, C.bytes, there)]
    for own, customer, wrapped in misplaced:
        keys = [(own, customer, wrapped)]
        attempt = partial(list, after.take_over(keys, before, AES_256_GCM))
        assert refusals_of([attempt]) == {silent_error(f"wrapped key {UUID(bytes=own)}")}
    attempt = partial(list, after.take_over([(D.bytes, C.bytes, taken)], before, AES_256_GCM))
    assert refusals_of([attempt]) == {silent_error(f"wrapped key {D}")}


def test_a_wrapped_data_key_is_bound_to_the_parts_that_its_docstring_names() -> None:
    by_hand = (b"data", A.bytes, C.bytes, b"2030Q1", number(1), D.bytes)
    assert bucket()._context(C, D) == encode_context(by_hand)
