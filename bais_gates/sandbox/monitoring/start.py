"""Start the monitoring of a running sandbox, and wait until it answers."""

from __future__ import annotations

import http.client
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
    from collections.abc import Callable
    from pathlib import Path

_POLL_S = 0.05
_READY = {"prometheus": "/-/ready", "alertmanager": "/-/ready", "monitoring": "/inbox"}


def start_monitoring(
    directory: Path,
    *,
    artefacts: Path,
    progress: Callable[[str], None] = lambda _text: None,
    within: float = 30.0,
) -> None:
    """Start Prometheus, Alertmanager and their exporters unless they run; return once they are ready.

    ``artefacts`` is the folder with ``rules/``, ``alertmanager.yaml`` and ``postgres-queries.yaml``. Several
    processes may call this at once. Raises ``SandboxError``, also where a program is not installed.
    """
    directory, deadline = directory.absolute(), time.monotonic() + within
    info = lifecycle.status(directory)
    if info is None or info.state != "ready":
        raise SandboxError(f"no sandbox is up in {directory}: start one before its monitoring")
    try:
        programs = {name: str(find_server(name)) for name in COMMANDS}
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
        for name, path in _READY.items():
            while not _is_ready(reply["ports"][name], path):
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
    for name in ("prometheus", "alertmanager", "monitoring"):
        if parts.get(name, "running") != "running":
            tail = log_tail(directory / "logs" / f"{name}.log") or "empty"
            raise SandboxError(
                f"the sandbox's {name} ended while it was starting. The end of its log: {tail}"
            )
    if time.monotonic() > deadline:
        raise SandboxError(f"the sandbox's monitoring was not ready in time: see {directory / 'logs'}")
