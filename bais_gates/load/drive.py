"""Run Locust as processes of its own, show progress, and read what it recorded.

Locust is never imported here: gevent changes the process that it is imported into.
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from bais_gates.errors import GateInputError
from bais_gates.load.machine import Watch
from bais_gates.load.plan import VARIABLE, Plan
from bais_gates.load.result import PLAN, RECORD, USE, Request, Result, read_result
from bais_gates.probes.statistics import percentile

PAGE: Final = "locust.html"
_LOG: Final = "locust.log"
_START_WITHIN_S: Final = 20.0
_STOP_WITHIN_S: Final = 15.0
"""Locust lets users end for two seconds, then writes its page."""
_SHOW_EVERY_S: Final = 2.0
_POLL_S: Final = 0.1


class LoadError(GateInputError):
    """A load run that could not be done, so that nothing is known of the target."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """What a run is aimed at."""

    url: str
    locustfile: Path
    ca_file: Path | None = None
    accounts: Path | None = None
    platform_pids: tuple[int, ...] = ()
    """Processes of the target on this machine, whose use of it is not foreign."""


def run_load(
    plan: Plan,
    aim: Aim,
    directory: Path,
    *,
    workers: int = 1,
    progress: Callable[[str], None] = lambda _text: None,
) -> Result:
    """Carry out a plan, and return what was measured; ``directory`` keeps the record and Locust's page.

    ``workers`` is the number of generating processes; with more than one, a master of theirs listens on
    loopback. Raises :class:`LoadError`. Whatever ends this early, no process is left.
    """
    record = directory / RECORD
    remove_older(directory)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / PLAN).write_text(plan.encoded(), encoding="utf-8")
    except OSError as error:
        raise LoadError(f"{directory}: {error.strerror}. The load run can't be kept there.") from None
    with (
        _processes(_commands(plan, aim, directory, workers), plan, aim, directory) as processes,
        Watch([one.pid for one in processes], aim.platform_pids) as watch,
    ):
        _await_end(processes, plan, record, progress)
    try:
        (directory / USE).write_text(json.dumps([asdict(one) for one in watch.samples]), encoding="utf-8")
        return read_result(directory)
    except OSError as error:
        raise LoadError(f"{directory}: {error.strerror}. The load run can't be kept there.") from None
    except GateInputError as error:
        raise LoadError(f"{error} {_log_tail(directory)}") from None


def remove_older(directory: Path, *more: str) -> None:
    """Remove what an older run left, and files that are named ``more``. Raises LoadError."""
    try:
        for name in (RECORD, USE, PLAN, PAGE, _LOG, *more):
            (directory / name).unlink(missing_ok=True)
    except OSError as error:
        raise LoadError(
            f"{error.filename}: {error.strerror}. An older load run can't be removed there."
        ) from None


def _commands(plan: Plan, aim: Aim, directory: Path, workers: int) -> list[list[str]]:
    """Return the command of the process that decides when the run ends, and those of its workers."""
    if importlib.util.find_spec("locust") is None:
        raise LoadError("The library locust is not installed. Install it: pip install 'bais-gates[load]'")
    locust = [sys.executable, "-m", "locust", "-f", str(aim.locustfile), "--host", aim.url.rstrip("/")]
    first = [
        *(*locust, "--headless", "--users", str(plan.users), "--run-time", f"{math.ceil(plan.seconds)}s"),
        *("--spawn-rate", f"{plan.users / max(plan.ramp_s, 0.1):g}", "--stop-timeout", "2"),
        *("--only-summary", "--exit-code-on-error", "0", "--html", str(directory / PAGE)),
    ]
    if workers == 1:
        return [first]
    port = str(_free_port())
    listen = ("--master", "--master-bind-host", "127.0.0.1", "--master-bind-port", port)
    join = ("--worker", "--master-host", "127.0.0.1", "--master-port", port)
    counted = ("--expect-workers", str(workers))
    return [[*first, *listen, *counted], *([*locust, *join, *counted] for _ in range(workers))]


@contextmanager
def _processes(
    commands: list[list[str]], plan: Plan, aim: Aim, directory: Path
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Start the processes, and end them whatever happens."""
    paths = {"ca_file": aim.ca_file, "accounts": aim.accounts, "record": directory / RECORD}
    told = {name: str(path.absolute()) for name, path in paths.items() if path is not None}
    environment = os.environ | {VARIABLE: plan.encoded(**told)}
    processes: list[subprocess.Popen[bytes]] = []
    try:
        with (directory / _LOG).open("wb") as log:
            for command in commands:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=environment,
                    start_new_session=True,
                )
                processes += [process]
        yield processes
    finally:
        for process in processes:
            with suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _await_end(
    processes: list[subprocess.Popen[bytes]], plan: Plan, record: Path, progress: Callable[[str], None]
) -> None:
    """Wait until the first process ends. Raises :class:`LoadError` if it does not, or began nothing."""
    began = time.monotonic()
    shown = began
    tail = _Tail(record)
    while processes[0].poll() is None:
        time.sleep(_POLL_S)
        passed = time.monotonic() - began
        if passed > _START_WITHIN_S and not record.exists():
            raise LoadError(f"Locust sent nothing within {_START_WITHIN_S:g} s. {_log_tail(record.parent)}")
        if passed > _START_WITHIN_S + plan.seconds + _STOP_WITHIN_S:
            raise LoadError(
                f"Locust did not end in time: its machine is too slow. {_log_tail(record.parent)}"
            )
        if time.monotonic() - shown >= _SHOW_EVERY_S:
            shown = time.monotonic()
            if text := tail.describe(plan):
                progress(text)


class _Tail:
    """Follows a record that is being written, for the progress."""

    def __init__(self, record: Path) -> None:
        self._record = record
        self._offset = 0
        self._began = math.nan

    def describe(self, plan: Plan) -> str:
        """Return in one line what came since the last call; "" if nothing did."""
        rows: list[Request] = []
        users = 0
        for entry in self._entries():
            self._began = entry.get("begin", self._began)
            users = entry.get("users", users)
            rows += [Request(*row) for row in entry.get("rows", ())]
        if not rows:
            return ""
        seconds = max(one.ended for one in rows) - min(one.due for one in rows)
        p95 = percentile([one.latency_ms for one in rows], 95)
        left = max(0.0, self._began + plan.seconds - time.time())
        return (
            f"load: {users:,} users, {len(rows) / max(seconds, 1.0):,.0f} requests/s, p95 {p95:,.0f} ms, "
            f"{sum(bool(one.fault) for one in rows):,} errors, {left:.0f} s left"
        )

    def _entries(self) -> Iterator[dict[str, Any]]:
        with suppress(OSError, ValueError, TypeError), self._record.open(encoding="utf-8") as file:
            file.seek(self._offset)
            while (line := file.readline()).endswith("\n"):
                self._offset = file.tell()
                yield json.loads(line)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _log_tail(directory: Path) -> str:
    """Return the end of Locust's log, in one line."""
    try:
        lines = (directory / _LOG).read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return "Locust wrote no log."
    return "The end of its log: " + " | ".join(line.strip() for line in lines[-6:] if line.strip())
