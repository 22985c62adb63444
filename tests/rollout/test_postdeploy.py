"""The gates of phase postdeploy as a deploy runs them: what their decision says, and what says nothing."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from bais_gates.rollout import postdeploy
from bais_gates.rollout.postdeploy import Judged, PostdeployGates
from bais_gates.rollout.record import Phase, Record
from tests.rollout.decisions import POLICY, Suite
from tests.rollout.fake_cluster import NEW
from tests.rollout.test_watch import RECORD

CATALOG = """\
gates:
""" + "".join(
    f"""\
  - id: postdeploy.{name}
    title: Gate {name}
    phase: postdeploy
    severity: P1
    requirement: It holds.
    remedy: Mend it.
"""
    for name in ("errors", "payments")
)
GATES = """\
import os, pytest

@pytest.mark.gate("postdeploy.errors")
def test_errors(evidence):
    \"\"\"Errors stay below the limit.\"\"\"
    evidence.check("errors", float(os.environ["ERRORS"]), "<=", 1)

@pytest.mark.gate("postdeploy.payments")
def test_payments(evidence):
    \"\"\"Payments succeed.\"\"\"
    evidence.check("payments", 1, ">=", 0.9, n=int(os.environ["PAYMENTS"]), n_min=20)
"""
PLUGINS = "-p bais_gates.pytest_plugin.plugin"
HANGS = (sys.executable, "-c", "import time; time.sleep(60)")


@pytest.fixture
def gates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PostdeployGates:
    """Return the gates of a small suite, in the current folder."""
    for name, text in {
        "gates/catalog.yaml": CATALOG,
        "gates/policy.yaml": POLICY,
        "gates/postdeploy/test_gates.py": GATES,
        "production.yaml": "name: test\n",
        "pytest.ini": "[pytest]\n",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_ADDOPTS", PLUGINS)
    return PostdeployGates(
        env="production.yaml",
        catalog=Path("gates/catalog.yaml"),
        records=Path("rollouts"),
        progress=lambda _text: None,
    )


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (("0", "20"), ("", "")),
        (("2", "3"), ("postdeploy.errors: FAILED: ", "postdeploy.payments: NO_DATA: ")),
        pytest.param(("0", "3"), ("", "postdeploy.payments: NO_DATA: "), marks=pytest.mark.nightly),
    ],
)
def test_what_their_decision_says(
    gates: PostdeployGates, monkeypatch: pytest.MonkeyPatch, given: tuple[str, str], found: tuple[str, str]
) -> None:
    """A false check is at fault and named, a gate without data is only not proven; the report is kept."""
    monkeypatch.setenv("ERRORS", given[0])
    monkeypatch.setenv("PAYMENTS", given[1])

    judged = gates.run(RECORD, {"api": NEW})

    for reasons, words in zip((judged.failed, judged.unproven), found, strict=True):
        assert len(reasons) == bool(words)
        assert "".join(reasons).startswith(words)
    folder = Path("rollouts/test/1.postdeploy/watching")
    assert (folder / "decision.json").exists()
    assert NEW in (folder / "decision.json").read_text()
    assert "postdeploy" in (folder / "output.txt").read_text()


def as_if(monkeypatch: pytest.MonkeyPatch, *command: str) -> None:
    """Run a command in place of the gates."""
    original = subprocess.Popen

    def start(_command: list[str], **options: object) -> object:
        return original(command, **options)  # type: ignore[call-overload] # whatever the gates are given

    monkeypatch.setattr(subprocess, "Popen", start)


@pytest.mark.parametrize("status", [0, 20, 2])
def test_a_status_alone_says_nothing(
    gates: PostdeployGates, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    """Without a decision of this very run nothing passed, and nothing failed."""
    as_if(monkeypatch, sys.executable, "-c", f"raise SystemExit({status})")

    (reason,) = gates.run(RECORD, {"api": NEW}).unproven

    assert f"the gates' run ended with {status}, see" in reason


def test_a_decision_of_another_run_says_nothing(
    gates: PostdeployGates, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Such as that of the watch before --resume, in the same folder."""
    suite = Suite(tmp_path / "suite")
    suite.write()
    folder = Path("rollouts/test/1.postdeploy/watching")
    folder.mkdir(parents=True)
    shutil.copy(suite.decide(NEW), folder)
    as_if(monkeypatch, sys.executable, "-c", "")

    (reason,) = gates.run(RECORD, {"api": NEW}).unproven

    assert "says otherwise" in reason


def test_a_run_that_hangs_is_ended(gates: PostdeployGates, monkeypatch: pytest.MonkeyPatch) -> None:
    """At its deadline: a rollback has so many seconds."""
    as_if(monkeypatch, *HANGS)
    began = time.monotonic()

    judged = gates.run(RECORD, {"api": NEW}, within_s=0.3)

    assert judged == Judged(unproven=("the gates were not done within 0 s",))
    assert time.monotonic() - began < 8


def test_an_interrupt_ends_the_run(gates: PostdeployGates, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGTERM, say, which the terminal does not send to all."""
    as_if(monkeypatch, *HANGS)
    started: list[subprocess.Popen[bytes]] = []
    main = threading.main_thread().ident
    start: Any = subprocess.Popen

    def remember(*arguments: object, **options: object) -> object:
        started.append(start(*arguments, **options))
        threading.Timer(0.2, signal.pthread_kill, (main, signal.SIGINT)).start()
        return started[0]

    monkeypatch.setattr(subprocess, "Popen", remember)

    with pytest.raises(KeyboardInterrupt):
        gates.run(RECORD, {"api": NEW})

    assert started[0].poll() == -signal.SIGTERM


@pytest.mark.parametrize(
    ("images", "subject"),
    [
        ({"api": NEW, "sidecar": "proxy:1"}, NEW),
        ({"api": "registry.example/bais-api:1.0"}, None),
        ({}, None),
    ],
)
def test_the_subject_is_the_deployed_container_s(
    gates: PostdeployGates, monkeypatch: pytest.MonkeyPatch, images: dict[str, str], subject: str | None
) -> None:
    """What ran before may have had a tag only; other containers play no part."""
    asked: list[list[str]] = []

    def run(command: list[str], _output: int, _within_s: float | None) -> int:
        asked.append(command)
        return 21

    monkeypatch.setattr(postdeploy, "_run", run)
    record: Record = RECORD.then(Phase.ROLLING_BACK)

    gates.run(record, images)

    (command,) = asked
    assert ("--subject" in command) == (subject is not None)
    assert subject is None or command[command.index("--subject") + 1] == subject
    assert "rollouts/test/1.postdeploy/rolling_back" in command


def test_a_folder_that_can_t_be_written_proves_nothing(gates: PostdeployGates) -> None:
    """It stops neither a deploy nor a rollback."""
    Path("rollouts").write_text("")

    (reason,) = gates.run(RECORD, {"api": NEW}).unproven

    assert "the gates could not be run" in reason
