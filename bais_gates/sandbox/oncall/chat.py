"""Slack's incoming webhooks: which messages they take, and the plain text that refuses the others.

docs.slack.dev/messaging/sending-messages-using-incoming-webhooks (its section on errors) and
docs.slack.dev/reference/block-kit/blocks. A webhook is a dict: channel, and problem, a fault's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from bais_gates.sandbox.oncall.http import Object, Reply, Request, reply_text

if TYPE_CHECKING:
    from collections.abc import Mapping

_PROBLEMS: Final = {
    "no_service": 404,
    "channel_not_found": 404,
    "channel_is_archived": 410,
    "action_prohibited": 403,
}
"""What a webhook that was right once may respond with, as its ``problem``."""
_MOST_BLOCKS, _MOST_ATTACHMENTS = 50, 100
_LONGEST: Final = {"header": 150, "section": 3_000}
_BLOCKS: Final = {"section", "header", "divider", "context", "actions", "image", "rich_text", "markdown"}


def webhooks_of(addresses: Mapping[str, str]) -> Object:
    """Return the webhooks of channels, by the end of their address."""
    return {path: {"channel": channel, "problem": ""} for channel, path in addresses.items()}


def problem_of(message: Any) -> str:
    """Return the word by which a message is refused; empty if it is well formed."""
    if not isinstance(message, dict):
        return "invalid_payload"
    text, blocks, attachments = (message.get(key) for key in ("text", "blocks", "attachments"))
    if not isinstance(text, str | None):
        return "invalid_payload"
    if blocks is not None and (
        not isinstance(blocks, list) or len(blocks) > _MOST_BLOCKS or not all(map(_is_block, blocks))
    ):
        return "invalid_blocks"
    if attachments is not None and not isinstance(attachments, list):
        return "invalid_attachments"
    if len(attachments or ()) > _MOST_ATTACHMENTS:
        return "too_many_attachments"
    return "" if text or blocks or attachments else "no_text"


def respond(webhooks: Mapping[str, Object], request: Request) -> tuple[Reply, str]:
    """Respond to a request below ``/slack/services/``; return also the channel that got it, if any."""
    path = request.path.removeprefix("/slack/services/")
    webhook = webhooks.get(path)
    if webhook is None:
        service = path.rpartition("/")[0]
        if any(one.rpartition("/")[0] == service for one in webhooks):
            return reply_text(403, "invalid_token"), ""
        return reply_text(404, "no_service"), ""
    problem = problem_of(request.content()) if request.method == "POST" else "invalid_payload"
    if problem:
        return reply_text(400, problem), ""
    if webhook["problem"]:
        return reply_text(_PROBLEMS.get(webhook["problem"], 400), webhook["problem"]), ""
    return reply_text(200, "ok"), webhook["channel"]


def _is_block(block: Any) -> bool:
    if not isinstance(block, dict) or block.get("type") not in _BLOCKS:
        return False
    text = block.get("text")
    longest = _LONGEST.get(block["type"])
    if block["type"] == "header" or (block["type"] == "section" and "fields" not in block):
        words = text.get("text") if isinstance(text, dict) else None
        return isinstance(words, str) and 0 < len(words) <= (longest or 0)
    return True
