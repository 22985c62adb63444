"""Post to a channel through a Slack incoming webhook.

Source: Slack's documentation ("Sending messages using incoming webhooks", "Formatting text for app surfaces",
"Rate limits"). The webhook's URL is a secret: whoever has it can post. No error here has it.
"""

from __future__ import annotations

import time
from typing import Final
from urllib.parse import urlsplit

from bais_gates import redaction
from bais_gates.errors import GateInputError
from bais_gates.oncall.limits import Sleep, send
from bais_gates.probes.http import HttpClient, Response, Unreachable

MAX_TEXT: Final = 4000
"""Characters that Slack advises for the text of a message; more are cut here, with an ellipsis."""
_DEADLINE_S: Final = 10.0
_ERRORS: Final = {
    "action_prohibited": "the workspace's administrators forbid it; ask them",
    "channel_is_archived": "the channel is archived; restore it, or make a webhook for another",
    "channel_not_found": "the channel is gone; make a webhook for another",
    "invalid_payload": "Slack could not read the message",
    "invalid_token": "the webhook is revoked; make a new one",
    "no_active_hooks": "the webhook is disabled; make a new one",
    "no_service": "the webhook is disabled or removed; make a new one",
    "no_service_id": "the address is not a whole webhook; copy it again",
    "no_team": "the workspace of the address does not exist; copy it again",
    "no_text": "the message had no text",
    "posting_to_general_channel_denied": "posting to the general channel is restricted; use another",
    "team_disabled": "the workspace is disabled",
    "user_not_found": "the person of the address is gone; make a webhook for a channel",
}
"""The bodies of Slack's refusals, and what they mean."""


class ChatError(GateInputError):
    """A message was not posted; the text names the channel and the cause."""


def post_message(
    webhook: str,
    text: str,
    *,
    channel: str,
    deadline_s: float = _DEADLINE_S,
    sleep: Sleep = time.sleep,
) -> None:
    """Post a plain text and return when Slack has taken it; raise :class:`ChatError`.

    ``channel`` is what errors call it: the webhook alone decides where the text goes. & < > are escaped, so
    that nothing in the text becomes a link or notifies people. ``deadline_s`` is that of one attempt.
    """
    if not text.strip():
        raise ChatError(f"{channel}: a message without text. Slack refuses it.")
    origin, path = _split(webhook, channel)
    redaction.register(webhook)
    redaction.register(path)
    shown = text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"
    with HttpClient(origin, deadline_s=deadline_s) as client:
        try:
            response = send(client, "POST", path, sleep=sleep, json={"text": escape(shown)})
        except Unreachable as error:
            cause = redaction.redact(str(error).removeprefix(f"POST {origin}{path}: "))
        else:
            cause = _fault(response)
    if cause:
        raise ChatError(f"{channel}: the message was not posted: {cause}.")


def escape(text: str) -> str:
    """Return a text in which Slack finds no link, mention or entity of its own."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _split(webhook: str, channel: str) -> tuple[str, str]:
    """Return origin and path of a webhook; the error has neither."""
    try:
        parts = urlsplit(webhook)
        port = parts.port
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in {"https", "http"} or not parts.hostname or parts.path in {"", "/"}:
        raise ChatError(f"{channel}: its webhook is not an address of the form https://HOST/services/...")
    local = parts.hostname in {"127.0.0.1", "::1", "localhost"}
    if parts.scheme == "http" and not local:
        raise ChatError(f"{channel}: its webhook is not encrypted. Write https://; the address is a secret.")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}{f':{port}' if port else ''}", parts.path


def _fault(response: Response) -> str:
    """Return why a response is no success; "" if it is one. A body that we do not know is not repeated."""
    body = response.text.strip()
    if response.status == 200 and body == "ok":
        return ""
    if response.status == 429:
        wait = response.headers.get("Retry-After", "")
        asked = f", for {wait} s" if wait.isascii() and wait.isdigit() else ""
        return f"Slack limits the rate of this webhook{asked}; try again later"
    if body in _ERRORS:
        return f"{body}: {_ERRORS[body]}"
    return f"status {response.status} with a body that is not Slack's; is it the address of a webhook?"
