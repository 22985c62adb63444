"""Watched deploys on a real small platform with its monitoring, under load: good, bad, and unknown."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from bais_gates import sandbox, servers
from bais_gates.probes.kubernetes.writer import ClusterWriter
from bais_gates.targets.environment import load_environment
from tests.rollout.test_on_the_sandbox import OVERLAY, ROOT, Sandbox

pytestmark = pytest.mark.nightly
ROLE: dict[str, Any] = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "Role",
    "metadata": {"name": "watched", "namespace": "bais"},
    "rules": [],
}


class Monitored(Sandbox):
    """A sandbox with its monitoring, watched in short windows."""

    watch = ()

    def __init__(self, info: sandbox.SandboxInfo, folder: Path) -> None:
        super().__init__(info, folder)
        self.environment = info.directory / "watched.yaml"  # there, so that it is known as the sandbox's

    def limits(self, **limits: float) -> None:
        """Write an environment file with limits of the watch that a busy machine keeps."""
        # The load's cards are declined now and then, and the machine is shared.
        watch = {"window_s": 6, "for_s": 18, "requests_min": 20, "p95_ms": 280, "payments_min": 0.7}
        about = yaml.safe_load(self.info.environment_file.read_text())
        about["rollout"]["watch"] = {**watch, **limits}
        self.environment.write_text(yaml.safe_dump(about, sort_keys=False))
        self.environment.chmod(0o600)

    def record(self) -> dict[str, Any]:
        """Return the newest record."""
        files = [file for file in self.records.glob("sandbox/*.json") if "evidence" not in file.name]
        found: dict[str, Any] = json.loads(max(files, key=lambda file: file.name).read_text())
        return found


@pytest.fixture(scope="module")
def platform() -> Iterator[Monitored]:
    """Yield a sandbox with cluster and monitoring, under a load of 20 requests a second."""
    if absent := servers.missing():
        pytest.skip(f"there is no {', '.join(absent)} here: run `bais-gates sandbox fetch`")
    parent = Path(tempfile.mkdtemp(prefix="bais-gates-test-"))
    load = None
    try:
        info = sandbox.start(parent / "sandbox", owner_pid=os.getpid())
        sandbox.start_cluster(info.directory, manifests=OVERLAY)
        setup: list[str | Path] = [sys.executable, ROOT / "tests" / "sandbox" / "oncall_setup.py"]
        sandbox.start_monitoring(
            info.directory,
            artefacts=ROOT / "gates" / "monitoring",
            provision=[*setup, info.environment_file],
        )
        sandbox.prepare_accounts(info.directory)
        words = ["--rate", "20", "--users", "40", "--duration", "20m", "--env", str(info.environment_file)]
        command = [sys.executable, "-m", "bais_gates", "load", "run", *words, "--out", str(parent / "load")]
        with (parent / "load.txt").open("wb") as output:
            load = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output)
        time.sleep(10)  # its users have signed in, and Prometheus has seen the first requests
        assert load.poll() is None, (parent / "load.txt").read_text()
        yield Monitored(info, parent)
    finally:
        if load is not None:
            load.terminate()
            load.wait(60)
        sandbox.stop(parent / "sandbox")
        shutil.rmtree(parent)


def test_a_good_release_passes_its_watch(platform: Monitored) -> None:
    """Its windows are good and kept in the record; a line tells each."""
    platform.limits()
    status, output = platform.run(platform.deployment("good"))

    assert status == 0, output
    assert "WATCHING: recorded" in output
    assert "watch: 0:00 left" in output
    windows = platform.record()["windows"]
    assert sum(one["figures"]["requests"] > 20 for one in windows) >= 3
    assert windows[-1]["problems"] == []


@pytest.mark.parametrize(
    ("release", "limits", "words"),
    [
        ("slow", {}, "p95 latency is"),
        # Each replica's twentieth payment: a window of 12 s has some of them.
        ("failing", {"window_s": 12, "for_s": 36, "errors_max": 0.002}, "requests ended in a 5xx"),
    ],
)
def test_a_bad_release_is_rolled_back(
    platform: Monitored, release: str, limits: dict[str, float], words: str
) -> None:
    """The reason is its own, with figure and limit; the rollback is verified."""
    platform.limits(**limits)
    status, output = platform.run(platform.deployment(release))

    assert status == 31, output
    assert "because the watch failed: 3 windows were bad" in output
    assert words in platform.record()["steps"][-2]["note"]
    assert "REHEARSAL: ROLLED_BACK" in output


def test_an_alert_that_begins_rolls_back(platform: Monitored) -> None:
    """Whatever the figures are: permissions are changed while the release is watched."""
    platform.limits(errors_max=1)
    environment = load_environment(platform.environment, gates_dir=ROOT / "gates")

    def change_permissions() -> None:
        access = environment.kubernetes.deploy_access(environment.path)
        with ClusterWriter(access) as server:
            for _ in range(4):
                server.create(ROLE)
                time.sleep(2.5)  # Prometheus scrapes every 2 s, and sees no change of a counter that is new
                server.delete(ROLE["apiVersion"], "Role", "watched", "bais")

    thread = threading.Thread(target=change_permissions)
    command = platform.deployment("failing")
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.strip() == "WATCHING: recorded":
                thread.start()
        status = process.wait(60)
    thread.join()

    assert status == 31, "".join(lines)
    assert "the alert PermissionsChanged (warning) fires" in platform.record()["steps"][-2]["note"]


def test_without_prometheus_it_pauses_and_goes_on_later(platform: Monitored) -> None:
    """Nothing passes, nothing is rolled back, and the windows so far are kept for --resume."""
    platform.limits(errors_max=1, pause_s=12)
    platform.back()  # one that fails at times could also fail the smoke test of --resume
    info = sandbox.status(platform.info.directory)
    assert info is not None
    prometheus = info.pids["prometheus"]
    command = platform.deployment("good")
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if "watch: 0:12 left" in line:
                os.kill(prometheus, signal.SIGSTOP)
        status = process.wait(60)
    try:
        assert status == 33, "".join(lines)
        assert "PAUSED: The watch is paused after 0:12 without data" in "".join(lines)
        record = platform.record()
        assert record["steps"][-1]["phase"] == "WATCHING"
        assert record["windows"][-1]["no_data"]
        assert platform.run(command)[0] == 30
    finally:
        os.kill(prometheus, signal.SIGCONT)

    status, output = platform.run(platform.command("deploy", "--resume"))

    assert status == 0, output
    assert platform.record()["windows"][: len(record["windows"])] == record["windows"]
