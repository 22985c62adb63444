"""Check after a deploy that the workloads run undisturbed, on the schema that they need."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from bais_gates import Evidence
from bais_gates.probes import Cluster, Database
from bais_gates.rollout import Deployed
from bais_gates.staging import REVISION_QUERY, judge, workload

if TYPE_CHECKING:
    from collections.abc import Iterable

Object = dict[str, Any]
MIGRATION: Final = "app.kubernetes.io/component=migration"


@pytest.mark.gate("postdeploy.workloads")
def test_workloads(deployed: Deployed, cluster: Cluster, database: Database, evidence: Evidence) -> None:
    """Every workload is rolled out, nothing restarted or waits, and the schema is the last migration's."""
    namespace = deployed.namespace
    for kind in ("Deployment", "StatefulSet"):
        for one in cluster.list("apps/v1", kind, namespace):
            verdict = judge(one)
            name = f"state ({kind} {one['metadata']['name']})"
            evidence.check(name, verdict.state.value, "==", "ready", source=verdict.reason)
    wanted = deployed.deployment["spec"].get("replicas", 1)
    ready = sum(map(workload.is_ready, deployed.pods))
    evidence.check("ready replicas", ready, ">=", wanted, unit="pods", source=deployed.source)
    pods = cluster.list("v1", "Pod", namespace)
    problems = sorted(one.text for one in map(workload.find_problem, pods) if one is not None)
    evidence.check("pods that wait or fail", problems, "==", [], n=len(pods))
    since = f"since {deployed.since:%Y-%m-%d %H:%M:%S} UTC, {deployed.source}"
    evidence.check(
        "restarts since the deploy", restarted(pods, deployed), "==", [], n=len(pods), source=since
    )
    check_schema(deployed, cluster, database, evidence)


def restarted(pods: Iterable[Object], deployed: Deployed) -> list[str]:
    """Return the containers that ended and were started again since the deploy."""
    return sorted(
        f"{pod['metadata']['name']}: container {status['name']} {workload.last_exit(status)}"
        for pod in pods
        for status in (pod.get("status") or {}).get("containerStatuses") or []
        if status.get("restartCount") and deployed.is_since(ended_at(status))
    )


def ended_at(status: Object) -> str | None:
    """Return when a container ended last, as its status has it."""
    for key in ("lastState", "state"):
        if at := ((status.get(key) or {}).get("terminated") or {}).get("finishedAt"):
            return str(at)
    return None


def check_schema(deployed: Deployed, cluster: Cluster, database: Database, evidence: Evidence) -> None:
    """Check that the schema has one revision: the one that the last migration left.

    Where it had nothing to do and no record says more, it must at least have completed, with this image.
    """
    revisions = [str(row["version_num"]) for row in database.rows(REVISION_QUERY)]
    expected = deployed.schema(cluster)
    if expected is not None:
        source = f"{REVISION_QUERY}; the migration's log, {deployed.source}"
        evidence.check("schema revision", revisions, "==", [expected], source=source)
        return
    completed = [
        one
        for one in cluster.list("batch/v1", "Job", deployed.namespace, labels=MIGRATION)
        if judge(one).state == "ready"
        and workload.declared_digests(one) == workload.declared_digests(deployed.deployment)
    ]
    source = "migration's log" if completed else "unknown: no completed Job of the migration for this image"
    evidence.check("rows in alembic_version", len(revisions) if completed else None, "==", 1, source=source)
