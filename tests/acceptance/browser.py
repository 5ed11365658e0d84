"""A headless Chromium that has never been used before, and everything it asks the network for."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

OPTIONS: Final = (
    "--headless=new",
    "--no-sandbox",  # root has no other way
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1400,1400",
)
LOCAL: Final = frozenset({"127.0.0.1", "localhost", None})
# What the browser makes up itself asks nobody.
OWN: Final = ("data", "blob", "about", "chrome", "chrome-untrusted", "devtools")


@contextmanager
def browsing(chromium: Path, driver: Path) -> Iterator[Chrome]:
    """Open a browser with a fresh profile and note every request it makes."""
    with tempfile.TemporaryDirectory(prefix="cus-chromium-") as profile:
        options = ChromeOptions()
        options.binary_location = str(chromium)
        for option in (*OPTIONS, f"--user-data-dir={profile}"):
            options.add_argument(option)
        options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
        # With the driver's path given, selenium looks for nothing on the network.
        browser = Chrome(options=options, service=Service(executable_path=str(driver)))
        try:
            yield browser
        finally:
            browser.quit()


def requests_of(browser: Chrome) -> list[str]:
    """Return the address of every request since this was last asked, websockets too."""
    messages = [json.loads(one["message"])["message"] for one in browser.get_log("performance")]
    sent = [one["params"] for one in messages if one["method"] == "Network.requestWillBeSent"]
    sockets = [one["params"] for one in messages if one["method"] == "Network.webSocketCreated"]
    return [one["request"]["url"] for one in sent] + [one["url"] for one in sockets]


def strangers(requests: list[str]) -> list[str]:
    """Return the requests that are for another machine."""
    addresses = [(one, urlsplit(one)) for one in requests]
    return [
        one
        for one, address in addresses
        if address.scheme not in OWN and address.hostname not in LOCAL
    ]
