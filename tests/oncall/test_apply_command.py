"""`bais-gates oncall plan` and `apply`: what they print, announce and set up, and how they end."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bais_gates.cli import validate
from bais_gates.oncall import shifts
from bais_gates.oncall.reading import load_rotation
from bais_gates.sandbox.oncall import PAGE, SENDER
from tests.launch import Done, run_command
from tests.oncall.account import Served
from tests.oncall.rotations import write

CHAT = {"incidents": "#bais-incidents", "oncall": "#bais-oncall"}
DAY = timedelta(days=1)


@pytest.fixture
def project(account: Served, tmp_path: Path) -> Path:
    """Return a folder with a rotation, and an environment file that describes the stand-ins."""
    account.now = datetime.now(UTC)
    oncall: Any = {
        "api_url": f"{account.url}/pagerduty",
        "token": account.access.token,
        "sender": SENDER,
        "chat": {"#bais-oncall": f"{account.url}/slack/services/{account.access.webhooks['#bais-oncall']}"},
        "status_page": {
            "api_url": f"{account.url}/statuspage/v1",
            "page": PAGE,
            "token": account.access.status_token,
        },
    }
    environment = {"name": "production", "oncall": oncall}
    (tmp_path / "production.yaml").write_text(json.dumps(environment), encoding="utf-8")
    (tmp_path / "gates" / "oncall").mkdir(parents=True)
    write(tmp_path / "gates" / "oncall" / "rotation.yaml", chat=CHAT)
    return tmp_path


def run(project: Path, *words: str) -> Done:
    """Run the command against the environment; nothing secret is in what it prints."""
    done = run_command("oncall", *words, "--env", "./production.yaml", folder=project)
    shown = done.stdout + done.stderr
    secrets = json.loads((project / "production.yaml").read_text(encoding="utf-8"))["oncall"]
    assert secrets["token"] not in shown
    assert secrets["status_page"]["token"] not in shown
    assert "@bais.example" not in shown
    assert "slack/services" not in shown
    assert "Traceback" not in shown
    return done


def test_plan_apply_and_apply_again(account: Served, project: Path) -> None:
    """A dry run writes nothing; apply does, announces it with names and adds the component; then nothing."""
    for words in (["plan"], ["apply", "--dry-run"]):
        done = run(project, *words)
        assert (done.returncode, done.stderr) == (0, "")
        assert "  - create schedule BAIS primary: Ada, Ben, Cleo in turn\n" in done.stdout
        assert "  - add to the status page: API\n" in done.stdout
        assert "on call differently in the next 14 days:\n  - primary: " in done.stdout
    assert account.writes == []

    done = run(project, "apply")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(
        "done: add to the status page: API\nannounced in #bais-oncall\nEverything is as the rotation says.\n"
    )
    ((channel, message),) = account.posted
    assert channel == "slack/#bais-oncall"
    assert "• primary: " in message["text"]
    assert "@" not in message["text"]
    account.requests.clear()
    done = run(project, "apply")
    assert (done.returncode, done.stdout) == (0, "Nothing to change: everything is as the rotation says.\n")
    assert account.writes == []


def test_whoever_is_on_call_is_replaced_only_with_the_option(account: Served, project: Path) -> None:
    """The plan shows it, apply ends with status 2 before the first write, --allow-handover makes it so."""
    path = project / "gates" / "oncall" / "rotation.yaml"
    assert run(project, "apply").returncode == 0
    it = load_rotation(path)
    name = it.name_of[shifts.turns(it, it.tiers[0], account.now, account.now + DAY)[0].person]
    day = account.now.date()
    away = {"person": name, "from": f"{day - DAY}", "until": f"{day + 9 * DAY}", "covered_by": "Gus"}
    write(path, chat=CHAT, absences=[away])
    account.requests.clear()

    done = run(project, "plan")
    assert done.returncode == 0
    assert "on call now, and replaced at once (only with --allow-handover):\n  - primary: " in done.stdout
    done = run(project, "apply")
    assert done.returncode == 2
    assert f"Gus instead of {name}" in done.stderr
    assert account.writes == []
    assert run(project, "apply", "--allow-handover").returncode == 0
    assert "Nothing to change" in run(project, "apply").stdout


def test_how_wrong_input_ends(account: Served, project: Path) -> None:
    """Status 2 and one paragraph with file, line and key: a turn of 0 days, no part oncall, nobody there."""
    path = project / "gates" / "oncall" / "rotation.yaml"
    write(path, chat=CHAT, turn_days=0)
    done = run(project, "plan")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("bais-gates: gates/oncall/rotation.yaml:8: turn_days: must be at least 1.")

    write(path, chat=CHAT)
    account.user("Eva")["email"] = "eva@elsewhere.example"
    done = run(project, "apply")
    assert (done.returncode, done.stdout) == (2, "")
    assert "people[4].email: Eva has no account of this address at the provider" in done.stderr

    (project / "production.yaml").write_text('{"name": "production"}', encoding="utf-8")
    done = run_command("oncall", "plan", "--env", "./production.yaml", folder=project)
    assert (done.returncode, done.stdout) == (2, "")
    assert "production.yaml: oncall is missing" in done.stderr


def test_validate_reads_the_rotation(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong rotation is INVALID with file, line and key."""
    path = write(project / "rotation.yaml", time_zone="Mars/Olympus")

    assert not validate.valid(path, lambda: validate.check_rotation(path))

    assert f"INVALID {path}: {path}:3: time_zone: no time zone of this name" in capsys.readouterr().out
