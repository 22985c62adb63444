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
from collections.abc import Iterator
from pathlib import Path

import pytest

from bais_gates import sandbox
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
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if line.strip() == f"{phase}: recorded":
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


@pytest.fixture(scope="module")
def platform() -> Iterator[Sandbox]:
    """Yield a sandbox with its cluster."""
    parent = Path(tempfile.mkdtemp(prefix="bais-gates-test-"))
    try:
        info = sandbox.start(parent / "sandbox", owner_pid=os.getpid())
        sandbox.start_cluster(info.directory, manifests=OVERLAY)
        yield Sandbox(info, parent)
    finally:
        sandbox.stop(parent / "sandbox")
        shutil.rmtree(parent)


def test_the_good_release_and_the_way_back(platform: Sandbox) -> None:
    """It is deployed and verified; the rollback by default goes to what ran before."""
    status, output = platform.run(platform.deployment("good"))
    assert status == 0, output
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
        ("unpullable", "IMAGE_PULL: Job bais/bais-migrate-"),
        ("migration_fails", "JOB_FAILED: Job bais/bais-migrate-"),
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
