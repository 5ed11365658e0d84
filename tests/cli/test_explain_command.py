"""``explain`` and ``history`` answer from the record alone: in this firm there is no Prefect."""

from html.parser import HTMLParser
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from cli_firm import call
from copied_firm import NOW, Copy
from copied_firm import copy as copy  # noqa: PLC0414 - a fixture
from copied_firm import founded as founded  # noqa: PLC0414 - another
from sqlalchemy import text

from custody.acts.context import Actor
from custody.acts.history import begin_run, end_run
from custody.acts.planning import Scope, plan_destruction
from custody.cli.session import opened
from custody.database.engine import make_engine, transaction
from custody.identifiers import BATCH, PLAN, show_id

DAYS, RUNS_A_DAY = 30, 3


class Reading(HTMLParser):
    """Collects what a page says, and every address it would load from."""

    def __init__(self) -> None:
        """Begin with nothing read."""
        super().__init__()
        self.said: list[str] = []
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what a tag loads."""
        self.loads += [str(value) for name, value in attrs if name in {"src", "href"}]
        assert tag != "script"

    def handle_data(self, data: str) -> None:
        """Note what it says."""
        self.said.append(data.strip())


def batches() -> list[str]:
    with opened(to_look=True) as custody, transaction(custody.data) as connection:
        found = connection.execute(text("SELECT id FROM batches ORDER BY opened_at")).scalars()
        return [show_id(BATCH, one) for one in found]


def held() -> tuple[str, int]:
    with opened(to_look=True) as custody, transaction(custody.data) as connection:
        row = connection.execute(text("SELECT batch_id, row_number FROM quarantine")).one()
    return show_id(BATCH, row.batch_id), row.row_number


def simulate(copy: Copy) -> list[tuple[UUID, str]]:
    """Let a month of runs go by, each of which plans a destruction; return runs and plans."""
    done = []
    with opened() as custody:
        for _ in range(DAYS * RUNS_A_DAY):
            run_id = uuid4()
            actor = Actor(how="schedule", run_id=str(run_id))
            begin_run(custody, actor, "destroy", {"code": "0.1+abc", "parameters": "0" * 64})
            plan = plan_destruction(custody, actor, Scope(as_of=custody.today()))
            end_run(custody, actor, "destroy", "COMPLETED", {"retries": 0})
            done.append((run_id, show_id(PLAN, plan.id)))
    engine = make_engine(copy.databases.owner_url)
    with transaction(engine) as connection:  # the ledger has the database's clock
        assert connection.execute(text("SELECT count(*) FROM custody.run_leases")).scalar_one()
    engine.dispose()
    return done


def test_a_month_of_runs_is_explained_without_prefect(copy: Copy) -> None:
    runs = simulate(copy)
    assert copy.tell(0, "verify", "--deep")["ok"]
    told = copy.tell(0, "history", "list", "--newest", "1000")
    assert told["known"] == len(runs) == DAYS * RUNS_A_DAY
    assert {one["state"] for one in told["runs"]} == {"COMPLETED"}
    assert {one["how"] for one in told["runs"]} == {"schedule"}
    for run_id, plan in (runs[0], runs[len(runs) // 2], runs[-1]):
        explained = copy.tell(0, "explain", plan)
        assert [one["run"] for one in explained["runs"]] == [str(run_id)]
        (line,) = explained["ledger"]
        assert (line["event"], line["run"]) == ("plan:destroy:written", str(run_id))
        assert isinstance(line["place"], int)
    assert call("verify", "--prefect", "--json").code != 0  # nothing there to compare with


def test_a_batch_and_a_refused_row_are_explained_by_the_record(copy: Copy) -> None:
    for batch in batches():
        told = copy.tell(0, "explain", batch)
        events = [one["event"] for one in told["ledger"]]
        assert events[0] == "batch:ingest:opened"
        assert {one["how"] for one in told["ledger"]} == {"os-user"}
        assert len({one["policy"] for one in told["ledger"]}) == 1
    batch, row = held()
    told = copy.tell(0, "explain", f"{batch}:{row}")
    assert [one["code"] for one in told["reasons"]] == ["subject_unknown"]
    assert all(one["article"] and one["next"] for one in told["reasons"])
    assert copy.tell(2, "explain", f"{batch}:9999")["error"]["code"] == "usage"
    assert copy.tell(2, "explain", f"{batch}:x")


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_an_explanation_is_a_page_that_needs_nothing(copy: Copy, tmp_path: Path, lang: str) -> None:
    batch, row = held()
    page = tmp_path / "row.html"
    copy.tell(0, "explain", f"{batch}:{row}", "--lang", lang, "--html", str(page))
    reading = Reading()
    reading.feed(page.read_text(encoding="utf-8"))
    assert reading.loads == []
    assert f"{batch}:{row}" in reading.said
    assert ("台账记录" in reading.said) is (lang == "zh")
    assert any("subject_unknown" in one for one in reading.said)
    assert (
        copy.tell(2, "explain", f"{batch}:{row}", "--html", str(page))["error"]["code"] == "usage"
    )


def test_nothing_is_done_on_a_ledger_that_contradicts_its_checkpoint(copy: Copy) -> None:
    with opened() as custody:
        plan_destruction(custody, Actor(how="os-user", name="t"), Scope(as_of=NOW.date()))
    engine = make_engine(copy.databases.owner_url)
    with transaction(engine) as connection:
        connection.execute(text("UPDATE ledger.tree SET size = 0, perfect = '{}'"))
        before = connection.execute(text("SELECT count(*) FROM custody.plans")).scalar_one()
    assert copy.tell(1, "destroy", "plan")["error"]["code"] == "checkpoint_contradicted"
    with transaction(engine) as connection:
        after = connection.execute(text("SELECT count(*) FROM custody.plans")).scalar_one()
    engine.dispose()
    assert before == after
