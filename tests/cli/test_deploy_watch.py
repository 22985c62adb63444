"""``bais-gates deploy --watch`` as a command: what it needs, says, and leaves for --resume."""

from __future__ import annotations

import functools
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bais_gates.cli import deploy_watch
from bais_gates.rollout.record import Phase, Record, record_on
from bais_gates.rollout.watch import Watch
from bais_gates.rollout.windows import Window
from bais_gates.staging.server import Clock
from tests.cli.test_deploy import ENVIRONMENT, FREEZE, Project, project
from tests.rollout.test_watch import BAD, GOOD, NONE

__all__ = ["project"]
PROMETHEUS = """\
monitoring: {prometheus_url: "https://prometheus.example"}
rollout: {watch: {window_s: 10, for_s: 50, pause_s: 30}}
"""


def last(project: Project) -> Record:
    """Return the record on the Deployment."""
    record = record_on(project.cluster.one("Deployment", "bais-api"))
    assert record is not None
    return record


def monitor(project: Project, monkeypatch: pytest.MonkeyPatch, *windows: Window | BaseException) -> None:
    """Give production a Prometheus that shows windows, in a time that passes at once."""
    file = project.suite.folder / "environments" / "production.yaml"
    file.write_text(ENVIRONMENT + PROMETHEUS)
    project.decide()
    left, now = list(windows), 0.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    class Shown:
        def __init__(self, **_options: Any) -> None:
            """Need neither Prometheus nor cluster."""

        def begin(self, _record: Record) -> None:
            """Remember nothing."""

        def window(self, _record: Record, seconds: float) -> Window:
            window = left.pop(0) if len(left) > 1 else left[0]
            if isinstance(window, BaseException):
                raise window
            return replace(window, seconds=seconds)

    clock = Clock(ends_at=float("inf"), now=lambda: now, sleep=sleep)
    monkeypatch.setattr(deploy_watch, "Samples", Shown)
    monkeypatch.setattr(deploy_watch, "Watch", functools.partial(Watch, clock=clock))


def test_without_prometheus_nothing_is_deployed(project: Project) -> None:
    """Before the first write, and with the key; --watch 0 deploys without, and says so."""
    assert project.deploy(watch=()) == 2
    assert "production.yaml: monitoring.prometheus_url is missing" in project.output()
    assert project.cluster.written == []

    assert project.deploy() == 0
    output = project.output()
    assert "NOT WATCHED (--watch 0)" in output
    assert last(project).steps[-1].note == "not watched"


# From 3.14 on argparse takes what begins with a dash and a digit for a value.
NEGATIVE = "expected one argument" if sys.version_info < (3, 14) else "is not a duration"


@pytest.mark.parametrize(
    ("watch", "words"),
    [("2h", "more than 100 windows of 10 s"), ("ten", "is not a duration"), ("-5m", NEGATIVE)],
)
def test_a_wrong_duration(project: Project, monkeypatch: pytest.MonkeyPatch, watch: str, words: str) -> None:
    """A line about it, status 2, and no write."""
    monitor(project, monkeypatch, GOOD)

    try:
        status = project.deploy(watch=("--watch", watch))
    except SystemExit as ended:
        status = int(str(ended.code))

    assert status == 2
    assert words in project.output()
    assert project.cluster.written == []


def test_the_environment_says_how_long(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless --watch does."""
    monitor(project, monkeypatch, GOOD)

    assert project.deploy(watch=()) == 0
    assert "watch: 0:40 left, 10.0 requests/s" in project.output()
    assert len(last(project).windows) == 5


def test_bad_windows_end_with_31(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason is in the output."""
    monitor(project, monkeypatch, BAD)

    assert project.deploy(watch=("--watch", "2m")) == 31
    output = project.output()
    assert "watch: 2:00 left, " in output
    assert "because the watch failed: 3 windows were bad" in output


def test_silence_ends_with_33(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says that it is paused, and how to go on; a freeze since then does not stop that."""
    monitor(project, monkeypatch, GOOD, NONE)
    assert project.deploy(watch=()) == 33
    output = project.output()
    assert "bais-gates: PAUSED: The watch is paused after 0:30 without data" in output
    assert "--resume to go on, or with --abort to roll back" in output
    monitor(project, monkeypatch, GOOD)
    (project.suite.folder / "rollout").mkdir()
    (project.suite.folder / "rollout" / "freezes.yaml").write_text(FREEZE)
    project.suite.decision.unlink()

    assert project.deploy("--resume", watch=()) == 0
    assert [one.good for one in last(project).windows] == [True, False, True, True, True, True]


def test_ctrl_c_leaves_it_to_resume(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the phase in which it was, and the lock is free."""
    monitor(project, monkeypatch, GOOD, KeyboardInterrupt())

    assert project.deploy(watch=()) == 130

    assert (
        "it is not finished: Run `bais-gates deploy` for this environment with --resume" in project.output()
    )
    assert (last(project).phase, len(last(project).windows)) == (Phase.WATCHING, 1)
    monitor(project, monkeypatch, GOOD)
    assert project.deploy("--abort", watch=()) == 31
    assert Path("rollouts/production").is_dir()
