"""A run is about one target: what changes under it, or can't be asked again, blocks."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import trustme

from tests.pytest_plugin.conftest import Project

TEST = """
@pytest.mark.gate("acceptance.one")
def test_one(target, evidence):
    evidence.check("name", target.environment.name, "==", "stub")
"""


class Target(ThreadingHTTPServer):
    """A target that becomes another one after it was asked for the first time."""

    daemon_threads = True

    def __init__(self, after: Callable[[Target], None]) -> None:
        super().__init__(("127.0.0.1", 0), _Health)
        self.authority = trustme.CA()
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.renew()
        self.socket = self.tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.version = "1.0.0"
        self.after = after
        self.asked = 0

    def renew(self) -> None:
        """Take another certificate."""
        self.authority.issue_cert("127.0.0.1").configure_cert(self.tls)


class _Health(BaseHTTPRequestHandler):
    server: Target

    def do_GET(self) -> None:
        """Answer with the version, then become another target."""
        body = json.dumps({"version": self.server.version, "environment": "staging"}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.server.asked += 1
        if self.server.asked == 1:
            self.server.after(self.server)

    def log_message(self, *_args: object) -> None:
        """Log nothing."""


def nothing(_target: Target) -> None:
    """Stay the same."""


def rollout(target: Target) -> None:
    """Another version answers from now on."""
    target.version = "2.0.0"


def renewal(target: Target) -> None:
    """Another certificate is shown from now on."""
    target.renew()


def end(target: Target) -> None:
    """Nobody answers from now on."""
    target.socket.close()


@pytest.fixture
def judged(project: Project) -> Iterator[Callable[[Callable[[Target], None]], Target]]:
    """Start a target, and have a project judge it with the plugin's fixtures."""
    targets: list[Target] = []

    def start(after: Callable[[Target], None]) -> Target:
        target = Target(after)
        targets.append(target)
        threading.Thread(target=target.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        target.authority.cert_pem.write_to_path(project.folder / "ca.pem")
        project.write(
            "gates/environments/stub.yaml",
            f"name: stub\napi: {{url: 'https://127.0.0.1:{target.server_port}', ca_file: ../../ca.pem}}\n",
        )
        project.catalog(one={})
        project.tests(TEST)
        return target

    yield start
    for target in targets:
        target.shutdown()
        target.server_close()


@pytest.mark.parametrize(
    "how", [(), pytest.param(("-n", "2"), marks=pytest.mark.nightly)], ids=["serial", "parallel"]
)
def test_a_target_that_stays_the_same(
    project: Project, judged: Callable[..., Target], how: tuple[str, ...]
) -> None:
    """It is asked at the start and at the end, and all is well; the decision says who it was."""
    target = judged(nothing)
    ran = project.run("-m", "golive", *how)
    assert ran.status == 0, ran.output
    assert target.asked == 2
    assert ran.decision is not None
    assert "1.0.0" in json.dumps(ran.decision["target"])


@pytest.mark.parametrize(
    ("after", "message"),
    [
        (rollout, "api.version of the target changed from 1.0.0 to 2.0.0"),
        (renewal, "tls.serial of the target"),
    ],
    ids=["another version", "another certificate"],
)
def test_a_target_that_changes_under_the_run(
    project: Project, judged: Callable[..., Target], after: Callable[[Target], None], message: str
) -> None:
    """Every gate passed, and yet: no one release was judged. BLOCK, naming what changed from what to what."""
    judged(after)
    ran = project.run("-m", "golive")
    assert ran.outcomes == {"one": "PASS"}
    assert (ran.status, ran.codes) == (22, {"TARGET_CHANGED"}), ran.output
    assert ran.decision is not None
    assert message in ran.decision["reasons"][0]["message"]


def test_a_target_that_can_not_be_asked_again(project: Project, judged: Callable[..., Target]) -> None:
    """Who is gone at the end may have been anybody: BLOCK with a reason of its own, in bounded time."""
    judged(end)
    began = time.monotonic()
    ran = project.run("-m", "golive")
    assert (ran.status, ran.codes) == (22, {"TARGET_LOST"}), ran.output
    assert time.monotonic() - began < 20


def test_an_unusable_kubeconfig_blocks_in_time_with_the_remedy(project: Project) -> None:
    """A kubeconfig that is not there is one reason, with what to do, before any gate runs."""
    project.write(
        "gates/environments/stub.yaml",
        "name: stub\nkubernetes: {kubeconfig: /nowhere/kubeconfig, context: c, read_only: true}\n",
    )
    project.catalog(one={}, two={})
    project.tests(
        """
@pytest.mark.gate("acceptance.one")
def test_one(cluster, evidence):
    evidence.check("version", cluster.version(), "!=", "")

@pytest.mark.gate("acceptance.two")
def test_two(cluster_writer, evidence):
    evidence.check("never", 1, "==", 1)
"""
    )
    began = time.monotonic()
    ran = project.run("-m", "golive")
    assert time.monotonic() - began < 15
    assert ran.decision is not None, ran.output
    (reason,) = ran.decision["reasons"]
    assert (ran.status, reason["code"], reason["gate"]) == (20, "ERROR", None)
    assert "no such kubeconfig. Provide it" in reason["message"]
    assert reason["holds_back"] == ["acceptance.one", "acceptance.two"]
