"""Events for PagerDuty: a change that was made, and a page that somebody must look.

Source: developer.pagerduty.com (Events API v2: send an alert event, send a change event). The routing key is
a secret: whoever has it can page. No error here has it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from bais_gates import redaction
from bais_gates.oncall.provider import OncallError
from bais_gates.probes.http import HttpClient, Unreachable
from bais_gates.verdict.target import is_loopback

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx

MAX_SUMMARY: Final = 1024
"""Characters of a summary; more are cut."""
_ACCEPTED: Final = 202
_REMEDIES: Final = {
    400: "it refuses the event. Is oncall.routing_key the key of an Events API v2 integration?",
    404: "it knows no such request. Is oncall.events_url the address of PagerDuty's Events API?",
    429: "its rate limit is exceeded",
}


class Events:
    """PagerDuty's Events API v2 for one integration; methods raise OncallError, and repeat nothing."""

    def __init__(
        self, url: str, routing_key: str, *, deadline_s: float, transport: httpx.BaseTransport | None = None
    ) -> None:
        redaction.register(routing_key)
        parts = urlsplit(url)
        if parts.scheme != "https" and not is_loopback(parts.hostname or ""):
            raise OncallError("oncall.events_url is not encrypted. Write https://; the key is a secret.")
        self._url, self._key, self._deadline_s, self._transport = url, routing_key, deadline_s, transport

    def send_change(self, summary: str, *, source: str, at: str, details: Mapping[str, str]) -> None:
        """Tell of a change; ``at`` is ISO 8601. Nobody is notified."""
        payload = {"source": source, "timestamp": at, "custom_details": dict(details)}
        self._send("/v2/change/enqueue", {"payload": {"summary": summary[:MAX_SUMMARY], **payload}})

    def page(self, summary: str, *, source: str, at: str, details: Mapping[str, str], key: str) -> None:
        """Page who is on call; a second page of the same key is the same incident."""
        payload = {
            "summary": summary[:MAX_SUMMARY],
            "source": source,
            "timestamp": at,
            "severity": "critical",
            "custom_details": dict(details),
        }
        self._send("/v2/enqueue", {"event_action": "trigger", "dedup_key": key[:255], "payload": payload})

    def _send(self, path: str, event: dict[str, Any]) -> None:
        with HttpClient(self._url, deadline_s=self._deadline_s, transport=self._transport) as client:
            try:
                response = client.request("POST", path, json={"routing_key": self._key, **event})
            except Unreachable as error:
                cause = str(error).rpartition(path)[2].removeprefix(": ")
                raise OncallError(redaction.redact(f"PagerDuty, POST {path}: {cause}.")) from None
        if response.status != _ACCEPTED:
            cause = _REMEDIES.get(response.status) or f"status {response.status}"
            raise OncallError(f"PagerDuty, POST {path}: {cause}.")
