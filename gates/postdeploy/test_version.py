"""Check that what runs is what was deployed, on every replica: by its image, and by its own report."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from bais_gates import Evidence
    from bais_gates.bais import Api
    from bais_gates.probes import Prometheus
    from bais_gates.rollout import Deployed

VERSIONS: Final = 'bais_build_info{job="bais-api"}'
REQUESTS_PER_REPLICA: Final = 5
SETTLED_WITHIN_S: Final = 60.0
"""Seconds in which old pods end, and Prometheus scrapes the new ones."""
PAUSE_S: Final = 0.5


@pytest.mark.gate("postdeploy.version")
def test_version(read: Callable[[], Deployed], prometheus: Prometheus, api: Api, evidence: Evidence) -> None:
    """Every replica runs the image that was deployed and reports its version, and no older pod is left."""
    deployed, reported = read_settled(read, prometheus)
    source = deployed.source
    declared = {name: deployed.declared.get(name) for name in deployed.images}
    evidence.check("declared images", declared, "==", deployed.images, source=source)
    n, old = len(deployed.pods), [pod["metadata"]["name"] for pod in deployed.old_pods]
    evidence.check("replicas that run another image", deployed.differences, "==", [], n=n, source=source)
    evidence.check("pods of an older release", old, "==", [], n=n, source="ReplicaSets")
    check_reports(reported, deployed, evidence)
    check_health(api, deployed, evidence)


def read_settled(read: Callable[[], Deployed], prometheus: Prometheus) -> tuple[Deployed, list[str]]:
    """Return the Deployment and each ``instance: version`` that Prometheus has, once both are settled."""
    ends_at = time.monotonic() + SETTLED_WITHIN_S
    while True:
        deployed = read()
        labels = [point.labels for point in prometheus.query(VERSIONS)]
        reported = sorted(f"{one.get('instance')}: {one.get('version')}" for one in labels)
        settled = not deployed.old_pods and len(reported) == len(deployed.pods)
        if settled or time.monotonic() > ends_at:
            return deployed, reported
        time.sleep(PAUSE_S)


def check_reports(reported: list[str], deployed: Deployed, evidence: Evidence) -> None:
    """Check the version that each replica reports to Prometheus; one that nobody knows is the same on all."""
    n = len(reported)
    evidence.check("replicas that report their version", n, "==", len(deployed.pods), source=VERSIONS)
    wanted = deployed.version or "".join(reported[:1]).rpartition(": ")[2]
    others = [one for one in reported if one.rpartition(": ")[2] != wanted]
    name = f"replicas that report another version than {wanted}"
    evidence.check(name, others, "==", [], n=n, source=VERSIONS)


def check_health(api: Api, deployed: Deployed, evidence: Evidence) -> None:
    """Check the version that users are served: over new connections, so that every replica may respond."""
    n = REQUESTS_PER_REPLICA * max(2, len(deployed.pods))
    answers = [api.get("/health", headers={"Connection": "close"}) for _ in range(n)]
    versions = sorted({str(answer.field("version")) for answer in answers})
    wanted = [deployed.version] if deployed.version else versions[:1]
    evidence.check("versions (GET /health)", versions, "==", wanted, n=n, source=answers[0].url)
