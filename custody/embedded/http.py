"""Ask Prefect's server a question over loopback, without importing prefect and past any proxy."""

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

ASK_SECONDS = 5.0
GOOD = range(200, 300)


class ApiUnreachableError(ConnectionError):
    """Nothing that speaks Prefect's API answers there."""


def ask(api_url: str, path: str, body: object = None, *, authorization: str = "") -> Any:  # noqa: ANN401  (JSON)
    """Return the JSON answer to a GET, or to a POST when there is a body.

    Args:
        authorization: The header of that name; empty to send none.

    Raises:
        ApiUnreachableError: No answer, or not a good one.
    """
    address = urlsplit(api_url)
    secure = address.scheme == "https"
    kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    connection = kind(address.hostname or "", address.port, timeout=ASK_SECONDS)
    headers = {"Content-Type": "application/json"}
    if authorization:
        headers["Authorization"] = authorization
    try:
        connection.request(
            "GET" if body is None else "POST",
            f"{address.path.rstrip('/')}{path}",
            body=None if body is None else json.dumps(body),
            headers=headers,
        )
        answer = connection.getresponse()
        text = answer.read()
    except (OSError, http.client.HTTPException):
        raise ApiUnreachableError from None
    finally:
        connection.close()
    if answer.status not in GOOD:
        raise ApiUnreachableError
    return json.loads(text) if text else None
