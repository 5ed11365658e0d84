"""One byte changed, or two seals exchanged: deep verification names the place (T7)."""

import json
import random
from collections.abc import Iterator
from itertools import pairwise

import pytest
from house import TESTER
from sqlalchemy import text
from tampering import KINDS, Opened, flipped, holding, rows_of, told, verdict

from custody.acts.batches import require_batch
from custody.acts.opening import location_of
from custody.acts.quarantine import reveal_quarantine
from custody.acts.reveal import reveal
from custody.acts.store import store_chunk
from custody.acts.verify import Verified, verify_installation
from custody.embedded.postgres import EmbeddedPostgres
from custody.seal import SealInvalidError

SEED = 20261123
POSITIONS = 5
OTHERS = ("intake", "quarantine", "document", "location", "reference")


@pytest.fixture(scope="module")
def opened(
    _templates: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Opened]:
    with told(_templates, tmp_path_factory.mktemp("tamper")) as opened:
        yield opened


def test_nothing_is_found_where_nothing_was_changed(opened: Opened) -> None:
    found = verify_installation(opened.custody, deep=True)
    with opened.data.connect() as connection:
        entries = connection.execute(text("SELECT count(*) FROM ledger.entries")).scalar_one()
        suites = connection.execute(text("SELECT count(*) FROM quality_suites")).scalar_one()
    counts = {name: len(rows_of(opened, kind)) for name, kind in KINDS.items()}
    keystore = len(json.loads(opened.site.places.keystore.read_bytes())["entries"])
    records = {row["id"] for row in rows_of(opened, KINDS["general"])}
    assert found.ledger.head.size + found.ledger.waiting.entries == entries
    assert found == Verified(
        ledger=found.ledger,
        policies=1,
        suites=suites,
        certificates=1,
        keys=keystore + sum(counts[kind] for kind in KINDS if kind.endswith("key")),
        records=len(records),
        seals=sum(counts[k] for k in OTHERS),
    )
    assert min(suites, *counts.values()) >= 2


@pytest.mark.parametrize("name", KINDS)
def test_one_byte_of_any_seal_or_wrapped_key(opened: Opened, name: str) -> None:
    kind, chance = KINDS[name], random.Random(f"{SEED}/{name}")
    unnoticed = []
    for row in rows_of(opened, kind):
        value = bytes(row[kind.column])
        for position in (0, len(value) - 1, *chance.sample(range(1, len(value) - 1), POSITIONS)):
            with holding(opened, kind, (row, flipped(value, position))):
                if kind.named(row) not in verdict(opened):
                    unnoticed.append((row[kind.place[0]], position))
    assert unnoticed == []


@pytest.mark.parametrize("name", KINDS)
def test_two_of_a_kind_exchanged(opened: Opened, name: str) -> None:
    kind = KINDS[name]
    rows = rows_of(opened, kind)
    for one, other in pairwise(rows):
        exchanged = ((one, bytes(other[kind.column])), (other, bytes(one[kind.column])))
        with holding(opened, kind, *exchanged):
            assert verdict(opened).startswith(
                (f"does not open: {kind.named(one)}", f"does not open: {kind.named(other)}")
            )


def test_two_compartments_of_a_record_exchanged(opened: Opened) -> None:
    general, sensitive = KINDS["general"], KINDS["sensitive"]
    plain = {row["id"]: row for row in rows_of(opened, general)}
    for row in rows_of(opened, sensitive):
        other = plain[row["id"]]
        with (
            holding(opened, sensitive, (row, bytes(other["general"]))),
            holding(opened, general, (other, bytes(row["sensitive"]))),
        ):
            assert general.named(row) in verdict(opened)


def test_one_byte_of_any_entry_of_the_keystore(opened: Opened) -> None:
    path, chance = opened.site.places.keystore, random.Random(SEED)
    original = path.read_bytes()
    document = json.loads(original)
    try:
        for name, wrapped in document["entries"].items():
            value = bytes.fromhex(wrapped)
            position = chance.choice((0, len(value) - 1, chance.randrange(len(value))))
            changed = document["entries"] | {name: flipped(value, position).hex()}
            path.write_text(json.dumps(document | {"entries": changed}))
            assert f"keystore entry {name} " in verdict(opened)
    finally:
        path.write_bytes(original)


def test_a_read_names_the_place_as_well(opened: Opened) -> None:
    custody = opened.custody
    batches = {kind: rows_of(opened, KINDS[kind])[0] for kind in ("intake", "quarantine")}
    located, record = (rows_of(opened, KINDS[kind])[0] for kind in ("location", "general"))
    reads = {
        "intake": lambda: store_chunk(
            custody, TESTER, batches["intake"]["batch_id"], batches["intake"]["chunk"]
        ),
        "quarantine": lambda: reveal_quarantine(custody, TESTER, batches["quarantine"]["batch_id"]),
        "location": lambda: location_of(custody, require_batch(custody, located["id"])),
        "general": lambda: reveal(
            custody,
            TESTER,
            record_ids=[record["id"]],
            fields=frozenset({"customer_no"}),
            event="record:data:read",
            facts={},
        ),
    }
    for name, read in reads.items():
        kind = KINDS[name]
        row = rows_of(opened, kind)[0]
        with holding(opened, kind, (row, flipped(bytes(row[kind.column]), 60))):
            with pytest.raises(SealInvalidError) as refused:
                read()
            assert kind.named(row) in str(refused.value)
