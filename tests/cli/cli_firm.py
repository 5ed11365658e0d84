"""A firm in a home of its own, driven by the command line alone."""

import contextlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from custody.cli.main import run

WORDS = "words of a person"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def call(*arguments: str) -> Outcome:
    """Run a command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(arguments)
    return Outcome(code=code, out=out.getvalue(), err=err.getvalue())


@dataclass(frozen=True, kw_only=True)
class Firm:
    """The installation and the keys of its people."""

    home: Path
    files: Path

    def do(self, *arguments: str) -> dict[str, Any]:
        """Run a command that must succeed, and return its document."""
        outcome = call(*arguments, "--json")
        assert outcome.code == 0, outcome.out + outcome.err
        return dict(outcome.json)

    def refuse(self, code: int, *arguments: str) -> dict[str, Any]:
        """Run a command that must end with ``code``, and return what it says."""
        outcome = call(*arguments, "--json")
        assert outcome.code == code, outcome.out + outcome.err
        return dict(outcome.json)

    def hire(self, name: str, role: str) -> str:
        """Add somebody, enrolled by the first officer, and return the key file."""
        known = self.do("staff", "list")["staff"]
        found = [one for one in known if one["name"] == name]
        key = self.home / "people" / f"{name}.key"
        if not found:
            staff = self.do("staff", "add", "--name", name, "--department", "业务", "--role", role)
            officer = ("--officer-key", str(self.officer_key))
            self.do("staff", "enrol", staff["staff"], "--key", str(key), *officer)
        return str(key)

    @property
    def officer_key(self) -> Path:
        return min((self.home / "people").glob("staff_*.key"))

    def login(self, name: str, role: str) -> str:
        """Log somebody in and return the session's file."""
        session = self.home / "people" / f"{name}.session"
        self.do("login", "--key", self.hire(name, role), "--session", str(session))
        return str(session)
