"""The fixtures that a gate asks for: its evidence, its run, and the target with the clients that read it.

What reaches a target is imported where a gate asks for it: a run pays for no client that it does not use.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from bais_gates.pytest_plugin.binding import binding_key
from bais_gates.pytest_plugin.deadlines import moment
from bais_gates.pytest_plugin.evidence import Evidence, evidence_key
from bais_gates.pytest_plugin.execution import Needs, needs_key
from bais_gates.pytest_plugin.outcome import gate_test_key
from bais_gates.pytest_plugin.provisioning import provisioning_key
from bais_gates.pytest_plugin.run_directory import GateRun
from bais_gates.pytest_plugin.run_state import RunState, state_key
from bais_gates.targets.identity import identity_of
from bais_gates.verdict.exemptions import Exemptions
from bais_gates.verdict.model import Gate, GateResult, Outcome, Phase
from bais_gates.verdict.outcomes import PROVEN
from bais_gates.verdict.waivers import load_waivers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bais_gates.probes.kubernetes.cluster import Cluster
    from bais_gates.probes.kubernetes.writer import ClusterWriter
    from bais_gates.probes.listener import Listener
    from bais_gates.probes.postgres import Database
    from bais_gates.probes.prometheus import Alertmanager, Prometheus
    from bais_gates.probes.redis import Cache
    from bais_gates.staging.staged import StagedPlatform
    from bais_gates.targets.environment import Environment
    from bais_gates.targets.parts import Limits, OncallPart
    from bais_gates.targets.target import Target, Unique
    from bais_gates.verdict.model import JsonValue


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseResult:
    """The outcome of one gate of a phase, as a roll-up gate judges it."""

    gate_id: str
    outcome: Outcome
    """NOT_RUN for a gate that was neither selected in this run nor imported."""
    run_id: str
    """The run that it is from: this one, or that of the imported decision; empty for NOT_RUN."""
    excuse: str = ""
    """Why an outcome that is no pass does not block: the waiver's ticket, or an advisory severity."""

    @property
    def stands(self) -> bool:
        """Return whether the gate does not block a release."""
        return self.outcome in PROVEN or bool(self.excuse)


@pytest.fixture
def evidence(request: pytest.FixtureRequest) -> Evidence:
    """Record checks and attachments: ``evidence.check("p95", 180.0, "<=", 200, unit="ms", n=500)``."""
    item: pytest.Item = request.node
    known = item.stash.get(evidence_key, None)
    if known is not None:  # a later attempt at the same test: what was recorded stays
        known.begin()
        return known
    binding = item.stash.get(binding_key, None)
    ledger = request.config.stash[state_key].ledger
    who: dict[str, str | None] = {
        "nodeid": item.nodeid,
        "gate": binding.gate_id if binding else None,
        "case": binding.case if binding else None,
    }

    def journal(kind: str, record: dict[str, JsonValue]) -> None:
        if ledger is not None:
            ledger.append(kind, who, **{kind: record})

    item.stash[evidence_key] = Evidence(
        case=binding.case if binding else None,
        journal=journal,
        in_test=lambda: binding is not None and item.stash[gate_test_key].in_test,
    )
    return item.stash[evidence_key]


@pytest.fixture(scope="session")
def gate_run(pytestconfig: pytest.Config) -> GateRun:
    """Return which run this is: what the target is provisioned from."""
    return pytestconfig.stash[state_key].gate_run()


@pytest.fixture(scope="session")
def progress(pytestconfig: pytest.Config) -> Callable[[str], None]:
    """Return a function that writes a line to the terminal while a gate takes long: ``progress("half")``."""
    return pytestconfig.stash[provisioning_key].show


@pytest.fixture(scope="session")
def phase_results(pytestconfig: pytest.Config) -> Callable[[str], tuple[PhaseResult, ...]]:
    """Return the results of a phase's gates, in this run or imported: ``phase_results("acceptance")``."""
    state, needs = pytestconfig.stash[state_key], pytestconfig.stash[needs_key]
    return lambda phase: results_of(state, needs, Phase(phase))


# -- the target --


@pytest.fixture(scope="session")
def target(gate_run: GateRun, pytestconfig: pytest.Config) -> Target:
    """Open the environment of this run, started if it is the run's to start."""
    return pytestconfig.stash[provisioning_key].target(gate_run)


@pytest.fixture(scope="session")
def environment(target: Target) -> Environment:
    """Return what the environment file describes, completed by what the run started."""
    return target.environment


@pytest.fixture(scope="session")
def limits(environment: Environment) -> Limits:
    """Return the figures that this target is held to."""
    return environment.limits


@pytest.fixture(scope="session")
def unique(gate_run: GateRun) -> Unique:
    """Make test data that no other run, worker or gate makes."""
    from bais_gates.targets.target import Unique  # noqa: PLC0415 - see the module

    return Unique(gate_run.run_id)


@pytest.fixture
def database(environment: Environment) -> Iterator[Database]:
    """Open the target's PostgreSQL, read only."""
    from bais_gates.probes.postgres import Database  # noqa: PLC0415 - see the module

    with Database(environment.database.url) as opened:
        yield opened


@pytest.fixture
def cache(environment: Environment) -> Iterator[Cache]:
    """Open the target's Redis."""
    from bais_gates.probes.redis import Cache  # noqa: PLC0415 - see the module

    with Cache(environment.cache.url) as opened:
        yield opened


@pytest.fixture(scope="session")
def cluster(target: Target, gate_run: GateRun, pytestconfig: pytest.Config) -> Iterator[Cluster]:
    """Open the target's cluster, for reading; the sandbox's is started for the first that asks."""
    from bais_gates.targets.target import open_cluster  # noqa: PLC0415 - see the module

    provisioning = pytestconfig.stash[provisioning_key]
    provisioning.wait("cluster")
    opened = open_cluster(
        gate_run, target.environment, gates_dir=target.gates_dir, progress=provisioning.show
    )
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def cluster_writer(target: Target, gate_run: GateRun, pytestconfig: pytest.Config) -> Iterator[ClusterWriter]:
    """Open the target's cluster for writing: for staging and the recovery drill; never a read-only one."""
    from bais_gates.targets.target import open_cluster_writer  # noqa: PLC0415 - see the module

    provisioning = pytestconfig.stash[provisioning_key]
    provisioning.wait("cluster")
    opened = open_cluster_writer(
        gate_run, target.environment, gates_dir=target.gates_dir, progress=provisioning.show
    )
    yield opened
    opened.close()


@pytest.fixture
def prometheus(target: Target, gate_run: GateRun, pytestconfig: pytest.Config) -> Iterator[Prometheus]:
    """Open the target's Prometheus; the sandbox's monitoring is started for the first that asks."""
    from bais_gates.targets.target import open_prometheus  # noqa: PLC0415 - see the module

    _reach_monitoring(target, gate_run, pytestconfig)
    with open_prometheus(target.environment) as opened:
        yield opened


@pytest.fixture
def alertmanager(target: Target, gate_run: GateRun, pytestconfig: pytest.Config) -> Iterator[Alertmanager]:
    """Open the target's Alertmanager; the sandbox's monitoring is started for the first that asks."""
    from bais_gates.targets.target import open_alertmanager  # noqa: PLC0415 - see the module

    _reach_monitoring(target, gate_run, pytestconfig)
    with open_alertmanager(target.environment) as opened:
        yield opened


@pytest.fixture
def oncall_part(target: Target, gate_run: GateRun, pytestconfig: pytest.Config) -> OncallPart:
    """Return who pages and tells people here; the sandbox's stand-ins for them are started first."""
    part = target.environment.oncall
    _reach_monitoring(target, gate_run, pytestconfig)
    return part


def _reach_monitoring(target: Target, gate_run: GateRun, pytestconfig: pytest.Config) -> None:
    from bais_gates.targets.target import reach_monitoring  # noqa: PLC0415 - see the module

    provisioning = pytestconfig.stash[provisioning_key]
    provisioning.wait("monitoring")
    reach_monitoring(gate_run, target.environment, gates_dir=target.gates_dir, progress=provisioning.show)


@pytest.fixture
def webhook_listener(environment: Environment) -> Iterator[Listener]:
    """Open a listener that the platform can reach, gone with the gate."""
    from bais_gates.probes.listener import Listener  # noqa: PLC0415 - see the module

    part = environment.webhooks
    with Listener(part.listen_host, part.listen_port, part.advertise_url) as listener:
        yield listener


@pytest.fixture(scope="session")
def staging(
    gate_run: GateRun, target: Target, cluster_writer: ClusterWriter, pytestconfig: pytest.Config
) -> StagedPlatform:
    """Provision staging once for the whole run; it is torn down at the run's end."""
    return pytestconfig.stash[provisioning_key].staging(gate_run, cluster_writer, target.environment)


def results_of(state: RunState, needs: Needs, phase: Phase) -> tuple[PhaseResult, ...]:
    """Return the result of every gate of ``phase`` that the catalog has, in its order.

    Raises GateInputError for a waiver or environment file that is not usable.
    """
    catalog = state.catalog()
    exemptions = Exemptions(
        catalog=catalog,
        policy=state.policy(),
        waivers=load_waivers(state.settings.waivers).waivers,
        target=identity_of(state.environment()),
        subject=state.settings.subject,
        now=moment(),
    )
    wrong = {reason.gate_id for reason in exemptions.reasons()}
    found = []
    for gate_id, (outcome, run_id) in needs.of_phase(phase).items():
        gate = catalog.by_id[gate_id]
        excuse = "" if gate_id in wrong else _excuse(gate, outcome, exemptions)
        found.append(PhaseResult(gate_id=gate_id, outcome=outcome, run_id=run_id, excuse=excuse))
    return tuple(found)


def _excuse(gate: Gate, outcome: Outcome, exemptions: Exemptions) -> str:
    if gate.severity not in exemptions.policy.blocking:
        return f"{gate.severity} is advisory"
    waiver = exemptions.waiver_for(gate, GateResult(gate_id=gate.id, outcome=outcome))
    return f"waived by {waiver.ticket}" if waiver is not None else ""
