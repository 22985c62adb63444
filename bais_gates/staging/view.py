"""The staged platform as a gate sees it: how far it came up, and the ways to look at it now."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from bais_gates.probes.postgres import Database
from bais_gates.probes.redis import Cache
from bais_gates.staging.reach import COMPONENT, Reach
from bais_gates.staging.run import stage_once
from bais_gates.staging.server import asked
from bais_gates.staging.staged import READY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from bais_gates.staging.findings import Finding
    from bais_gates.staging.plan import Step
    from bais_gates.staging.readiness import Object, Objects
    from bais_gates.staging.server import Server
    from bais_gates.staging.staged import Staged
    from bais_gates.targets.environment import Environment
    from bais_gates.targets.provision import RunContext


class Evidence(Protocol):
    """As much of a gate's evidence as is written here."""

    def check(  # noqa: D102 - see bais_gates.pytest_plugin.evidence
        self,
        name: str,
        observed: object,
        op: str,
        limit: object,
        *,
        unit: str | None = None,
        source: str | None = None,
    ) -> bool: ...

    def require(  # noqa: D102 - as above
        self, name: str, observed: object, op: str, limit: object, *, source: str | None = None
    ) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StagedPlatform:
    """What the fixture ``staging`` hands out. Reading raises ``StageError`` with what the server refused."""

    outcome: Staged
    server: Server
    environment: Environment
    reach: Reach

    @property
    def namespace(self) -> str:
        """The staged namespace."""
        return self.outcome.namespace

    def require(self, step: Step, evidence: Evidence) -> None:
        """Record that a step came true, and end the gate if the release failed in it.

        Raises ``StageError`` or ``NotStaged`` when it could not be tried: the gate is an ERROR then.
        """
        took = next((one.seconds for one in self.outcome.done if one.step == step), None)
        source = f"provisioned in {took} s" if took is not None else None
        evidence.require(f"provisioning: {step}", self.outcome.state_of(step), "==", READY, source=source)

    def named(self, api_version: str, kind: str, name: str) -> Object | None:
        """Read an object of the staged namespace as it is now."""
        found: Object | None = asked(
            f"Reading {kind} {name}", lambda: self.server.named(api_version, kind, name, self.namespace)
        )
        return found

    def list(self, api_version: str, kind: str, component: str | None = None) -> Objects:
        """List objects of the staged namespace as they are now, of one component."""
        labels = f"{COMPONENT}={component}" if component else None
        found: Objects = asked(
            f"Listing every {kind}",
            lambda: self.server.list(api_version, kind, self.namespace, labels=labels),
        )
        return found

    @contextmanager
    def database(self) -> Iterator[Database]:
        """Open the staged database, read only."""
        with Database(self.reach.database_url()) as opened:
            yield opened

    @contextmanager
    def cache(self) -> Iterator[Cache]:
        """Open the staged cache for the user that only reads."""
        with Cache(self.reach.cache_url()) as opened:
            yield opened


def record(findings: Iterable[Finding], evidence: Evidence) -> None:
    """Take findings over into a gate's evidence, one by one as they come."""
    for one in findings:
        evidence.check(one.name, one.observed, one.op, one.limit, unit=one.unit, source=one.source)


def look_at_staging(
    run: RunContext,
    server: Server,
    environment: Environment,
    *,
    gates_dir: Path,
    gate_deadline_s: float,
    progress: Callable[[str], None],
) -> StagedPlatform:
    """Provision once a run, whichever process asks first, and give what a gate looks at."""
    outcome = stage_once(
        run,
        server,
        environment,
        gates_dir=gates_dir,
        gate_deadline_s=gate_deadline_s,
        progress=progress,
    )
    folder = Path(run.directory, "staged")
    folder.mkdir(mode=0o700, exist_ok=True)
    reach = Reach(server=server, namespace=outcome.namespace, environment=environment, folder=folder)
    return StagedPlatform(outcome=outcome, server=server, environment=environment, reach=reach)
