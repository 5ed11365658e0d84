"""What ``custody up`` makes of ``deployments/prefect.yaml``."""

import json
import re
from collections import Counter
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from schedules import deployment_named, wait_for_scheduled_runs
from standing_firm import STAGES, UPKEEP, Document, Firm, run_python

pytestmark = pytest.mark.slow
BEIJING = ZoneInfo("Asia/Shanghai")
HANZI = re.compile("[\u4e00-\u9fff]")
LETTERS = re.compile("[a-z]{3}")
DEPLOY = """
from config.settings import load_settings
from custody.cli.deploying import begin_deploying, finish_deploying
from custody.cli.prefect_process import as_prefect_client

settings = load_settings()
with as_prefect_client(settings) as where:
    finish_deploying(begin_deploying(settings, where))
"""
STORED = ("deployments", "flows", "automations", "work_pools", "block_documents", "variables")


def stored(firm: Firm) -> dict[str, list[Document]]:
    """Return everything that deploying writes."""
    return {kind: firm.ask(f"/{kind}/filter", {}) for kind in STORED}


def test_every_flow_is_deployed_by_module_path(firm: Firm) -> None:
    deployments = stored(firm)["deployments"]
    assert {one["name"]: one["entrypoint"] for one in deployments} == {
        name: f"flows.{name.replace('-', '_')}.{name.replace('-', '_')}" for name in STAGES + UPKEEP
    }
    for one in deployments:
        assert (one["path"], one["pull_steps"], one["enforce_parameter_schema"]) == (None, [], True)


@pytest.mark.parametrize("stage", STAGES + UPKEEP)
def test_a_deployment_is_described_in_chinese_and_english(firm: Firm, stage: str) -> None:
    deployment = firm.deployment(stage)
    form = deployment["parameter_openapi_schema"]
    described = [deployment["description"]]
    described += [about["description"] for about in form["properties"].values()]
    for text in described:
        assert HANZI.search(text), text
        assert LETTERS.search(text), text


def test_the_form_of_a_draft_names_its_fields_in_both_languages(firm: Firm) -> None:
    for stage, model in (("use", "UseDraft"), ("transfer", "TransferDraft")):
        form = firm.deployment(stage)["parameter_openapi_schema"]
        titles = [about["title"] for about in form["definitions"][model]["properties"].values()]
        assert all(HANZI.search(title) and LETTERS.search(title) for title in titles), titles


def test_no_path_of_this_machine_is_stored(firm: Firm) -> None:
    text = json.dumps(stored(firm))
    root = Path(__file__).resolve().parents[2]
    for path in (firm.home, root, root.parent, Path.home(), Path.cwd()):
        assert f"{path}/" not in text
        assert f'"{path}"' not in text
    assert str(firm.home) in json.dumps(firm.address), "a search that cannot find is none"


def test_deploying_twice_doubles_nothing(firm: Firm) -> None:
    before = {kind: len(all_of_it) for kind, all_of_it in stored(firm).items()}
    run_python(firm.environment, DEPLOY)
    after = stored(firm)
    assert {kind: len(all_of_it) for kind, all_of_it in after.items()} == before
    assert Counter(one["name"] for one in after["automations"]) == {
        "transfer filed": 1,
        "transfer approved": 1,
    }
    schedules = {one["name"]: len(one["schedules"]) for one in after["deployments"]}
    once = dict.fromkeys(("destroy", "retag", "reconcile"), 1)
    assert schedules == {**dict.fromkeys(STAGES + UPKEEP, 0), **once}


def test_the_purge_is_due_at_two_in_the_morning_in_beijing(firm: Firm) -> None:
    deployment = deployment_named(firm.api, "destroy", "destroy")
    schedule = firm.deployment("destroy")["schedules"][0]
    assert schedule["active"]
    assert schedule["schedule"]["timezone"] == "Asia/Shanghai"
    runs = wait_for_scheduled_runs(firm.api, deployment)
    assert runs
    for run in runs:
        due = datetime.fromisoformat(run["expected_start_time"]).astimezone(BEIJING)
        assert (due.hour, due.minute, due.utcoffset()) == (2, 0, BEIJING.utcoffset(due))
    days = {datetime.fromisoformat(run["expected_start_time"]).date() for run in runs}
    assert len(days) == len(runs)


def test_the_schedule_renews_tags_only_when_they_are_due(firm: Firm) -> None:
    (schedule,) = firm.deployment("retag")["schedules"]
    assert schedule["active"]
    assert schedule["parameters"] == {"only_if_due": True}
