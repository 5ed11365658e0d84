"""Evidence: the entries about something, with proofs that lead to a checkpoint, for all to check.

The ledger says first that evidence was taken. Then a checkpoint is kept, which covers all of it,
and what is shown is proved against that: entries by the hashes of what is not shown, parts of bulk
acts by their openings. Nobody else's entries are among it, but for those of acts on many people,
which hold counts, codes and aliases.
"""

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Final

from sqlalchemy import Connection

from custody.acts.checkpoints import keep_checkpoint, log_key
from custody.acts.context import Actor, Custody
from custody.acts.proving import PartProof, alias_of_customer, prove_parts_of
from custody.acts.recording import record
from custody.checkpoint import read_checkpoint
from custody.database import installation, plans, quality, staff, tree
from custody.database import ledger as tables
from custody.database.engine import transaction
from custody.errors import UsageError
from custody.evidence.package import Evidence, write_evidence
from custody.identifiers import CERTIFICATE, CUSTOMER, INSTALLATION, PLAN, REQUEST, read_id, show_id
from custody.ledger import Entry
from custody.merkle import uncovered_ranges

_KINDS: Final = (REQUEST, CERTIFICATE, CUSTOMER)


@dataclass(frozen=True, kw_only=True, slots=True)
class Scope:
    """What evidence is asked for: all of some days, or all about one thing, or of it in those days.

    Attributes:
        since: The first day, in the installation's zone; None for the beginning.
        until: The last day; None for no end.
        about: A request, a certificate or a customer, ``req_…``, ``cert_…``, ``cust_…``; or empty.
    """

    since: date | None = None
    until: date | None = None
    about: str = ""

    def to_plain(self) -> dict[str, str]:
        """Return it as the package and the ledger say it."""
        said = {"from": self.since, "to": self.until, "about": self.about}
        return {name: str(value) for name, value in said.items() if value}


@dataclass(frozen=True, kw_only=True, slots=True)
class EvidenceReceipt:
    """What a package shows, in counts, and the digest of its manifest."""

    entries: int
    parts: int
    certificates: int
    size: int
    digest: str


def export_evidence(custody: Custody, actor: Actor, scope: Scope, path: Path) -> EvidenceReceipt:
    """Write the evidence about something to a file that is not there yet.

    Raises:
        UsageError: There is such a file; there is nothing of that name, or nothing to show.
        CheckpointContradictedError: The ledger does not extend its last checkpoint.
    """
    if path.exists():
        raise UsageError("there is such a file already", path.name)
    seqs, parts, certificates = _about(custody, scope.about)
    said = scope.to_plain()
    if scope.about.startswith(f"{CUSTOMER}_"):  # whose identifier has no place in the ledger
        said["about"] = f"person {alias_of_customer(custody, read_id(CUSTOMER, scope.about))}"
    with transaction(custody.data) as connection:
        record(connection, custody, actor, "evidence:package:exported", {"scope": said})
    keep_checkpoint(custody)
    evidence = _gather(custody, scope, said, seqs, parts, certificates)
    digest = write_evidence(path, evidence, custody.keyring.signing_key())
    return EvidenceReceipt(
        entries=len(evidence.entries),
        parts=len(evidence.parts),
        certificates=len(certificates),
        size=read_checkpoint(evidence.checkpoint).head.size,
        digest=digest,
    )


def _about(
    custody: Custody, about: str
) -> tuple[set[int] | None, Sequence[PartProof], dict[str, Mapping[str, str]]]:
    """Return the entries about something by number (None for all), parts, and certificates."""
    kind = about.partition("_")[0]
    if not about:
        return None, (), {}
    if kind not in _KINDS:
        raise UsageError("evidence is about req_…, cert_… or cust_…", about)
    if kind == CUSTOMER:
        parts = prove_parts_of(custody, read_id(CUSTOMER, about))
        return {one.seq for one in parts}, parts, {}
    with transaction(custody.data) as connection:
        if kind == REQUEST:
            return tables.seqs_about(connection, {"request": about}), (), {}
        return _about_certificate(connection, about)


def _about_certificate(
    connection: Connection, about: str
) -> tuple[set[int], Sequence[PartProof], dict[str, Mapping[str, str]]]:
    """Return the entries of a certificate, of its plan, and of the request that approved that."""
    found = plans.find_certificate(connection, read_id(CERTIFICATE, about))
    if found is None:
        raise UsageError("no such certificate", about)
    plan = plans.find_plan(connection, found.plan_id)
    named = {"certificate": about, "plan": show_id(PLAN, found.plan_id)}
    if plan is not None and plan.request_id is not None:
        named["request"] = show_id(REQUEST, plan.request_id)
    document = {"body": found.body, "signature": bytes(found.signature).hex()}
    return tables.seqs_about(connection, named), (), {about: document}


def _gather(
    custody: Custody,
    scope: Scope,
    said: Mapping[str, str],
    seqs: set[int] | None,
    parts: Sequence[PartProof],
    certificates: Mapping[str, Mapping[str, str]],
) -> Evidence:
    note = custody.outside.journal.read_last()
    if note is None:
        raise UsageError("the ledger has no checkpoint yet")
    size = read_checkpoint(note).head.size
    begin, end = _instants(custody, scope)
    with transaction(custody.data) as connection:
        tree.read_as_one(connection)
        if any((tree.place_of(connection, one) or 0) >= size for one in seqs or ()):
            raise UsageError("the ledger is being written to at this moment; try again")
        entries = tables.placed_entries(connection, seqs, begin, end, size)
        runs = {json.loads(one.body)["run"] for one in entries.values()} - {""}
        entries |= tables.placed_entries_of_runs(connection, runs, size)
        if not entries:
            raise UsageError("the ledger says nothing about this", scope.about)
        ranges = uncovered_ranges(entries, size)
        heads = dict(zip(ranges, tree.roots_of(connection, ranges), strict=True))
        said_by = [json.loads(one.body) for one in entries.values()]
        digests = {body["policy"] for body in said_by}
        asked = {str(body["facts"]["suite"]) for body in said_by if "suite" in body["facts"]}
        suites = quality.suite_bodies(connection, asked)
        policies = installation.policy_versions(connection)
        people = _people(connection, entries.values())
        told = [one for one in tables.run_entries(connection) if one.run_id in runs]
    places = {entry.seq: place for place, entry in entries.items()}
    return Evidence(
        installation=show_id(INSTALLATION, custody.installation_id),
        log_key=log_key(custody),
        scope=said,
        checkpoint=note,
        entries=entries,
        heads=heads,
        parts=[_written(one, places[one.seq]) for one in parts if one.seq in places],
        policies={digest: policies[digest] for digest in sorted(digests)},
        suites=suites,
        certificates=certificates,
        people=people,
        runs=[{"run": one.run_id, "flow": one.flow, "state": one.state} for one in told],
    )


def _instants(custody: Custody, scope: Scope) -> tuple[datetime, datetime]:
    """Return where the days begin and end, in the installation's zone."""
    first, last = scope.since or date(1970, 1, 1), scope.until or date(9999, 1, 1)
    ends = (first, last + timedelta(days=1))
    begin, end = (datetime.combine(one, time.min, custody.zone) for one in ends)
    return begin, end


def _written(part: PartProof, place: int) -> dict[str, object]:
    return {
        "place": place,
        "record": part.record.hex,
        "version": part.version,
        "opening": part.opening.hex(),
        "index": part.index,
        "path": [one.hex() for one in part.path],
    }


def _people(connection: Connection, entries: Iterable[Entry]) -> dict[str, dict[str, str]]:
    """Return the keys behind signed statements, a session's with what vouched for it."""
    found: dict[str, dict[str, str]] = {}
    waiting = [json.loads(one.body)["facts"].get("token") for one in entries]
    while waiting:
        token = waiting.pop()
        if not token:
            continue
        payload = str(token).partition(".")[0]
        said = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        name = f"{said['sub']} {said['kid']}"
        if name not in found:
            public, session = staff.any_public_key(connection, said["sub"], said["kid"])
            found[name] = {"public": public.hex(), "session": session}
            waiting.append(session)
    return found
