"""A target: its environment and cluster, each reached once a run, and test data that names its run."""

from __future__ import annotations

import contextlib
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from bais_gates.errors import GateInputError
from bais_gates.probes.http import HttpClient, Unreachable
from bais_gates.probes.kubernetes.cluster import Cluster, ClusterError
from bais_gates.targets import identity
from bais_gates.targets.parts import missing
from bais_gates.targets.provision import (
    ProvisionError,
    RunContext,
    environment_for,
    once,
    prepare_accounts,
    start_cluster,
    start_monitoring,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from bais_gates.probes.kubernetes.writer import ClusterWriter
    from bais_gates.probes.prometheus import Alertmanager, Prometheus
    from bais_gates.targets.environment import Environment
    from bais_gates.targets.parts import ApiPart

_Server = TypeVar("_Server", "Prometheus", "Alertmanager")
ACCOUNTS_RECORD: Final = "accounts"
CLUSTER_RECORD: Final = "cluster"
MONITORING_RECORD: Final = "monitoring"
"""Name of the record in the run directory that holds why the cluster could not be reached, if so."""
_MARK_LENGTH: Final = 8
_NOT_A_MARK: Final = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What is judged: its environment, and the folder of the gates that judge it."""

    environment: Environment
    gates_dir: Path


class TargetUnreachable(Exception):  # noqa: N818 - a finding about the target, not a fault of this program
    """No HTTP response comes from the target's address; reported for every gate of the run."""


class ClusterUnusable(Exception):  # noqa: N818 - as above
    """The target's cluster cannot be judged: unreachable, bad credentials, or another cluster than named."""


def open_target(
    run: RunContext, *, gates_dir: Path, progress: Callable[[str], None] = lambda _text: None
) -> Target:
    """Read the run's environment file, start what it provisions, and reach the target once a run.

    Raises GateInputError for a bad file, ProvisionError when the sandbox did not start, TargetUnreachable
    when nothing responds: at once, in every process, without trying again.
    """
    environment = reach_api(run, gates_dir=gates_dir, progress=progress)
    if environment.describes("kubernetes") and not environment.rehearsal:
        # A decision that can deploy must identify its cluster, whether its gates use it or not. If that
        # fails, gates that use the cluster report why, the others go on, and the decision reports it.
        with contextlib.suppress(ClusterUnusable):
            reach_cluster(run, environment, gates_dir=gates_dir)
    return Target(environment=environment, gates_dir=gates_dir)


def reach_api(
    run: RunContext, *, gates_dir: Path, progress: Callable[[str], None] = lambda _text: None
) -> Environment:
    """Return the run's environment, its platform started and its API reached; raise as ``open_target``."""
    environment = environment_for(run, gates_dir=gates_dir, progress=progress)
    reached = once(run.directory, "target", lambda: _reach(run.directory, environment))
    if reached["error"] is not None:
        raise TargetUnreachable(reached["error"])
    return environment


def _reach(directory: Path, environment: Environment) -> dict[str, str | None]:
    """Record the facts that the target reports in the run directory; any HTTP response counts as reached."""
    identity.write(identity.identity_of(environment), directory)
    if not environment.describes("api"):
        return {"error": None}
    part = environment.api
    try:
        with HttpClient(part.url, ca_file=part.ca_file) as http:
            facts = identity.read_api_facts(http)
    except Unreachable as e:
        return {"error": unreachable(environment, e)}
    identity.write_facts(identity.API, facts, directory)
    return {"error": None}


def unreachable(environment: Environment, error: Unreachable) -> str:
    """Return the message about an API that can't be reached: place, cause and remedy."""
    text = f"the target is unreachable. {error}. {_remedy(environment.api, str(error))}"
    return f"{environment.place('api', 'url')}: {text}"


def _remedy(part: ApiPart, cause: str) -> str:
    """Return what to do about an API that can't be reached, by the words of the cause."""
    if "has expired" in cause or "not yet valid" in cause:
        return "Renew the certificate, and check this machine's clock."
    if "mismatch" in cause:
        return "Correct the host, or issue the certificate for it."
    if "certificate" in cause:
        return (
            f"Name the PEM file of the CA that issued it as api.ca_file{' instead' if part.ca_file else ''}."
        )
    if "TLS failed" in cause:
        return "Check that it speaks https, or write http://."
    return "Check that the service runs, and that this is its address from this machine."


# -- the cluster --


def open_cluster(
    run: RunContext,
    environment: Environment,
    *,
    gates_dir: Path,
    progress: Callable[[str], None] = lambda _text: None,
) -> Cluster:
    """Return the cluster that ``environment`` describes, for reading.

    Raises GateInputError when the file describes none, ClusterUnusable for every other reason: at once, in
    every process of the run, without trying again.
    """
    part = environment.kubernetes
    reach_cluster(run, environment, gates_dir=gates_dir, progress=progress)
    return Cluster(part.access())


def open_cluster_writer(
    run: RunContext,
    environment: Environment,
    *,
    gates_dir: Path,
    progress: Callable[[str], None] = lambda _text: None,
) -> ClusterWriter:
    """Return the cluster for writing; raise GateInputError if the environment file marks it read_only."""
    from bais_gates.probes.kubernetes.writer import ClusterWriter  # noqa: PLC0415 - shows who may write

    access = environment.kubernetes.write_access()
    reach_cluster(run, environment, gates_dir=gates_dir, progress=progress)
    return ClusterWriter(access)


def reach_cluster(
    run: RunContext,
    environment: Environment,
    *,
    gates_dir: Path,
    progress: Callable[[str], None] = lambda _text: None,
) -> None:
    """Check once a run that the cluster is up and is the one that is named; raise ClusterUnusable if not."""

    def reach() -> dict[str, str | None]:
        try:
            start_cluster(run, environment, gates_dir=gates_dir, progress=progress)
            identity.write_facts(identity.CLUSTER, _cluster_facts(environment), run.directory)
        except (ClusterError, GateInputError, ProvisionError) as e:
            return {"error": str(e)}
        return {"error": None}

    reached = once(run.directory, CLUSTER_RECORD, reach)
    if reached["error"] is not None:
        raise ClusterUnusable(reached["error"])


# -- the accounts of a load --


def reach_accounts(
    run: RunContext,
    environment: Environment,
    *,
    gates_dir: Path,
    progress: Callable[[str], None] = lambda _text: None,
) -> Path:
    """Return the file of the accounts that a load uses, which the run's sandbox makes once a run.

    Raises GateInputError where the environment file names none, ProvisionError where they can't be made: at
    once, in every process of the run, without trying again.
    """

    def reach() -> dict[str, str | None]:
        try:
            file = prepare_accounts(run, environment, gates_dir=gates_dir, progress=progress)
        except ProvisionError as e:
            return {"file": None, "error": str(e)}
        return {"file": str(file), "error": None}

    reached = once(run.directory, ACCOUNTS_RECORD, reach)
    if reached["error"] is not None:
        raise ProvisionError(reached["error"])
    return Path(str(reached["file"]))


# -- the monitoring --


def reach_monitoring(
    run: RunContext,
    environment: Environment,
    *,
    gates_dir: Path,
    progress: Callable[[str], None] = lambda _text: None,
) -> None:
    """Start the monitoring once a run if the run's sandbox has it; raise ProvisionError if that fails."""

    def reach() -> dict[str, str | None]:
        try:
            if environment.provision == "sandbox" and environment.describes("kubernetes"):
                reach_cluster(run, environment, gates_dir=gates_dir, progress=progress)
            start_monitoring(run, environment, gates_dir=gates_dir, progress=progress)
        except (ClusterUnusable, GateInputError, ProvisionError) as e:
            return {"error": str(e)}
        return {"error": None}

    reached = once(run.directory, MONITORING_RECORD, reach)
    if reached["error"] is not None:
        raise ProvisionError(reached["error"])


def open_prometheus(environment: Environment) -> Prometheus:
    """Return the Prometheus that the environment file names; raise GateInputError where it names none."""
    from bais_gates.probes.prometheus import Prometheus  # noqa: PLC0415 - only where it is judged

    return _open_server(Prometheus, environment, environment.monitoring.prometheus_url)


def open_alertmanager(environment: Environment) -> Alertmanager:
    """Return the Alertmanager that the environment file names; raise GateInputError where it names none."""
    from bais_gates.probes.prometheus import Alertmanager  # noqa: PLC0415 - only where it is judged

    return _open_server(Alertmanager, environment, environment.monitoring.alertmanager_url)


def _open_server(kind: type[_Server], environment: Environment, url: str | None) -> _Server:
    if url is None:
        raise missing(environment.path, kind.key)
    part = environment.monitoring
    return kind(url, ca_file=part.ca_file, token=part.token)


def _cluster_facts(environment: Environment) -> identity.Facts:
    """Read the cluster's facts; raise GateInputError when it is another one than the file names."""
    part = environment.kubernetes
    with Cluster(part.access()) as cluster:
        if part.cluster_uid is not None and (uid := cluster.uid()) != part.cluster_uid:
            raise GateInputError(
                f"{environment.path}: kubernetes.cluster_uid is {part.cluster_uid}, but the cluster of "
                f"context {part.context!r} ({cluster.address}) has uid {uid}: another cluster. Correct the "
                "context or the kubeconfig; change cluster_uid only if the cluster itself was recreated."
            )
        return identity.read_cluster_facts(cluster, part)


class Unique:
    """Generates test data unique to a run, worker and gate: it holds the run's mark and a random part."""

    def __init__(self, run_id: str) -> None:
        self.mark = _NOT_A_MARK.sub("", run_id.lower())[-_MARK_LENGTH:] or "run"

    def word(self, prefix: str = "gate") -> str:
        """Return a lower-case word: ``gate-<run>-<12 random hex digits>``."""
        return f"{prefix}-{self.mark}-{secrets.token_hex(6)}"

    def email(self, prefix: str = "gate") -> str:
        """Return an address in a domain reserved for examples: nobody receives mail."""
        return f"{self.word(prefix)}@example.com"

    def password(self) -> str:
        """Return a password of 28 characters with both cases, a digit and a symbol."""
        return f"Gg7!{secrets.token_hex(12)}"

    def key(self) -> str:
        """Return an Idempotency-Key."""
        return self.word("key")
