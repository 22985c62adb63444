"""What is wrong with a pod, told apart."""

from __future__ import annotations

from typing import Any

import pytest

from bais_gates.staging import pods
from bais_gates.staging.errors import StageCode
from tests.staging.objects import deployment, pod, said, stuck

UNBOUND = "0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims."
FULL = "0/3 nodes are available: 3 Insufficient cpu."


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("ErrImagePull", StageCode.IMAGE_PULL),
        ("ImagePullBackOff", StageCode.IMAGE_PULL),
        ("InvalidImageName", StageCode.IMAGE_PULL),
        ("ErrImageNeverPull", StageCode.IMAGE_PULL),
        ("CreateContainerConfigError", StageCode.CONTAINER_CONFIG),
        ("CreateContainerError", StageCode.CONTAINER_CONFIG),
        ("RunContainerError", StageCode.CONTAINER_CONFIG),
        ("CrashLoopBackOff", StageCode.CRASH_LOOP),
        ("ContainerCreating", None),
        ("PodInitializing", None),
    ],
)
@pytest.mark.parametrize("where", ["containerStatuses", "initContainerStatuses"])
def test_a_waiting_container(reason: str, code: StageCode | None, where: str) -> None:
    """The kubelet's reason gives the code, in containers and initial containers alike."""
    found = pods.trouble(pod(**{where: [stuck(reason, "its words")]}))

    assert (found.code if found else None) is code
    assert found is None or "its words" in found.sentence or code is StageCode.CRASH_LOOP


@pytest.mark.parametrize(("message", "code"), [(FULL, StageCode.UNSCHEDULABLE), (UNBOUND, StageCode.VOLUME)])
def test_a_pod_without_a_node(message: str, code: StageCode) -> None:
    """A pod that no node takes is unschedulable, or waits for a volume."""
    found = pods.trouble(
        pod(conditions=[said("PodScheduled", "False", reason="Unschedulable", message=message)])
    )

    assert found is not None
    assert found.code is code
    assert found.patience_s > 0


def test_a_pod_that_leaves_or_is_done_is_in_no_trouble() -> None:
    """What is on its way out, or has succeeded, is nobody's trouble any more."""
    leaving = pod(containerStatuses=[stuck("ImagePullBackOff")])
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"

    assert pods.trouble(leaving) is None
    assert pods.trouble(pod(phase="Succeeded", containerStatuses=[stuck("CrashLoopBackOff")])) is None
    assert pods.trouble(pod()) is None


def test_a_crash_loop_says_how_it_ended_and_is_believed_after_some() -> None:
    """The exit status of the last life is told; after three restarts there is nothing to wait for."""
    last: dict[str, Any] = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
    once = pods.trouble(pod(containerStatuses=[stuck("CrashLoopBackOff", restarts=1, lastState=last)]))
    often = pods.trouble(pod(containerStatuses=[stuck("CrashLoopBackOff", restarts=3, lastState=last)]))

    assert once is not None
    assert often is not None
    assert "exit status 137 (OOMKilled)" in once.sentence
    assert once.patience_s > 0 == often.patience_s


def test_a_deployments_pods_are_those_of_its_newest_replica_set() -> None:
    """An older ReplicaSet's broken pods are not this rollout's trouble."""

    def replica_set(uid: str, revision: int) -> dict[str, Any]:
        return {
            "metadata": {
                "uid": uid,
                "annotations": {"deployment.kubernetes.io/revision": str(revision)},
                "ownerReferences": [{"uid": "d", "controller": True}],
            }
        }

    old, new = pod("old", "rs-9"), pod("new", "rs-10")
    sets = [replica_set("rs-10", 10), replica_set("rs-9", 9)]

    found = pods.of_workload(deployment(), [old, new, pod("else", "other")], sets)

    assert [one["metadata"]["name"] for one in found] == ["new"]
    assert pods.of_workload(deployment(), [old], []) == []


def test_only_a_ready_pod_that_stays_is_ready() -> None:
    """Readiness is the condition; a pod that is being deleted is not counted."""
    well = pod(conditions=[said("Ready")])
    leaving = pod(conditions=[said("Ready")])
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"

    assert [pods.is_ready(one) for one in (well, leaving, pod())] == [True, False, False]
