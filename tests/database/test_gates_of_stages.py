"""Nothing passes a gate that failed, nothing is lost at it, and the ledger has every result."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from msgspec import structs
from own_databases import Databases
from people_house import SHELL, House, build_house, close_house, person
from sqlalchemy import Connection, text

from custody.acts import certify as certify_acts
from custody.acts import store as store_acts
from custody.acts import stored as stored_acts
from custody.acts import transfer as transfer_acts
from custody.acts import writing as writing_acts
from custody.acts.batches import (
    close_batch,
    open_batch,
    receipts_of,
    require_batch,
    revert_batch,
)
from custody.acts.certify import verify_absence
from custody.acts.context import Custody
from custody.acts.destroy import claim_plan, erase_chunk
from custody.acts.gates import pass_gate
from custody.acts.planning import Scope, plan_destruction
from custody.acts.quality import Result, quality_results
from custody.acts.quarantine import retry_quarantine
from custody.acts.recording import record
from custody.acts.sealing import Seals
from custody.acts.store import finish_store, store_chunk
from custody.acts.taking import take_chunks
from custody.acts.transfer import deliver
from custody.acts.verify import verify_installation
from custody.client import Client
from custody.database import records
from custody.database.batches import Batch
from custody.database.engine import transaction
from custody.destruction import DestructionFailedError
from custody.errors import QualityGateError, UsageError
from custody.identifiers import BATCH, PLAN, REQUEST, show_id
from custody.ledger import LedgerBrokenError
from custody.policy.model import Expectation, Gate, Level, QualitySuite
from custody.quality import QualityFaultError
from custody.record import Payload
from custody.seal import DataKey
from custody.steps import observed_by

PEOPLE = "客户号,姓名,手机号\nK1,王小明,13800000001\nK2,李四,123\nK3,赵六,13800000003\nK4,孙七,\n"
MOBILE = "mobile.mobile_malformed"


@pytest.fixture
def house(databases: Databases, tmp_path: Path) -> Iterator[House]:
    """Return an installation that takes in people under a contract, two rows a chunk."""
    made = build_house(databases, tmp_path, staff=())
    policy = made.custody.policy
    source = policy.source("legacy_customers")
    people = replace(source, name="people", purpose="legacy_contract", encoding=None)
    contract = policy.purpose("legacy_contract")
    scope = contract.scope("customers")
    wider = replace(scope, optional=scope.optional | {"mobile"})
    contract = replace(contract, scopes={**contract.scopes, "customers": wider})
    policy = replace(
        policy,
        sources={**policy.sources, "people": people},
        purposes={**policy.purposes, contract.name: contract},
    )
    made.custody = replace(made.custody, policy=policy, chunk_rows=2)
    yield made
    close_house(made)


def letting_pass(custody: Custody, permille: int) -> Custody:
    """Return the installation under a policy whose gate lets so much pass."""
    gate = Gate(owner="engineer", tolerated_permille=permille)
    return replace(custody, policy=replace(custody.policy, gates={"ingest": gate}))


def expecting(custody: Custody, **rows: int | None) -> Custody:
    """Return the installation under a policy that expects so many rows, and names of three."""
    own = Expectation(
        name="names_of_three",
        expect="column_value_lengths_to_equal",
        fields=("name",),
        parameters={"value": 3},
        severity="blocking",
        tolerated_permille=0,
    )
    suite = QualitySuite(
        name="house",
        title={"zh": "自订", "en": "Own"},
        dataset="customers",
        owner="head",
        rows_at_least=rows.get("at_least"),
        rows_at_most=rows.get("at_most"),
        expectations=() if rows else (own,),
    )
    return replace(custody, policy=replace(custody.policy, suites={"house": suite}))


def ingest(custody: Custody, folder: Path, content: str = PEOPLE) -> Batch:
    place = folder / "people.csv"
    place.write_text(content, encoding="utf-8")
    batch = open_batch(custody, SHELL, "people", str(place))
    take_chunks(custody, SHELL, batch, range(batch.chunks), str(place))
    close_batch(custody, SHELL, batch.id)
    return require_batch(custody, batch.id)


def store(custody: Custody, batch: Batch) -> None:
    pass_gate(custody, SHELL, batch.id)
    for number in range(batch.chunks):
        store_chunk(custody, SHELL, batch.id, number)
    finish_store(custody, SHELL, batch.id)


def results_of(custody: Custody, batch_id: UUID, stage: str) -> list[Result]:
    found = quality_results(custody, show_id(BATCH, batch_id))
    return [one for one in found if one.stage == stage]


def counted(result: Result) -> dict[str, tuple[int, int]]:
    return {one.check.name: (one.checked, one.failed) for one in result.judged}


def test_a_batch_of_which_too_much_fails_waits_and_nothing_of_it_is_stored(house: House) -> None:
    strict = letting_pass(house.custody, 249)  # of four rows one has a malformed number
    batch = ingest(strict, house.folder)
    assert batch.state == "stopped"
    with pytest.raises(UsageError, match="stopped"):
        store_chunk(house.custody, SHELL, batch.id, 0)
    with pytest.raises(QualityGateError) as stopped:
        pass_gate(strict, SHELL, batch.id)
    assert [(one.code, one.about, one.count) for one in stopped.value.reasons] == [
        ("mobile_malformed", MOBILE, 1)
    ]
    assert sum(one.accepted for one in receipts_of(strict, batch.id)) == 3
    (result,) = results_of(strict, batch.id, "ingest")
    assert (result.verdict, counted(result)[MOBILE]) == ("failed", (3, 1))
    verify_installation(house.custody, deep=True)


def test_todays_policy_may_let_a_stopped_batch_pass(house: House) -> None:
    batch = ingest(letting_pass(house.custody, 100), house.folder)
    assert batch.state == "stopped"
    lenient = letting_pass(house.custody, 250)
    store(lenient, batch)
    assert require_batch(lenient, batch.id).state == "stored"
    verdicts = [one.verdict for one in results_of(lenient, batch.id, "ingest")]
    assert verdicts == ["failed", "warned"]
    assert sum(one.stored for one in receipts_of(lenient, batch.id)) == 3


def test_a_stopped_batch_can_be_undone(house: House) -> None:
    batch = ingest(letting_pass(house.custody, 0), house.folder)
    revert_batch(house.custody, SHELL, batch.id)
    assert require_batch(house.custody, batch.id).state == "reverted"


@pytest.mark.parametrize(
    ("rows", "state"),
    [
        ({"at_least": 4, "at_most": 4}, "ingested"),
        ({"at_least": 5}, "stopped"),
        ({"at_most": 3}, "stopped"),
    ],
)
def test_a_batch_has_as_many_rows_as_the_firm_expects(
    house: House, rows: dict[str, int], state: str
) -> None:
    batch = ingest(expecting(house.custody, **rows), house.folder)
    assert batch.state == state
    (result,) = results_of(house.custody, batch.id, "ingest")
    assert counted(result)["suites.house.rows"] == (1, int(state == "stopped"))


def test_a_firms_own_expectation_refuses_rows_and_stops_batches(house: House) -> None:
    batch = ingest(expecting(house.custody), house.folder)
    assert batch.state == "stopped"
    (result,) = results_of(house.custody, batch.id, "ingest")
    assert counted(result)["suites.house.names_of_three"] == (4, 3)
    reasons = [one.reasons for one in receipts_of(house.custody, batch.id)]
    assert sum(one.get("expectation_failed", 0) for one in reasons) == 3


def test_what_only_the_end_of_a_batch_can_see_is_counted_then(house: House) -> None:
    twice = PEOPLE + "K1,王大明,13800000009\n"
    batch = ingest(letting_pass(house.custody, 399), house.folder, twice)
    assert batch.state == "stopped"
    (result,) = results_of(house.custody, batch.id, "ingest")
    assert counted(result)["customer_no.duplicate_in_batch"] == (5, 2)


def test_a_field_that_is_seldom_given_stops_no_batch_by_one_mistake(house: House) -> None:
    rows = "".join(f"K{number},王小明,\n" for number in range(10, 30))
    content = "客户号,姓名,手机号\nK1,王小明,123\n" + rows
    assert ingest(letting_pass(house.custody, 100), house.folder, content).state == "ingested"


def test_rows_that_come_again_from_quarantine_are_counted_once(house: House) -> None:
    custody = letting_pass(house.custody, 250)
    batch = ingest(custody, house.folder)
    store(custody, batch)
    for _ in range(2):
        retry_quarantine(custody, SHELL, batch.id)
        assert require_batch(custody, batch.id).state == "ingested"
        store(custody, require_batch(custody, batch.id))
    (result,) = results_of(custody, batch.id, "ingest")
    assert counted(result)[MOBILE] == (3, 1)


def test_a_stopped_batch_does_not_get_past_its_gate_by_a_retry(house: House) -> None:
    custody = letting_pass(house.custody, 0)
    batch = ingest(custody, house.folder)
    retry_quarantine(custody, SHELL, batch.id)
    assert require_batch(custody, batch.id).state == "stopped"


def test_a_question_that_was_not_asked_is_not_answered(house: House) -> None:
    """Another question under the same name, or none: what was let pass then still holds."""
    batch = ingest(expecting(house.custody), house.folder)
    asked = expecting(house.custody).policy.suites["house"]
    (own,) = asked.expectations
    lenient = replace(own, tolerated_permille=1000)
    otherwise = replace(lenient, parameters={"value": 2})
    renamed = replace(lenient, name="another")
    for one in (otherwise, renamed):
        suite = replace(asked, expectations=(one,))
        policy = replace(house.custody.policy, suites={"house": suite})
        with pytest.raises(QualityGateError):
            pass_gate(replace(house.custody, policy=policy), SHELL, batch.id)
    with pytest.raises(QualityGateError):
        pass_gate(house.custody, SHELL, batch.id)  # a policy that does not ask it any more
    policy = replace(house.custody.policy, purposes={})
    with pytest.raises(QualityGateError):
        pass_gate(replace(house.custody, policy=policy), SHELL, batch.id)
    suite = replace(asked, expectations=(lenient,))
    policy = replace(house.custody.policy, suites={"house": suite})
    pass_gate(replace(house.custody, policy=policy), SHELL, batch.id)
    assert require_batch(house.custody, batch.id).state == "ingested"


def test_a_suite_that_is_not_kept_is_a_fault_and_lets_nothing_pass(
    house: House, databases: Databases
) -> None:
    place = house.folder / "people.csv"
    place.write_text(PEOPLE, encoding="utf-8")
    batch = open_batch(house.custody, SHELL, "people", str(place))
    take_chunks(house.custody, SHELL, batch, range(batch.chunks), str(place))
    with psycopg.connect(databases.owner_url.replace("+psycopg", "")) as connection:
        connection.execute("DELETE FROM custody.quality_suites")
    with pytest.raises(QualityFaultError):
        close_batch(house.custody, SHELL, batch.id)
    assert require_batch(house.custody, batch.id).state == "open"


def test_a_program_is_told_of_a_gate_as_people_are(house: House) -> None:
    place = house.folder / "people.csv"
    place.write_text(PEOPLE, encoding="utf-8")
    strict = Client(letting_pass(house.custody, 0), SHELL)
    for _ in range(2):
        with pytest.raises(QualityGateError):
            strict.ingest_file("people", place)
    lenient = Client(letting_pass(house.custody, 1000), SHELL)
    assert lenient.ingest_file("people", place).stored == 3


@pytest.mark.parametrize("forged", [{"n": 1}, {"verdict": "passed"}])
def test_a_result_that_somebody_made_up_is_named(house: House, forged: dict[str, object]) -> None:
    ingest(letting_pass(house.custody, 0), house.folder)
    with transaction(house.custody.data) as connection:
        said = connection.execute(
            text("SELECT body FROM ledger.entries WHERE event = 'quality:ingest:judged'")
        ).scalar_one()
        facts = forged if "n" in forged else {**json.loads(said)["facts"], **forged}
        record(connection, house.custody, SHELL, "quality:ingest:judged", facts)
    assert [one.verdict for one in quality_results(house.custody)] == ["failed", "unreadable"]
    with pytest.raises(LedgerBrokenError, match="does not follow"):
        verify_installation(house.custody)


def _lost_rows(patch: pytest.MonkeyPatch) -> None:
    read = store_acts.read_intake
    patch.setattr(store_acts, "read_intake", lambda *what: read(*what)[1:])


def _fewer_rows(patch: pytest.MonkeyPatch) -> None:
    copy = records.copy_records
    patch.setattr(records, "copy_records", lambda at, rows: copy(at, list(rows)[1:]))


def _in_clear(patch: pytest.MonkeyPatch) -> None:
    seal = writing_acts.seal_payloads

    def unsealed(*what: Any, **how: Any) -> Seals:
        return {**seal(*what, **how), "general": "王小明".encode() * 20}

    patch.setattr(writing_acts, "seal_payloads", unsealed)


def _other_content(patch: pytest.MonkeyPatch) -> None:
    copy = records.copy_record_keys

    def spoilt(at: Connection, keys: list[records.RecordKey], epoch: int) -> None:
        first, *others = keys
        copy(at, [structs.replace(first, content_tag=b"x" * 16), *others], epoch)

    patch.setattr(records, "copy_record_keys", spoilt)


def _no_key(patch: pytest.MonkeyPatch) -> None:
    copy = records.copy_record_keys
    patch.setattr(records, "copy_record_keys", lambda at, keys, epoch: copy(at, keys[1:], epoch))


def _no_entry(patch: pytest.MonkeyPatch) -> None:
    copy = writing_acts.copy_search
    patch.setattr(writing_acts, "copy_search", lambda at, entries: copy(at, entries[1:]))


def _other_value(patch: pytest.MonkeyPatch) -> None:
    seal = writing_acts.seal_payloads

    def other(
        custody: Custody, key: DataKey, payloads: Mapping[Level, Payload], **how: Any
    ) -> Seals:
        first, *others = payloads.items()
        changed = {first[0]: {**first[1], max(first[1]): "别的"}, **dict(others)}
        return seal(custody, key, changed, **how)

    patch.setattr(writing_acts, "seal_payloads", other)


WRONG: dict[str, tuple[Callable[[pytest.MonkeyPatch], None], set[str]]] = {
    "a row of intake is lost": (_lost_rows, {"stored_as_accepted"}),
    "a row is not written": (
        _fewer_rows,
        {"stored_as_accepted", "sealed_columns_hold_seals", "a_sample_opens_to_what_was_accepted"},
    ),
    "a column is in clear": (
        _in_clear,
        {"sealed_columns_hold_seals", "a_sample_opens_to_what_was_accepted"},
    ),
    "a key has another content": (_other_content, {"content_as_accepted"}),
    "a record key is missing": (_no_key, {"content_as_accepted", "record_keys_complete"}),
    "a search entry is missing": (_no_entry, {"search_index_complete"}),
    "a seal holds something else": (_other_value, {"a_sample_opens_to_what_was_accepted"}),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_chunk_that_was_stored_otherwise_is_not_stored(house: House, wrong: str) -> None:
    spoil, failing = WRONG[wrong]
    custody = house.custody
    batch = ingest(custody, house.folder)
    with pytest.MonkeyPatch.context() as patch:
        spoil(patch)
        with pytest.raises(QualityGateError) as failed:
            store_chunk(custody, SHELL, batch.id, 0)
    assert {one.about for one in failed.value.reasons} == failing
    with transaction(custody.data) as connection:
        assert connection.execute(text("SELECT count(*) FROM records")).scalar_one() == 0
    (result,) = results_of(custody, batch.id, "store")
    assert (result.verdict, result.judged[0].check.owner) == ("failed", "engineer")
    store(custody, batch)
    last = results_of(custody, batch.id, "store")[-1]
    assert last.verdict == "passed"
    assert counted(last)["stored_as_accepted"] == (3, 0)
    assert counted(last)["a_sample_opens_to_what_was_accepted"] == (3, 0)
    verify_installation(custody, deep=True)


def test_of_a_large_chunk_a_sample_is_opened(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored_acts, "SAMPLE", 2)
    custody = replace(house.custody, chunk_rows=100)
    batch = ingest(custody, house.folder)
    store(custody, batch)
    (result,) = results_of(custody, batch.id, "store")
    assert counted(result)["a_sample_opens_to_what_was_accepted"] == (2, 0)


def test_a_package_without_all_that_was_approved_is_not_delivered(
    databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = build_house(databases, tmp_path)
    try:
        made.store([person(1), person(2)])
        request_id = made.approved()
        sift = transfer_acts.sift

        def losing(*what: object) -> object:
            rows, left_out = sift(*what)  # type: ignore[arg-type]
            return rows[1:], left_out

        with monkeypatch.context() as patch:
            patch.setattr(transfer_acts, "sift", losing)
            with pytest.raises(QualityGateError) as failed:
                deliver(made.custody, SHELL, request_id)
        assert [(one.code, one.count) for one in failed.value.reasons] == [("package_count", 1)]
        assert not list(made.custody.outbox.glob("req_*"))
        assert deliver(made.custody, SHELL, request_id).rows == 2
        found = quality_results(made.custody, show_id(REQUEST, request_id))
        assert [one.verdict for one in found] == ["failed", "passed"]
        assert counted(found[1])["rows_as_approved_less_accounted"] == (2, 0)
    finally:
        close_house(made)


def test_what_destroy_left_behind_is_in_the_ledger_and_nothing_is_certified(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    custody = house.custody
    batch = ingest(custody, house.folder)
    store(custody, batch)
    scope = Scope(as_of=custody.today(), batch_id=batch.id)
    plan = plan_destruction(custody, SHELL, scope)
    for chunk in claim_plan(custody, SHELL, plan.id):
        erase_chunk(custody, SHELL, plan.id, chunk)
    with monkeypatch.context() as patch:
        patch.setattr(certify_acts.identities, "count_tags", lambda *_: 2)
        with pytest.raises(DestructionFailedError, match="identity tags: 2"):
            verify_absence(custody, SHELL, plan.id)
    absence = verify_absence(custody, SHELL, plan.id)
    failed, passed = quality_results(custody, show_id(PLAN, plan.id))
    assert (failed.verdict, passed.verdict) == ("failed", "passed")
    assert counted(failed)["identity_tags_absent"][1] == 2
    assert counted(passed)["records_absent"] == (3, 0)
    assert absence.quality == passed.digest


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("UPDATE custody.quality_suites SET body = replace(body, 'blocking', 'warning')", "is not"),
        ("DELETE FROM custody.quality_suites", "does not follow"),
    ],
)
def test_a_suite_that_was_changed_or_removed_is_found(
    house: House, databases: Databases, change: str, told: str
) -> None:
    ingest(house.custody, house.folder)
    assert verify_installation(house.custody).suites == 1
    url = databases.owner_url.replace("postgresql+psycopg", "postgresql")
    with psycopg.connect(url) as connection:
        connection.execute(change)
    with pytest.raises(LedgerBrokenError, match=told):
        verify_installation(house.custody)


def test_no_value_of_anybody_is_in_any_result(house: House) -> None:
    batch = ingest(letting_pass(house.custody, 0), house.folder)
    with transaction(house.custody.data) as connection:
        kept = connection.execute(text("SELECT body FROM quality_suites")).scalars().all()
        said = connection.execute(
            text("SELECT body FROM ledger.entries WHERE event LIKE 'quality:%'")
        ).scalars()
        told = "".join([*kept, *said])
    assert batch.state == "stopped"
    assert "mobile_malformed" in told
    assert not [one for one in ("王小明", "13800000001", "K1", "123,") if one in told]


def test_a_check_that_cannot_run_is_a_fault_and_no_verdict(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever breaks a check of a stage undoes the act, and the ledger has no result of it."""
    batch = ingest(house.custody, house.folder)

    def broken(*_: object) -> None:
        raise RuntimeError("no connection")

    seen: list[str] = []
    with monkeypatch.context() as patch, observed_by(seen.append):
        patch.setattr(stored_acts, "count_stored", broken)
        with pytest.raises(RuntimeError):
            store_chunk(house.custody, SHELL, batch.id, 0)
    assert results_of(house.custody, batch.id, "store") == []
    assert "chunk:store:completed:before-commit" not in seen
