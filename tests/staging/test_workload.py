"""The problems of pods, and the pods of a workload."""

from __future__ import annotations

from typing import Any

import pytest

from bais_gates.staging import workload
from bais_gates.staging.errors import StageCode
from tests.staging.objects import condition, deployment, pod, stuck

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
    """The kubelet's reason determines the code, in containers and init containers alike."""
    found = workload.find_problem(pod(**{where: [stuck(reason, "its words")]}))

    assert (found.code if found else None) is code
    assert found is None or "its words" in found.text or code is StageCode.CRASH_LOOP


@pytest.mark.parametrize(("message", "code"), [(FULL, StageCode.UNSCHEDULABLE), (UNBOUND, StageCode.VOLUME)])
def test_an_unschedulable_pod(message: str, code: StageCode) -> None:
    """A pod that no node accepts is unschedulable, or waits for a volume."""
    found = workload.find_problem(
        pod(conditions=[condition("PodScheduled", "False", reason="Unschedulable", message=message)])
    )

    assert found is not None
    assert found.code is code
    assert found.grace_s > 0


def test_a_terminating_or_succeeded_pod_has_no_problem() -> None:
    """A pod that is being deleted, has succeeded or is starting has no problem."""
    leaving = pod(containerStatuses=[stuck("ImagePullBackOff")])
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"

    assert workload.find_problem(leaving) is None
    assert (
        workload.find_problem(pod(phase="Succeeded", containerStatuses=[stuck("CrashLoopBackOff")])) is None
    )
    assert workload.find_problem(pod()) is None


def test_a_crash_loop_reports_its_exit_and_has_no_grace_period_after_some() -> None:
    """The last exit status is reported; after three restarts there is no grace period."""
    last: dict[str, Any] = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
    once = workload.find_problem(
        pod(containerStatuses=[stuck("CrashLoopBackOff", restarts=1, lastState=last)])
    )
    often = workload.find_problem(
        pod(containerStatuses=[stuck("CrashLoopBackOff", restarts=3, lastState=last)])
    )

    assert once is not None
    assert often is not None
    assert "exited with status 137 (OOMKilled)" in once.text
    assert once.grace_s > 0 == often.grace_s


def test_pods_of_a_deployment_are_those_of_its_newest_replica_set() -> None:
    """The pods of an older ReplicaSet are left out."""

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

    found = workload.pods_of(deployment(), [old, new, pod("else", "other")], sets)

    assert [one["metadata"]["name"] for one in found] == ["new"]
    assert workload.pods_of(deployment(), [old], []) == []


def test_a_terminating_pod_is_not_ready() -> None:
    """A pod is ready by its condition, unless it is being deleted."""
    well = pod(conditions=[condition("Ready")])
    leaving = pod(conditions=[condition("Ready")])
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"

    assert [workload.is_ready(one) for one in (well, leaving, pod())] == [True, False, False]
