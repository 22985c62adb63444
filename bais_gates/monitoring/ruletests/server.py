"""A Prometheus of one's own: without rules or targets, on a free loopback port, in a folder that goes again.

It evaluates expressions over samples that are written to it, and expands the templates of annotations.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import json
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from bais_gates.errors import GateInputError
from bais_gates.monitoring.ruletests import remote_write
from bais_gates.monitoring.ruletests.testfile import Labels
from bais_gates.servers import find_server, known_options

READY_S: Final = 30.0
ANSWER_S: Final = 60.0
_MAX_POINTS: Final = 10_000
"""Of a series in one answer; Prometheus gives at most 11,000."""
_MAX_ANSWER: Final = 200_000_000
_STARTS: Final = 3
"""Tries, as another program may take the free port before Prometheus does."""

Vectors = dict[Labels, dict[int, float]]
"""Of each series its values by the number of the evaluation."""


class EvaluationError(Exception):
    """An expression that Prometheus can't evaluate over the samples of a test."""


@contextlib.contextmanager
def start_server() -> Iterator[Server]:
    """Start a Prometheus, and end it and remove its folder in the end; raise GateInputError."""
    program = find_server("prometheus")
    options = _options(program)
    with tempfile.TemporaryDirectory(prefix="bais-gates-prometheus-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        (folder / "consoles").mkdir()
        (folder / "prometheus.yml").write_text("global: {scrape_interval: 1h}\n", encoding="utf-8")
        for attempt in range(_STARTS):
            with _started(program, options, folder, last=attempt == _STARTS - 1) as server:
                if server is not None:
                    yield server
                    return


@functools.cache
def _options(program: Path) -> tuple[str, ...]:
    """Return the options that this version knows; those of the blocks are in no version's help."""
    known = known_options(program)
    receiver = "--web.enable-remote-write-receiver"
    return (
        receiver if receiver in known else "--enable-feature=remote-write-receiver",
        # The head holds all: no block is cut, and samples of any order up to 50 years apart are taken.
        "--storage.tsdb.min-block-duration=100y",
        "--storage.tsdb.max-block-duration=100y",
        "--storage.tsdb.retention.time=100y",
        "--log.level=warn",
    )


@contextlib.contextmanager
def _started(program: Path, options: tuple[str, ...], folder: Path, *, last: bool) -> Iterator[Server | None]:
    """Start the program once; yield None if it ended at once and it is not the last try."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    command = [
        str(program),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        f"--web.console.templates={folder / 'consoles'}",
        f"--web.console.libraries={folder / 'consoles'}",
        *options,
    ]
    log = folder / "log"
    with (
        log.open("wb") as output,
        # In a session of its own, so that Ctrl-C reaches this process first, which then ends it.
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            cwd=folder,
        ) as process,
    ):
        server = Server(port, folder / "consoles")
        try:
            if server.wait_until_ready(process):
                yield server
            elif last:
                raise GateInputError(
                    f"{program} did not start: {_last_line(log)}. Start it by hand to see why, or set "
                    "BAIS_GATES_PROMETHEUS to another one."
                )
            else:
                yield None
        finally:
            server.close()
            process.kill()  # nothing of it is kept


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1][-300:] if lines else "it ended without a word"


class Server:
    """The HTTP interface of a Prometheus on this machine."""

    def __init__(self, port: int, consoles: Path) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_S)
        self._consoles = consoles
        self._count = 0

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def wait_until_ready(self, process: subprocess.Popen[bytes]) -> bool:
        """Return whether it became ready before it ended."""
        deadline = time.monotonic() + READY_S
        while process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(OSError, http.client.HTTPException):
                self._connection.request("GET", "/-/ready")
                answer = self._connection.getresponse()
                answer.read(_MAX_ANSWER)
                if answer.status == http.HTTPStatus.OK:
                    return True
            self._connection.close()
            time.sleep(0.01)
        return False

    def version(self) -> tuple[int, int]:
        """Return its version."""
        status, body = self._request("GET", "/api/v1/status/buildinfo")
        try:
            major, minor = json.loads(body)["data"]["version"].split(".")[:2]
            return int(major), int(minor)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise _no_answer(f"asked for its version, it answered {status} {_start(body)}") from None

    def write(self, series: Iterable[tuple[Labels, Iterable[tuple[int, float | None]]]]) -> None:
        """Store samples; raise :class:`EvaluationError`."""
        status, body = self._request(
            "POST", "/api/v1/write", remote_write.encode(series), remote_write.HEADERS
        )
        if status == http.HTTPStatus.BAD_REQUEST:
            raise EvaluationError(f"samples are refused: {_start(body)}")
        if status not in {http.HTTPStatus.OK, http.HTTPStatus.NO_CONTENT}:
            raise _no_answer(f"samples were answered by {status} {_start(body)}")

    def query(self, expr: str, at_s: float) -> dict[Labels, float]:
        """Return the samples of an expression at a Unix time; raise :class:`EvaluationError`."""
        kind, result = self._query("/api/v1/query", {"query": expr, "time": f"{at_s:.3f}"})
        try:
            if kind == "scalar":
                return {(): float(result[1])}
            if kind == "vector":
                return {_labels(one["metric"]): float(one["value"][1]) for one in result}
        except (ValueError, KeyError, TypeError, IndexError):
            raise _no_answer(f"a query was answered by {str(result)[:200]}") from None
        raise EvaluationError(f"the expression yields a {kind}, not a vector or scalar")

    def query_range(self, expr: str, base_s: float, first: int, last: int, step_s: float) -> Vectors:
        """Return an expression's values at ``base_s + number * step_s`` for the numbers first to last."""
        found: Vectors = {}
        for start in range(first, last + 1, _MAX_POINTS):
            end = min(start + _MAX_POINTS - 1, last)
            times = {"start": f"{base_s + start * step_s:.3f}", "end": f"{base_s + end * step_s:.3f}"}
            _, result = self._query("/api/v1/query_range", {"query": expr, "step": f"{step_s}", **times})
            try:
                for one in result:
                    values = found.setdefault(_labels(one["metric"]), {})
                    for at, value in one["values"]:
                        values[round((at - base_s) / step_s)] = float(value)
            except (ValueError, KeyError, TypeError):
                raise _no_answer(f"a query was answered by {str(result)[:200]}") from None
        return found

    def expand(self, template: str) -> str:
        """Return what a console template becomes, as HTML; raise :class:`EvaluationError`."""
        self._count += 1
        name = f"{self._count}.html"
        (self._consoles / name).write_text(template, encoding="utf-8")
        status, body = self._request("GET", f"/consoles/{name}")
        if status != http.HTTPStatus.OK:
            raise EvaluationError(_start(body))
        return body.decode("utf-8", errors="replace")

    def _query(self, path: str, form: dict[str, str]) -> tuple[str, Any]:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        status, body = self._request("POST", path, urlencode(form).encode(), headers)
        try:
            answer = json.loads(body)
            if answer["status"] == "success":
                return answer["data"]["resultType"], answer["data"]["result"]
            message = f"{answer['error']}"
        except (ValueError, KeyError, TypeError, RecursionError):
            raise _no_answer(f"a query was answered by {status} {_start(body)}") from None
        raise EvaluationError(message[:500])

    def _request(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        try:
            self._connection.request(method, path, body, headers or {})
            answer = self._connection.getresponse()
            return answer.status, answer.read(_MAX_ANSWER)
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise _no_answer(f"{type(error).__name__}: {error}") from None


def _labels(metric: dict[str, str]) -> Labels:
    return tuple(sorted(metric.items()))


def _start(body: bytes) -> str:
    return " ".join(body[:300].decode("utf-8", errors="replace").split())


def _no_answer(what: str) -> GateInputError:
    return GateInputError(
        f"The Prometheus that evaluates the rule tests does not answer as one: {what}. Try again; if it "
        "stays so, set BAIS_GATES_PROMETHEUS to another one."
    )
