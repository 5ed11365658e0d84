"""Which rules may block, which settings are legal, and that no document holds a secret."""

import re
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from custody.codes import MAY_BLOCK
from custody.ledger import LEAST_YEARS
from custody.policy.drafts import Drafts
from custody.policy.problems import Problem
from custody.policy.shapes import RuleShape
from custody.policy.tree import Tree

_REFERENCE: Final = re.compile(r"\$\{[A-Z][A-Z0-9_]*\}\Z")
_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S+")
_PRIVATE_KEY: Final = re.compile(r"AGE-SECRET-KEY-1|-----BEGIN [A-Z ]*PRIVATE KEY-----")
_ASSIGNED: Final = re.compile(
    r"(?i)\b(?:password|passwd|pwd|secret|token|api_?key)\s*=\s*([^\s;&'\"]+)"
)
_SECRET_NAMES: Final = frozenset(
    {"password", "passwd", "pwd", "secret", "token", "apikey", "api_key", "sslpassword"}
)


def check_rules(drafts: Drafts) -> Iterator[Problem]:
    """Yield what is wrong with the rules."""
    for entry, rule in drafts.sound("rules", RuleShape):
        if rule.valid_to is not None and rule.valid_to < rule.valid_from:
            message = "the rule ends before it begins"
            yield entry.problem("policy_illegal_value", message, "valid_to")
        unread = rule.evidence not in MAY_BLOCK
        if unread and rule.mode == "block" and not rule.switched_on_by_policy:
            message = (
                f"evidence {rule.evidence} may not block;"
                " the head of the firm can say switched_on_by_policy: true"
            )
            yield entry.problem("policy_unread_rule_blocks", message, "mode")


def check_settings(drafts: Drafts) -> Iterator[Problem]:
    """Yield the illegal settings."""
    # Looked at also where something else in the section has not its shape.
    for entry in drafts.section("settings").values():
        years = entry.raw("log_retention_years")
        if not isinstance(years, int) or isinstance(years, bool):
            continue
        if years < LEAST_YEARS:
            message = "at least 3 years (measures 2.4; PIPL art. 56)"
            yield entry.problem("log_retention_too_short", message, "log_retention_years")


def check_secrets(trees: Iterable[Tree]) -> Iterator[Problem]:
    """Yield every place that holds a secret; what it says is never repeated."""
    for tree in trees:
        for path, text in tree.texts():
            if _holds_secret(text):
                message = "a policy holds no secret; name an environment variable: ${NAME}"
                yield tree.problem(path, "policy_secret", message)


def _holds_secret(text: str) -> bool:
    if _PRIVATE_KEY.search(text):
        return True
    if any(not _REFERENCE.match(value) for value in _ASSIGNED.findall(text)):
        return True
    return any(_url_holds_secret(url) for url in _URL.findall(text))


def _url_holds_secret(url: str) -> bool:
    try:
        parts = urlsplit(url)
        given = [parts.password] if parts.password else []
    except ValueError:
        # A URL nobody can take apart may hold anything.
        return "@" in url
    given += [value for name, value in parse_qsl(parts.query) if name.lower() in _SECRET_NAMES]
    return any(not _REFERENCE.match(value) for value in given)
