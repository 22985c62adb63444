"""Messages to a channel: taken, refused or limited, and the webhook's address is in no error."""

from __future__ import annotations

import itertools
import traceback

import pytest

from bais_gates import redaction
from bais_gates.oncall.chat import ChatError, post_message
from tests.oncall.web import Answer, serving

PATH = "/services/T0CANARY/B0CANARY/canarycanarycanary"


def _refusal(webhook: str, text: str = "a page", sleeps: list[float] | None = None) -> str:
    """Return why a message was not posted, and look for the webhook wherever an error may show it."""
    waits: list[float] = [] if sleeps is None else sleeps
    with pytest.raises(ChatError) as caught:
        post_message(webhook, text, channel="#incidents", sleep=waits.append)
    shown = "".join(traceback.format_exception(caught.value))
    assert "canarycanary" not in shown
    return str(caught.value)


def test_a_message_is_posted_as_text() -> None:
    """Slack's own characters are escaped, a long text is cut, and the webhook is redacted from then on."""
    with serving(lambda _: Answer(200, "ok")) as slack:
        post_message(slack.url + PATH, "a < b & c > d <!channel>", channel="#incidents")
        post_message(slack.url + PATH, "x" * 50_000, channel="#incidents")

        assert [one.path for one in slack.asked] == [PATH, PATH]
        assert slack.asked[0].body == {"text": "a &lt; b &amp; c &gt; d &lt;!channel&gt;"}
        assert len(slack.asked[1].body["text"]) == 4000
        assert PATH not in redaction.redact(f"failed: {slack.url}{PATH}")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer(404, "no_service"), "no_service: the webhook is disabled or removed"),
        (Answer(410, "channel_is_archived"), "channel_is_archived: "),
        (Answer(403, "invalid_token"), "invalid_token: "),
        (Answer(400, "invalid_payload"), "invalid_payload: "),
        (Answer(200, "<html>Welcome</html>"), "status 200 with a body that is not Slack's"),
        (Answer(302, "", {"Location": "https://elsewhere.example"}), "status 302"),
        (Answer(500, PATH), "status 500"),
    ],
)
def test_a_refusal_is_told_with_its_remedy(answer: Answer, words: str) -> None:
    """Slack's error bodies are explained; of any other answer its status is told, never its body."""
    with serving(lambda _: answer) as slack:
        assert words in _refusal(slack.url + PATH)
        assert len(slack.asked) == 1


def test_a_limit_is_waited_for_and_bounded() -> None:
    """Waits are those of Retry-After, or 1, 2, 4 s; a fourth refusal or a long wait is told."""
    waits: list[float] = []
    answers = iter([Answer(429, "", {"Retry-After": "3"}), Answer(429, ""), Answer(200, "ok")])
    with serving(lambda _: next(answers)) as slack:
        post_message(slack.url + PATH, "a page", channel="#incidents", sleep=waits.append)
        assert waits == [3.0, 2.0]

    waits.clear()
    with serving(lambda _: Answer(429, "rate_limited")) as slack:
        assert "limits the rate" in _refusal(slack.url + PATH, sleeps=waits)
        assert (waits, len(slack.asked)) == ([1.0, 2.0, 4.0], 4)

    waits.clear()
    with serving(lambda _: Answer(429, "", {"Retry-After": "3600"})) as slack:
        assert "for 3600 s" in _refusal(slack.url + PATH, sleeps=waits)
        assert (waits, len(slack.asked)) == ([], 1)


def test_what_is_no_webhook() -> None:
    """A wrong or an unencrypted address, a server that is gone, and an empty text are errors."""
    with serving(lambda _: Answer()) as gone:
        pass

    assert "connection refused" in _refusal(gone.url + PATH)
    for webhook, words in itertools.chain(
        [
            ("", "not an address"),
            ("https://127.0.0.1:1/a: canarycanary", "refused"),
            ("https://h:canarycanary/x", "not an"),
        ],
        [("ftp://h" + PATH, "not an address"), ("http://hooks.example" + PATH, "not encrypted")],
    ):
        assert words in _refusal(webhook)
    assert "without text" in _refusal("https://hooks.example" + PATH, text=" \n")
