"""``witness``, ``verify``, ``evidence``, ``history`` by command: the record, and who watches it."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cli_firm import call
from copied_firm import Copy
from copied_firm import copy as copy  # noqa: PLC0414 - a fixture
from copied_firm import founded as founded  # noqa: PLC0414 - another
from sqlalchemy import text

from custody.cli.session import opened
from custody.database.engine import make_engine, transaction
from custody.identifiers import CUSTOMER, show_id
from custody.note import VerifierKey, cosigned_at, parse_note

CUSTODY = str(Path(sys.executable).parent / "custody")
NAME = "witness.example/w1"
INTERRUPTED = 130


@contextmanager
def witness(copy: Copy, folder: Path, patch: pytest.MonkeyPatch) -> Iterator[VerifierKey]:
    """Run a witness that knows this firm's ledger, and have the firm's commands know it."""
    key = str(copy.tell(0, "witness", "init", str(folder), "--name", NAME)["witness_key"])
    log = str(copy.tell(0, "witness", "log-key")["log_key"])
    copy.tell(0, "witness", "trust", str(folder), log)
    with running(folder) as url:
        patch.setenv("CUSTODY_WITNESS_URL", url)
        patch.setenv("CUSTODY_WITNESS_KEY", key)
        yield VerifierKey.parse(key)


@contextmanager
def running(folder: Path) -> Iterator[str]:
    process = subprocess.Popen(
        [CUSTODY, "--json", "witness", "run", str(folder), "--listen", "127.0.0.1:0"],
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    lines = ""
    for line in process.stdout:
        lines += line
        if line.rstrip() == "}":
            break
    try:
        yield str(json.loads(lines)["url"])
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
    assert process.returncode == INTERRUPTED


def act(copy: Copy) -> None:
    """Do something that leaves an entry."""
    copy.tell(
        0, "customer", "find", "--reference", "customer_no=K900001", "--source", "legacy_customers"
    )


def last_note(copy: Copy) -> Path:
    return copy.home / "keys" / "checkpoint.note"


def owner(copy: Copy, *statements: str) -> None:
    engine = make_engine(copy.databases.owner_url)
    with transaction(engine) as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


def test_every_command_that_does_something_keeps_a_checkpoint(copy: Copy) -> None:
    act(copy)
    first = last_note(copy).read_text(encoding="utf-8")
    copy.tell(0, "hold", "list")
    copy.tell(0, "verify")
    assert last_note(copy).read_text(encoding="utf-8") == first  # nothing came
    act(copy)
    assert last_note(copy).read_text(encoding="utf-8") != first
    journal = (copy.home / "checkpoints" / "ledger.notes").read_text(encoding="utf-8")
    assert journal.count("custody/inst_") == journal.count("— ") * 2
    told = copy.tell(0, "verify")
    assert told["unplaced"] == 0
    assert told["checkpoints"] == journal.count("— ") + 1


def test_every_check_of_the_policy_is_shown_with_who_answers_for_it(
    copy: Copy, tmp_path: Path
) -> None:
    page = tmp_path / "suites.html"
    found = copy.tell(0, "quality", "suites", "--html", str(page))
    assert {one["stage"] for one in found["suites"]} == {"ingest", "store", "transfer", "destroy"}
    checks = {one["check"]: one for one in found["checks"]}
    own = checks["suites.transactions_say_something.product_is_no_placeholder"]
    assert (own["owner"], own["severity"]) == ("engineer", "warning")
    assert all(one["owner"] for one in checks.values())
    assert checks["resident_id.resident_id_check_digit"]["code"] in page.read_text(encoding="utf-8")
    some = copy.tell(0, "quality", "suites", "--dataset", "customers", "--stage", "ingest")
    assert {one["dataset"] for one in some["checks"]} == {"customers"}
    assert copy.tell(2, "quality", "suites", "--stage", "use")["error"]["code"] == "usage"
    assert copy.tell(2, "quality", "results", "batch_unknown")["error"]["code"] == "usage"


def test_entries_past_their_retention_go_by_command(copy: Copy) -> None:
    urls = copy.home / "owner_urls"
    urls.write_text(f"{copy.databases.owner_url}\n{copy.databases.keys_owner_url}\n")
    by_owner = ("ledger", "retire", "--owner-urls", str(urls))
    told = copy.tell(2, "ledger", "retire")["error"]
    assert "--owner-urls" in told["message"]
    assert copy.tell(0, *by_owner)["entries"] == 0
    owner(  # all that was written so far, as it would be in eleven years
        copy,
        "UPDATE ledger.entries SET at = at - interval '11 years'",
        "TRUNCATE ledger.leaves, ledger.nodes",
        "UPDATE ledger.tree SET size = 0, perfect = '{}'",
        "UPDATE ledger.streams SET in_tree = 0",
    )
    shutil.rmtree(copy.home / "checkpoints")
    last_note(copy).unlink()
    copy.tell(0, "hold", "list")  # it is closed by a checkpoint
    act(copy)
    old = copy.tell(0, "verify")["entries"] - 1
    assert copy.tell(0, *by_owner, "--dry-run")["entries"] == old
    assert copy.tell(0, *by_owner)["entries"] == old
    told = copy.tell(0, "verify", "--deep")
    assert (told["retired"], told["entries"]) == (old, old + 2)
    assert copy.tell(0, *by_owner)["entries"] == 0


def test_a_cut_ledger_is_found_by_the_next_command_and_by_verification(copy: Copy) -> None:
    act(copy)
    kept = copy.home / "taken-along.note"
    shutil.copy(last_note(copy), kept)
    owner(
        copy,
        "DELETE FROM ledger.entries WHERE seq = (SELECT max(seq) FROM ledger.entries)",
        "TRUNCATE ledger.leaves, ledger.nodes",
        "UPDATE ledger.tree SET size = 0, perfect = '{}'",
        "UPDATE ledger.streams SET in_tree = 0",
    )
    with opened(to_look=True) as custody, transaction(custody.data) as connection:
        connection.execute(text("SELECT ledger.sequence(10000)"))
    told = copy.tell(1, "verify")
    assert told["error"]["code"] == "checkpoint_contradicted"
    assert copy.tell(1, "hold", "list")["error"]["code"] == "checkpoint_contradicted"
    shutil.rmtree(copy.home / "checkpoints")
    last_note(copy).unlink()
    copy.tell(0, "verify")  # nothing in these hands tells any more
    told = copy.tell(1, "verify", "--checkpoint", str(kept))
    assert told["error"]["code"] == "checkpoint_contradicted"


def test_a_witness_cosigns_and_is_asked_again(
    copy: Copy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with witness(copy, tmp_path / "w", monkeypatch) as key:
        act(copy)
        note = parse_note(last_note(copy).read_bytes())
        assert cosigned_at(note, key) is not None
        told = copy.tell(0, "verify")
        shutil.rmtree(copy.home / "checkpoints")
        last_note(copy).unlink()
        assert copy.tell(0, "verify")["checkpoints"] == 1 < told["checkpoints"]
    silent = call(
        "customer", "find", "--reference", "customer_no=K900001", "--source", "legacy_customers"
    )
    assert silent.code == 0
    assert "witness" in silent.err
    assert copy.tell(1, "verify")["error"]["code"] == "witness_unreachable"


def test_a_witness_that_does_not_know_the_ledger_is_told_of(
    copy: Copy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = copy.tell(0, "witness", "init", str(tmp_path / "w"), "--name", NAME)["witness_key"]
    with running(tmp_path / "w") as url:
        monkeypatch.setenv("CUSTODY_WITNESS_URL", url)
        monkeypatch.setenv("CUSTODY_WITNESS_KEY", str(key))
        told = copy.tell(
            1,
            "customer",
            "find",
            "--reference",
            "customer_no=K900001",
            "--source",
            "legacy_customers",
        )
    assert told["error"]["code"] == "witness_refused"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("witness", "run", "nowhere"), 2),
        (("witness", "run", "nowhere", "--listen", "80"), 2),
        (("witness", "init", "here", "--name", "a b"), 2),
        (("witness", "trust", "nowhere", "no key"), 1),
        (("verify", "--checkpoint", "nowhere.note"), 2),
        (("evidence", "export", "--out", "x.zip", "--from", "yesterday"), 2),
        (("evidence", "export", "--out", "x.zip", "--subject", "a", "--request", "b"), 2),
        (("history", "prune"), 2),
    ],
)
def test_what_is_called_wrongly(
    copy: Copy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: Any, code: int
) -> None:
    monkeypatch.chdir(tmp_path)
    copy.tell(code, *arguments)
    assert list(tmp_path.glob("*.zip")) == []


def test_evidence_is_written_and_verified(
    copy: Copy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened() as custody, transaction(custody.data) as connection:
        found = connection.execute(text("SELECT customer_id FROM records ORDER BY 1 LIMIT 1"))
        subject = show_id(CUSTOMER, found.scalar_one())
    with witness(copy, tmp_path / "w", monkeypatch) as key:
        package = tmp_path / "evidence.zip"
        done = copy.tell(0, "evidence", "export", "--out", str(package), "--subject", subject)
        log = copy.tell(0, "witness", "log-key")["log_key"]
        known = ("--key", str(log), "--witness", str(key))
        told = copy.tell(0, "evidence", "verify", str(package), *known)
    assert told["ok"]
    assert told["VALID"] == "yes"
    assert int(told["parts shown"]) == done["parts"] > 0
    assert NAME in told["cosigned"]
    assert copy.tell(2, "evidence", "export", "--out", str(package))
    package.write_bytes(package.read_bytes()[:-40])
    assert not copy.tell(1, "evidence", "verify", str(package))["ok"]


def test_history_is_of_the_ledger_alone(copy: Copy) -> None:
    assert copy.tell(0, "history", "list") == {"known": 0, "runs": []}
