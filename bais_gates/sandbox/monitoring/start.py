"""Start the monitoring of a running sandbox, and wait until it answers."""

from __future__ import annotations

import http.client
import math
import subprocess
import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from bais_gates.errors import GateInputError
from bais_gates.sandbox import lifecycle
from bais_gates.sandbox.bootstrap.start import ask_supervisor, locked
from bais_gates.sandbox.errors import SandboxError
from bais_gates.sandbox.processes import log_tail
from bais_gates.servers import COMMANDS, find_server

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

_POLL_S = 0.05
_STAND_INS = {"monitoring": "/inbox"}
_SERVERS = {"prometheus": "/-/ready", "alertmanager": "/-/ready"}
_EXPORTERS = ("node-exporter", "postgres-exporter", "redis-exporter")


def find_programs() -> dict[str, str]:
    """Return the path of each program that the monitoring runs; raise GateInputError for a missing one."""
    return {name: str(find_server(name)) for name in COMMANDS}


def start_monitoring(
    directory: Path,
    *,
    artefacts: Path,
    provision: Sequence[str | Path] = (),
    progress: Callable[[str], None] = lambda _text: None,
    within: float = 30.0,
) -> None:
    """Start Prometheus, Alertmanager and their exporters unless they run; return once they are ready.

    ``artefacts`` is the folder with ``rules/``, ``alertmanager.yaml`` and ``postgres-queries.yaml``.
    ``provision`` is a command that brings the on-call rotation to the stand-in for PagerDuty: it runs once
    the stand-ins answer, beside the start of the rest, and gates see what is missing where it fails. Several
    processes may call this at once. Raises ``SandboxError``, also where a program is not installed.
    """
    directory, deadline = directory.absolute(), time.monotonic() + within
    info = lifecycle.status(directory)
    if info is None or info.state != "ready":
        raise SandboxError(f"no sandbox is up in {directory}: start one before its monitoring")
    try:
        programs = find_programs()
    except GateInputError as error:
        raise SandboxError(str(error)) from error
    home = directory / "monitoring"
    home.mkdir(mode=0o700, exist_ok=True)
    with locked(home / "lock", deadline, what="monitoring"):
        reply = ask_supervisor(
            directory, op="monitoring", programs=programs, artefacts=str(artefacts.absolute())
        )
        if reply["fresh"]:
            progress("starting Prometheus and Alertmanager")
        _await_ready(_STAND_INS, reply["ports"], directory, deadline)
        provisioning = _provision(provision, directory) if provision and reply["blank"] else None
        try:
            _await_ready(_SERVERS, reply["ports"], directory, deadline)
            _check_alive(directory, math.inf)  # an exporter that refuses its options has ended by now
            if provisioning is not None and provisioning.wait(max(0.1, deadline - time.monotonic())):
                progress(f"the on-call rotation could not be applied: see {_provision_log(directory)}")
        except subprocess.TimeoutExpired:
            progress(f"the on-call rotation was not applied in time: see {_provision_log(directory)}")
        finally:
            if provisioning is not None:
                provisioning.kill()
                provisioning.wait()


def _provision(command: Sequence[str | Path], directory: Path) -> subprocess.Popen[bytes]:
    with _provision_log(directory).open("ab") as log:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def _provision_log(directory: Path) -> Path:
    return directory / "logs" / "oncall-apply.log"


def _await_ready(
    paths: Mapping[str, str], ports: Mapping[str, int], directory: Path, deadline: float
) -> None:
    for name, path in paths.items():
        while not _is_ready(ports[name], path):
            _check_alive(directory, deadline)
            time.sleep(_POLL_S)


def _is_ready(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=3)
    with closing(connection), suppress(OSError, http.client.HTTPException):
        connection.request("GET", path)
        return connection.getresponse().status == 200
    return False


def _check_alive(directory: Path, deadline: float) -> None:
    """Raise ``SandboxError`` if a part has ended, or the time is up."""
    info = lifecycle.status(directory)
    parts = info.parts if info is not None else {}
    for name in ("prometheus", "alertmanager", "monitoring", *_EXPORTERS):
        if parts.get(name, "running") != "running":
            tail = log_tail(directory / "logs" / f"{name}.log") or "empty"
            raise SandboxError(
                f"the sandbox's {name} ended while it was starting. The end of its log: {tail}"
            )
    if time.monotonic() > deadline:
        raise SandboxError(f"the sandbox's monitoring was not ready in time: see {directory / 'logs'}")
