"""What runs inside Locust: users that send at fixed times, and the record of every request.

A user of Locust that waits for a slow response sends less meanwhile, so that the worst second hardly shows in
the percentiles ("coordinated omission"). Here each request has a time at which it is due, ``due += period``,
and its latency counts from there. Source: Gil Tene, "How NOT to Measure Latency".

The record is a file of JSON lines: ``begin`` (when users were started), ``rows`` (requests, by the columns of
``plan.COLUMNS``) once a second, and ``end``. A record without an end is that of a run that was broken off.
Workers hand their rows to the master, which writes them.
"""

from __future__ import annotations

import json
import math
import os
import random
import ssl
import time
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Final

import gevent
from geventhttpclient.client import HTTPClient, HTTPClientPool
from locust import FastHttpUser, events
from locust.contrib.fasthttp import FastResponse, LocustBadStatusCode, LocustUserAgent
from locust.exception import CatchResponseError
from locust.runners import WorkerRunner

from bais_gates.load.plan import COLUMNS, VARIABLE, Plan

_FLUSH_EVERY_S: Final = 1.0
_LOST_AFTER_S: Final = 10.0
"""A worker reports every 3 seconds."""
_EXCEPTIONS_KEPT: Final = 20

PLAN, _OPTIONS = Plan.decoded(os.environ.get(VARIABLE, ""))
_SHIFT: Final = time.time() - time.monotonic()
"""From this machine's monotonic clock, which no correction moves, to Unix seconds."""


def now() -> float:
    """Return the time in Unix seconds, by a clock that is never set."""
    return time.monotonic() + _SHIFT


def option(name: str) -> str | None:
    """Return what the run was told beside its plan, such as a path; None where it was not."""
    return _OPTIONS.get(name) or None


@cache
def _context() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=option("ca_file"))


def _tls(cafile: str | None = None) -> ssl.SSLContext:
    """Return one context for all users: to read a list of authorities for each takes 20 ms of CPU.

    The client hands its own list (``cafile``) to a factory that takes one, and reads it itself otherwise.
    """
    del cafile
    return _context()


class _Agent(LocustUserAgent):
    """Sends each request once and as it is: no cookies, no redirects, no retries.

    Locust's own looks for all of these, which takes a sixth of the generator's CPU time for each request.
    """

    def __init__(self, pool: HTTPClientPool, headers: dict[str, str] | None) -> None:
        super().__init__(client_pool=pool, headers=headers)
        self._clients: dict[str, HTTPClient] = {}

    def urlopen(  # type: ignore[override]  # only what Locust hands over
        self, url: str, method: str, headers: dict[str, str], payload: str | bytes | None
    ) -> FastResponse:
        """Return the response; raise, with the response, for a status that is no success."""
        path_at = url.find("/", len("https://"))
        origin, path = (url[:path_at], url[path_at:]) if path_at > 0 else (url, "/")
        if (client := self._clients.get(origin)) is None:
            client = self._clients[origin] = self.clientpool.get_client(origin)
        sent = self.default_headers.copy()
        sent.update(headers)
        answer = FastResponse(client.request(method, path, body=payload, headers=sent))
        try:
            self._verify_status(answer.status_code, url=url)  # type: ignore[no-untyped-call] # of Locust
        except LocustBadStatusCode as error:
            error.response = answer  # type: ignore[attr-defined] # where Locust looks for it
            raise
        return answer


class ScheduledUser(FastHttpUser):
    """A user that sends one request a task, each at its time.

    A subclass prepares itself in ``on_start`` and calls this class's last. A request with the context ``due:
    None`` is none of the schedule.
    """

    abstract = True
    ssl_context_factory = staticmethod(_tls)
    first_path = "/"
    """Requested once, to open the connection."""
    connection_timeout = network_timeout = 10.0
    max_retries = 0
    started: ClassVar[list[ScheduledUser]] = []
    """All users of this process and run, those that ended included."""

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self.client.client = _Agent(self.client.client.clientpool, self.default_headers)
        local = len(self.started)
        self.started.append(self)
        options = environment.parsed_options
        workers = max(1, getattr(options, "expect_workers", 1) or 1)
        self.number: int = local * workers + max(0, environment.runner.worker_index)
        """Of all users, those of other workers included."""
        self.due: float | None = None
        self._waited = True

    def on_start(self) -> None:
        """Open the connection, then wait for the first due time: users spread over their period.

        Those that are started during the ramp send nothing more in it, as a thousand handshakes need the
        processors of generator and target.
        """
        self.client.get(self.first_path, name="connect", context={"due": None})
        first = max(now(), Recorder.began + PLAN.ramp_s)
        self.due = first + random.random() * PLAN.period_s  # noqa: S311 - no secret
        gevent.sleep(self.due - now())

    def wait_time(self) -> float:
        """Return the seconds to the next due time, 0 if it has passed."""
        self.due = (self.due or now()) + PLAN.period_s
        left = self.due - now()
        self._waited = left > 0
        return max(0.0, left)

    def context(self) -> dict[str, Any]:
        """Return what the record needs to know of a request.

        A late start after idling is the generator's delay (lag); after a late response it is the target's.
        """
        sent = now()
        lag = max(0.0, sent - self.due) if self._waited and self.due is not None else 0.0
        return {"user": self, "due": self.due, "sent": sent, "lag": lag}


class Recorder:
    """Keeps the rows of this process, and writes them or hands them to the master."""

    began: ClassVar[float] = -math.inf
    """When the run of this process began."""

    def __init__(self, environment: Any) -> None:
        self._runner = environment.runner
        self._path = option("record")
        self._rows: list[tuple[object, ...]] = []
        self._open: dict[ScheduledUser, float] = {}
        """Users, each with the due time of its last request that was answered."""
        self._exceptions: dict[str, int] = {}
        self._seen: dict[str, float] = {}
        """When each worker reported last."""
        self._closed_at = math.inf
        """When users were told to stop."""
        self._parent = os.getppid()
        self._flusher: gevent.Greenlet[..., Any] | None = None

    def begin(self, **_: object) -> None:
        """Begin a record; an older one is replaced."""
        self._rows.clear()
        self._open.clear()
        self._exceptions.clear()
        self._seen.clear()
        self._closed_at = math.inf
        ScheduledUser.started.clear()
        Recorder.began = now()
        if self._writes:
            self._write({"begin": now(), "columns": COLUMNS}, mode="w")
        if self._flusher is None:
            self._flusher = gevent.spawn(self._flush_for_ever)

    def on_request(
        self, name: str, response_time: float | None, response: Any, context: Any, exception: Any, **_: object
    ) -> None:
        """Keep one request."""
        due = context.get("due")
        if due is None:
            return
        user = context["user"]
        self._open[user] = due
        took = (response_time or 0.0) / 1000
        status = getattr(response, "status_code", 0) or 0
        fault = _fault(exception, status)
        figures = (round(due, 4), round(context["lag"], 4), round(context["sent"], 4), round(took, 5))
        self._rows.append((user.number, name, *figures, status, fault, context.get("detail", "")))

    def on_exception(self, exception: BaseException, **_: object) -> None:
        """Count an exception of the script, which Locust's own figures of requests leave out."""
        text = f"{type(exception).__name__}: {exception}"[:300]
        if text in self._exceptions or len(self._exceptions) < _EXCEPTIONS_KEPT:
            self._exceptions[text] = self._exceptions.get(text, 0) + 1

    def close(self, **_: object) -> None:
        """Keep the time after which no more requests are due."""
        self._closed_at = now()

    def end(self, **_: object) -> None:
        """Add the requests that were due and have no response, and end the record."""
        at = min(self._closed_at, now())
        for user in list(ScheduledUser.started):
            self._add_unanswered(user, at)
        if self._writes:
            self._flush()
            at = now()
            lost = [one for one, seen in self._seen.items() if at - seen > _LOST_AFTER_S]
            self._write({"end": at, "exceptions": self._exceptions, "lost_workers": lost})

    def _add_unanswered(self, user: ScheduledUser, at: float) -> None:
        due = user.due
        while due is not None and due <= at:
            if due > self._open.get(user, 0.0):
                waited = round(at - due, 5)
                row = (user.number, "", round(due, 4), 0.0, round(due, 4), waited, 0, "no response", "")
                self._rows.append(row)
            due += PLAN.period_s

    @property
    def _writes(self) -> bool:
        return self._path is not None and not isinstance(self._runner, WorkerRunner)

    def report(self, data: dict[str, Any], **_: object) -> None:
        """Hand what was kept to the master, in a worker's regular report."""
        data["bais_rows"], self._rows = self._rows, []
        data["bais_exceptions"] = dict(self._exceptions)

    def receive(self, client_id: str, data: dict[str, Any], **_: object) -> None:
        """Take what a worker kept."""
        self._rows += [tuple(row) for row in data.get("bais_rows", ())]
        self._exceptions.update(data.get("bais_exceptions", {}))
        self._seen[client_id] = now()

    def _flush_for_ever(self) -> None:
        while True:
            gevent.sleep(_FLUSH_EVERY_S)
            if self._path is not None and os.getppid() != self._parent:
                os._exit(1)  # whoever started this run was killed: send nothing more
            if self._writes:
                self._flush()

    def _flush(self) -> None:
        rows, self._rows = self._rows, []
        if rows:
            self._write({"rows": rows, "users": self._runner.user_count})

    def _write(self, line: dict[str, Any], *, mode: str = "a") -> None:
        with Path(str(self._path)).open(mode, encoding="utf-8") as file:
            file.write(json.dumps(line, separators=(",", ":")) + "\n")


def _fault(exception: BaseException | None, status: int) -> str:
    """Return why a request failed; "" if it did not."""
    if exception is None:
        return ""
    if isinstance(exception, CatchResponseError):
        return f"assertion: {exception}"[:200]
    return f"status {status}" if status else f"{type(exception).__name__}: {exception}"[:200]


@events.init.add_listener  # type: ignore[untyped-decorator]
def _record(environment: Any, **_: object) -> None:
    # Locust sets the timer of its run time next, by the loop's time. That stands still while modules are
    # imported, so that on a slow machine a run would end by those seconds too early.
    gevent.get_hub().loop.update_now()
    recorder = Recorder(environment)
    environment.events.test_start.add_listener(recorder.begin)
    environment.events.request.add_listener(recorder.on_request)
    environment.events.user_error.add_listener(recorder.on_exception)
    environment.events.test_stopping.add_listener(recorder.close)
    environment.events.test_stop.add_listener(recorder.end)
    environment.events.report_to_master.add_listener(recorder.report)
    environment.events.worker_report.add_listener(recorder.receive)
