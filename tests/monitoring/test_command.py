"""`bais-gates monitoring check`: which files it takes, what it prints, and how it ends."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.launch import Done, run_command
from tests.monitoring.rules import CATALOGUE, alert

Check = Callable[..., Done]
GOOD = alert("x > 1")
WARNED = alert("x").replace("Broken", "Worn")
BROKEN = alert("x >")


@pytest.fixture
def check(tmp_path: Path) -> Check:
    """Return a call of the command in a folder."""
    return functools.partial(run_command, "monitoring", "check", folder=tmp_path)


def test_how_it_ends(check: Check, tmp_path: Path) -> None:
    """Errors end with 1, warnings with 0 or, with --strict, 1; the last line counts."""
    for name, text in {"good": GOOD, "warned": WARNED, "broken": BROKEN}.items():
        (tmp_path / f"{name}.yaml").write_text(text, encoding="utf-8")
    cases = {
        ("good.yaml", "--strict"): 0,
        ("warned.yaml",): 0,
        ("warned.yaml", "--strict"): 1,
        ("broken.yaml",): 1,
    }

    assert {words: check(*words).returncode for words in cases} == cases
    done = check(".")
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == "2 alerts and 0 recording rules in 3 files: 1 error, 1 warning"
    assert "broken.yaml:5:15: error: Broken: " in done.stdout


def test_what_is_no_rule_file(check: Check, tmp_path: Path) -> None:
    """A path without rules, an empty folder and what is no file end with 2 and name the path."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "pipe").mkdir()
    os.mkfifo(tmp_path / "pipe" / "a.yaml")
    (tmp_path / "nothing.yaml").write_text("# nothing\n", encoding="utf-8")
    (tmp_path / "pod.yaml").write_text("apiVersion: v1\nkind: Pod\n", encoding="utf-8")
    (tmp_path / "metrics.yaml").write_text(CATALOGUE.replace("gauge", "gage", 1), encoding="utf-8")
    (tmp_path / "huge.yaml").write_bytes(b"#" * 21_000_000)
    for name in ("empty", "pipe", "nothing.yaml", "pod.yaml", "none.yaml", "metrics.yaml", "huge.yaml"):
        done = check(name)

        assert (done.returncode, done.stdout) == (2, ""), name
        assert done.stderr.startswith(f"bais-gates: {name}")
        assert len(done.stderr.splitlines()) == 1


def test_files_are_found_by_their_content(check: Check, tmp_path: Path) -> None:
    """Of a folder rule files are taken, once each; other files, hidden ones and other objects are not."""
    for name in ("a.yaml", "sub/b.rules", ".git/c.yaml", ".d.yaml", "e.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(
            alert(f"x > {len(name)}").replace("Broken", f"Alert{len(name)}"), encoding="utf-8"
        )
    (tmp_path / "values.yaml").write_text("a: {b: c}\n---\n- d\n", encoding="utf-8")
    (tmp_path / "pod.yaml").write_text("apiVersion: v1\nkind: Pod\ngroups: []\n", encoding="utf-8")
    (tmp_path / "link.yaml").symlink_to("a.yaml")
    (tmp_path / "dangling.yaml").symlink_to("nowhere.yaml")

    done = check(".", "a.yaml", str(tmp_path / "sub"))

    assert done.stdout == "2 alerts and 0 recording rules in 2 files: 0 errors, 0 warnings\n"


def test_a_catalogue_among_the_paths_is_used(check: Check, tmp_path: Path) -> None:
    """Metrics are checked where one file is a catalogue; two are refused."""
    (tmp_path / "rules.yaml").write_text(alert("nosuch > 1"), encoding="utf-8")
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "metrics.yaml").write_text(CATALOGUE, encoding="utf-8")

    assert "nosuch is not in metrics.yaml (unknown-metric)" in check("rules.yaml", "one").stdout
    (tmp_path / "metrics.yaml").write_text(CATALOGUE, encoding="utf-8")
    done = check("rules.yaml", "one", "metrics.yaml")
    assert done.returncode == 2
    assert "one/metrics.yaml is a catalogue, too" in done.stderr


HOSTILE = {
    "binary": bytes(range(256)) * 20,
    "latin-1": "groups: [] # é".encode("latin-1"),
    "utf-16": "groups: []".encode("utf-16"),
    "nul": b"groups: []\0",
    "10 MB": b"groups:\n" + b"# a comment\n" * 900_000,
    "100,000 lists": b"[" * 100_000,
    "100,000 mappings": b"{a: " * 100_000,
    "100,000 dashes": b"- " * 100_000,
    "alias bomb": b"a: &a [x, x, x, x, x, x, x, x]\n"
    + b"".join(b"%c: &%c [%s]\n" % (c, c, b", ".join([b"*%c" % (c - 1)] * 8)) for c in range(98, 108)),
    "merge bomb": b"a: &a {x: x}\n"
    + b"".join(b"%c: &%c {<<: [%s]}\n" % (c, c, b", ".join([b"*%c" % (c - 1)] * 8)) for c in range(98, 108)),
    "a list of itself": b"groups: &a [*a]\n",
    "100,000 parentheses": alert("(" * 100_000 + "1" + ")" * 100_000).encode(),
    "5,000 operators": alert("x" + "+x" * 5000).encode(),
    "a template of parentheses": alert("x > 1", annotations={"summary": "{{ " + "(" * 9000 + "}}"}).encode(),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_a_finding(check: Check, tmp_path: Path, name: str) -> None:
    """What is no text, no YAML, or too much of it ends with 1 and a finding, in a moment."""
    (tmp_path / "bad.yaml").write_bytes(HOSTILE[name])

    for path in ("bad.yaml", "."):
        done = check(path)

        assert done.returncode == 1
        assert done.stdout.startswith("bad.yaml:")
        assert len(done.stdout) < 1000


def test_names_move_no_cursor_and_start_no_command(check: Check, tmp_path: Path) -> None:
    """What a file names is printed on one line without control characters, in each format."""
    (tmp_path / "a,b.yaml").write_text(
        alert("x").replace("Broken", '"A\\e[2J\\n::error::B"'), encoding="utf-8"
    )

    text, github = check("a,b.yaml").stdout, check("a,b.yaml", "--format=github").stdout

    assert text.startswith("a,b.yaml:5:15: warning: A\\x1b[2J\\n::error::B has no condition")
    assert len(text.splitlines()) == 2
    assert github.startswith(
        "::warning file=a%2Cb.yaml,line=5,col=15,title=no-condition::A\\x1b[2J\\n::error::B has"
    )
    assert len(github.splitlines()) == 1


def test_json(check: Check, tmp_path: Path) -> None:
    """JSON is a list with check, level, message and place of each finding; an empty one without any."""
    (tmp_path / "a.yaml").write_text(BROKEN, encoding="utf-8")
    (tmp_path / "b.yaml").write_text(GOOD, encoding="utf-8")

    found = json.loads(check("a.yaml", "--format=json").stdout)

    assert [one.pop("message")[:7] for one in found] == ["Broken:"]
    assert found == [{"check": "promql-syntax", "level": "error", "path": "a.yaml", "line": 5, "column": 15}]
    assert json.loads(check("b.yaml", "--format=json").stdout) == []


@pytest.mark.parametrize(
    "words",
    [("--scrape-interval=0",), ("--scrape-interval=-1s",), ("--scrape-interval=15",), ("--prometheus=2",)],
)
def test_wrong_options(check: Check, words: tuple[str, ...]) -> None:
    """A value that means nothing ends with 2 and the usage."""
    done = check("a.yaml", *words)

    assert done.returncode == 2
    assert "usage: bais-gates monitoring check" in done.stderr


def test_options_are_heeded(check: Check, tmp_path: Path) -> None:
    """The version, the scrape interval and required labels are what the checks go by."""
    (tmp_path / "a.yaml").write_text(
        alert("mad_over_time(x[5m]) > 1 and rate(x_total[1m]) > 1"), encoding="utf-8"
    )

    assert "Prometheus 2.42 has no mad_over_time" in check("a.yaml").stdout
    done = check("a.yaml", "--prometheus=3.13.1", "--scrape-interval=1m", "--require-label=team")
    assert "(function-experimental)" in done.stdout
    assert "rate over 60 s needs two scrapes, 120 s or more" in done.stdout
    assert "has no label team" in done.stdout


SUPPRESSED = """\
# bais-gates: disable=no-condition until={until} reason="{reason}"
groups:
  - name: a
    rules:
      - {{alert: A, expr: x, labels: {{severity: info}}, annotations:
          &a {{summary: s, description: "{{{{ . }}}}", runbook_url: "http://a/"}}}}
      # bais-gates: disable=no-condition until={until} reason="{reason}"
      # another comment

      - {{alert: B, expr: y, labels: {{severity: info}}, annotations: *a}}
      - alert: C
        expr: z  # bais-gates: disable=no-condition until={until} reason="{reason}"
        labels: {{severity: info}}
        annotations: *a
      - {{alert: D, expr: u, labels: {{severity: info}}, annotations: *a}}
"""


@pytest.mark.parametrize(
    ("until", "reason", "found"),
    [
        ("2999-12-31", "it is a count of faults", ["1 suppression", "5 no-condition", "15 no-condition"]),
        ("2026-01-01", "it is a count of faults", ["suppression"]),
        ("2999-12-31", "because", ["suppression"]),
        ("soon", "it is a count of faults", ["suppression"]),
    ],
)
def test_suppressions(check: Check, tmp_path: Path, until: str, reason: str, found: list[str]) -> None:
    """A comment counts for the rule that it is in or above; without reason, date or use it is a finding."""
    (tmp_path / "a.yaml").write_text(SUPPRESSED.format(until=until, reason=reason), encoding="utf-8")

    rows = json.loads(check("a.yaml", "--format=json").stdout)

    if len(found) > 1:
        assert [f"{one['line']} {one['check']}" for one in rows] == found
    else:
        lines = [one["line"] for one in rows if one["check"] == "suppression" and one["level"] == "error"]
        assert lines == [1, 7, 12]
        assert [one["line"] for one in rows if one["check"] == "no-condition"] == [5, 10, 12, 15]


def test_an_error_is_not_suppressed(check: Check, tmp_path: Path) -> None:
    """What Prometheus would not load stays an error, whatever a comment says."""
    comment = '# bais-gates: disable=promql-syntax until=2999-12-31 reason="it was always so"\n'
    (tmp_path / "a.yaml").write_text(BROKEN + comment, encoding="utf-8")

    assert check("a.yaml").returncode == 1
