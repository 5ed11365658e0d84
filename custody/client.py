"""``custody.Client``: the same acts as the command line and the flows, for programs.

It knows no Prefect: each call does its work here and now and returns what came of it::

    from config.installation import open_installation
    from custody import Client

    with Client.open(open_installation, name="nightly-load") as client:
        receipt = client.ingest_file("legacy_customers", Path("customers.csv"))
        print(receipt.accepted, receipt.reasons)

What people must sign is signed with their keys: a session (:meth:`Client.login`) for requests and
reads, the long-term key itself for votes.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from uuid import UUID

from custody.acts import (
    batches,
    certify,
    consents,
    destroy,
    gates,
    search,
    store,
    transfer,
    use,
    vote,
)
from custody.acts.checkpoints import keep_checkpoint
from custody.acts.context import Actor, Custody
from custody.acts.planning import Scope, plan_destruction
from custody.acts.read import READ, Reading, read
from custody.acts.request_state import ACTS
from custody.acts.request_views import RequestView, show_request
from custody.acts.requests import file_request
from custody.acts.session import act_token, login
from custody.acts.setup import close_custody
from custody.acts.staff import require_key_owner
from custody.acts.taking import take_chunks
from custody.acts.turning import turn_keys
from custody.acts.verify import Verified, verify_installation
from custody.approval import APPROVE, REJECT, USE, Ask, ask_digest, read_digest
from custody.consent import Consent
from custody.database.batches import ChunkReceipt
from custody.database.grants import Grant
from custody.database.plans import Certificate, Plan
from custody.decision import Decision
from custody.identifiers import GRANT, show_id
from custody.keys.person import PersonKey
from custody.keys.session import SessionKey
from custody.keys.turning import TurnReceipt

_STORED: Final = "stored"


class Client:
    """An open installation, and whoever works with it."""

    def __init__(self, custody: Custody, actor: Actor) -> None:
        """Work with an installation that is open; closing the client closes it."""
        self.custody = custody
        self.actor = actor

    @classmethod
    def open(cls, opener: Callable[[], Custody], *, name: str) -> Self:
        """Open an installation.

        Args:
            opener: What opens it, ``config.installation.open_installation`` say.
            name: Under which name the ledger keeps what is done; an unproven one, as of a command.
        """
        return cls(opener(), Actor(how="os-user", name=name))

    def close(self) -> None:
        """Keep a checkpoint of what was done, and close the installation's connections.

        Raises:
            CheckpointContradictedError: The ledger does not extend its last checkpoint.
        """
        try:
            keep_checkpoint(self.custody)
        finally:
            close_custody(self.custody)

    def __enter__(self) -> Self:
        """Return the client."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the installation, with a checkpoint unless something went wrong."""
        if error is None:
            self.close()
        else:
            close_custody(self.custody)

    def ingest_file(self, source: str, path: Path | None = None) -> ChunkReceipt:
        """Take a source in and store it, and return the counts of the whole batch.

        The same content again changes nothing; a batch that was interrupted is finished.

        Args:
            source: Its name in the policy.
            path: The file; None where the policy says where it lies.

        Raises:
            QualityGateError: The batch is stopped at its gate, where it waits.
        """
        place = str(path.absolute()) if path else None
        batch = batches.open_batch(self.custody, self.actor, source, place)
        if batch.state == "open":
            take_chunks(self.custody, self.actor, batch, range(batch.chunks), place)
            batches.close_batch(self.custody, self.actor, batch.id)
            batch = batches.require_batch(self.custody, batch.id)
        if batch.state != _STORED:
            gates.pass_gate(self.custody, self.actor, batch.id)
            search.prepare_indexes(self.custody, self.actor, batch)
            store.store_chunks(self.custody, self.actor, batch, range(batch.chunks))
            store.finish_store(self.custody, self.actor, batch.id)
            search.fit_indexes(self.custody, self.actor)
        return batches.total(batch.id, batches.receipts_of(self.custody, batch.id))

    def record_consent(self, source: str, facts: Mapping[str, str]) -> UUID:
        """Record one consent and return whose it is.

        Args:
            source: A source of the policy, in whose namespace the customer's numbers are unique.
            facts: The fields of a file of consents, as text.
        """
        namespace = self.custody.policy.source(source).namespace
        return consents.record_consent(self.custody, self.actor, namespace, facts)

    def withdraw_consent(self, customer_id: UUID, purpose: str, recipient: str = "") -> int:
        """Withdraw a customer's consents to a purpose, and return how many there were."""
        return consents.withdraw_consent(self.custody, self.actor, customer_id, purpose, recipient)

    def consents(self, customer_id: UUID) -> list[Consent]:
        """Return a customer's consents, oldest first."""
        return consents.show_consents(self.custody, customer_id)

    def login(self, key: PersonKey, path: Path) -> SessionKey:
        """Open a session for the owner of a key; its own key lies in the file ``path``."""
        return login(self.custody, self.actor, key, path)

    def request(self, session: SessionKey, ask: Ask) -> tuple[UUID, Decision]:
        """File what the session's owner asks for, and return its id and what the rules say."""
        digest = ask_digest(self.custody.installation_id, ask, by=self.custody.hash_name)
        token = act_token(session, ACTS[ask.kind], digest, self.custody.now())
        request_id = file_request(self.custody, self.actor, ask, token)
        decide = use.decide_use if ask.kind == USE else transfer.decide_transfer
        return request_id, decide(self.custody, self.actor, request_id)

    def show_request(self, request_id: UUID) -> RequestView:
        """Return all that an approver has to see before signing."""
        return show_request(self.custody, request_id)

    def approve(self, key: PersonKey, view: RequestView) -> vote.VoteReceipt:
        """Approve a request as it was shown."""
        return self._vote(key, view, approve=True)

    def reject(self, key: PersonKey, view: RequestView) -> vote.VoteReceipt:
        """Reject a request as it was shown."""
        return self._vote(key, view, approve=False)

    def grant(self, request_id: UUID) -> Grant:
        """Grant a use that the rules, or two people, permit."""
        return use.grant_use(self.custody, self.actor, request_id)

    def read(
        self,
        session: SessionKey,
        grant_id: UUID,
        *,
        customers: Sequence[UUID] | None = None,
        limit: int = 100,
    ) -> Reading:
        """Return what a grant lets the session's owner see; the ledger knows of it first."""
        shown = show_id(GRANT, grant_id)
        by = self.custody.hash_name
        digest = read_digest(self.custody.installation_id, shown, customers, limit, by=by)
        token = act_token(session, READ, digest, self.custody.now())
        return read(self.custody, self.actor, token, grant_id, customer_ids=customers, limit=limit)

    def deliver(self, request_id: UUID) -> transfer.DeliveryReceipt:
        """Deliver a transfer that two people approved, once."""
        return transfer.deliver(self.custody, self.actor, request_id)

    def plan_destruction(
        self, as_of: date | None = None, *, customer: UUID | None = None, batch: UUID | None = None
    ) -> Plan:
        """Write down what is due as of a day, today by default, and not held."""
        day = as_of or self.custody.today()
        scope = Scope(as_of=day, customer_id=customer, batch_id=batch)
        return plan_destruction(self.custody, self.actor, scope)

    def apply_plan(self, plan_id: UUID) -> Certificate:
        """Erase what a plan lists, read every place back, and return the certificate."""
        for chunk in destroy.claim_plan(self.custody, self.actor, plan_id):
            destroy.erase_chunk(self.custody, self.actor, plan_id, chunk)
        absence = certify.verify_absence(self.custody, self.actor, plan_id)
        return certify.certify_destruction(self.custody, self.actor, absence)

    def turn_keys(self, *, everything: bool = False) -> TurnReceipt | None:
        """Make erasures final against backups; None where there is nothing to do."""
        return turn_keys(self.custody, self.actor, everything=everything)

    def verify(self, *, deep: bool = False) -> Verified:
        """Check the control record; with ``deep`` also open every key and every seal."""
        return verify_installation(self.custody, deep=deep)

    def _vote(self, key: PersonKey, view: RequestView, *, approve: bool) -> vote.VoteReceipt:
        signer = key.signer(require_key_owner(self.custody, key.kid).id)
        decision: Final = APPROVE if approve else REJECT
        token = vote.vote_token(signer, view.request, decision, self.custody.now())
        return vote.cast_vote(self.custody, self.actor, token)
