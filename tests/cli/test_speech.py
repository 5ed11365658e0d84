"""How commands speak: one JSON document, exit codes, two languages, nothing about a customer."""

import json
import os
import select
import signal
import subprocess
import sys
import time
from importlib import util
from pathlib import Path
from typing import Any

import pytest
from cli_firm import Firm, call

from custody.cli.manner import Manner, take_manner
from custody.cli.output import width
from custody.errors import UsageError
from custody.keys.person import open_person_key

ROOT = Path(__file__).resolve().parents[2]
NOBODY = "0" * 26
SECRET = "王小明 11010519491231002X"


def leaf_commands() -> list[tuple[str, ...]]:
    spec = util.spec_from_file_location("make_cli", ROOT / "docs" / "make_cli.py")
    assert spec is not None
    assert spec.loader is not None
    made = util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return [
        tuple(name.split()[1:])
        for name, command in made.commands()
        if not getattr(command, "commands", None)
    ]


def only_json(out: str) -> dict[str, Any]:
    document = json.loads(out)
    assert isinstance(document, dict)
    return document


@pytest.mark.parametrize("words", leaf_commands(), ids=" ".join)
def test_every_command_gives_wrong_usage_as_one_json_document(words: tuple[str, ...]) -> None:
    outcome = call(*words, "--no-such-option", "--json")
    assert outcome.code == 2
    assert outcome.err == ""
    error = only_json(outcome.out)["error"]
    assert error["code"] == "usage"
    assert error["message"]
    assert error["next"]


@pytest.mark.parametrize("words", [(), ("staff",), ("ingest",), ("no-such-command",)], ids=str)
def test_a_call_without_a_command_is_wrong_usage(words: tuple[str, ...]) -> None:
    assert call(*words).code == 2
    assert only_json(call(*words, "--json").out)["error"]["code"] == "usage"


@pytest.mark.parametrize(
    "words",
    [
        ("policy", "check"),
        ("policy", "show", "--section", "purposes"),
        ("explain", "consent_missing"),
        ("status",),
        ("doctor",),
        ("ingest", "list"),
        ("quarantine", "list"),
        ("staff", "list"),
        ("use", "list"),
        ("transfer", "list"),
        ("destroy", "list"),
        ("hold", "list"),
        ("down",),
        ("verify",),
    ],
    ids=" ".join,
)
def test_what_succeeds_says_something_in_each_manner(firm: Firm, words: tuple[str, ...]) -> None:
    assert firm.do(*words)
    for more in ((), ("--quiet",), ("--lang", "zh")):
        outcome = call(*words, *more)
        assert outcome.code == 0, outcome.err
        assert outcome.out.strip()
    assert call(*words, "--quiet").err == ""


@pytest.mark.parametrize(
    "words",
    [
        ("explain", f"req_{NOBODY}"),
        ("explain", f"plan_{NOBODY}"),
        ("explain", f"cert_{NOBODY}"),
        ("explain", f"batch_{NOBODY}"),
        ("explain", "nonsense"),
        ("store", f"batch_{NOBODY}"),
        ("store", "batch_short"),
        ("ingest", "revert", f"batch_{NOBODY}"),
        ("ingest", "/no/such/file.csv", "--source", "legacy_customers"),
        ("ingest", __file__, "--source", "no_such_source"),
        ("quarantine", "retry", f"batch_{NOBODY}"),
        ("staff", "add", "--name", "a", "--department", "b", "--role", "no_such_role"),
        ("staff", "deactivate", f"staff_{NOBODY}"),
        ("consent", "show", f"cust_{NOBODY}"),
        ("customer", "show", f"cust_{NOBODY}"),
        ("customer", "find", "--reference", "nobody=1", "--source", "legacy_customers"),
        ("customer", "find", "--reference", "customer_no=1", "--namespace", "nowhere"),
        ("destroy", "plan", "--as-of", "yesterday"),
        ("destroy", "apply", f"plan_{NOBODY}"),
        ("hold", "lift", f"hold_{NOBODY}"),
        ("event", f"cust_{NOBODY}", "relationship_ended", "--on", "2026-01-01"),
        ("certificate", "show", f"cert_{NOBODY}"),
        ("approve", f"req_{NOBODY}", "--key", "/no/key", "--yes"),
        ("use", "show", f"req_{NOBODY}"),
        ("policy", "check", "/no/such/folder"),
        ("read", f"grant_{NOBODY}", "--session", "/no/session"),
        ("init", "--officer", "a:b", "--officer", "c:d"),
        ("verify", "--lang", "fr"),
    ],
    ids=" ".join,
)
def test_unknown_names_are_wrong_usage(firm: Firm, words: tuple[str, ...]) -> None:
    error = firm.refuse(2, *words)["error"]
    assert error["message"]
    assert call(*words).out == ""


@pytest.mark.parametrize(
    ("lang", "title"), [("en", "fault"), ("zh", "CannotBeForeseen")], ids=["en", "zh"]
)
def test_what_nobody_foresaw_is_told_by_type_and_place_alone(
    monkeypatch: pytest.MonkeyPatch, lang: str, title: str
) -> None:
    class CannotBeForeseen(Exception):  # noqa: N818 - the point is that nobody knows it
        pass

    def fail(*_: object) -> None:
        raise CannotBeForeseen(SECRET)

    monkeypatch.setattr("custody.cli.policy.load_settings", fail)
    outcome = call("policy", "check", "--json", "--lang", lang)
    assert outcome.code == 1
    assert "CannotBeForeseen" in outcome.out
    assert SECRET not in outcome.out + outcome.err
    assert "Traceback" not in outcome.err
    assert SECRET in call("policy", "check", "--debug").err
    assert title in outcome.out


def test_a_broken_policy_is_told_with_every_problem(tmp_path: Path) -> None:
    (tmp_path / "catalogue.yaml").write_text("datasets: 1\nnonsense: 2\n", encoding="utf-8")
    outcome = call("policy", "check", str(tmp_path), "--json")
    assert outcome.code == 2
    reasons = only_json(outcome.out)["error"]["reasons"]
    assert len(reasons) > 1
    assert all(reason["about"].count(":") == 2 for reason in reasons)


def test_the_manner_is_asked_for_anywhere_on_the_line() -> None:
    given = ["--json", "hold", "add", "--lang=zh", "c", "--", "--quiet"]
    assert take_manner(given, {}) == (
        Manner(json=True, lang="zh"),
        ["hold", "add", "c", "--", "--quiet"],
    )
    assert take_manner(["status"], {"CUSTODY_LOCALE": "zh"})[0].lang == "zh"
    with pytest.raises(UsageError):
        take_manner(["status", "--lang", "fr"], {})


def test_chinese_characters_take_two_columns() -> None:
    assert (width("ab"), width("客户"), width("a客")) == (2, 4, 3)


def test_a_person_at_a_terminal_is_asked_for_a_passphrase_twice(tmp_path: Path) -> None:
    terminal, theirs = os.openpty()
    environment = {name: value for name, value in os.environ.items() if "PASSPHRASE" not in name}
    asked = subprocess.Popen(
        (sys.executable, "-m", "custody.cli.main", "staff", "key", str(tmp_path / "own.key")),
        stdin=theirs,
        stderr=theirs,
        stdout=subprocess.PIPE,
        start_new_session=True,
        env=environment,
        text=True,
    )
    for question in (b"New passphrase for own", b"Repeat"):
        wait_for(terminal, question)
        os.write(terminal, b"my own words\n")
    out, _ = asked.communicate(timeout=30)
    assert asked.returncode == 0
    assert "public key" in out
    assert open_person_key(tmp_path / "own.key", b"my own words").public.hex() in out


def wait_for(terminal: int, question: bytes) -> None:
    """Read what a terminal shows until the question stands there; typing earlier is lost."""
    shown = b""
    while question not in shown:
        assert select.select([terminal], [], [], 20)[0], shown
        shown += os.read(terminal, 1000)
    time.sleep(0.2)


def test_without_a_terminal_nobody_is_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("CUSTODY_PERSON_PASSPHRASE_FILE", raising=False)
    outcome = call("staff", "key", str(tmp_path / "own.key"))
    assert outcome.code == 2
    assert "CUSTODY_PERSON_PASSPHRASE_FILE" in outcome.err
    assert not (tmp_path / "own.key").exists()


def test_ctrl_c_ends_up_cleanly_and_leaves_no_worker(firm: Firm) -> None:
    up = subprocess.Popen(
        (sys.executable, "-m", "custody.cli.main", "up", "--json"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "CUSTODY_HOME": str(firm.home)},
    )
    assert up.stdout is not None
    said = "".join(iter(up.stdout.readline, "}\n")) + "}"
    assert only_json(said)["ui"].startswith("http://127.0.0.1:")
    up.send_signal(signal.SIGINT)
    up.communicate(timeout=60)
    assert up.returncode == 130
    assert not children_of("prefect worker", firm.home)


def children_of(what: str, home: Path) -> list[str]:
    """Return the command lines of processes that work for a home and run ``what``."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            environment = (folder / "environ").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if what in line and str(home) in environment:
            found.append(line)
    return found
