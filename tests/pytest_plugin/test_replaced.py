"""What a gate or its fixtures replace for a test of their own stays without effect on what is recorded."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from tests.pytest_plugin.conftest import SERIAL_AND_PARALLEL

if TYPE_CHECKING:
    from tests.pytest_plugin.conftest import Project

FROZEN = """
import datetime, sys, time
import pytest

class Frozen(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls(2040, 1, 1, tzinfo=tz)

@pytest.fixture(scope="session", autouse=True)
def frozen():
    time.time = lambda: 2208988800.0
    for module in list(sys.modules.values()):
        if getattr(module, "datetime", None) is datetime.datetime:
            module.datetime = Frozen
"""


@pytest.mark.parametrize("options", SERIAL_AND_PARALLEL)
def test_frozen_time(project: Project, options: tuple[str, ...]) -> None:
    """A decision has the real time where a session's fixture froze it for good, as libraries for tests do."""
    project.catalog(one={}, two={"needs": ["acceptance.one"]})
    project.write("conftest.py", FROZEN)
    project.passing("one", "two")
    before = datetime.now(UTC) - timedelta(seconds=1)

    ran = project.run("-m", "golive", *options)

    assert ran.status == 0, ran.output
    assert ran.decision is not None
    moments = [
        *(gate["started_at"] for gate in ran.decision["gates"]),
        ran.decision["run"]["finished_at"],
        ran.decision["decided_at"],
    ]
    assert all(before <= datetime.fromisoformat(moment) <= datetime.now(UTC) for moment in moments)


@pytest.mark.parametrize("options", SERIAL_AND_PARALLEL)
def test_files_and_json(project: Project, options: tuple[str, ...]) -> None:
    """A gate may replace the functions that write files and JSON; its checks are recorded all the same."""
    project.catalog(one={})
    project.tests(
        """
        @pytest.mark.gate("acceptance.one")
        def test_one(evidence, monkeypatch):
            def full(*_):
                raise OSError(28, "No space left on device")
            monkeypatch.setattr(os, "write", full)
            monkeypatch.setattr("json.dumps", lambda *_, **__: "{}")
            evidence.check("one", 1, "==", 1)
        """
    )

    ran = project.run("-m", "golive", *options)

    assert ran.status == 0, ran.output
    assert ran.outcomes == {"one": "PASS"}


def test_how_a_unittest_class_is_run(project: Project) -> None:
    """A plugin may have unittest find the method, as pytest-django does: its checks are the test's own."""
    project.catalog(one={})
    project.tests(
        """
        import unittest
        from _pytest.unittest import TestCaseFunction

        class Case(unittest.TestCase):
            @pytest.fixture(autouse=True)
            def prepare(self, evidence, monkeypatch):
                self.evidence = evidence
                monkeypatch.setattr(TestCaseFunction, "runtest", lambda item: item.instance(result=item))

            @pytest.mark.gate("acceptance.one")
            def test_one(self):
                self.evidence.check("one", 1, "==", 1)
        """
    )

    ran = project.run("-m", "golive")

    assert ran.status == 0, ran.output
    assert ran.outcomes == {"one": "PASS"}


UNREAD_TASK = """
from bais_gates.pytest_plugin import background
assert background.listen()
import asyncio

async def fail():
    raise ValueError("in a task")

async def main():
    asyncio.create_task(fail())
    await asyncio.sleep(0.01)

asyncio.run(main())
background.raise_heard()
"""


def test_asyncio_is_imported_late() -> None:
    """A task that fails is heard of where the first gate imports asyncio, whatever its parts import first."""
    done = subprocess.run(
        [sys.executable, "-c", UNREAD_TASK], capture_output=True, text=True, timeout=30, check=False
    )

    assert done.returncode == 1
    assert "HiddenFailure: asyncio: Task exception was never retrieved: ValueError: in a task" in done.stderr
