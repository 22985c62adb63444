"""Read and change a status page of Atlassian Statuspage (API v1): its components, and a rehearsal incident.

Source: developer.statuspage.io. One request a second per token is allowed; 420 and 429 say that it was
exceeded.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlsplit

from bais_gates import redaction
from bais_gates.errors import GateInputError
from bais_gates.oncall.limits import Sleep, send
from bais_gates.probes.http import HttpClient, Response, Unreachable

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    import httpx

API_URL: Final = "https://api.statuspage.io/v1"
PACE_S: Final = 1.0
_BURST: Final = 20
"""Requests that may follow each other at once: a request a second is allowed, counted over 60 seconds."""
REHEARSAL: Final = "Rehearsal: "
"""What the name of each rehearsal begins with."""
_PER_PAGE: Final = 100
_MAX_PAGES: Final = 20
_NAME_LIMIT: Final = 255
_LIMITED: Final = (420, 429)
_REMEDIES: Final = {
    401: "the token is not accepted; make a new one",
    403: "the token has no right to this page; use one of its owner",
    404: "there is no such page for this token; correct the page's id",
    420: "its rate limit is exceeded; try again in a minute",
    422: "it does not accept the values",
    429: "its rate limit is exceeded; try again in a minute",
}


class StatusPageError(GateInputError):
    """A request was not carried out, or it is unknown whether; the text names it and the cause."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """A part of the platform on the page."""

    id: str
    name: str
    status: str
    """As in ``operational``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """An incident on the page."""

    id: str
    name: str
    status: str
    """``investigating``, ``identified``, ``monitoring`` or ``resolved``."""


class StatusPage:
    """One page. Requests are paced, and repeated only when they were refused for the rate limit.

    Raises :class:`StatusPageError` for every fault, without the token.
    """

    def __init__(
        self,
        page: str,
        token: str,
        *,
        api_url: str = API_URL,
        pace_s: float = PACE_S,
        sleep: Sleep = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        redaction.register(token)
        parts = urlsplit(api_url)
        if parts.scheme not in {"https", "http"} or not parts.netloc:
            raise StatusPageError(f"status page: api_url is no address. Write it as {API_URL}.")
        self._client = HttpClient(f"{parts.scheme}://{parts.netloc}", transport=transport)
        self._prefix = f"{parts.path.rstrip('/')}/pages/{quote(page, safe='')}"
        self._headers = {"Authorization": f"OAuth {token}"}
        self._pace_s, self._sleep, self._clock = pace_s, sleep, clock
        self._free_at = -math.inf

    def components(self) -> list[Component]:
        """Return all components, over all pages of the list; raise :class:`StatusPageError`."""
        found: list[Component] = []
        for number in range(1, _MAX_PAGES + 1):
            rows = self._request("GET", "/components", page=number)
            if not isinstance(rows, list):
                raise self._error("GET", "/components", "it answered no list")
            found += [_component(self, one) for one in rows]
            if len(rows) < _PER_PAGE:
                return found
        raise self._error("GET", "/components", f"the list has more than {_MAX_PAGES} pages")

    def create_missing(self, names: Collection[str]) -> list[str]:
        """Create the components that the page lacks, and return their names."""
        there = {one.name for one in self.components()}
        missing = [name for name in dict.fromkeys(names) if name not in there]
        for name in missing:
            self._request("POST", "/components", body={"component": {"name": name, "status": "operational"}})
        return missing

    @contextlib.contextmanager
    def rehearsal(self, name: str, body: str, components: Collection[str]) -> Iterator[Incident]:
        """Publish an incident that notifies nobody, and resolve it at the end, whatever happens between."""
        incident = self.publish_rehearsal(name, body, components)
        try:
            yield incident
        finally:
            self.resolve(incident)

    def publish_rehearsal(self, name: str, body: str, components: Collection[str]) -> Incident:
        """Publish an incident without notifications; the components, by name, keep their status."""
        ids = {one.name: one.id for one in self.components()}
        if absent := sorted(set(components) - ids.keys()):
            raise self._error("POST", "/incidents", f"the page has no component {absent[0]}; create it first")
        incident = {
            "name": (REHEARSAL + name)[:_NAME_LIMIT],
            "status": "investigating",
            "impact_override": "none",
            "body": body,
            "component_ids": [ids[one] for one in components],
            "deliver_notifications": False,  # the default is to write to every subscriber
        }
        return self._incident("POST", "/incidents", incident)

    def resolve(self, incident: Incident) -> Incident:
        """Resolve an incident without notifications; raise if the page does not show it as resolved."""
        path = f"/incidents/{quote(incident.id, safe='')}"
        values = {"status": "resolved", "deliver_notifications": False}
        done = self._incident("PATCH", path, values)
        if done.status != "resolved":
            raise self._error("PATCH", path, "the incident is still open; resolve it by hand")
        return done

    def open_rehearsals(self) -> list[Incident]:
        """Return the rehearsals that nobody resolved, as of a run that was killed."""
        rows = self._request("GET", "/incidents/unresolved")
        if not isinstance(rows, list):
            raise self._error("GET", "/incidents/unresolved", "it answered no list")
        found = [_incident(self, one) for one in rows]
        return [one for one in found if one.name.startswith(REHEARSAL)]

    def _incident(self, method: str, path: str, values: Mapping[str, Any]) -> Incident:
        return _incident(self, self._request(method, path, body={"incident": dict(values)}))

    def _request(self, method: str, path: str, *, body: object = None, page: int | None = None) -> Any:
        """Return the JSON of a successful response; raise :class:`StatusPageError`."""
        params = None if page is None else {"page": str(page), "per_page": str(_PER_PAGE)}
        self._wait()
        try:
            response = send(
                self._client,
                method,
                self._prefix + path,
                limited=_LIMITED,
                sleep=self._sleep,
                headers=self._headers,
                json=body,
                params=params,
            )
        except Unreachable as error:
            cause = str(error).partition(": ")[2]
            more = "" if method == "GET" else "; whether it was carried out is unknown: look at the page"
            raise self._error(method, path, cause + more) from None
        if response.status not in {200, 201} or response.json is None:
            raise self._error(method, path, _fault(response))
        return response.json

    def _wait(self) -> None:
        """Keep the pace that the token is allowed."""
        now = self._clock()
        self._free_at = max(self._free_at, now - (_BURST - 1) * self._pace_s)
        if self._free_at > now:
            self._sleep(self._free_at - now)
        self._free_at += self._pace_s

    def _error(self, method: str, path: str, cause: str) -> StatusPageError:
        return StatusPageError(f"status page, {method} {path}: {cause}.")

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _fault(response: Response) -> str:
    if response.status in {200, 201}:
        return "it answered no JSON; is api_url the address of the API?"
    return f"status {response.status}: {_REMEDIES.get(response.status, 'it failed')}"


def _component(page: StatusPage, row: Any) -> Component:
    return Component(**_texts(page, row, "/components", ("id", "name", "status")))


def _incident(page: StatusPage, row: Any) -> Incident:
    return Incident(**_texts(page, row, "/incidents", ("id", "name", "status")))


def _texts(page: StatusPage, row: Any, path: str, keys: tuple[str, ...]) -> dict[str, str]:
    found = {key: row.get(key) if isinstance(row, dict) else None for key in keys}
    if not all(isinstance(value, str) for value in found.values()):
        raise page._error("GET", path, f"an entry lacks {' or '.join(keys)}")  # noqa: SLF001 - one module
    return {key: str(value) for key, value in found.items()}
