"""Prefect's UI in a real browser, at the address that ``custody up`` prints."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from browser import browsing, requests_of, strangers
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from standing_firm import STAGES, UPKEEP, Firm, wait_until

pytestmark = pytest.mark.slow


class Reader:
    """Somebody who reads pages of the UI, and the list of all that their browser asked for."""

    def __init__(self, browser: Chrome, address: str) -> None:
        self.browser, self.address = browser, address
        self.requests: list[str] = []

    def reads(self, page: str, *words: str) -> str:
        """Open a page, wait until it shows the words, and return all that it shows."""
        self.browser.get(self.address + page)
        seen = wait_until(self._text, lambda text: all(word in text for word in words), 40)
        self.requests += requests_of(self.browser)
        return str(seen)

    def comes_to_show(self, *any_of: str) -> bool:
        """Wait until the open page shows one of the words."""
        return bool(wait_until(self._text, lambda text: any(w in text for w in any_of), 40))

    def _text(self) -> str:
        return self.browser.find_element(By.TAG_NAME, "body").text


@pytest.fixture(scope="module")
def reader(firm: Firm, require_program: Callable[[str], Path]) -> Iterator[Reader]:
    chromium, driver = require_program("chromium"), require_program("chromedriver")
    with browsing(chromium, driver) as browser:
        yield signed_in(Reader(browser, firm.address["ui"]), firm)


def signed_in(reader: Reader, firm: Firm) -> Reader:
    """Sign in as people do, with the line of the file that ``custody up`` names."""
    password = Path(firm.address["password_file"]).read_text(encoding="ascii").strip()
    reader.browser.get(reader.address)
    fields = (By.CSS_SELECTOR, "input[type=password]")
    wait_until(lambda: reader.browser.find_elements(*fields), bool, 40)
    reader.browser.find_element(*fields).send_keys(password, Keys.ENTER)
    assert reader.comes_to_show("Flow Runs", "Dashboard")
    return reader


def test_the_deployments_are_there(reader: Reader) -> None:
    reader.reads("/deployments", *STAGES, *UPKEEP)
    # The page fills in the schedule after the names.
    assert reader.comes_to_show("02:00", "2:00", "18:00", "06:00 PM")


def test_a_finished_run_is_shown_with_its_counts(
    reader: Reader, firm: Firm, runs: dict[str, str]
) -> None:
    run = firm.run(runs["ingest"])
    reader.reads(f"/runs/flow-run/{run['id']}", run["name"], "Completed")
    wanted = {"artifacts": {"flow_run_id": {"any_": [run["id"]]}}}
    (artifact,) = firm.ask("/artifacts/filter", wanted)
    page = reader.reads(f"/artifacts/artifact/{artifact['id']}", "count 计数", "accepted")
    assert "59" in page


def test_the_run_form_explains_its_parameters(reader: Reader, firm: Firm) -> None:
    deployment = firm.deployment("ingest")
    form = deployment["parameter_openapi_schema"]["properties"]
    words = [about["description"] for about in form.values()]
    reader.reads(f"/deployments/deployment/{deployment['id']}/run", *form, *words)


def test_the_newer_interface_that_reports_to_others_is_not_offered(reader: Reader) -> None:
    shown = reader.reads("/dashboard", "Settings")
    assert "V2" not in shown
    reader.browser.get(reader.address + "/ui-settings")
    settings = json.loads(reader.browser.find_element(By.TAG_NAME, "body").text)
    assert settings["available_uis"] == ["v1"]


def test_the_browser_asked_no_other_machine(reader: Reader) -> None:
    reader.reads("/dashboard")
    reader.reads("/runs")
    assert len(reader.requests) > 20
    assert strangers(reader.requests) == []
    assert strangers(["https://example.org/x", "wss://example.org/y"]) != [], "naive twin"
