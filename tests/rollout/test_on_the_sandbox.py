"""Deploys on a real small platform: each of the sandbox's releases, refusals, and kills of the command."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from bais_gates import sandbox, servers
from bais_gates.sandbox import images
from bais_gates.sandbox.releases import by_reference
from tests.rollout.decisions import Suite

pytestmark = pytest.mark.nightly
ROOT = Path(__file__).parents[2]
OVERLAY = ROOT / "gates" / "staging" / "manifests" / "overlays" / "sandbox"
WRITES = {"create", "update", "patch", "delete"}
LOCK_S = 90
"""Seconds until a killed command's lock is past, and some for a busy machine."""


class Sandbox:
    """A running sandbox, and the command line that deploys to it without a watch."""

    watch: tuple[str, ...] = ("--watch", "0")

    def __init__(self, info: sandbox.SandboxInfo, folder: Path) -> None:
        self.info, self.records = info, folder / "records"
        self.environment = info.environment_file
        self.suite = Suite(folder / "suite")
        self.suite.write()
        present = images.api_image()
        named = {release.name: (image, release.version) for image, release in by_reference(present).items()}
        self.releases = {"present": (present, "1.0.0"), **named}

    def command(self, name: str, *words: str) -> list[str]:
        """Return a command line about this sandbox."""
        where = ["--env", str(self.environment), "--records", str(self.records)]
        if name == "deploy":
            where += ["--decision", str(self.suite.decision), "--catalog", str(self.suite.catalog)]
            where += ["--manifests", str(OVERLAY), *self.watch]
        return [sys.executable, "-m", "bais_gates", name, *where, *words]

    def deployment(self, release: str, *words: str) -> list[str]:
        """Decide about a release, and return the command line that deploys it."""
        image, version = self.releases[release]
        self.suite.decide(image)
        return self.command("deploy", "--subject", image, "--version", version, *words)

    def run(self, command: list[str]) -> tuple[int, str]:
        """Run a command to its end; return its status and all its output."""
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=400, check=False)
        return done.returncode, done.stdout + done.stderr

    def until_free(self, command: list[str]) -> tuple[int, str]:
        """Run a command again while a killed one's lock is not past."""
        ends_at = time.monotonic() + LOCK_S
        while True:
            status, output = self.run(command)
            if "REFUSED (LOCKED)" not in output or time.monotonic() > ends_at:
                return status, output

    def stop_in(self, command: list[str], phase: str, how: int) -> int:
        """Run a command until it has recorded a phase, then send it a signal; return its status."""
        return self.stop_at(command, f"{phase}: recorded", how)

    def stop_at(self, command: list[str], text: str, how: int) -> int:
        """Run a command until a line begins with a text, then send it a signal; return its status."""
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if line.strip().startswith(text):
                    process.send_signal(how)
                    break
            process.stdout.read()
            return process.wait(60)

    def back(self) -> None:
        """Go back to the image that the sandbox starts with."""
        status, output = self.until_free(self.command("rollback", "--to", self.releases["present"][0]))
        assert status == 31 or "runs already" in output, output

    def written(self) -> list[str]:
        """Return what bais-gates has written so far, by the API server's audit log."""
        log = (self.info.directory / "cluster" / "audit.log").read_text().splitlines()
        return [
            f"{event['verb']} {event['objectRef']['resource']} {event['objectRef'].get('name')}"
            for event in map(json.loads, log)
            if event["verb"] in WRITES
            and event["userAgent"] == "bais-gates"
            and "dryRun" not in event["requestURI"]
        ]


@contextmanager
def running_sandbox() -> Iterator[tuple[sandbox.SandboxInfo, Path]]:
    """Start a sandbox with its cluster; yield it with the folder that it and its records are in."""
    parent = Path(tempfile.mkdtemp(prefix="bais-gates-test-"))
    try:
        info = sandbox.start(parent / "sandbox", owner_pid=os.getpid())
        sandbox.start_cluster(info.directory, manifests=OVERLAY)
        yield info, parent
    finally:
        sandbox.stop(parent / "sandbox")
        shutil.rmtree(parent)


@pytest.fixture(scope="module")
def platform() -> Iterator[Sandbox]:
    """Yield a sandbox with its cluster."""
    with running_sandbox() as (info, parent):
        yield Sandbox(info, parent)


def test_the_good_release_and_the_way_back(platform: Sandbox) -> None:
    """It is deployed and verified; the rollback by default goes to what ran before."""
    status, output = platform.run(platform.deployment("good"))
    assert status == 0, output
    assert "schema: the copy is migrated from 0002 to 0003" in output
    assert output.index("schema: the smoke test passed") < output.index("RECORDED: recorded")
    assert "verify: GET /health reports 1.1.0 5 times in a row" in output
    assert "verify: the smoke test passed" in output
    assert "REHEARSAL: DEPLOYED" in output

    status, output = platform.run(platform.deployment("present"))
    assert status == 30
    assert "REFUSED (OLDER): Version 1.0.0 is older than 1.1.0, which runs" in output
    status, output = platform.run(platform.command("rollback"))
    assert status == 31, output
    assert "verify: GET /health reports 1.0.0 5 times in a row" in output


@pytest.mark.parametrize(
    ("release", "words"),
    [
        ("not_ready", "NOT_READY: Deployment bais/bais-api: not ready after 15 s"),
        ("crash_loop", "CRASH_LOOP: Deployment bais/bais-api"),
    ],
)
def test_a_release_that_fails_is_rolled_back(platform: Sandbox, release: str, words: str) -> None:
    """The reason is the release's own, its logs are kept, and the rollback is verified within 300 s."""
    began = time.monotonic()
    status, output = platform.run(platform.deployment(release, "--timeout", "15"))

    assert status == 31, output
    assert f"because {words}" in output
    assert "verify: the smoke test passed" in output
    assert time.monotonic() - began < 300
    newest = max(platform.records.glob("sandbox/*.evidence.json"), key=lambda path: path.stat().st_mtime)
    saved = json.loads(newest.read_text())
    assert words in saved["reason"]
    if release == "crash_loop":
        assert any("LEDGER_URL is not set" in str(pod["log"]) for pod in saved["pods"].values())


def test_a_refused_deploy_writes_nothing(platform: Sandbox) -> None:
    """By the audit log of the API server: no decision, one about another image, one that has expired."""
    command = platform.deployment("good")
    before = platform.written()
    platform.suite.decision.unlink()
    absent = platform.run(command)
    platform.suite.decide(platform.releases["slow"][0])
    other = platform.run(command)

    assert absent[0] == other[0] == 30
    assert "DECISION_ABSENT" in absent[1]
    assert "SUBJECT_OTHER" in other[1]
    assert platform.written() == before


@pytest.mark.parametrize(
    ("phase", "word", "expected"),
    [
        ("RECORDED", "--resume", 0),
        ("MIGRATING", "--abort", 31),
        ("ROLLING_OUT", "--resume", 0),
        ("ROLLING_OUT", "--abort", 31),
        ("VERIFYING", "--resume", 0),
    ],
)
def test_a_deploy_that_is_killed(platform: Sandbox, phase: str, word: str, expected: int) -> None:
    """Another one is refused, then the next command goes on or back."""
    platform.back()
    command = platform.deployment("good")
    assert platform.stop_in(command, phase, signal.SIGKILL) == -signal.SIGKILL

    status, output = platform.run(command)
    assert status == 30
    assert "REFUSED (LOCKED): Another deploy holds the lock bais/bais-api-deploy" in output
    status, output = platform.until_free(platform.command("deploy", word))
    assert status == expected, output
    assert f"stopped in the phase {phase}" in output


def test_a_deploy_that_is_terminated_lets_the_lock_go(platform: Sandbox) -> None:
    """SIGTERM ends it with 130; the next command need not wait for the lock."""
    platform.back()
    assert platform.stop_in(platform.deployment("good"), "ROLLING_OUT", signal.SIGTERM) == 130

    status, output = platform.run(platform.command("deploy", "--abort"))
    assert status == 31, output


def test_a_release_that_failed_is_refused_and_told(platform: Sandbox) -> None:
    """Its decision is revoked; the stand-ins get one change event and one message; the record is signed.

    It is the last test of this file, as it starts the monitoring, whose process has the stand-ins.
    """
    if absent := servers.missing():
        pytest.skip(f"there is no {', '.join(absent)} here: run `bais-gates sandbox fetch`")
    platform.back()
    command = platform.deployment("not_ready", "--timeout", "15")
    status, output = platform.run(command)
    assert status == 31, output
    assert "change event: not sent: PagerDuty, POST /v2/change/enqueue: " in output  # nothing listens yet
    platform.suite.decide(platform.releases["not_ready"][0])
    sandbox.start_monitoring(platform.info.directory, artefacts=ROOT / "gates" / "monitoring")
    status, output = platform.run(command)
    assert status == 31, output

    written = platform.written()
    status, output = platform.run(command)
    assert status == 30
    assert "REFUSED (REVOKED): Run run-1 does not allow this deploy. The deploy " in output
    assert platform.written() == written
    verify = [sys.executable, "-m", "bais_gates", "verify", str(platform.suite.decision), "--env", "sandbox"]
    status, output = platform.run([*verify, "--catalog", str(platform.suite.catalog)])
    assert status == 0, output
    history = ["--catalog", str(platform.suite.catalog), "--history", str(platform.records)]
    status, output = platform.run([*verify, *history])
    assert status == 1
    assert "REVOKED: The deploy " in output

    url = yaml.safe_load(platform.info.environment_file.read_text())["monitoring"]["inbox_url"]
    with urllib.request.urlopen(url, timeout=10) as response:
        received = json.load(response)["received"]
    told = [one["receiver"] for one in received if "REHEARSAL: deploy of " in str(one["body"])]
    assert sorted(told) == ["pagerduty/change", "slack/#bais-oncall"]
    newest = max(platform.records.glob("sandbox/*.intoto.jsonl"), key=lambda path: path.stat().st_mtime)
    record = newest.with_name(f"{newest.name.partition('.')[0]}.json")
    key = ["--key", str(platform.records / "sandbox" / "sandbox.pub")]
    status, output = platform.run([*verify[:3], "attest", "verify", str(record), *key])
    assert status == 0, output
    assert "deploy-record/v1: ROLLED_BACK" in output
