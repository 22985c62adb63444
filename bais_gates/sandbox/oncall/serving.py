"""The stand-ins together: which of them answers a request, and what they start with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bais_gates.sandbox.oncall import Access, chat, pagerduty, paging
from bais_gates.sandbox.oncall.account import Account, control
from bais_gates.sandbox.oncall.http import Reply, Request, reply_text
from bais_gates.sandbox.oncall.statuspage import Statuspage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PREFIXES = ("/pagerduty/", "/slack/services/", "/statuspage/v1/", "/pages/", "/oncall/state")
"""How the paths begin that the stand-ins answer."""


class StandIns:
    """PagerDuty, Slack and Statuspage; ``keep`` is called with each message that a channel gets."""

    def __init__(self, config: Mapping[str, Any], keep: Callable[[str, dict[str, Any]], None]) -> None:
        access = Access(**config["access"])
        self._account = Account(access, people=map(tuple, config["people"]), service=config["service"])
        self._page = Statuspage(access.status_token)
        self._pages = dict.fromkeys(config.get("pages", ()), 200)
        self._webhooks = chat.webhooks_of(access.webhooks)
        self._keep = keep

    def on_event(self, event: dict[str, Any]) -> bool:
        """Act on an event for the pager; return whether its routing key is known."""
        return paging.receive(self._account, event)

    def knows(self, key: str) -> bool:
        """Return whether a routing key is known."""
        return paging.service_of(self._account, key) is not None or key == self._account.access.routing_key

    def respond(self, request: Request) -> Reply:
        """Respond to a request of one of :data:`PREFIXES`."""
        if request.path.startswith("/pagerduty/"):
            return pagerduty.respond(self._account, request.below("/pagerduty"))
        if request.path.startswith("/statuspage/v1/"):
            return self._page.respond(request.below("/statuspage/v1"))
        if request.path.startswith("/pages/"):
            status = self._pages.get(request.path.removeprefix("/pages/"), 404)
            return reply_text(status, "a page of a runbook or a contact" if status == 200 else "no such page")
        with self._account.lock:
            if request.path.startswith("/oncall/state"):
                states = (
                    self._account.state
                    | self._page.state
                    | {"webhooks": self._webhooks, "pages": self._pages}
                )
                return control(states, request)
            reply, channel = chat.respond(self._webhooks, request)
            if channel:
                self._keep(f"slack/{channel}", request.content())
            return reply
