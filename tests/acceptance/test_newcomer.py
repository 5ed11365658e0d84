"""``custody demo`` as a newcomer meets it: one command in an empty folder, nothing left behind."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest
from openpyxl import load_workbook
from owners import modes, processes_of, wait_until_none_is_left
from standing_firm import CUSTODY, Document, clean_environment

pytestmark = pytest.mark.slow
SECONDS: Final = 280
# Outside assets would be loaded from an address; a namespace of SVG is a name, not an address.
ASSET: Final = re.compile(r"""(?:src|href|url|@import)\s*[=(]?\s*["']?\s*(?:https?:)?//""")
PERSONAL: Final = re.compile("姓名|身份证|手机|邮箱|地址|银行卡|账户|客户号|监护人|内容")
KINDS: Final = 25
ORDINARY_USER: Final = "nobody"


class Demo:
    """A demo under way in a home of its own."""

    def __init__(self, home: Path, customers: int, *as_user: str) -> None:
        self.home = home
        self.process = subprocess.Popen(
            [*as_user, CUSTODY, "demo", "--json", "--customers", str(customers)],
            env=clean_environment(home),
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def document(self) -> Document:
        """Wait for the end; all of stdout is one document."""
        out, err = self.process.communicate(timeout=SECONDS)
        assert self.process.returncode == 0, (out[-2000:], err[-2000:])
        return json.loads(out)

    def interrupt(self) -> int:
        """Press Ctrl-C and return the exit code."""
        os.killpg(self.process.pid, signal.SIGINT)
        self.process.communicate(timeout=60)
        return self.process.returncode


@pytest.fixture(scope="module")
def homes() -> Iterator[Callable[[], Path]]:
    """Return a maker of short names of homes that do not exist yet."""
    folder = Path(tempfile.mkdtemp(prefix="cus-"))
    folder.chmod(0o711)
    numbers = iter(range(100))
    yield lambda: folder / f"h{next(numbers)}"
    assert processes_of(folder) == {}
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def disturbed(homes: Callable[[], Path]) -> tuple[Demo, Document, int, dict[int, str]]:
    """Play a demo while another in another home is interrupted in the middle of its work."""
    demo, other = Demo(homes(), 400), Demo(homes(), 60)
    wait_for_flow(other.home)
    code = other.interrupt()
    left = wait_until_none_is_left(other.home)
    return demo, demo.document(), code, left


def wait_for_flow(home: Path) -> None:
    """Wait until the worker is up and the demo is about to ingest or ingesting."""
    deadline = time.monotonic() + SECONDS
    while not (home / "demo" / "legacy").is_dir():
        assert time.monotonic() < deadline
        time.sleep(0.2)
    time.sleep(2)


@pytest.fixture(scope="module")
def demo(disturbed: tuple[Demo, Document, int, dict[int, str]]) -> Demo:
    return disturbed[0]


@pytest.fixture(scope="module")
def document(disturbed: tuple[Demo, Document, int, dict[int, str]]) -> Document:
    return disturbed[1]


def test_ctrl_c_in_the_middle_leaves_nothing_running(
    disturbed: tuple[Demo, Document, int, dict[int, str]],
) -> None:
    _, _, code, left = disturbed
    assert code == 130
    assert left == {}


def test_the_counts_add_up(document: Document) -> None:
    stages = document["stages"]
    ingest, store, destroy = (stages[name] for name in ("ingest", "store", "destroy"))
    assert ingest["read"] == ingest["accepted"] + ingest["refused"] > 400
    assert store["stored"] == ingest["accepted"]
    assert destroy["destroyed"] + destroy["kept"] == store["stored"]
    assert min(destroy["destroyed"], destroy["kept"], ingest["refused"]) > 0
    assert document["verify"]["ok"]
    assert document["verify"]["differences"] == []


def test_every_planted_defect_is_refused_with_exactly_its_codes(document: Document) -> None:
    assert document["check"]["differences"] == []
    assert document["check"]["planted"] >= KINDS
    sources = document["stages"]["ingest"]["sources"]
    codes = {code for source in sources for code in source["reasons"]}
    assert len(codes) >= KINDS


def test_all_five_stages_were_flow_runs(document: Document) -> None:
    runs = document["runs"]
    assert {run["flow"] for run in runs} == {"ingest", "store", "use", "transfer", "destroy"}
    assert all("+08:00" in run["name"] for run in runs)
    requests = [request["decision"] for request in document["stages"]["use"]["requests"]]
    assert sorted(requests) == ["granted", "refused"]
    (transfer,) = document["stages"]["transfer"]["requests"]
    assert (transfer["state"], len(transfer["approvers"])) == ("delivered", 2)
    assert len(document["next"]) == 3


def test_the_report_is_there_and_asks_nobody_for_anything(document: Document) -> None:
    folder = Path(document["report"]).parent
    pages = sorted(path.name for path in folder.glob("*.html"))
    assert len(pages) >= 2, "zh and en"
    for page in folder.glob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert not ASSET.search(text)
        assert "<svg" in text
    assert ASSET.search('<script src="https://example.org/x.js">'), "a search that finds nothing"


def test_no_customer_stands_in_the_report_or_on_the_screen(demo: Demo, document: Document) -> None:
    values = personal_values(demo.home / "demo" / "legacy")
    assert len(values) > 1500
    texts = {"stdout": json.dumps(document, ensure_ascii=False)}
    for page in Path(document["report"]).parent.iterdir():
        texts[page.name] = page.read_text(encoding="utf-8")
    for place, text in texts.items():
        assert [value for value in values if value in text] == [], place


def personal_values(legacy: Path) -> set[str]:
    """Return all that the legacy system knows of people, apart from what is too short to tell."""
    rows = [row for path in legacy.glob("*.csv") for row in read_csv(path)]
    for path in legacy.glob("*.xlsx"):
        header, *lines = load_workbook(path, read_only=True).worksheets[0].values
        rows += [dict(zip(map(str, header), map(str, line), strict=False)) for line in lines]
    held = [row[column] for row in rows for column in row if PERSONAL.search(column or "")]
    return {value.strip() for value in held if isinstance(value, str) and is_telling(value.strip())}


def is_telling(value: str) -> bool:
    hanzi = sum(one >= "\u3400" for one in value)
    return hanzi >= 3 or len(value) >= 8


def read_csv(path: Path) -> list[dict[str, str]]:
    for encoding in ("utf-8-sig", "gb18030"):
        with suppress(UnicodeDecodeError), path.open(encoding=encoding, newline="") as file:
            return list(csv.DictReader(file))
    raise AssertionError(path)


def test_everything_in_the_home_is_private(demo: Demo) -> None:
    assert modes(demo.home) == {}
    assert (demo.home.stat().st_mode & 0o777) == 0o700


def test_no_process_is_left_behind(demo: Demo) -> None:
    assert wait_until_none_is_left(demo.home) == {}


@pytest.fixture(scope="module")
def ordinary(
    homes: Callable[[], Path], require_program: Callable[[str], Path]
) -> Iterator[Demo | None]:
    """Begin a demo as an ordinary user; None where we are one already."""
    if os.geteuid() != 0:
        yield None
        return
    setpriv = str(require_program("setpriv"))
    home = homes()
    home.mkdir(mode=0o700)
    shutil.chown(home, ORDINARY_USER)
    # Reading everything stands for an interpreter that is not below root's private folder.
    capability = "-all,+dac_read_search"
    who = (f"--reuid={ORDINARY_USER}", "--regid=nogroup", "--clear-groups")
    may = (f"--inh-caps={capability}", f"--ambient-caps={capability}")
    may = (*may, "--securebits=+no_setuid_fixup")  # access(2) looks at capabilities only so
    yield Demo(home, 50, setpriv, *who, *may)


def test_a_second_demo_replaces_the_first(
    demo: Demo,
    document: Document,
    ordinary: Demo | None,  # noqa: ARG001 - it plays meanwhile
) -> None:
    again = Demo(demo.home, 50).document()
    assert again["installation"]["id"] != document["installation"]["id"]
    assert again["stages"]["ingest"]["read"] < document["stages"]["ingest"]["read"]
    assert again["verify"]["ok"]
    assert wait_until_none_is_left(demo.home) == {}
    assert modes(demo.home) == {}


def test_an_ordinary_user_plays_it_too(ordinary: Demo | None) -> None:
    if ordinary is None:
        pytest.skip("root: we are an ordinary user in all the other tests")
    document = ordinary.document()
    assert document["verify"]["ok"]
    assert document["check"]["differences"] == []
    assert wait_until_none_is_left(ordinary.home) == {}
    assert modes(ordinary.home) == {}
    owners = {path.owner() for path in ordinary.home.rglob("*") if not path.is_symlink()}
    assert owners == {ORDINARY_USER}
