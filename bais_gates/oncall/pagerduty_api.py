"""Requests to PagerDuty's REST API v2: credentials, pages of lists, rate limits, and errors for people.

Source: developer.pagerduty.com (Authentication, Versioning, Pagination, Rate limiting, Errors). A request
that was refused for the rate limit is repeated when the header ratelimit-reset says so. One that only reads
is repeated after a lost connection or an error of the server; one that writes never, as it may be done.
"""

from __future__ import annotations

import itertools
import re
import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from bais_gates import redaction
from bais_gates.oncall.limits import Sleep, send
from bais_gates.oncall.provider import OncallError
from bais_gates.probes.http import HttpClient, Response, Unreachable

if TYPE_CHECKING:
    from collections.abc import Sequence

    import httpx

_PAGE: Final = 100
_DEEPEST: Final = 10_000
"""Offset plus limit may not be more."""
_RESET_CAP_S: Final = 60.0
"""Limits are counted by the minute: a longer wait is none of the limit's."""
_READ_ATTEMPTS: Final = 3
_BODY_CAP: Final = 8 * 1024 * 1024
_ID: Final = re.compile(r"/(?=[A-Z0-9]*[0-9])[A-Z0-9]{6,}|/P[A-Z0-9]{6,}")
_PRIVATE: Final = re.compile(r"\S*@\S*|\+?[0-9][0-9 ()/-]{5,}[0-9]")
"""What may be an e-mail address or a phone number in an error of PagerDuty's."""
_REMEDIES: Final = {
    401: "the token is not accepted. Make a REST API key, and give it as oncall.token",
    402: "the account's plan does not have this. Ask its owner",
    403: "the token has no right to this. Use a REST API key with full access",
    404: "there is no such object (any more), or the token may not see it. Run it again",
    405: "it knows no such request. Is oncall.api_url the address of PagerDuty's REST API?",
    429: "its rate limit is exceeded. Run it again in a minute",
}


class Api:
    """One account; ``sleep`` and ``transport`` are replaced in tests. Raises :class:`OncallError`."""

    def __init__(
        self,
        url: str,
        token: str,
        sender: str,
        *,
        sleep: Sleep = time.sleep,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        redaction.register(token)
        redaction.register(sender)
        self._client = HttpClient(url, body_cap=_BODY_CAP, transport=transport)
        self._sleep, self._sender = sleep, sender
        self._headers = {
            "Accept": "application/vnd.pagerduty+json;version=2",
            "Authorization": f"Token token={token}",
            "Content-Type": "application/json",  # of every request, says the description
        }

    def get(self, path: str, *parameters: tuple[str, str], absent: Any = None) -> Any:
        """Return the JSON of an object; ``absent``, if it is given, where there is none."""
        for attempt in itertools.count(1):
            last = attempt == _READ_ATTEMPTS
            try:
                response = self._send("GET", path, parameters=parameters)
            except Unreachable as error:
                if last:
                    raise self._unreachable("GET", path, error) from None
            else:
                if response.status == 404 and absent is not None:
                    return absent
                if response.status < 500 or last:
                    return self._content("GET", path, response)
            self._sleep(float(attempt))
        return None  # never: the last attempt returns or raises

    def all(self, path: str, key: str, *parameters: tuple[str, str], absent: Any = None) -> list[Any]:
        """Return a whole list, page by page."""
        found: list[Any] = []
        for offset in range(0, _DEEPEST, _PAGE):
            pages = (("limit", str(_PAGE)), ("offset", str(offset)))
            page = self.get(path, *parameters, *pages, absent=absent)
            rows = page.get(key) if isinstance(page, dict) else None
            if not isinstance(rows, list) or not all(isinstance(one, dict) for one in rows):
                raise self._error("GET", path, f"it answered no list of {key}")
            found += rows
            if not page.get("more"):
                return found
        raise self._error("GET", path, f"it has more than the {_DEEPEST:,} entries that it lists")

    def write(self, method: str, path: str, body: Any = None, *, what: str, sender: str | None = None) -> Any:
        """Send a request that changes something; ``what`` is the object's name for errors.

        ``sender``: in whose name, by e-mail address (default: the account's own sender).
        """
        try:
            response = self._send(method, path, body=body, sender=sender)
        except Unreachable as error:
            raise self._unreachable(method, path, error, what) from None
        return self._content(method, path, response, what)

    def _send(
        self,
        method: str,
        path: str,
        *,
        parameters: Sequence[tuple[str, str]] = (),
        body: Any = None,
        sender: str | None = None,
    ) -> Response:
        query = f"?{urlencode(parameters)}" if parameters else ""
        headers = self._headers if method == "GET" else self._headers | {"From": sender or self._sender}
        return send(
            self._client,
            method,
            path + query,
            header="ratelimit-reset",
            cap_s=_RESET_CAP_S,
            sleep=self._sleep,
            headers=headers,
            json=body,
        )

    def _content(self, method: str, path: str, response: Response, what: str = "") -> Any:
        if response.status == 204:
            return {}
        if response.status not in {200, 201}:
            raise self._error(method, path, _fault(response), what)
        if not isinstance(response.json, dict | list):
            cause = "it answered no JSON. Is oncall.api_url the address of PagerDuty's REST API?"
            raise self._error(method, path, cause, what)
        return response.json

    def _unreachable(self, method: str, path: str, error: Unreachable, what: str = "") -> OncallError:
        cause = str(error).rpartition(f"{path}")[2].partition(": ")[2]
        more = "" if method == "GET" else ". Whether it was done is unknown"
        return self._error(method, path, cause + more, what)

    def _error(self, method: str, path: str, cause: str, what: str = "") -> OncallError:
        of = f" ({what})" if what else ""
        shown = _ID.sub("/ID", path)
        return OncallError(redaction.redact(f"PagerDuty, {method} {shown}{of}: {cause.rstrip('.')}."))

    def close(self) -> None:
        """Close all connections."""
        self._client.close()


def _fault(response: Response) -> str:
    """Return why a response is no success: the remedy that we know, and PagerDuty's own words."""
    message, errors = response.field("error", "message"), response.field("error", "errors")
    own = [message, *(errors if isinstance(errors, list) else [errors])]
    words = "; ".join(_PRIVATE.sub("...", one) for one in own if isinstance(one, str))[:300]
    cause = _REMEDIES.get(response.status) or f"status {response.status}"
    return f"{cause} (PagerDuty: {words})" if words else cause
