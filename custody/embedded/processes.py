"""The environments of Prefect's processes: no calls home, no strays, no foreign settings."""

from collections.abc import Mapping, MutableMapping

from custody.embedded.access import FOREIGN, LOOPBACK, PROFILE, own_access
from custody.embedded.home import Home

# Read before prefect is imported: no telemetry, and bytecode is written, or imports take minutes.
QUIET = {"DO_NOT_TRACK": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
UNWANTED = ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "PYTHONHOME")


def without(environment: Mapping[str, str], *prefixes: str) -> dict[str, str]:
    """Return the environment without the variables that begin so, and the always unwanted."""
    return {
        name: value
        for name, value in environment.items()
        if name not in UNWANTED and not name.startswith(prefixes or ("\0",))
    }


def past_proxies(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that keep calls to this machine from going through a proxy."""
    known = environment.get("NO_PROXY") or environment.get("no_proxy") or ""
    hosts = ",".join(filter(None, (known, LOOPBACK, "localhost")))
    return {"NO_PROXY": hosts, "no_proxy": hosts}


def in_home(home: Home) -> dict[str, str]:
    """Return the variables that keep files out of folders that other users share."""
    return {"PREFECT_HOME": str(home.prefect), "TMPDIR": str(home.temporary)}


def client_environment(
    environment: Mapping[str, str], *, api_url: str, home: Home
) -> dict[str, str]:
    """Return the environment of a process that talks to the server at ``api_url``.

    For the home's own server it names the profile with the word that the server asks for.
    """
    own = own_access(home, api_url) is not None
    return {
        **without(environment, *(FOREIGN if own else ())),
        **past_proxies(environment),
        **QUIET,
        **in_home(home),
        "PREFECT_API_URL": api_url,
        **({"PREFECT_PROFILE": PROFILE} if own else {}),
    }


def become_client(environment: MutableMapping[str, str], *, api_url: str, home: Home) -> None:
    """Turn this process's environment into that of a client of the server at ``api_url``."""
    wanted = client_environment(environment, api_url=api_url, home=home)
    for name in FOREIGN:
        if name not in wanted:
            environment.pop(name, None)
    environment.update(wanted)


def server_environment(
    environment: Mapping[str, str], *, database_url: str, port: int, home: Home
) -> dict[str, str]:
    """Return the environment of Prefect's server.

    It gets no CUSTODY_* variable, for it needs none, and no PREFECT_* of the caller, because
    settings for another server (a SQLite file, another port) would break this one.
    """
    api_url = f"http://{LOOPBACK}:{port}/api"
    return {
        **without(environment, "PREFECT_", "CUSTODY_"),
        **past_proxies(environment),
        **QUIET,
        **in_home(home),
        "PREFECT_PROFILE": PROFILE,
        "PREFECT_API_URL": api_url,
        "PREFECT_API_DATABASE_CONNECTION_URL": database_url,
        "PREFECT_SERVER_API_HOST": LOOPBACK,
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_SERVER_UI_API_URL": api_url,
        # By default pages from anywhere may ask.
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": api_url.removesuffix("/api"),
        # Where it is installed, its pages would belong to whoever was the first to start it.
        "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(home.pages),
        # The newer interface contacts amplitude even with analytics off, see `Home.pages`.
        "PREFECT_SERVER_UI_V2_ENABLED": "false",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        # Two or three times the default number of task runs a second.
        "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "100",
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
        "PREFECT_LOGGING_LEVEL": "WARNING",
    }
