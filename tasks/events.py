"""Events that start runs: taken from the request rows, which are their outbox."""

from prefect.events import emit_event

from custody.acts.context import Custody
from custody.acts.request_views import Announcement, mark_announced, unannounced
from custody.identifiers import REQUEST, show_id


def announce(custody: Custody) -> int:
    """Emit the events of requests that were filed or approved and not announced yet.

    An event that was emitted and then not marked is emitted again: its run finds the request
    decided or delivered already, and changes nothing.
    """
    return sum(_announce(custody, one) for one in unannounced(custody))


def _announce(custody: Custody, announcement: Announcement) -> bool:
    shown = show_id(REQUEST, announcement.request_id)
    resource = {
        "prefect.resource.id": f"custody.request.{shown}",
        "custody.kind": announcement.kind,
    }
    payload = {"request_id": shown, "kind": announcement.kind}
    emit_event(event=announcement.event, resource=resource, payload=payload)
    return mark_announced(custody, announcement)
