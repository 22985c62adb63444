"""Stand-ins for PagerDuty, Slack's incoming webhooks and Statuspage, with state in memory.

They are served by the process of the sandbox's monitoring (``bais_gates.sandbox.monitoring.__main__``)::

    /pagerduty/...           PagerDuty's REST API v2 (pagerduty, schedules, paging)
    /v2/enqueue              PagerDuty's Events API v2, which opens incidents there
    /v2/change/enqueue       its change events, which are only kept
    /slack/services/...      Slack's incoming webhooks (chat)
    /statuspage/v1/...       Statuspage's API v1 (statuspage)
    /pages/HOST/PATH         the pages of runbooks and emergency contacts, with a status each
    /oncall/state[/KIND]     their whole state or one kind of object: GET, or PUT to replace it (account)

Each refuses what the original refuses, as far as its documentation or its users say so. Nobody is reached:
the person whom PagerDuty would wake acknowledges by himself after ``acknowledge_after_s``.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Final

SENDER: Final = "oncall-gates@bais.example"
"""The user in whose name gates and ``bais-gates oncall`` change things."""
CHANNELS: Final = tuple(
    f"#bais-{name}" for name in ("incidents", "oncall", "payments", "platform", "database", "security")
)
PAGE: Final = "kctbh9vrtdwd"
"""The id of the status page."""


def _webhooks() -> dict[str, str]:
    return {one: f"T{_upper(8)}/B{_upper(8)}/{secrets.token_hex(12)}" for one in CHANNELS}


def _upper(length: int) -> str:
    return secrets.token_hex(length)[:length].upper()


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """The secrets by which the stand-ins know their users; new ones for each sandbox."""

    token: str = field(default_factory=lambda: secrets.token_urlsafe(15))
    # The letter: digits with one e among them would be no text in a YAML file.
    routing_key: str = field(default_factory=lambda: f"R{secrets.token_hex(16)[1:]}")
    status_token: str = field(default_factory=lambda: f"S{secrets.token_hex(16)[1:]}")
    webhooks: dict[str, str] = field(default_factory=_webhooks)
    """The end of the address by channel: team, service and token."""
