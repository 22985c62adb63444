"""A container's probes: when they are due, how its process is asked, and what follows from the answers."""

from __future__ import annotations

import functools
import http.client
import socket
import ssl
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bais_gates.sandbox.cluster.controllers.objects import Object
    from bais_gates.sandbox.cluster.controllers.world import Plan
    from bais_gates.sandbox.cluster.node.records import Answers, Container, Observed, Record

_EAGER_S = 0.1
"""Until a probe succeeds for the first time it is asked this often: the sandbox does not wait for periods."""
_EAGER_FOR_S = 20.0
_COMING_UP_S = 3.0
"""A process that runs for less than this and does not answer yet is not reported."""
_PROTOCOL_3 = 196608
_SSL_REQUEST = 80877103
_STARTING = b"57P03"
"""PostgreSQL's code for "cannot connect now": it is starting up or shutting down."""


class Health:
    """Asks in threads of its own, and hands the answers to the loop."""

    def __init__(self, post: Callable[[Callable[[], None]], None], look_at: Callable[[Object], None]) -> None:
        self._post, self._look_at = post, look_at
        self._threads = ThreadPoolExecutor(max_workers=6, thread_name_prefix="probe")

    def stop(self) -> None:
        """Ask nothing more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def failed(self, plan: Plan, record: Record, container: Container, observed: Observed) -> str | None:
        """Ask what is due; return the probe (``startup``, ``liveness``) that failed for too long, or None."""
        if not observed.get("up", True) or not observed.get("port"):
            return None
        if container.spec.get("startupProbe") and container.startup.ok is not True:
            return self._ask_if_due(plan, record, container, observed, "startup")
        if container.spec.get("readinessProbe"):
            self._ask_if_due(plan, record, container, observed, "readiness")
        if container.spec.get("livenessProbe"):
            return self._ask_if_due(plan, record, container, observed, "liveness")
        return None

    def _ask_if_due(
        self, plan: Plan, record: Record, container: Container, observed: Observed, which: str
    ) -> str | None:
        """Return the probe's name if it has failed as often as it may, else None."""
        probe: Mapping[str, Any] = container.spec[f"{which}Probe"]
        answers: Answers = getattr(container, which)
        threshold, period = int(probe.get("failureThreshold") or 3), float(probe.get("periodSeconds") or 10)
        now = time.monotonic()
        up_for = now - container.patience_until
        if answers.message and up_for > _COMING_UP_S:
            plan.warn(record.pod, "Unhealthy", f"{which.capitalize()} probe failed: {answers.message}")
        answers.message = ""
        if which != "liveness" and answers.ok is not True and up_for < _EAGER_FOR_S:
            period_now = _EAGER_S
        else:
            period_now = period
        due_in = answers.last + period_now - now
        if due_in <= 0 and not answers.asking:
            answers.asking, answers.last = True, now
            self._threads.submit(self._ask, record, container, dict(observed), which)
            due_in = period_now
        plan.look_again(max(due_in, 0.02))
        if which == "startup":
            patience = float(probe.get("initialDelaySeconds") or 0) + threshold * period
            return which if answers.ok is not True and up_for > patience else None
        return which if which == "liveness" and answers.failures >= threshold else None

    def _ask(self, record: Record, container: Container, observed: Observed, which: str) -> None:
        problem, run = "", container.run
        try:
            host = str(observed.get("host") or "127.0.0.1")
            ask(container.spec[f"{which}Probe"], host, int(observed["port"]))
        except UnhealthyError as error:
            problem = str(error)
        self._post(lambda: self._take(record, container, which, run, problem))

    def _take(self, record: Record, container: Container, which: str, run: int, problem: str) -> None:
        answers: Answers = getattr(container, which)
        answers.asking = False
        if run != container.run:
            return
        before, answers.message = answers.ok, problem
        if problem:
            answers.failures += 1
            threshold = int(container.spec[f"{which}Probe"].get("failureThreshold") or 3)
            if answers.failures >= threshold or before is None:
                answers.ok = False
        else:
            answers.failures, answers.ok = 0, True
        if before != answers.ok or problem:
            self._look_at(record.pod)


class UnhealthyError(Exception):
    """The probe failed; the message is what the event reports."""


def ask(probe: Mapping[str, Any], host: str, port: int) -> None:
    """Probe the process at ``host:port``, the address of this very container. Raise ``UnhealthyError``.

    Commands are not run: the process is asked the way ``pg_isready`` asks, and any other command fails.
    """
    timeout = float(probe.get("timeoutSeconds") or 1)
    try:
        if "httpGet" in probe:
            _http(probe["httpGet"], host, port, timeout)
        elif "exec" in probe:
            _command(list(probe["exec"].get("command") or ()), host, port, timeout)
        else:
            socket.create_connection((host, port), timeout=timeout).close()
    except (OSError, http.client.HTTPException, struct.error) as error:
        raise UnhealthyError(f"{type(error).__name__}: {error}") from error


def _http(get: Mapping[str, Any], host: str, port: int, timeout: float) -> None:
    connection = http.client.HTTPConnection(host, port, timeout=timeout)
    if str(get.get("scheme") or "HTTP").upper() == "HTTPS":
        # As the kubelet does: a probe asks whether the process answers, not who it is.
        connection = http.client.HTTPSConnection(host, port, timeout=timeout, context=_any_certificate())
    headers = {one["name"]: one["value"] for one in get.get("httpHeaders") or ()}
    headers.setdefault("User-Agent", "kube-probe/1.36")
    with closing(connection):
        connection.request("GET", str(get.get("path") or "/"), headers=headers)
        status = connection.getresponse().status
    if not 200 <= status < 400:
        raise UnhealthyError(f"HTTP probe failed with statuscode: {status}")


@functools.cache
def _any_certificate() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _command(command: list[str], host: str, port: int, timeout: float) -> None:
    program = command[0].rpartition("/")[2] if command else ""
    if program == "pg_isready":
        _postgres(host, port, timeout)
    else:
        raise UnhealthyError(f'exec: "{program}": executable file not found in $PATH')


def _postgres(host: str, port: int, timeout: float) -> None:
    """Ask as ``pg_isready`` does: any answer to the first message but "starting up" means ready."""
    with socket.create_connection((host, port), timeout=timeout) as plain:
        plain.sendall(struct.pack("!ii", 8, _SSL_REQUEST))
        asked: socket.socket = plain
        if plain.recv(1) == b"S":
            asked = _any_certificate().wrap_socket(plain)
        with asked:
            wanted = b"user\0bais_probe\0database\0postgres\0\0"
            asked.sendall(struct.pack("!ii", 8 + len(wanted), _PROTOCOL_3) + wanted)
            answer = asked.recv(1024)
    if not answer or _STARTING in answer:
        raise UnhealthyError(f"{host}:{port} - rejecting connections")
