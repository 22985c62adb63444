"""Whether what should run does: on every replica, by its own report, and by the suite's smoke test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bais_gates.probes.http import HttpClient, Unreachable
from bais_gates.redaction import redact
from bais_gates.staging.server import request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from bais_gates.rollout.workload import Workload
    from bais_gates.staging.server import Clock
    from bais_gates.staging.staged import Finding
    from bais_gates.targets.environment import Environment

IN_A_ROW: Final = 5
"""Responses of GET /health that must be right one after another: replicas that end still take some."""
SETTLE_S: Final = 60.0
_PAUSE_S: Final = 0.3


class NotVerified(Exception):  # noqa: N818 - it names the state of the deploy
    """What runs is not what should run. The message lists how."""


def reported_version(environment: Environment) -> str | None:
    """Return the version that GET /health reports; None without a healthy response."""
    part = environment.api
    try:
        with HttpClient(part.url, ca_file=part.ca_file) as http:
            health = http.request("GET", "/health", deadline_s=5.0)
    except Unreachable:
        return None
    version = health.field("version")
    return version if health.status == 200 and isinstance(version, str) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """The verification of one Deployment, after a deploy and after a rollback alike."""

    workload: Workload
    environment: Environment
    smoke: Callable[[], Iterable[tuple[str, Finding]]] | None
    """The suite's check of the running platform; None if the suite has none."""
    progress: Callable[[str], None]

    def verify(self, images: dict[str, str], version: str | None, clock: Clock) -> None:
        """Raise ``NotVerified`` unless ``images`` run on every replica and report ``version``.

        None stands for a version that nobody knows. Raises ``StageError`` where the cluster can't be read.
        """
        ends_at = min(clock.ends_at, clock.now() + SETTLE_S)
        self._await(lambda: self._pods(images), ends_at, clock)
        self.progress("verify: every replica is ready and runs the image")
        self._await(lambda: self._health(version), ends_at, clock)
        self.progress(f"verify: GET /health reports {version or 'healthy'} {IN_A_ROW} times in a row")
        run_smoke_test(self.smoke, self.progress, step="verify")

    def _await(self, problem: Callable[[], str], ends_at: float, clock: Clock) -> None:
        while text := problem():
            if clock.now() >= ends_at:
                raise NotVerified(text)
            clock.sleep(_PAUSE_S)

    def _pods(self, images: dict[str, str]) -> str:
        live = self.workload.read()
        name = f"the pods of {self.workload.name}"
        return "; ".join(request(f"Reading {name}", lambda: self.workload.findings(live, images)))

    def _health(self, version: str | None) -> str:
        """Return what is wrong with one of some responses of GET /health; empty if all are right."""
        for _ in range(IN_A_ROW):
            reported = reported_version(self.environment)
            if reported is None:
                return "GET /health does not respond with 200 and a version"
            if version is not None and reported != version:
                return f"GET /health reports version {reported}, not {version}"
        return ""


def run_smoke_test(
    smoke: Callable[[], Iterable[tuple[str, Finding]]] | None, progress: Callable[[str], None], *, step: str
) -> None:
    """Run the suite's check of what runs; raise ``NotVerified`` with each finding that does not hold."""
    if smoke is None:
        progress(f"{step}: no smoke test (gates/rollout/smoke.py does not exist)")
        return
    false = []
    try:
        for part, finding in smoke():
            if not finding.holds:
                false.append(f"{part}: {finding.sentence}")
    except Exception as error:  # noqa: BLE001 - whatever it is, nothing is proven
        false.append(redact(f"{type(error).__name__}: {error}"))
    if false:
        raise NotVerified(f"the smoke test failed: {'; '.join(false)}")
    progress(f"{step}: the smoke test passed")
