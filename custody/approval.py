"""Requests, what their approval covers, and who is locked out of approving.

An **ask** is what a person wants, in names; the person signs its digest. A **request** is what the
ask came to when it was filed: the rows it froze, the recipient's key, the policy of the day. Votes
sign the digest of the whole request, so that any edit voids them::

    ask digest     = hash("custody/ask/v1"     ‖ 0x00 ‖ canonical JSON of the ask)
    request digest = hash("custody/request/v1" ‖ 0x00 ‖ canonical JSON of the request)
    row leaf       = record id (16 bytes) ‖ version (4 bytes, big-endian), in order of record id

``hash`` is that of the suite the installation was created under: SHA-256, or SM3 (GB/T 32905). The
request says which by its format, ``v``: 1 is SHA-256, 2 is SM3, and nothing else differs. A digest
as it is signed says so too: 64 hexadecimal digits are SHA-256, SM3 has ``sm3:`` before them.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from custody.canonical import SHA256, SM3, CanonicalError, canonical, digest, parse_canonical
from custody.errors import Reason, RefusedError, UsageError
from custody.identifiers import CUSTOMER, INSTALLATION, REQUEST, STAFF, read_id, show_id
from custody.merkle import merkle_root

USE: Final = "use"
TRANSFER: Final = "transfer"
DESTROY: Final = "destroy"
MASKED: Final = "masked"
CLEAR: Final = "clear"
CSV: Final = "csv"
XLSX: Final = "xlsx"
APPROVE: Final = "approve"
REJECT: Final = "reject"
NOT_CAPTURED: Final = "not_captured"
_FORMATS: Final = {SHA256: 1, SM3: 2}
_HASHES: Final = {number: name for name, number in _FORMATS.items()}
_EVERYBODY: Final = "all"

FAILURES_SHORT: Final = 5
SHORT_WINDOW: Final = timedelta(minutes=15)
SHORT_LOCK: Final = timedelta(minutes=30)
FAILURES_A_DAY: Final = 10
DAY: Final = timedelta(days=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Digest:
    """What a person signs, and by which hash it was made.

    Its text stands in statements, entries of the ledger and manifests. It names every hash but
    SHA-256, so a digest of one is never taken for one of another.
    """

    by: str
    value: bytes

    def __str__(self) -> str:
        """Return the digest as it is signed and shown."""
        return self.value.hex() if self.by == SHA256 else f"{self.by}:{self.value.hex()}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Ask:
    """What a person asks for.

    Attributes:
        kind: ``use`` or ``transfer``.
        fields: Field name to ``masked`` or ``clear``.
        until: The end of the grant, or of the time in which a package may be made.
        customers: Whose records; None for everybody's.
        recipient: The recipient's name; empty for a use.
        form: ``csv`` or ``xlsx``, of a transfer.
    """

    kind: str
    dataset: str
    purpose: str
    fields: Mapping[str, str]
    until: datetime
    customers: tuple[UUID, ...] | None = None
    recipient: str = ""
    form: str = CSV

    def __post_init__(self) -> None:
        """Refuse what means nothing."""
        if self.kind not in {USE, TRANSFER} or self.form not in {CSV, XLSX}:
            raise UsageError("a request is for use or transfer, in csv or xlsx")
        if not set(self.fields.values()) <= {MASKED, CLEAR}:
            raise UsageError("a field is asked for masked or clear")
        if bool(self.recipient) != (self.kind == TRANSFER):
            raise UsageError("a transfer names its recipient, and only a transfer does")

    def to_plain(self) -> dict[str, Any]:
        """Return the ask as canonical JSON has it."""
        everybody = self.customers is None
        shown = sorted(show_id(CUSTOMER, customer) for customer in self.customers or ())
        return {
            "kind": self.kind,
            "dataset": self.dataset,
            "purpose": self.purpose,
            "fields": dict(self.fields),
            "until": show_instant(self.until),
            "customers": _EVERYBODY if everybody else shown,
            "recipient": self.recipient,
            "form": self.form,
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "Ask":
        """Return the ask that :meth:`to_plain` wrote."""
        chosen = plain["customers"]
        everybody = chosen == _EVERYBODY
        customers = None if everybody else tuple(read_id(CUSTOMER, one) for one in chosen)
        until = datetime.fromisoformat(plain["until"])
        return cls(**{**plain, "customers": customers, "until": until})


@dataclass(frozen=True, kw_only=True, slots=True)
class FrozenRow:
    """One version of one record that a request covers."""

    record_id: UUID
    version: int
    customer_id: UUID


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """All that a request is and an approval covers.

    Attributes:
        rows: How many records; ``root`` is the Merkle root of their ids and versions.
        customers: How many customers they belong to.
        left_out: Rows left out at filing, by code.
        basis: The legal basis of the purpose.
        key: The fingerprint of the recipient's key; empty for a use.
        assessment: The impact assessment; not captured yet.
        policy: The digest of the policy it was filed under.
        requester: The person; None for a purge that the schedule planned.
        ask: The digest of what the requester signed, as text.
        plan: The plan a destruction carries out; empty otherwise.
        by: The hash of its digest and of ``root``.
    """

    installation: UUID
    id: UUID
    revision: int
    kind: str
    dataset: str = ""
    purpose: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)
    rows: int
    root: bytes
    customers: int
    left_out: Mapping[str, int] = field(default_factory=dict)
    basis: str = ""
    recipient: str = ""
    key: str = ""
    country: str = ""
    assessment: str = NOT_CAPTURED
    until: datetime | None = None
    form: str = ""
    policy: str
    requester: UUID | None
    filed_at: datetime
    ask: str = ""
    plan: str = ""
    by: str = SHA256

    @property
    def shown(self) -> str:
        """The identifier as it is shown: ``req_…``."""
        return show_id(REQUEST, self.id)

    def to_plain(self) -> dict[str, Any]:
        """Return the request as canonical JSON has it."""
        plain: dict[str, Any] = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return plain | {
            "v": _FORMATS[plain.pop("by")],
            "installation": show_id(INSTALLATION, self.installation),
            "id": self.shown,
            "fields": dict(self.fields),
            "left_out": dict(self.left_out),
            "root": self.root.hex(),
            "until": "" if self.until is None else show_instant(self.until),
            "requester": "" if self.requester is None else show_id(STAFF, self.requester),
            "filed_at": show_instant(self.filed_at),
        }

    @property
    def body(self) -> bytes:
        """The canonical JSON that the digest covers."""
        return canonical(self.to_plain())

    @property
    def digest(self) -> Digest:
        """What requester and approvers agree on."""
        return _digest("custody/request/v1", self.to_plain(), self.by)


def parse_request(body: str) -> Request:
    """Return the request whose canonical JSON ``body`` is.

    Raises:
        RefusedError: It is not what :attr:`Request.body` wrote.
    """
    try:
        plain = dict(parse_canonical(body.encode()))
        by = _HASHES[plain.pop("v")]
        return Request(by=by, **(plain | _read_plain(plain)))
    except (CanonicalError, UsageError, KeyError, TypeError, ValueError):
        raise RefusedError("request", (Reason(code="digest_mismatch"),)) from None


def _read_plain(plain: Mapping[str, Any]) -> dict[str, Any]:
    until, requester = plain["until"], plain["requester"]
    return {
        "installation": read_id(INSTALLATION, plain["installation"]),
        "id": read_id(REQUEST, plain["id"]),
        "root": bytes.fromhex(plain["root"]),
        "until": datetime.fromisoformat(until) if until else None,
        "requester": read_id(STAFF, requester) if requester else None,
        "filed_at": datetime.fromisoformat(plain["filed_at"]),
    }


def ask_digest(installation: UUID, ask: Ask, request_id: UUID | None = None, *, by: str) -> Digest:
    """Return what the requester signs: the ask, and for a draft or an edit which request it is.

    ``by`` is the hash of the installation.
    """
    which = "" if request_id is None else show_id(REQUEST, request_id)
    named = {"installation": show_id(INSTALLATION, installation), "request": which}
    return _digest("custody/ask/v1", named | {"ask": ask.to_plain()}, by)


def read_digest(
    installation: UUID, grant: str, customers: Sequence[UUID] | None, limit: int, *, by: str
) -> Digest:
    """Return what the reader signs: which grant, whose records, how many at most.

    ``by`` is the hash of the installation.
    """
    chosen = _EVERYBODY if customers is None else [show_id(CUSTOMER, one) for one in customers]
    named = {"installation": show_id(INSTALLATION, installation), "grant": grant, "limit": limit}
    return _digest("custody/read/v1", named | {"customers": chosen}, by)


def rows_root(rows: Iterable[FrozenRow], *, by: str) -> bytes:
    """Return the Merkle root over the rows, which come in order of record id."""
    return merkle_root((row.record_id.bytes + row.version.to_bytes(4, "big") for row in rows), by)


def key_fingerprint(key: str) -> str:
    """Return the SHA-256, in hexadecimal, of a recipient's public key as the policy writes it."""
    return hashlib.sha256(key.encode()).hexdigest() if key else ""


def show_instant(at: datetime) -> str:
    """Return an aware instant in UTC, to the second."""
    return at.astimezone(UTC).isoformat(timespec="seconds")


def is_locked(failures: Sequence[datetime], at: datetime) -> bool:
    """Whether failed votes keep a person from voting at ``at``.

    Five within 15 minutes lock for 30 minutes from the fifth; ten within a day lock until another
    officer unlocks, who clears the failures. ``failures`` are those not cleared, oldest first.
    """
    short = _runs(failures, FAILURES_SHORT, SHORT_WINDOW)
    return any(last <= at < last + SHORT_LOCK for last in short) or any(
        _runs(failures, FAILURES_A_DAY, DAY)
    )


def _digest(domain: str, value: object, by: str) -> Digest:
    return Digest(by=by, value=digest(domain, value, by))


def _runs(failures: Sequence[datetime], count: int, window: timedelta) -> list[datetime]:
    """Return the last instant of every run of ``count`` failures within ``window``."""
    pairs = zip(failures, failures[count - 1 :], strict=False)
    return [last for first, last in pairs if last - first <= window]
