"""Starting what an environment file provisions: once a run, told to all at once when it fails."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme

import bais_gates.sandbox
from bais_gates.errors import GateInputError
from bais_gates.targets import identity
from bais_gates.targets.provision import ProvisionError, environment_for, release
from bais_gates.targets.target import TargetUnreachable, open_target

Write = Callable[[str, str], Path]


@dataclass
class _Info:
    environment_file: Path


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Replace the sandbox by one that writes an environment file; give the folders it was started in."""
    folders: list[Path] = []

    def start(folder: Path, **_kwargs: Any) -> _Info:
        folders.append(folder)
        file = folder / "environment.yaml"
        file.write_text("name: sandbox\napi: {url: 'https://127.0.0.1:9'}\n")
        return _Info(file)

    monkeypatch.setattr(bais_gates.sandbox, "start", start)
    return folders


_ASKS = """
import sys, time
from pathlib import Path
from bais_gates.targets.provision import once

def make():
    time.sleep(0.1)
    with (directory / "made").open("a") as made:
        made.write("x")
    return {"by": sys.argv[2]}

directory = Path(sys.argv[1])
print(once(directory, "thing", make)["by"])
"""


def test_of_many_processes_one_makes_and_all_know(tmp_path: Path) -> None:
    """Processes that ask at the same moment get what the first one made."""
    command = [sys.executable, "-c", _ASKS, str(tmp_path)]
    asking = [subprocess.Popen([*command, str(i)], stdout=subprocess.PIPE) for i in range(3)]
    answers = {process.communicate(timeout=30)[0] for process in asking}
    assert len(answers) == 1
    assert (tmp_path / "made").read_text() == "x"


def test_the_sandbox_is_started_once_and_completes_the_file(
    write: Write, gates_dir: Path, make_run: Callable[..., Any], started: list[Path]
) -> None:
    """The second to ask gets the same sandbox; the name stays that of the file asked for."""
    write("mine", "name: mine\nprovision: sandbox\n")
    run = make_run("mine")
    first = environment_for(run, gates_dir=gates_dir)
    second = environment_for(run, gates_dir=gates_dir)
    assert first == second
    assert (first.name, first.api.url) == ("mine", "https://127.0.0.1:9")
    assert len(started) == 1


def test_a_failure_to_start_is_told_to_all_and_not_tried_again(
    write: Write, gates_dir: Path, make_run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every gate hears why the sandbox did not start; only the first one waited for it."""
    tries: list[int] = []

    def start(_folder: Path, **_kwargs: Any) -> None:
        tries.append(1)
        raise bais_gates.sandbox.SandboxError("PostgreSQL said: no space left on device")

    monkeypatch.setattr(bais_gates.sandbox, "start", start)
    write("mine", "name: mine\nprovision: sandbox\n")
    run = make_run("mine")
    for _ in range(2):
        with pytest.raises(ProvisionError, match="no space left"):
            environment_for(run, gates_dir=gates_dir)
    assert len(tries) == 1


def test_release_without_a_sandbox_does_nothing(tmp_path: Path) -> None:
    """A run that started none has none to stop."""
    release(tmp_path)


def test_faults_are_for_a_sandbox_alone(write: Write, gates_dir: Path, make_run: Callable[..., Any]) -> None:
    """Asking for a fault on a target that the run does not start is refused, not ignored."""
    write("staging", "name: staging\n")
    with pytest.raises(GateInputError, match="--sandbox-fault"):
        environment_for(make_run("staging", faults=("any",)), gates_dir=gates_dir)


def test_a_dead_target_is_told_at_once_to_all(
    write: Write, gates_dir: Path, make_run: Callable[..., Any]
) -> None:
    """One look finds a refused connection; every other gate hears of it without a look of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    path = write("dead", f"name: dead\napi: {{url: 'http://127.0.0.1:{port}'}}\n")
    run = make_run("dead")
    for _ in range(2):
        with pytest.raises(TargetUnreachable, match="connection refused") as told:
            open_target(run, gates_dir=gates_dir)
        assert str(path) in str(told.value)
    known = identity.read(run.directory)
    assert known is not None
    assert known.facts == (("api.url", f"http://127.0.0.1:{port}"),)
    assert known.rehearsal is True


def test_a_target_is_known_by_what_it_says_and_by_its_certificate(
    write: Write, gates_dir: Path, make_run: Callable[..., Any], tmp_path: Path
) -> None:
    """Version, environment and the certificate's serial number stand in the run directory."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    server = HTTPServer(("127.0.0.1", 0), _Health)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    url = f"https://127.0.0.1:{server.server_address[1]}"
    write("live", f"name: live\napi: {{url: '{url}', ca_file: {tmp_path / 'ca.pem'}}}\n")
    run = make_run("live")
    try:
        open_target(run, gates_dir=gates_dir)
    finally:
        server.shutdown()
        server.server_close()
    known = identity.read(run.directory)
    assert known is not None
    facts = dict(known.facts)
    assert facts["api.version"] == "2.0"
    assert "api.environment" not in facts
    assert int(facts["tls.serial"], 16) > 0
    assert "GMT" in facts["tls.not_after"]


class _Health(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        """Say a version, and an environment that is no text."""
        body = b'{"version": "2.0", "environment": 5}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        """Say nothing."""


def test_no_run_no_identity(tmp_path: Path) -> None:
    """Before any process reached the target there is no identity to read."""
    assert identity.read(tmp_path) is None
