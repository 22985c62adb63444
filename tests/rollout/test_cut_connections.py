"""The connection to the API server is cut at a request: the next command ends in a consistent state.

In memory, every request is cut in ``test_engine.py``. Here they go over HTTP: those of the engine to the
sandbox's API server alone, and those of the command line to the whole sandbox.
"""

from __future__ import annotations

import itertools
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from bais_gates import sandbox
from bais_gates.probes.kubernetes.access import ClusterAccess, ClusterError
from bais_gates.probes.kubernetes.writer import ClusterWriter
from bais_gates.rollout.engine import Rollout
from bais_gates.rollout.errors import RolloutStatus, Stuck
from bais_gates.rollout.lock import Lock
from bais_gates.rollout.record import Folder, Phase, Record, State, read_record, record_on
from bais_gates.rollout.verification import NotVerified, Verification
from bais_gates.rollout.workload import Workload, images_of
from bais_gates.staging.errors import StageError
from bais_gates.staging.readiness import State as Readiness
from bais_gates.staging.readiness import judge
from tests.cluster.conformance.server import running
from tests.rollout.cutting_proxy import CuttingProxy, between
from tests.rollout.fake_cluster import NEW, OLD, record_of
from tests.rollout.test_on_the_sandbox import ROOT, Sandbox, running_sandbox

if TYPE_CHECKING:
    from bais_gates.staging.server import Clock

NAME, LEASE = "bais-api", "bais-api-deploy"
DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "spec": {
        "replicas": 1,
        "selector": {"matchLabels": {"app": NAME}},
        "template": {
            "metadata": {"labels": {"app": NAME}},
            "spec": {"containers": [{"name": "api", "image": OLD}]},
        },
    },
}


def let_the_locks_pass(server: ClusterWriter, namespace: str) -> None:
    """Renew every Lease, also that of a proof of the schema, for the last time long ago: its time is past."""
    long_ago = {"spec": {"renewTime": "2026-01-01T00:00:00.000000Z"}}
    for lease in server.list("coordination.k8s.io/v1", "Lease", namespace):
        server.patch("coordination.k8s.io/v1", "Lease", lease["metadata"]["name"], long_ago, namespace)


def require_consistent(workload: Workload, folder: Folder) -> Record:
    """Return the finished record; the images are its own, its file agrees, and nobody holds the lock."""
    live = workload.read()
    record = record_on(live)
    assert record is not None
    assert record.finished
    assert record.running is not None
    assert images_of(live).items() >= record.running[0].items()
    file = folder.path / record.environment / f"{record.id}.json"
    assert read_record(file.read_text(), str(file)) == record
    lease = workload.server.named("coordination.k8s.io/v1", "Lease", LEASE, workload.namespace)
    assert lease is not None
    assert not lease["spec"].get("holderIdentity")
    for job in workload.server.list("batch/v1", "Job", workload.namespace):
        if job["metadata"]["name"] == record.job:
            assert judge({**job, "kind": "Job"}).state is Readiness.READY
    return record


# -- the API server alone --


@dataclass
class ByItsImage:
    """A verification that refuses one image, and looks at the Deployment alone."""

    workload: Workload
    refused: str

    def verify(self, images: dict[str, str], version: str | None, clock: Clock) -> None:
        """Raise ``NotVerified`` for the refused image, or another one than wanted."""
        del version, clock
        if images_of(self.workload.read()) != images or self.refused in images.values():
            raise NotVerified("it is refused")


class OnTheServer:
    """Deploys by the engine to an API server without controllers, in a namespace for each."""

    def __init__(self, proxy: CuttingProxy, kubeconfig: Path, direct: ClusterWriter, records: Path) -> None:
        self.proxy, self.direct, self.records = proxy, direct, records
        self.access = ClusterAccess(kubeconfig=kubeconfig, context="x", read_only=False)
        self.ids = map(str, itertools.count(1))

    def begin(self) -> str:
        """Make a namespace with a Deployment that has no controller, and reports that all is rolled out."""
        namespace = f"cut-{next(self.ids)}"
        metadata = {"name": NAME, "namespace": namespace}
        self.direct.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        self.direct.create({**DEPLOYMENT, "metadata": metadata})
        ready = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), 1)
        status = {"status": {"observedGeneration": 1000, **ready}}
        path = f"/apis/apps/v1/namespaces/{namespace}/deployments/{NAME}/status"
        self.direct._object("PATCH", path, "patch", "Deployment", body=status, content_type=MERGE)
        return namespace

    @contextmanager
    def rollout(self, server: ClusterWriter, namespace: str, refused: str) -> Iterator[Rollout]:
        """Yield the engine of a process of its own, under the lock."""
        workload = Workload(server=server, namespace=namespace, name=NAME)
        with Lock(server, namespace, LEASE) as lock:
            yield Rollout(
                workload=workload,
                lock=lock,
                folder=Folder(self.records),
                verification=cast("Verification", ByItsImage(workload, refused)),
                progress=lambda _text: None,
                timeout_s=5,
            )

    def deploy(self, namespace: str, refused: str) -> None:
        """Deploy as the command does, through the proxy."""
        record = record_of(
            id=namespace, rehearsal=True, version="2.0.0", before=State(images={"api": OLD}, replicas=1)
        )
        server = ClusterWriter(self.access)
        with server, self.rollout(server, namespace, refused) as rollout:
            rollout.go_on(rollout.enter(record, Phase.RECORDED), None)

    def requests(self, refused: str) -> list[str]:
        """Return the requests of a deploy that nothing cuts."""
        self.proxy.reset()
        self.deploy(self.begin(), refused)
        return self.proxy.requests

    def cut_and_end(self, number: int, refused: str, *, carried_out: bool) -> None:
        """Deploy with request ``number`` and all after it cut; end it by the next command, and see how."""
        namespace = self.begin()
        self.proxy.reset(cut_at=number, carried_out=carried_out)
        with suppress(Stuck, StageError, ClusterError):  # none if only the release of the lock is cut
            self.deploy(namespace, refused)
        assert len(self.proxy.requests) >= number
        status = self.next_command(namespace, refused)
        workload = Workload(server=self.direct, namespace=namespace, name=NAME)
        if record_on(workload.read()) is None:
            assert (status, images_of(workload.read())) == (None, {"api": OLD})
            return
        record = require_consistent(workload, Folder(self.records))
        assert record.phase is (Phase.ROLLED_BACK if refused else Phase.DEPLOYED)

    def next_command(self, namespace: str, refused: str) -> RolloutStatus | None:
        """Go on with what has stopped, past the proxy; None if nothing had begun, or all had ended."""
        let_the_locks_pass(self.direct, namespace)
        with self.rollout(self.direct, namespace, refused) as rollout:
            record = rollout.last()
            if record is None or record.finished:
                return None
            if record.phase is Phase.ROLLING_BACK:
                return rollout.roll_back(record, "its rollback had begun")
            return rollout.go_on(record, None)


MERGE = "application/merge-patch+json"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnTheServer]:
    """Yield the sandbox's API server with a proxy before it."""
    folder = tmp_path_factory.mktemp("cut")
    with running("stand-in", folder) as found:
        access = ClusterAccess(kubeconfig=found.kubeconfig, context="x", read_only=False)
        direct = ClusterWriter(access)
        with between(found.kubeconfig, folder) as proxy:
            yield OnTheServer(proxy, found.kubeconfig, direct, folder / "records")


@pytest.mark.nightly
@pytest.mark.parametrize("refused", ["", NEW], ids=["deploy", "deploy and rollback"])
def test_cut_at_every_request_to_the_api_server(server: OnTheServer, refused: str) -> None:
    """Whether the first request that is cut was carried out or not, the next command ends it."""
    for number, what in enumerate(server.requests(refused), 1):
        server.cut_and_end(number, refused, carried_out=False)
        if not what.startswith("GET "):
            server.cut_and_end(number, refused, carried_out=True)


def test_answers_to_writes_are_lost(server: OnTheServer) -> None:
    """Each write to the Deployment is carried out, and the command never learns it: the next one ends it."""
    for number, what in enumerate(server.requests(NEW), 1):
        if what.startswith("PATCH /apis/apps/"):
            server.cut_and_end(number, NEW, carried_out=True)


# -- the whole sandbox --


class CutSandbox(Sandbox):
    """A sandbox whose API server is reached through a proxy by every command."""

    def __init__(
        self, info: sandbox.SandboxInfo, folder: Path, proxy: CuttingProxy, direct: ClusterWriter
    ) -> None:
        super().__init__(info, folder)
        self.proxy, self.direct = proxy, direct
        self.workload = Workload(server=direct, namespace="bais", name=NAME)

    def cut(self, command: list[str], at: int | None, *, carried_out: bool = False) -> tuple[int, str]:
        """Run a command whose request number ``at`` is cut, and all after it."""
        self.proxy.reset(cut_at=at, carried_out=carried_out)
        try:
            return self.run(command)
        finally:
            let_the_locks_pass(self.direct, "bais")
            self.requests = list(self.proxy.requests)
            self.proxy.reset()

    def both(self) -> tuple[list[str], list[str]]:
        """Return the commands that deploy the good release, and go back to the present one."""
        back = self.command("rollback", "--to", self.releases["present"][0])
        return self.deployment("good"), back

    def images(self) -> set[str]:
        """Return the images that the Deployment has."""
        return set(images_of(self.workload.read()).values())

    def record(self) -> Record | None:
        """Return the record on the Deployment."""
        return record_on(self.workload.read())


@pytest.fixture(scope="module")
def platform() -> Iterator[CutSandbox]:
    """Yield a sandbox with its cluster behind a proxy."""
    with running_sandbox() as (info, parent):
        kubeconfig = info.directory / "cluster" / "kubeconfig"
        direct = ClusterWriter(ClusterAccess(kubeconfig=kubeconfig, context="sandbox-admin", read_only=False))
        with between(kubeconfig, parent) as proxy:
            yield CutSandbox(info, parent, proxy, direct)


def cuts_of(requests: list[str]) -> list[tuple[int, bool]]:
    """Return where to cut: every write, with and without its effect, and each kind of read after it.

    Further reads of a kind, while the command waits, find the cluster and the command as that one did.
    """
    cuts, seen = [], set[tuple[int, str]]()
    writes = 0
    for number, what in enumerate(requests, 1):
        if not what.startswith("GET ") and "dryRun" not in what:
            writes += 1
            cuts += [(number, False), (number, True)]
        elif (kind := (writes, what.partition("?")[0])) not in seen:
            seen.add(kind)
            cuts.append((number, False))
    return cuts


@pytest.mark.nightly
def test_two_deploys_at_once(platform: CutSandbox) -> None:
    """One of them is carried out, the other one is refused, and names the process of the first."""
    platform.back()
    command = platform.deployment("good")
    both = [
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for _ in range(2)
    ]
    ended = [(each.communicate(timeout=400)[0], each.returncode, each.pid) for each in both]
    (done, won, winner), (output, lost, _) = sorted(ended, key=lambda each: each[1])

    assert (won, lost) == (0, 30), (done, output)
    assert "REHEARSAL: DEPLOYED" in done
    # The first lock is that of the proof of the schema.
    assert "REFUSED (LOCKED): Another deploy holds the lock bais/bais-api-" in output
    assert re.search(rf"\b{winner}\b", output)
    assert require_consistent(platform.workload, Folder(platform.records)).phase is Phase.DEPLOYED


@pytest.mark.nightly
def test_deploys_and_rollbacks_that_are_cut(platform: CutSandbox) -> None:
    """At every step of a deploy, then of a rollback by name: the next command ends it, and reports how."""
    platform.back()
    good, present = platform.both()
    assert platform.cut(good, None)[0] == 0
    of_deploy = cuts_of(platform.requests)
    assert platform.cut(present, None)[0] == 31
    of_rollback = cuts_of(platform.requests)
    words = itertools.cycle(["--resume", "--abort"])
    for at, carried_out in of_deploy:
        cut_and_end(platform, good, next(words), (at, carried_out), uncut=0)
    for at, carried_out in of_rollback:
        cut_and_end(platform, present, next(words), (at, carried_out), uncut=31)


def cut_and_end(
    platform: CutSandbox, command: list[str], word: str, cut: tuple[int, bool], *, uncut: int
) -> None:
    """Cut a deploy of the good release or a rollback to the present one, and end it by the next command."""
    deploy, rollback = platform.both()
    is_deploy = command == deploy
    before = platform.releases["present" if is_deploy else "good"][0]
    if platform.images() != {before}:
        status, output = platform.run(rollback if is_deploy else deploy)
        assert status == (31 if is_deploy else 0), output
    last = platform.record()

    status, output = platform.cut(command, cut[0], carried_out=cut[1])

    assert status in {33, uncut}, (cut, output)
    now = platform.record()
    if now is None or (last is not None and now.id == last.id):  # nothing had begun
        assert platform.images() == {before}, (cut, output)
        return
    if not now.finished:
        if is_deploy:  # a rollback takes the place of what stopped, a deploy does not
            status, output = platform.run(command)
            assert (status, "stopped in the phase" in output) == (30, True), (cut, output)
        again = not is_deploy and word == "--abort"
        status, output = platform.run(command if again else platform.command("deploy", word))
        assert status == (0 if is_deploy and word == "--resume" else 31), (cut, output)
    elif status == 33:  # it had ended, and could not learn it
        status, output = platform.run(platform.command("deploy", word))
        assert (status, f"ended with {now.phase}" in output) == (30, True), (cut, output)
    record = require_consistent(platform.workload, Folder(platform.records))
    assert record.running is not None
    assert platform.workload.findings(platform.workload.read(), record.running[0]) == [], cut
    assert record.phase.value in output, (cut, output)
