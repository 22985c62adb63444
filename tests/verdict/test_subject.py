"""The subject as text."""

from __future__ import annotations

import pytest

from bais_gates.verdict.model import parse_subject

DIGEST = "sha256:" + "0a" * 32


@pytest.mark.parametrize("name", ["bais-api", "registry.example.com:5000/team/bais-api", "bais/api:1.2"])
def test_subject_is_read(name: str) -> None:
    """A name and a digest are read, and written back the same."""
    subject = parse_subject(f"{name}@{DIGEST}")
    assert (subject.name, subject.digest, str(subject)) == (name, DIGEST, f"{name}@{DIGEST}")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "bais-api",
        "bais-api:1.0",
        f"@{DIGEST}",
        f"a@{DIGEST}0",
        f"a@{DIGEST.upper()}",
        f"a b@{DIGEST}",
        f"a@{DIGEST}\n",
    ],
)
def test_anything_less_is_refused(text: str) -> None:
    """A tag, a short digest or stray characters are refused with what to write."""
    with pytest.raises(ValueError, match="64 lower-case hex digits"):
        parse_subject(text)
