"""Who may use Prefect's API: whoever can read a file of the home.

Prefect has no users. Without a word to say, every local user, and every page open in a browser on
this machine, could hand the worker code that then runs as custody's own user. So the embedded
server asks for one (HTTP Basic), made at random once per home. It lies in files of mode 0600, not
in an environment or a command line (threats T6)::

    prefect/password        one line: what the sign-in page of the UI asks for
    prefect/profiles.toml   the same and the server's address, in Prefect's own form

Processes that talk to the embedded server choose the profile; ``PREFECT_HOME=<home>/prefect
PREFECT_PROFILE=custody prefect …`` does the same by hand. A server of one's own is asked with what
the environment or the profile it names says, never with this word.
"""

import base64
import json
import secrets
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from custody.embedded.home import Home, write_private

PROFILE: Final = "custody"
LOOPBACK: Final = "127.0.0.1"
# Prefect lets them outweigh the profile, so they are kept from the embedded server's processes.
FOREIGN: Final = ("PREFECT_API_AUTH_STRING", "PREFECT_API_KEY", "PREFECT_PROFILES_PATH")
_WORD_BYTES: Final = 24
_PROFILES: Final = "profiles.toml"


@dataclass(frozen=True, kw_only=True, slots=True)
class Access:
    """Where the embedded server listens, and the word it asks for.

    Attributes:
        password: ``user:word``, as HTTP Basic has it; the UI takes the whole of it.
    """

    port: int
    password: str = field(repr=False)

    @property
    def api_url(self) -> str:
        """The address of the API."""
        return f"http://{LOOPBACK}:{self.port}/api"


def password_file(home: Home) -> Path:
    """Return where people find what the sign-in page asks for."""
    return home.prefect / "password"


def find_access(home: Home) -> Access | None:
    """Return what the last start published, None where there was none."""
    try:
        text = (home.prefect / _PROFILES).read_text(encoding="utf-8")
        profile = tomllib.loads(text)["profiles"][PROFILE]
        port = int(profile["PREFECT_API_URL"].rpartition(":")[2].removesuffix("/api"))
        return Access(port=port, password=profile["PREFECT_API_AUTH_STRING"])
    except (FileNotFoundError, KeyError, ValueError):
        return None


def publish_access(home: Home, port: int) -> Access:
    """Write down the port of a start, with the word of the start before or a new one."""
    known = find_access(home)
    word = known.password if known else f"{PROFILE}:{secrets.token_urlsafe(_WORD_BYTES)}"
    access = Access(port=port, password=word)
    settings = {
        "PREFECT_API_URL": access.api_url,
        "PREFECT_API_AUTH_STRING": word,
        "PREFECT_SERVER_API_AUTH_STRING": word,
    }
    # A JSON string of ASCII without control characters is a TOML string too.
    lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
    write_private(home.prefect / _PROFILES, "\n".join([f"[profiles.{PROFILE}]", *lines, ""]))
    write_private(password_file(home), f"{word}\n")
    return access


def own_access(home: Home, api_url: str) -> Access | None:
    """Return the access to the home's own server, None where the address is another's."""
    access = find_access(home)
    return access if access is not None and access.api_url == api_url else None


def authorization(home: Home, api_url: str, environment: Mapping[str, str]) -> str:
    """Return the ``Authorization`` header with which to ask the server, empty for none."""
    access = own_access(home, api_url)
    if access is not None:
        return _basic(access.password)
    said = {**_profile(environment), **environment}
    if said.get("PREFECT_API_AUTH_STRING"):
        return _basic(said["PREFECT_API_AUTH_STRING"])
    key = said.get("PREFECT_API_KEY")
    return f"Bearer {key}" if key else ""


def _profile(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the settings of the profile that the environment names, if it names one."""
    file, name = environment.get("PREFECT_PROFILES_PATH"), environment.get("PREFECT_PROFILE")
    if not (file and name):
        return {}
    try:
        profiles = tomllib.loads(Path(file).read_text(encoding="utf-8")).get("profiles", {})
    except (OSError, ValueError):
        return {}  # Prefect's own processes say what is wrong with it
    return {key: str(value) for key, value in profiles.get(name, {}).items()}


def _basic(password: str) -> str:
    return f"Basic {base64.b64encode(password.encode()).decode()}"
