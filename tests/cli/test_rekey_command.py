"""``coverage`` and ``rekey`` by command: what they say is what lies there, to the last seal."""

from typing import Any
from uuid import UUID

import pytest
from copied_firm import (
    PEOPLE,
    Copy,
    events,
    names,
    part,
    put_in_clear,
    rows,
    values,
)
from copied_firm import copy as copy  # noqa: PLC0414 - a fixture
from copied_firm import founded as founded  # noqa: PLC0414 - another
from sqlalchemy import text

from custody.cli.session import opened
from custody.database.engine import transaction
from custody.identifiers import RECORD, show_id
from custody.seal import suite_of

# Where seals lie, and every column that holds one.
PLACES = {
    "records": ("general", "sensitive", "secret"),
    "identity_tags": ("sealed",),
    "intake": ("sealed",),
    "quarantine": ("sealed",),
    "batches": ("location",),
    "consents": ("document",),
}


def seals() -> list[tuple[str, bytes]]:
    """Return every seal there is with its place, read past custody."""
    with opened() as custody, transaction(custody.data) as connection:
        return sorted(
            (f"{table}.{column}", bytes(seal))
            for table, columns in PLACES.items()
            for column in columns
            for seal in connection.execute(
                text(f"SELECT {column} FROM {table} WHERE {column} IS NOT NULL")
            ).scalars()
        )


def suites() -> dict[str, int]:
    """Return how many seals lie under each suite, as their headers say."""
    found = [suite_of(seal) for _, seal in seals()]
    said = ["none" if one is None else one.name for one in found]
    return {name: said.count(name) for name in said}


def shown(ids: set[UUID]) -> set[str]:
    return {show_id(RECORD, one) for one in ids}


def counted(told: dict[str, Any]) -> dict[str, int]:
    """Return how many seals a document says lie under each suite."""
    by_suite = dict.fromkeys((line["suite"] for line in told["coverage"]), 0)
    for line in told["coverage"]:
        by_suite[line["suite"]] += line["seals"]
    return by_suite


def test_coverage_counts_every_seal_of_every_place(copy: Copy) -> None:
    there, said = seals(), events()
    assert {place.partition(".")[0] for place, _ in there} >= set(PLACES) - {"consents"}
    told = copy.tell(0, "coverage")
    assert part(told, "ok", "suite", "amiss", "stray") == {
        "ok": True,
        "suite": "aes-256-gcm",
        "amiss": 0,
        "stray": [],
    }
    assert told["seals"] == told["wanted"] == len(there)
    assert counted(told) == suites() == {"aes-256-gcm": len(there)}
    by_dataset = {
        name: sum(line["seals"] for line in told["coverage"] if line["dataset"] == name)
        for name in ("customers", "transactions")
    }
    assert by_dataset == {
        name: sum(len(list(row.compartments())) for row in rows() if row.dataset == name)
        for name in by_dataset
    }
    assert copy.tell(0, "coverage") == told
    assert (seals(), events()) == (there, said), "it only looks"


def test_coverage_lists_what_is_amiss_by_name(copy: Copy) -> None:
    whole = copy.tell(0, "coverage")
    planted = put_in_clear(2)
    told = copy.tell(5, "coverage")
    assert part(told, "ok", "seals", "amiss", "listed") == {
        "ok": False,
        "seals": whole["seals"],
        "amiss": 2,
        "listed": 2,
    }
    assert {one["reference"] for one in told["stray"]} == shown(planted)
    assert {(one["place"], one["suite"]) for one in told["stray"]} == {("general", "none")}
    assert counted(told) == suites()
    short = copy.tell(5, "coverage", "--list", "1")
    assert (short["amiss"], short["listed"], len(short["stray"])) == (2, 1, 1)
    assert copy.tell(5, "coverage", "--list", "0")["stray"] == []


def test_coverage_under_another_policy_lists_every_seal(copy: Copy) -> None:
    copy.want("gm")
    told = copy.tell(5, "coverage")
    assert (told["suite"], told["wanted"]) == ("sm4-gcm", 0)
    assert told["amiss"] == told["listed"] == len(told["stray"]) == len(seals())
    assert {one["suite"] for one in told["stray"]} == {"aes-256-gcm"}


@pytest.mark.parametrize("suite", ["sm4-gcm", "aes-256-gcm-siv", "rot13"])
@pytest.mark.parametrize("more", [(), ("--dry-run",), ("--in-clear",)], ids=str)
def test_rekey_to_a_suite_the_policy_does_not_want_is_wrong_usage(
    copy: Copy, suite: str, more: tuple[str, ...]
) -> None:
    there, said = seals(), events()
    assert copy.tell(2, "rekey", "--to", suite, *more)["error"]["code"] == "usage"
    assert (seals(), events()) == (there, said)


@pytest.mark.parametrize("to", [(), ("--to", "aes-256-gcm")], ids=str)
def test_rekey_where_all_is_as_wanted_changes_nothing(copy: Copy, to: tuple[str, ...]) -> None:
    there, said = seals(), events()
    told = copy.tell(0, "rekey", *to)
    assert part(told, "ok", "records", "seals_renewed", "unsealed") == {
        "ok": True,
        "records": 0,
        "seals_renewed": 0,
        "unsealed": 0,
    }
    assert (seals(), events()) == (there, said)


def test_a_dry_run_of_rekey_says_what_there_is_to_do_and_does_nothing(copy: Copy) -> None:
    copy.want("gm")
    there, said, kept = seals(), events(), copy.keystore.read_bytes()
    told = copy.tell(0, "rekey", "--to", "sm4-gcm", "--dry-run")
    assert part(told, "dry_run", "ok", "records", "seals_renewed") == {
        "dry_run": True,
        "ok": False,
        "records": 0,
        "seals_renewed": 0,
    }
    assert told["amiss"] == told["seals"] == len(there)
    assert (seals(), events(), copy.keystore.read_bytes()) == (there, said, kept)


def test_rekey_seals_everything_again_once(copy: Copy) -> None:
    before = values()
    copy.want("gm")
    count = len(seals())
    told = copy.tell(0, "rekey", "--to", "sm4-gcm")
    assert (told["ok"], told["dry_run"], told["suite"]) == (True, False, "sm4-gcm")
    assert (told["records"], told["seals_renewed"], told["unsealed"]) == (2 * PEOPLE, count, 0)
    assert suites() == counted(told) == {"sm4-gcm": count}
    assert values() == before
    there = seals()
    again = copy.tell(0, "rekey", "--to", "sm4-gcm")
    assert (again["records"], again["seals_renewed"]) == (0, 0)
    assert seals() == there
    assert copy.tell(0, "coverage")["ok"]
    assert copy.tell(0, "verify", "--deep")["ok"]


def test_the_keys_follow_the_suite_with_the_next_turn_of_all(copy: Copy) -> None:
    before, keys = values(), wrapped_under(copy)
    assert keys.keys() == {"aes-256-gcm"}
    copy.want("gm")
    copy.tell(0, "rekey")
    assert wrapped_under(copy) == keys, "re-encryption leaves the keys"
    done = copy.tell(0, "keys", "turn", "--all")
    assert done["keys"] + done["other_keys"] == keys["aes-256-gcm"]
    assert wrapped_under(copy) == {"sm4-gcm": keys["aes-256-gcm"]}
    assert suites_of_keys() == {2}
    assert {name.rpartition("/")[2] for name in names("kek/")} == {"2"}
    assert values() == before
    assert copy.tell(0, "keys", "turn", "--all")["other_keys"] == 0
    assert copy.tell(0, "verify", "--deep")["ok"]


def wrapped_under(copy: Copy) -> dict[str, int]:
    """Return how many keys are wrapped under each suite, as the command says."""
    found = dict[str, int]()
    keys = copy.tell(0, "keys", "status")["wrapped_keys"]
    for line in [one for one in keys if one["kind"] != "keystore"]:
        found[line["suite"]] = found.get(line["suite"], 0) + line["keys"]
    return found


def suites_of_keys() -> set[int]:
    """Return the numbers of the suites that wrapped keys name, read past custody."""
    with opened() as custody, transaction(custody.keyring.turner.engine) as connection:
        return {
            bytes(wrapped)[1]
            for table in ("data_keys", "batch_keys", "consent_keys")
            for wrapped in connection.execute(text(f"SELECT wrapped FROM {table}")).scalars()
        }


def test_what_does_not_open_stays_is_counted_and_keeps_nobody_else_waiting(copy: Copy) -> None:
    copy.want("gm")
    ill = rows()[0]
    with opened() as custody, transaction(custody.data) as connection:
        junk = {"junk": ill.general[:-1] + bytes([ill.general[-1] ^ 1]), "id": ill.id}
        connection.execute(text("UPDATE records SET general = :junk WHERE id = :id"), junk)
    for records in (2 * PEOPLE - 1, 0):
        told = copy.tell(5, "rekey")
        assert part(told, "ok", "records", "unreadable") == {
            "ok": False,
            "records": records,
            "unreadable": 1,
        }
        assert {one["reference"] for one in told["stray"]} == shown({ill.id})
    assert {row.general for row in rows() if row.id == ill.id} == {junk["junk"]}


def test_what_lies_in_clear_is_sealed_only_when_asked_for(copy: Copy) -> None:
    before = values()
    planted = put_in_clear(2)
    there = seals()
    for words in (("rekey",), ("coverage",)):
        told = copy.tell(5, *words)
        assert {one["reference"] for one in told["stray"]} == shown(planted)
        assert seals() == there
    dry = copy.tell(0, "rekey", "--in-clear", "--dry-run")
    assert (dry["ok"], dry["amiss"], dry["unsealed"]) == (False, 2, 0)
    assert seals() == there
    told = copy.tell(0, "rekey", "--in-clear")
    assert part(told, "ok", "records", "seals_renewed", "unsealed") == {
        "ok": True,
        "records": 2,
        "seals_renewed": 2,
        "unsealed": 2,
    }
    assert suites() == {"aes-256-gcm": len(there)}
    assert values() == before
    there = seals()
    assert copy.tell(0, "rekey", "--in-clear")["seals_renewed"] == 0
    assert seals() == there
