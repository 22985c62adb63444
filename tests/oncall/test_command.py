"""`bais-gates oncall check` and `render`: what they print, and how they end."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.launch import run_command
from tests.oncall import shop


@pytest.fixture
def runbook(tmp_path: Path) -> Path:
    """Return the runbook of a small platform, reviewed today."""
    path = shop.write(tmp_path) / "oncall" / "runbooks" / "DatabaseDown.md"
    today = datetime.now(UTC).date().isoformat()
    path.write_text(path.read_text(encoding="utf-8").replace("2026-11-01", today), encoding="utf-8")
    return path


def test_how_check_ends(runbook: Path, tmp_path: Path) -> None:
    """Nothing found is 0, findings are 1 with file and line, wrong input is 2 with one line."""
    done = run_command("oncall", "check", "gates/oncall", folder=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "4 runbooks: 0 findings\n", "")

    text = runbook.read_text(encoding="utf-8")
    runbook.write_text(text.replace("## Impact\nNobody can pay.\n", ""), encoding="utf-8")
    done = run_command("oncall", "check", "gates/oncall", folder=tmp_path)
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        "gates/oncall/runbooks/DatabaseDown.md:1:1: error: the section ## Impact is missing (no-section)",
        "4 runbooks: 1 finding",
    ]
    rows = json.loads(
        run_command("oncall", "check", "gates/oncall", "--format", "json", folder=tmp_path).stdout
    )
    assert [(row["check"], row["line"]) for row in rows] == [("no-section", 1)]

    for words in (
        ("gates",),
        ("gates/oncall", "--manifests", "none"),
        ("gates/oncall", "--monitoring", "none"),
    ):
        done = run_command("oncall", "check", *words, folder=tmp_path)
        assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1), words
    (tmp_path / "gates/oncall/rotation.yaml").write_text("teams: []\n")
    assert "rotation.yaml:1: " in run_command("oncall", "check", "gates/oncall", folder=tmp_path).stderr


@pytest.mark.parametrize(
    ("command", "finding"),
    [
        ("bais-gates run golive --env production", ""),
        ("bais-gates oncall check gates/oncall", ""),
        ("bais-gates go", "there is no command go"),
        ("bais-gates", "there is no command"),
        (
            "bais-gates run golive --environment production",
            "unrecognized arguments: --environment production",
        ),
        ("bais-gates oncall apply-all", "invalid choice: 'apply-all'"),
    ],
)
def test_our_own_commands_are_held_to_our_parser(
    runbook: Path, tmp_path: Path, command: str, finding: str
) -> None:
    """A command of a runbook that our own command line would refuse is found, with its reason."""
    text = runbook.read_text(encoding="utf-8")
    runbook.write_text(text.replace("kubectl -n shop rollout", f"{command}\nkubectl -n shop rollout"))

    done = run_command("oncall", "check", "gates/oncall", folder=tmp_path)

    assert done.returncode == bool(finding), done.stdout
    assert finding in done.stdout


def test_an_old_review_is_found_at_the_given_age(runbook: Path, tmp_path: Path) -> None:
    """--max-age is a number of days above 0."""
    text = runbook.read_text(encoding="utf-8")
    runbook.write_text(text.replace(datetime.now(UTC).date().isoformat(), "2020-02-29"), encoding="utf-8")
    check = ("oncall", "check", "gates/oncall", "--max-age")

    assert "at the latest after 30" in run_command(*check, "30", folder=tmp_path).stdout
    assert run_command(*check, "99999", folder=tmp_path).returncode == 0
    assert run_command(*check, "0", folder=tmp_path).returncode == 2


def test_render_writes_the_pages(runbook: Path, tmp_path: Path) -> None:
    """It says what it wrote; without runbooks it writes nothing."""
    done = run_command("oncall", "render", "gates/oncall", "--out", "pages", folder=tmp_path)
    assert (done.returncode, done.stdout) == (0, "pages/index.html and 4 pages of one runbook each\n")
    assert (tmp_path / "pages" / runbook.stem / "index.html").is_file()

    done = run_command("oncall", "render", "gates", "--out", "none", folder=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert not (tmp_path / "none").exists()
