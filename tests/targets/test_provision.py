"""Provisioning an environment: once a run, and a failure is reported for every gate."""

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
from bais_gates.targets.target import TargetUnreachable, open_target, reach_accounts

Write = Callable[[str, str], Path]


@dataclass
class _Info:
    environment_file: Path


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Replace the sandbox by one that writes an environment file; return the folders it was started in."""
    folders: list[Path] = []

    def start(folder: Path, **_kwargs: Any) -> _Info:
        folders.append(folder)
        file = folder / "environment.yaml"
        file.write_text("name: sandbox\napi: {url: 'https://127.0.0.1:9'}\n")
        return _Info(file)

    monkeypatch.setattr(bais_gates.sandbox, "start", start)
    return folders


_CALLS_ONCE = """
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


def test_once_makes_one_record_for_many_processes(tmp_path: Path) -> None:
    """Concurrent processes get the result of the first one."""
    command = [sys.executable, "-c", _CALLS_ONCE, str(tmp_path)]
    processes = [subprocess.Popen([*command, str(i)], stdout=subprocess.PIPE) for i in range(3)]
    results = {process.communicate(timeout=30)[0] for process in processes}
    assert len(results) == 1
    assert (tmp_path / "made").read_text() == "x"


def test_the_sandbox_is_started_once_and_completes_the_file(
    write: Write, gates_dir: Path, make_run: Callable[..., Any], started: list[Path]
) -> None:
    """A second call gets the same sandbox; the name stays that of the file."""
    write("mine", "name: mine\nprovision: sandbox\n")
    run = make_run("mine")
    first = environment_for(run, gates_dir=gates_dir)
    second = environment_for(run, gates_dir=gates_dir)
    assert first == second
    assert (first.name, first.api.url) == ("mine", "https://127.0.0.1:9")
    assert len(started) == 1


def test_a_failed_start_is_reported_to_all_and_not_retried(
    write: Write, gates_dir: Path, make_run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every call raises why the sandbox did not start; only the first one tries to start it."""
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


def test_the_sandboxs_accounts_are_prepared_once(
    write: Write,
    gates_dir: Path,
    make_run: Callable[..., Any],
    started: list[Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every call returns the file in the run's sandbox, which only the first one prepares."""
    prepared: list[Path] = []

    def prepare(folder: Path) -> Path:
        prepared.append(folder)
        return folder / "accounts.json"

    monkeypatch.setattr(bais_gates.sandbox, "prepare_accounts", prepare)
    write("mine", "name: mine\nprovision: sandbox\n")
    run = make_run("mine")
    environment = environment_for(run, gates_dir=gates_dir)

    files = {reach_accounts(run, environment, gates_dir=gates_dir) for _ in range(2)}

    assert files == {started[0] / "accounts.json"}
    assert prepared == started


def test_accounts_that_cannot_be_prepared_are_reported_to_all(
    write: Write,
    gates_dir: Path,
    make_run: Callable[..., Any],
    started: list[Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every call raises why there are none; only the first one tries."""
    tries: list[Path] = []

    def prepare(folder: Path) -> Path:
        tries.append(folder)
        raise bais_gates.sandbox.SandboxError("PostgreSQL did not accept the accounts")

    monkeypatch.setattr(bais_gates.sandbox, "prepare_accounts", prepare)
    write("mine", "name: mine\nprovision: sandbox\n")
    run = make_run("mine")
    environment = environment_for(run, gates_dir=gates_dir)

    for _ in range(2):
        with pytest.raises(ProvisionError, match="did not accept"):
            reach_accounts(run, environment, gates_dir=gates_dir)
    assert tries == started


@pytest.mark.parametrize("provision", ["none", "sandbox"])
def test_accounts_of_another_api_are_named_by_the_file(
    write: Write, gates_dir: Path, make_run: Callable[..., Any], started: list[Path], provision: str
) -> None:
    """Nothing is prepared for an API that is not the run's sandbox; a file without accounts is an error."""
    path = write("mine", f"name: mine\nprovision: {provision}\napi: {{url: 'https://127.0.0.1:8'}}\n")
    run = make_run("mine")
    environment = environment_for(run, gates_dir=gates_dir)

    with pytest.raises(GateInputError, match=r"load\.accounts") as caught:
        reach_accounts(run, environment, gates_dir=gates_dir)
    assert str(path) in str(caught.value)
    assert len(started) == (provision == "sandbox")


def test_release_without_a_sandbox_does_nothing(tmp_path: Path) -> None:
    """A run that started none has none to stop."""
    release(tmp_path)


def test_faults_need_a_sandbox(write: Write, gates_dir: Path, make_run: Callable[..., Any]) -> None:
    """A fault for a target that the run does not start is refused, not ignored."""
    write("staging", "name: staging\n")
    with pytest.raises(GateInputError, match="--sandbox-fault"):
        environment_for(make_run("staging", faults=("any",)), gates_dir=gates_dir)


def test_an_unreachable_target_is_reported_to_all(
    write: Write, gates_dir: Path, make_run: Callable[..., Any]
) -> None:
    """The first call meets a refused connection; every later one raises the same without a request."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    path = write("dead", f"name: dead\napi: {{url: 'http://127.0.0.1:{port}'}}\n")
    run = make_run("dead")
    for _ in range(2):
        with pytest.raises(TargetUnreachable, match="connection refused") as caught:
            open_target(run, gates_dir=gates_dir)
        assert str(path) in str(caught.value)
    known = identity.read(run.directory)
    assert known is not None
    assert known.facts == (("api.url", f"http://127.0.0.1:{port}"),)
    assert known.rehearsal is True


def test_the_identity_holds_reported_facts_and_certificate(
    write: Write, gates_dir: Path, make_run: Callable[..., Any], tmp_path: Path
) -> None:
    """The run directory has the version, environment and serial number of the certificate."""
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
        """Report a version, and an environment that is not text."""
        body = b'{"version": "2.0", "environment": 5}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        """Log nothing."""


def test_no_run_no_identity(tmp_path: Path) -> None:
    """Before any process reached the target there is no identity to read."""
    assert identity.read(tmp_path) is None
