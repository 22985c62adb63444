"""Reading files: strict, limited in size, with one paragraph that has the remedy."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bais_gates.errors import AbsentFileError, GateInputError
from bais_gates.verdict.files import digest_of, load_document, read_bytes
from bais_gates.verdict.strict_yaml import parse

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bais_gates.verdict.model import JsonValue
    from tests.verdict.conftest import Write

POLICY = """\
blocking: [P1, P2, P3]
gate_deadline_s: 1
run_deadline_s: 2.5
validity_s: 3
waiver_max_days: {P2: 7}
"""


def refusal(function: Callable[..., object], *arguments: object) -> str:
    """Call a function that must refuse, and give its words."""
    with pytest.raises(GateInputError) as caught:
        function(*arguments)
    text = str(caught.value)
    assert all(line.strip() for line in text.splitlines())
    return text


def test_document_knows_its_lines(write: Write) -> None:
    """A document has its data, the digest of its bytes, and the line of every key."""
    path = write(POLICY)
    document = load_document(path, "policy")

    assert document.data["run_deadline_s"] == 2.5
    assert document.digest == digest_of(POLICY.encode())
    assert document.line_of(("waiver_max_days", "P2")) == 5
    assert document.line_of(("blocking", 1)) == 1
    assert document.line_of(("waiver_max_days", "P3")) == 5
    assert str(document.error(("blocking", 1), "no.")) == f"{path}:1: blocking[1]: no."


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: true", True),
        ("a: null", None),
        ("a: 0b39fe", "0b39fe"),
        ("a:", None),
        ("a: -12", -12),
        ("a: 1.5", 1.5),
        ("a: .", "."),
        ("a: 0", 0),
        ("a: no way", "no way"),
        ("a: 'no'", "no"),
        ('a: "0755"', "0755"),
        ("a: 2026-03-02T12:00:00Z", "2026-03-02T12:00:00Z"),
        ("a: 2026-03-02", "2026-03-02"),
        ("a: https://127.0.0.1:80/x", "https://127.0.0.1:80/x"),
        ("a: 1.2.3", "1.2.3"),
        ("a: |\n  x\n  y\n", "x\ny\n"),
        ("a: [1, {b: c}]", [1, {"b": "c"}]),
        ("\ufeffa: 1"[1:], 1),
    ],
)
def test_plain_values(text: str, value: JsonValue) -> None:
    """Text that can only mean one thing is read as that."""
    assert parse(text, "f")[0] == {"a": value}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: no", "f:1: a: no is ambiguous"),
        ("a: ON", "ON is ambiguous"),
        ("a: True", "Write true, false or null"),
        ("on: 1", "on is ambiguous"),
        ("a: 0755", "f:1: a: a number that is ambiguous"),
        ("a: 0o17", "a number that is ambiguous"),
        ("a: 0x1F", "a number that is ambiguous"),
        ("a: 0b11", "a number that is ambiguous"),
        ("a: 1_000", "a number that is ambiguous"),
        ("a: 12:30", "a number that is ambiguous"),
        ("a: .inf", "a number that is ambiguous"),
        ("a: .NaN", "a number that is ambiguous"),
        ("a: 1.5e3", "a number that is ambiguous"),
        ("a: 1e999", "a number that is ambiguous"),
        ("a: .5", "a number that is ambiguous"),
        ("a: 99999999999999999999", "a number that is ambiguous"),
        ("a: 1\nb: 2\na: 3", "f:3: a: duplicate key, first in line 1"),
        ("x:\n  - a: 1\n    a: 2", "f:3: x[0].a: duplicate key, first in line 2"),
        ("a: &x 1", "f:1: a: an anchor"),
        ("a: [&x 1, *x]", "an anchor"),
        ("a: *x", "an alias"),
        ("a: {<<: {b: 1}}", "a merge key"),
        ("a: !!str 1", "a tag"),
        ("a: !!python/object/apply:os.system [x]", "a tag"),
        ("!!omap a: 1", "a tag"),
        ("1: a", "a key must be text"),
        ("[a]: 1", "a key must be plain text"),
        ("a: 1\n---\nb: 2", "a second document"),
        ("a:\n\t- b", "f:2: indented with a tab"),
        ("a: b: c", "f:1: invalid YAML"),
        ("a: [1", "invalid YAML"),
        ("a: \x07", "invalid YAML"),
        ("a: 1 # b\x85c: 2", "f:1: the character U+0085 hides"),
        ("a: 1\nb: 2 # c\u2028d: 3", "f:2: the character U+2028 hides"),
        ("a: 1 # b\rc: 2", "the character U+000D hides"),
        ("a: 1 # \u202eb", "the character U+202E hides"),
        ("a: \u20671", "the character U+2067 hides"),
        ("a: '" + "\\", "invalid YAML"),
        ("[" * 100_000, "nest"),  # the parser itself may say so
        ("{a: " * 5000, "nested more than"),
    ],
)
def test_text_with_two_meanings_is_refused(text: str, words: str) -> None:
    """What readers of YAML disagree about, or what hides content, is refused with line and key."""
    assert words in refusal(parse, text, "f")


@given(text=st.text(alphabet=st.sampled_from("ab:-[]{}&*!|>'\"#%@`,?\n\t 01.~<"), max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Whatever the text, it is read or refused in one paragraph; nothing else escapes."""
    message = "f"
    try:
        parse(text, "f")
    except GateInputError as error:
        message = str(error)
    assert message.startswith("f")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (POLICY + "extra: 1\n", ":6: extra: unknown key."),
        (POLICY.replace("validity_s", "valididy_s"), "Did you mean validity_s?"),
        (POLICY.replace("validity_s: 3\n", ""), ":1: validity_s is missing. Add it."),
        (POLICY.replace(": 3", ": soon"), ":4: validity_s: must be a number."),
        (POLICY.replace("P2: 7", "P2: 7.5"), "waiver_max_days.P2: must be a whole number."),
        (POLICY.replace("P2: 7", "P1: 7"), "waiver_max_days.P1: unknown key."),
        (POLICY.replace("gate_deadline_s: 1", "gate_deadline_s: true"), "gate_deadline_s: must be a number."),
        (POLICY.replace(": 3", ": 0"), "validity_s: must be more than 0."),
        ("", "the file must have keys and values"),
        ("- a\n", "the file must have keys and values"),
        (POLICY.encode() + b"# \xff\n", ":6: not UTF-8"),
        (POLICY.encode("utf-16"), "not UTF-8"),
    ],
)
def test_schema_is_told_with_line_and_key(write: Write, text: str | bytes, words: str) -> None:
    """A violation of the schema is reported with file, line and key, and without the value."""
    path = write(text)
    message = refusal(load_document, path, "policy")

    assert message.startswith(str(path))
    assert words in message
    assert "soon" not in message


def test_only_the_first_violations_are_told(write: Write) -> None:
    """A file with many violations is reported in a few lines, each once; the rest is counted."""
    many = "".join(f"key{index}: 1\n" for index in range(50))
    with pytest.raises(GateInputError) as caught:
        load_document(write(many), "policy")
    lines = str(caught.value).splitlines()
    assert [line.partition("file.yaml:")[2].partition(",")[0].partition(" key.")[0] for line in lines] == [
        "1: blocking",
        "1: key0: unknown",
        "2: key1: unknown",
        "3: key2: unknown",
        "4: key3: unknown",
        "",
    ]
    assert lines[-1] == "and 46 more."


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    """A missing file, a folder, a pipe, a broken or circular link and a bad name are refused at once."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "broken").symlink_to(tmp_path / "nothing")
    (tmp_path / "circle").symlink_to(tmp_path / "circle")

    assert "no such file" in refusal(read_bytes, tmp_path / "nothing")
    assert "no such file" in refusal(read_bytes, tmp_path / "pipe" / "x")
    assert "a symbolic link to a file that does not exist" in refusal(read_bytes, tmp_path / "broken")
    assert "cannot be read" in refusal(read_bytes, tmp_path / "circle")
    assert "not a regular file" in refusal(read_bytes, tmp_path)
    assert "not a regular file" in refusal(read_bytes, tmp_path / "pipe")
    assert "cannot be read" in refusal(read_bytes, tmp_path / ("x" * 300))
    assert "cannot be read" in refusal(read_bytes, tmp_path / "a\0b")
    with pytest.raises(AbsentFileError):
        read_bytes(tmp_path / "nothing")


@pytest.mark.skipif(os.geteuid() == 0 or sys.platform == "win32", reason="root may read everything")
def test_file_without_permission_is_refused(write: Write) -> None:
    """A file that may not be read is refused."""
    path = write(POLICY)
    path.chmod(0)
    assert "permission denied" in refusal(read_bytes, path)


def test_link_to_a_file_is_followed(write: Write, tmp_path: Path) -> None:
    """Mounted configuration is often a link."""
    (tmp_path / "link.yaml").symlink_to(write(POLICY))
    assert load_document(tmp_path / "link.yaml", "policy").data["validity_s"] == 3


def test_huge_file_is_refused_unread(tmp_path: Path) -> None:
    """A file over the limit is refused without being read whole."""
    path = tmp_path / "huge.yaml"
    with path.open("wb") as stream:
        stream.truncate(1 << 40)
    assert "larger than" in refusal(read_bytes, path)
