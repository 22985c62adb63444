"""When a container's probes are due, what they found, and what follows from it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from bais_gates.sandbox.cluster.controllers.objects import namespace_of
from bais_gates.sandbox.cluster.controllers.world import Say
from bais_gates.sandbox.cluster.node import probing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from bais_gates.sandbox.cluster.controllers.world import Plan
    from bais_gates.sandbox.cluster.node.records import Answers, Container, Observed, Record

_EAGER_S = 0.1
"""Until a probe succeeds for the first time it is asked this often: the sandbox does not wait for periods."""
_EAGER_FOR_S = 20.0
_WORDS = {"startup": "Startup", "readiness": "Readiness", "liveness": "Liveness"}


class Health:
    """Asks in threads of its own, and hands the answers to the loop."""

    def __init__(
        self, post: Callable[[Callable[[], None]], None], look_at: Callable[[str, str], None]
    ) -> None:
        self._post, self._look_at = post, look_at
        self._threads = ThreadPoolExecutor(max_workers=6, thread_name_prefix="probe")

    def stop(self) -> None:
        """Ask nothing more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def check(self, plan: Plan, record: Record, container: Container, observed: Observed) -> list[str]:
        """Ask what is due; give the probes (``startup``, ``liveness``) that failed for too long."""
        if not observed.get("up", True) or not observed.get("port"):
            return []
        failed = []
        if container.spec.get("startupProbe") and container.startup.ok is not True:
            if self._one(plan, record, container, observed, "startup"):
                failed.append("startup")
            return failed
        if container.spec.get("readinessProbe"):
            self._one(plan, record, container, observed, "readiness")
        if container.spec.get("livenessProbe") and self._one(plan, record, container, observed, "liveness"):
            failed.append("liveness")
        return failed

    def _one(self, plan: Plan, record: Record, container: Container, observed: Observed, which: str) -> bool:
        """Ask if it is due; whether this probe has failed as often as it may."""
        probe: Mapping[str, Any] = container.spec[f"{which}Probe"]
        answers: Answers = getattr(container, which)
        threshold = int(probe.get("failureThreshold") or 3)
        period = float(probe.get("periodSeconds") or 10)
        now = time.monotonic()
        if answers.message:
            told = f"{_WORDS[which]} probe failed: {answers.message}"
            if answers.ok is False or now - container.patience_until > 3:  # not of one that just comes up
                plan.add(Say(about=record.pod, reason="Unhealthy", message=told, kind="Warning"))
            answers.message = ""
        eager = (
            which != "liveness" and answers.ok is not True and now - container.patience_until < _EAGER_FOR_S
        )
        due_in = answers.last + (_EAGER_S if eager else period) - now
        if due_in <= 0 and not answers.asking:
            answers.asking, answers.last = True, now
            self._threads.submit(self._ask, record, container, dict(probe), dict(observed), which)
            due_in = _EAGER_S if eager else period
        plan.look_again(max(due_in, 0.02))
        if which == "readiness":
            return False
        up_for = now - container.patience_until
        if which == "startup":
            return (
                answers.ok is not True
                and up_for > float(probe.get("initialDelaySeconds") or 0) + threshold * period
            )
        return answers.failures >= threshold

    def _ask(
        self,
        record: Record,
        container: Container,
        probe: Mapping[str, Any],
        observed: Observed,
        which: str,
    ) -> None:
        problem = ""
        run = container.run
        try:
            probing.ask(probe, str(observed.get("host") or "127.0.0.1"), int(observed["port"]))
        except probing.UnhealthyError as error:
            problem = str(error)
        self._post(lambda: self._answered(record, container, probe, which, run, problem))

    def _answered(  # noqa: PLR0917 - called in one place, just above
        self,
        record: Record,
        container: Container,
        probe: Mapping[str, Any],
        which: str,
        run: int,
        problem: str,
    ) -> None:
        answers: Answers = getattr(container, which)
        answers.asking = False
        if run != container.run:
            return
        before = answers.ok
        answers.message = problem
        if problem:
            answers.failures += 1
            if answers.failures >= int(probe.get("failureThreshold") or 3) or before is None:
                answers.ok = False
        else:
            answers.failures, answers.ok = 0, True
        if before != answers.ok or problem:
            self._look_at(namespace_of(record.pod), str(record.pod["metadata"]["name"]))
