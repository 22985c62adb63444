"""Check that what is told during an incident arrives: each channel takes a message."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from bais_gates import Environment, Evidence, Unique
from bais_gates.oncall import ChatError, Oncall, post_message


@pytest.mark.gate("oncall.chat_delivers")
def test_chat_delivers(oncall: Oncall, environment: Environment, unique: Unique, evidence: Evidence) -> None:
    """The channels of incidents and of who is on call each take a test message."""
    if not oncall.part.chat:
        raise environment.missing("oncall.chat")
    wanted = [oncall.rotation.incident_channel, oncall.rotation.oncall_channel]
    check_channels(wanted, oncall.part.chat, f"Test message of a gate, {unique.word('chat')}", evidence)


def check_channels(wanted: list[str], webhooks: Mapping[str, str], text: str, evidence: Evidence) -> None:
    """Post to every channel that has a webhook, and check that those that are needed have one.

    Source: docs.slack.dev, incoming webhooks (only the body ``ok`` says that a message was posted).
    """
    absent = [channel for channel in wanted if channel not in webhooks]
    evidence.check("channels of the rotation without a webhook", absent, "==", [], n=len(wanted))
    failed = []
    for channel, webhook in webhooks.items():
        try:
            post_message(webhook, f"{text}: there is nothing to do.", channel=channel)
        except ChatError as error:
            failed.append(str(error))
    evidence.check("channels that take no message", failed, "==", [], n=len(webhooks), n_min=1)
