"""The part `oncall`: what it describes, what of it is a secret, and the error for each mistake."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bais_gates.errors import GateInputError
from bais_gates.redaction import redact
from bais_gates.targets.environment import load_environment
from bais_gates.verdict.files import load_document

Write = Callable[[str, str], Path]
FULL = """\
name: staging
oncall:
  rotation: own/rotation.yaml
  api_url: https://api.eu.pagerduty.com/
  token: canary-pager-token
  sender: canary.person@example.com
  routing_key: canary-routing-key-0123456789abc
  chat: {"#bais-incidents": "https://hooks.example.com/services/canary-webhook"}
  status_page: {page: kctbh9vrtdwd, token: canary-status-token}
  records: /srv/records
allow: [synthetic_alert, test_page, chat_message, status_page_rehearsal]
"""


def test_its_addresses_have_defaults_and_its_paths_are_beside_the_file(write: Write, gates_dir: Path) -> None:
    """A file names its credentials and folders; the addresses are the providers' own."""
    path = write("staging", FULL)
    environment = load_environment("staging", gates_dir=gates_dir)
    part = environment.oncall

    assert (part.api_url, part.events_url) == (
        "https://api.eu.pagerduty.com",
        "https://events.pagerduty.com",
    )
    assert (part.rotation, part.records) == (path.parent / "own/rotation.yaml", Path("/srv/records"))
    assert part.status_page is not None
    assert part.status_page.api_url == "https://api.statuspage.io/v1"
    assert dict(part.chat).keys() == {"#bais-incidents"}
    assert part.golive_window_h == 4
    assert environment.allow == ("synthetic_alert", "test_page", "chat_message", "status_page_rehearsal")


def test_its_secrets_are_in_no_text(write: Write, gates_dir: Path) -> None:
    """Tokens, keys, webhooks and the sender's address are redacted, and no value shows them."""
    write("staging", FULL)
    part = load_environment("staging", gates_dir=gates_dir).oncall

    assert part.status_page is not None
    for secret in (part.token, part.sender, part.routing_key, part.status_page.token, *part.chat.values()):
        assert "canary" not in redact(f"it is {secret}, of course")
    assert "canary" not in redact(repr(part))


def test_a_pager_on_this_machine_makes_a_rehearsal(write: Write, gates_dir: Path) -> None:
    """Who is judged against a stand-in is never deployed."""
    write(
        "staging",
        "name: staging\noncall: {token: abcdef, sender: a@b.example, api_url: http://127.0.0.1:8/}\n",
    )
    assert load_environment("staging", gates_dir=gates_dir).rehearsal is True


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("  token: canary-pager-token\n", "", ":2: oncall: token is missing"),
        ("https://api.eu.pagerduty.com/", "api.pagerduty.com", ":4: oncall.api_url: not a URL"),
        ("canary.person@example.com", "nobody", ":6: oncall.sender"),
        ('"#bais-incidents"', "incidents", "oncall.chat"),
        ("https://hooks.example.com/services/canary-webhook", "hooks", "#bais-incidents: not a URL"),
        (", token: canary-status-token", "", "oncall.status_page"),
        ("test_page", "test_pager", ":11: allow[1]"),
        (
            "  records:",
            "  pages_url: http://127.0.0.1:8/pages\n  records:",
            ":10: oncall.pages_url: only a sandbox",
        ),
    ],
)
def test_a_mistake_is_named_with_its_place(
    write: Write, gates_dir: Path, old: str, new: str, message: str
) -> None:
    """The error names file, line and key, and shows no secret."""
    assert old in FULL
    write("staging", FULL.replace(old, new))
    with pytest.raises(GateInputError) as caught:
        load_environment("staging", gates_dir=gates_dir)
    assert message in str(caught.value)
    assert "canary-" not in str(caught.value)


@pytest.mark.parametrize("name", ["staging", "production"])
def test_the_projects_files_permit_no_page(name: str) -> None:
    """Nobody is paged from the project's files as they are."""
    gates = Path(__file__).parents[2] / "gates"
    data = load_document(gates / "environments" / f"{name}.yaml", "environment").data
    assert isinstance(data, dict)
    assert "oncall" in data
    assert "allow" not in data
