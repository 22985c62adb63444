"""The waiver file and its rules."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bais_gates.errors import GateInputError
from bais_gates.verdict.codec import format_moment, parse_moment
from bais_gates.verdict.waivers import NO_WAIVERS, load_waivers

if TYPE_CHECKING:
    from tests.verdict.conftest import Write

TEXT = """\
waivers:
  - gate: acceptance.a
    reason: The index is being rebuilt.
    ticket: BAIS-1
    requested_by: dana
    approved_by: alex
    approved_at: 2026-03-02T09:00:00+02:00
    expires: "2026-03-06 18:00:00.25Z"
    environment: production
"""


def test_waiver_is_read_in_utc(write: Write) -> None:
    """Moments with any zone are read, quoted or not, as UTC."""
    (waiver,) = load_waivers(write(TEXT)).waivers

    assert waiver.approved_at == datetime(2026, 3, 2, 7, tzinfo=UTC)
    assert waiver.expires == datetime(2026, 3, 6, 18, 0, 0, 250_000, tzinfo=UTC)
    assert waiver.subject_digest is None


@pytest.mark.parametrize(
    "moment",
    [
        "2026-03-06",
        "2026-03-06T18:00:00",
        "2026-03-06T18:00Z",
        "2026-02-30T18:00:00Z",
        "2026-03-06T24:00:00Z",
        "2026-03-06T18:00:60Z",
        "20260306T180000Z",
        "0001-01-01T00:00:00+01:00",
        "tomorrow",
        "2026-W10-1T00:00:00Z",
    ],
)
def test_moment_without_a_zone_is_refused(write: Write, moment: str) -> None:
    """A date, a time without a zone and a moment that does not exist are refused with line and key."""
    text = TEXT.replace('"2026-03-06 18:00:00.25Z"', moment)
    with pytest.raises(
        GateInputError, match=r":8: waivers\[0\].expires: must be a date and time with a zone"
    ):
        load_waivers(write(text))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("    ticket: BAIS-1\n", "", "ticket is missing"),
        ("BAIS-1", "17", "ticket: must be text. Quote it."),
        ("BAIS-1", '" "', "ticket: must not be blank."),
        ("alex", "\u0430lex", ":6: waivers[0].approved_by: mixes letters of several scripts"),
        ("alex", "TBD", ":6: waivers[0].approved_by: names nobody"),
        ("alex", "'\"alex\"@example.com'", "approved_by: has an address that can be read in two ways"),
        ("dana", "da\u00adna", "requested_by: has a character that is not shown (U+00AD)"),
        ("The index is being rebuilt.", "because", "reason: must have at least 10 characters"),
        ("production", '"*"', "environment: must match ^[a-z]"),
        (
            "2026-03-02T09:00:00+02:00",
            "2026-03-07T09:00:00Z",
            ":8: waivers[0].expires: must be after approved_at",
        ),
        ("environment:", "subject_digest: sha256:abc\n    environment:", "64 hex digits"),
        ("environment:", "severity: P2\n    environment:", "severity: unknown key"),
    ],
)
def test_wrong_waivers_are_refused(write: Write, old: str, new: str, words: str) -> None:
    """A waiver with a missing or malformed field is refused."""
    with pytest.raises(GateInputError) as caught:
        load_waivers(write(TEXT.replace(old, new)))
    assert words in str(caught.value)


def test_no_file_is_no_waivers(tmp_path: Path) -> None:
    """An absent file means none; a broken link and a folder are errors."""
    (tmp_path / "broken").symlink_to(tmp_path / "nothing")

    assert load_waivers(None) == load_waivers(tmp_path / "waivers.yaml") == NO_WAIVERS
    with pytest.raises(GateInputError, match="a symbolic link to a file that does not exist"):
        load_waivers(tmp_path / "broken")
    with pytest.raises(GateInputError, match="not a regular file"):
        load_waivers(tmp_path)


def test_the_project_waives_nothing(write: Write) -> None:
    """The project's own file is empty, and the example in its comment is a right one."""
    path = Path(__file__).parents[2] / "gates" / "waivers.yaml"
    lines = path.read_text("utf-8").splitlines()
    begin = lines.index("# waivers:")
    example = "\n".join(line[2:] for line in lines[begin:-1])

    assert load_waivers(path).waivers == ()
    assert load_waivers(write(example)).waivers[0].gate == "acceptance.analytics_dashboard_data"


def test_moments_are_written_in_utc() -> None:
    """A moment is written as RFC 3339 in UTC and read back the same."""
    moment = parse_moment("2026-03-02T12:00:00.123456+02:00")
    assert format_moment(moment) == "2026-03-02T10:00:00.123456Z"
    assert parse_moment(format_moment(moment)) == moment
