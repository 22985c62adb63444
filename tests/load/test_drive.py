"""Load runs by Locust itself against a small server: what is measured, and what ends a run."""

from __future__ import annotations

import os
import resource
import signal
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bais_gates.load import Aim, LoadError, Plan, Result, run_load
from bais_gates.probes.statistics import percentile
from tests.load.load_runs import Server, serving

LOCUSTFILE = """
from locust import task
from bais_gates.load.generator import ScheduledUser

class One(ScheduledUser):
    @task
    def one(self):
        {body}
"""
PLAN = Plan(
    rate_per_s=50, margin=1, users=25, ramp_s=0.4, warm_up_s=0.4, measured_s=4, tail_s=0.4, window_s=2
)
GET = 'self.client.get("/a")'


@pytest.fixture
def server() -> Iterator[Server]:
    """Serve until the test's end."""
    with serving() as one:
        yield one


def load(folder: Path, url: str, *, body: str = GET, plan: Plan = PLAN, **keys: object) -> Result:
    """Load a server with users of one task."""
    locustfile = folder / "locustfile.py"
    locustfile.write_text(textwrap.dedent(LOCUSTFILE).format(body=body), encoding="utf-8")
    return run_load(plan, Aim(url=url, locustfile=locustfile), folder / "load", **keys)  # type: ignore[arg-type]


def running(folder: Path) -> list[str]:
    """Return the processes that were started for a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if str(folder / "locustfile.py") in words:
            found.append(path.parent.name)
    return found


def test_a_pause_of_the_server(tmp_path: Path) -> None:
    """A pause of a second in four shows in the corrected percentiles as arithmetic says, hardly in the plain.

    Of 200 requests, 50 were due in the pause, uniformly late by up to a second: the 95th percentile is that
    of the 10 latest, 0.8 s. Of the plain latencies 5 are slow, one a user.
    """
    with serving(pause=(2.0, 1.0)) as server:
        run = load(tmp_path, server.url, plan=replace(PLAN, users=5))

    corrected = run.measured.latency()
    assert corrected.n == pytest.approx(200, abs=10)
    assert corrected.p95 >= 700
    assert percentile([one.took * 1000 for one in run.measured.due], 95) < corrected.p95 / 2
    assert {one.user for one in run.measured.due} == set(range(5))
    assert not any(one.fault for one in run.measured.due)
    assert (tmp_path / "load" / "locust.html").stat().st_size > 10_000


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    """Every request to a port that nobody listens at is a fault; none is accepted."""
    with serving() as server:
        url = server.url
    run = load(tmp_path, url, plan=replace(PLAN, measured_s=1.0))

    assert run.measured.due
    assert run.measured.accepted_per_s == 0
    assert all(one.fault and not one.accepted for one in run.requests)


def test_faults_and_exceptions(tmp_path: Path, server: Server) -> None:
    """Failed statuses are faults; an exception of the script is counted by itself."""
    server.status = 500
    body = f'{GET}; raise KeyError("lost")'

    run = load(tmp_path, server.url, body=body, plan=replace(PLAN, measured_s=1.0))

    assert {one.fault for one in run.measured.due} == {"status 500"}
    assert list(run.exceptions) == ["KeyError: 'lost'"]
    assert run.faults() == {"status 500": len(run.measured.due)}


def test_two_workers(tmp_path: Path, server: Server) -> None:
    """Workers of one run share its users, and hand all that they measured to the master."""
    run = load(tmp_path, server.url, workers=2, plan=replace(PLAN, measured_s=1.0))

    assert run.lost_workers == ()
    assert {one.user for one in run.requests} == set(range(26)) - {25} or len(
        {one.user for one in run.requests}
    ) == 25
    connects = run.plan.users
    assert len(run.requests) >= 0.9 * (server.asked - connects)


@pytest.mark.parametrize("ending", ["killed", "interrupted"])
def test_a_run_that_is_broken_off(tmp_path: Path, server: Server, ending: str) -> None:
    """A generator that is killed, or a run that Ctrl-C ends, measures nothing and leaves no process."""

    def end(_text: str) -> None:
        if ending == "interrupted":
            raise KeyboardInterrupt
        for pid in running(tmp_path):
            os.kill(int(pid), signal.SIGKILL)

    with pytest.raises(KeyboardInterrupt if ending == "interrupted" else LoadError):
        load(tmp_path, server.url, progress=end)

    assert running(tmp_path) == []


def test_a_locustfile_that_loads_slowly(tmp_path: Path, server: Server) -> None:
    """A run lasts as long as its plan says, however long the generator took to load."""
    busy = "import time\nbegan = time.monotonic()\nwhile time.monotonic() < began + 1.5:\n    pass"
    plan = replace(PLAN, measured_s=0.8)
    run = load(tmp_path, server.url, body=f"{GET}\n\n{busy}", plan=plan)

    assert max(one.ended for one in run.requests) >= run.measured_from + plan.measured_s


def test_a_full_disk(tmp_path: Path, server: Server) -> None:
    """A record that can't be written to its end is that of a run that was broken off."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (6000, before[1]))
    try:
        with pytest.raises(LoadError, match=r"broken off|cut off"):
            load(tmp_path, server.url, plan=replace(PLAN, measured_s=3.0))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_locustfile_that_does_not_load(tmp_path: Path) -> None:
    """A wrong locustfile is refused with what Locust says about it."""
    with pytest.raises(LoadError, match="SyntaxError"):
        load(tmp_path, "http://127.0.0.1:9", body="]")
