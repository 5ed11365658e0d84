"""An evidence package is checked by one file and a library, and says nothing of anybody else."""

import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest
from house import TESTER, destroy, founded, plan_all
from racing import accept_all, settled_contracts

from custody.acts.checkpoints import log_key
from custody.acts.context import Custody
from custody.acts.evidence import EvidenceReceipt, Scope, export_evidence
from custody.acts.proving import prove_parts_of
from custody.acts.turning import turn_keys
from custody.database.engine import transaction
from custody.database.records import records_of
from custody.embedded.postgres import EmbeddedPostgres
from custody.errors import UsageError
from custody.evidence import verify
from custody.gates import GateCheck, GateSuite, judge
from custody.identifiers import CERTIFICATE, CUSTOMER, show_id

ROOT = Path(__file__).resolve().parents[2]
VERIFIER = ROOT / "custody" / "evidence" / "verify.py"
DUE, KEPT = date(2015, 3, 2), date(2026, 11, 2)


@dataclass
class Taken:
    """An installation, its people, and packages about what was done to them."""

    custody: Custody
    key: str
    people: Sequence[str]
    packages: dict[str, Path]
    receipts: dict[str, EvidenceReceipt]
    secrets: list[str]


@pytest.fixture(scope="module")
def taken(
    _templates: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Taken]:
    folder = tmp_path_factory.mktemp("evidence")
    with (
        pytest.MonkeyPatch.context() as patch,
        founded(_templates, folder) as site,
        site.opened() as custody,
    ):
        accept_all(patch)
        yield take(custody, folder)


def take(custody: Custody, folder: Path) -> Taken:
    """Settle some people, destroy what is due and one of them, and take evidence of each kind."""
    people = settled_contracts(custody, folder, 4, DUE, KEPT)
    certificate = destroy(custody, plan_all(custody))
    assert certificate is not None
    taken = Taken(custody, str(log_key(custody)), [], {}, {}, [])
    taken.people = [show_id(CUSTOMER, one) for one in people]
    with transaction(custody.data) as connection:
        erased = records_of(connection, [people[0]])
    # Whoever had these could link what is left to the erased person.
    taken.secrets = [taken.people[0].partition("_")[2], people[0].hex, str(people[0])]
    for row in erased:
        taken.secrets += [row.id.hex, str(row.id)]
    taken.secrets += [one.opening.hex() for one in prove_parts_of(custody, people[0])]
    _export(taken, folder, "before", about=taken.people[1])
    assert destroy(custody, plan_all(custody, people[0])) is not None
    turn_keys(custody, TESTER, everything=True)
    _export(taken, folder, "subject", about=taken.people[1])
    _export(taken, folder, "certificate", about=show_id(CERTIFICATE, certificate.id))
    _export(taken, folder, "everything")
    return taken


def _export(taken: Taken, folder: Path, name: str, about: str = "") -> None:
    path = folder / f"{name}.zip"
    taken.receipts[name] = export_evidence(taken.custody, TESTER, Scope(about=about), path)
    taken.packages[name] = path


def verdict(package: Path, *given: str) -> tuple[int, str]:
    """Run the verifier where no module of ours can be found."""
    done = subprocess.run(
        [sys.executable, "-I", str(VERIFIER), str(package), *given],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )
    assert done.stderr == ""
    return done.returncode, done.stdout


def contents(package: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(package) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def packed(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as made:
        for name, content in files.items():
            made.writestr(name, content)
    return path


@pytest.mark.parametrize("name", ["before", "subject", "certificate", "everything"])
def test_a_package_holds(taken: Taken, name: str) -> None:
    code, said = verdict(taken.packages[name], "--key", taken.key)
    assert code == 0, said
    assert "VALID: yes" in said
    assert f"entries shown: {taken.receipts[name].entries}" in said
    assert f"parts shown: {taken.receipts[name].parts}" in said


def test_what_each_package_shows(taken: Taken) -> None:
    assert taken.receipts["everything"].entries == taken.receipts["everything"].size
    assert taken.receipts["subject"].parts == 4  # three were stored, one was deleted
    assert taken.receipts["certificate"].certificates == 1
    for name in ("subject", "certificate"):
        assert 0 < taken.receipts[name].entries < taken.receipts[name].size / 2
    lines = contents(taken.packages["certificate"])["entries.jsonl"].decode().splitlines()
    events = {json.loads(json.loads(line)["entry"])["event"] for line in lines}
    assert events == {
        "plan:destroy:written",
        "plan:destroy:begun",
        "record:data:deleted",
        "quality:destroy:judged",
        "certificate:destroy:issued",
    }


def test_a_package_shows_what_was_asked_of_the_data_and_what_came_of_it(taken: Taken) -> None:
    for name, results in (("certificate", 1), ("subject", 0)):
        _, said = verdict(taken.packages[name], "--key", taken.key)
        assert f"quality results: {results}\n" in said
        suites = [one for one in contents(taken.packages[name]) if one.startswith("suites/")]
        assert len(suites) == results
    _, said = verdict(taken.packages["everything"], "--key", taken.key)
    assert int(said.partition("quality results: ")[2].partition("\n")[0]) > 4


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({}, ""),
        ({"verdict": "passed"}, "does not follow"),
        ({"failed": [0]}, "does not follow"),
        ({"checked": [100]}, "does not follow"),
        ({"rows": 1000}, "does not follow"),
        ({"codes": []}, "does not follow"),
        ({"batch": "batch_2"}, "does not follow"),
        ({"checked": [10, 10]}, "not the counts"),
        ({"suite": "0" * 64}, "does not follow"),
    ],
)
def test_a_verdict_that_does_not_follow_is_found(change: dict[str, object], told: str) -> None:
    check = GateCheck(
        name="a.b", code="b", kind="count", owner="head", tolerated_permille=99, asked={}
    )
    suite = GateSuite(stage="ingest", dataset="customers", checks=(check,))
    facts = judge(suite, {"a.b": (10, 1)}, 11).facts({"batch": "batch_1"})
    checks = suite.to_plain()["checks"]
    if told:
        with pytest.raises(verify.InvalidError, match=told):
            verify.require_result({**facts, **change}, checks, "here")
    else:
        verify.require_result(facts, checks, "here")


def test_without_a_key_it_only_agrees_with_itself(taken: Taken) -> None:
    code, said = verdict(taken.packages["certificate"])
    assert code == 0
    assert "VALID: with itself" in said
    other = taken.key.replace("inst_", "inst_0", 1)
    code, said = verdict(taken.packages["certificate"], "--key", other)
    assert (code, "another key" in said) == (1, True)


def test_one_changed_byte_anywhere_fails_with_the_place(taken: Taken, tmp_path: Path) -> None:
    files = contents(taken.packages["certificate"])
    for name, content in files.items():
        for place in {0, len(content) // 2, len(content) - 1} if content else ():
            changed = bytearray(content)
            changed[place] ^= 1
            package = packed(tmp_path / "changed.zip", {**files, name: bytes(changed)})
            code, said = verdict(package, "--key", taken.key)
            assert code == 1, (name, place)
            where = "manifest.json" if name == "manifest.sig" else name
            assert said.startswith("NOT VALID: "), said
            assert where in said or name == "manifest.json", (name, place, said)


def test_any_byte_of_the_zip_itself(taken: Taken, tmp_path: Path) -> None:
    whole = taken.packages["certificate"].read_bytes()
    package = tmp_path / "flipped.zip"
    for place in range(0, len(whole), len(whole) // 60):
        package.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        code, said = verdict(package, "--key", taken.key)
        # What a zip does not protect (a time, an attribute) changes nothing that is shown.
        assert code == 1 or said == verdict(taken.packages["certificate"], "--key", taken.key)[1]


def test_a_file_missing_added_or_swapped(taken: Taken, tmp_path: Path) -> None:
    files = contents(taken.packages["certificate"])
    for name in files:
        without = {one: content for one, content in files.items() if one != name}
        code, said = verdict(packed(tmp_path / "less.zip", without), "--key", taken.key)
        assert (code, said[:10]) == (1, "NOT VALID:"), name
    more = {**files, "more.txt": b"x"}
    assert "more.txt" in verdict(packed(tmp_path / "more.zip", more), "--key", taken.key)[1]
    other = contents(taken.packages["subject"])
    for name in files.keys() & other.keys():
        if files[name] != other[name]:
            mixed = {**files, name: other[name]}
            assert verdict(packed(tmp_path / "mixed.zip", mixed), "--key", taken.key)[0] == 1


def test_after_an_erasure_neighbours_prove_theirs_and_nothing_links_to_the_erased(
    taken: Taken,
) -> None:
    assert verdict(taken.packages["before"], "--key", taken.key)[0] == 0
    for name in ("subject", "certificate", "everything"):
        whole = b"\n".join(contents(taken.packages[name]).values()).decode("latin-1")
        for secret in taken.secrets:
            assert secret not in whole, (name, secret[:8])
    # The control: of the living their own openings are there.
    own = contents(taken.packages["subject"])["parts.jsonl"].decode().splitlines()
    assert len(own) == taken.receipts["subject"].parts
    with pytest.raises(UsageError):
        export_evidence(taken.custody, TESTER, Scope(about=taken.people[0]), Path("/nowhere/x.zip"))


def test_a_part_of_somebody_else_is_not_proved(taken: Taken, tmp_path: Path) -> None:
    """Who makes a package up signs it anew; the tree's roots are what holds."""
    files = contents(taken.packages["subject"])
    part = json.loads(files["parts.jsonl"].splitlines()[0])
    program = VERIFIER.read_text(encoding="utf-8")
    for change in ({"version": part["version"] + 7}, {"opening": "00" * 32}, {"index": 10**6}):
        files["parts.jsonl"] = json.dumps({**part, **change}).encode() + b"\n"
        loose = program.replace("hashlib.sha256(files[name]).hexdigest() != named[name]", "False")
        assert loose != program
        script = tmp_path / "loose.py"
        script.write_text(loose, encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-I", str(script), str(packed(tmp_path / "p.zip", files))],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, "parts.jsonl, line 1" in done.stdout) == (1, True), done.stdout


def test_the_verifier_needs_nothing_of_ours(tmp_path: Path) -> None:
    source = VERIFIER.read_text(encoding="utf-8")
    imported = {
        line.split()[1].partition(".")[0]
        for line in source.splitlines()
        if line.startswith(("import ", "from "))
    }
    assert imported - set(sys.stdlib_module_names) == {"cryptography"}
    shutil.copy(VERIFIER, tmp_path / "verify.py")
    done = subprocess.run(
        [sys.executable, "-I", str(tmp_path / "verify.py"), str(tmp_path / "none.zip")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout[:10]) == (1, "NOT VALID:")


def test_what_cannot_be_exported_is_refused(taken: Taken, tmp_path: Path) -> None:
    there = tmp_path / "there.zip"
    there.write_bytes(b"")
    for about, path in (
        ("", there),
        ("plan_x", tmp_path / "a.zip"),
        ("req_01m8540t40ebh8gn5ce4b69yfj", tmp_path / "b.zip"),
        ("cert_01m8540t40ebh8gn5ce4b69yfj", tmp_path / "c.zip"),
        ("cust_01m8540t40ebh8gn5ce4b69yfj", tmp_path / "d.zip"),
    ):
        with pytest.raises(UsageError):
            export_evidence(taken.custody, TESTER, Scope(about=about), path)
        assert path == there or not path.exists()
