"""Judging objects as ``kubectl rollout status`` does: nothing counts before the generation has been seen."""

from __future__ import annotations

from typing import Any

import pytest

from bais_gates.staging.errors import StageCode
from bais_gates.staging.readiness import State, creation_refused, judge, refusal_code
from tests.staging.objects import deployment, event, job, said, stateful_set

EXCEEDED = said("Progressing", "False", reason="ProgressDeadlineExceeded", message="timed out progressing")
QUOTA = 'pods "x" is forbidden: exceeded quota: bais, requested: cpu=1, used: cpu=20, limited: cpu=20'
PSA = 'pods "x" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true'


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ({}, State.READY),
        ({"observedGeneration": 1}, State.WAITING),
        ({"observedGeneration": None}, State.WAITING),
        ({"updatedReplicas": 2}, State.WAITING),
        ({"updatedReplicas": None}, State.WAITING),
        ({"replicas": 4}, State.WAITING),
        ({"availableReplicas": 2}, State.WAITING),
        ({"availableReplicas": None}, State.WAITING),
        ({"conditions": [EXCEEDED]}, State.FAILED),
        ({"conditions": [said("Progressing", reason="NewReplicaSetAvailable")]}, State.READY),
        ({"conditions": [EXCEEDED], "observedGeneration": 1}, State.WAITING),
        ({"conditions": [said("ReplicaFailure", reason="FailedCreate", message=QUOTA)]}, State.FAILED),
        ({"conditions": [said("ReplicaFailure", message="etcd leader changed")]}, State.WAITING),
        ({"conditions": [said("ReplicaFailure", "False", message=QUOTA)]}, State.READY),
    ],
)
def test_a_deployment(status: dict[str, Any], state: State) -> None:
    """A Deployment is ready when all replicas are new and available; an old generation counts for nothing."""
    assert judge(deployment(**status)).state is state


@pytest.mark.parametrize(
    ("strategy", "status", "state"),
    [
        (None, {}, State.READY),
        (None, {"observedGeneration": 0}, State.WAITING),
        (None, {"readyReplicas": 1}, State.WAITING),
        (None, {"readyReplicas": None}, State.WAITING),
        (None, {"updateRevision": "two", "updatedReplicas": 1}, State.WAITING),
        ({"type": "OnDelete"}, {}, State.READY),
        ({"type": "OnDelete"}, {"updateRevision": "two", "updatedReplicas": 1}, State.FAILED),
        (
            {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}},
            {"updateRevision": "two"},
            State.READY,
        ),
        (
            {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}},
            {"updateRevision": "two", "updatedReplicas": 0},
            State.WAITING,
        ),
    ],
)
def test_a_stateful_set(strategy: dict[str, Any] | None, status: dict[str, Any], state: State) -> None:
    """A StatefulSet is ready when all replicas are ready and of the current revision."""
    assert judge(stateful_set(strategy, **status)).state is state


@pytest.mark.parametrize(
    ("conditions", "status", "state", "code"),
    [
        ([], {}, State.WAITING, None),
        ([], {"active": 1, "failed": 1}, State.WAITING, None),
        ([said("SuccessCriteriaMet")], {"active": 1}, State.WAITING, None),
        ([said("FailureTarget", reason="BackoffLimitExceeded")], {}, State.WAITING, None),
        ([said("SuccessCriteriaMet"), said("Complete")], {"succeeded": 1}, State.READY, None),
        ([said("Complete", "False")], {}, State.WAITING, None),
        ([said("Failed", reason="BackoffLimitExceeded")], {}, State.FAILED, StageCode.JOB_FAILED),
        ([said("Failed", reason="PodFailurePolicy")], {}, State.FAILED, StageCode.JOB_FAILED),
        ([said("Failed", reason="DeadlineExceeded")], {}, State.FAILED, StageCode.JOB_DEADLINE),
        ([said("Failed", "False", reason="DeadlineExceeded")], {}, State.WAITING, None),
    ],
)
def test_a_job(
    conditions: list[dict[str, Any]], status: dict[str, Any], state: State, code: StageCode | None
) -> None:
    """A Job is through with Complete or Failed alone; what announces them is waited for."""
    verdict = judge(job(*conditions, **status))

    assert (verdict.state, verdict.code) == (state, code)


def test_nothing_asked_for_is_not_ready() -> None:
    """A workload of no replica, a paused or suspended one never comes true, and says so at once."""
    empty, paused, suspended = deployment(), deployment(), job()
    empty["spec"]["replicas"] = 0
    paused["spec"]["paused"] = True
    suspended["spec"]["suspend"] = True
    none = stateful_set()
    none["spec"]["replicas"] = 0

    assert [judge(one).state for one in (empty, paused, suspended, none)] == [State.FAILED] * 4


@pytest.mark.parametrize(
    ("obj", "state"),
    [
        ({"kind": "PersistentVolumeClaim", "status": {"phase": "Bound"}}, State.READY),
        ({"kind": "PersistentVolumeClaim", "status": {"phase": "Pending"}}, State.WAITING),
        ({"kind": "PersistentVolumeClaim", "status": {"phase": "Lost"}}, State.FAILED),
        ({"kind": "PersistentVolumeClaim"}, State.WAITING),
        ({"kind": "Certificate", "status": {"conditions": [said("Ready")]}}, State.READY),
        ({"kind": "Certificate", "status": {"conditions": [said("Ready", "False")]}}, State.WAITING),
        (
            {
                "kind": "Certificate",
                "metadata": {"generation": 2},
                "status": {"conditions": [said("Ready", observedGeneration=1)]},
            },
            State.WAITING,
        ),
        ({"kind": "Certificate"}, State.WAITING),
        ({"kind": "Ingress", "status": {"loadBalancer": {"ingress": [{"ip": "10.0.0.1"}]}}}, State.READY),
        ({"kind": "Ingress", "status": {"loadBalancer": {"ingress": [{}]}}}, State.WAITING),
        ({"kind": "Ingress", "status": {"loadBalancer": {}}}, State.WAITING),
        ({"kind": "ConfigMap"}, State.READY),
    ],
)
def test_other_kinds(obj: dict[str, Any], state: State) -> None:
    """Claims, Certificates and Ingresses are waited for; what has no readiness is ready when it is there."""
    assert judge(obj).state is state


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (QUOTA, StageCode.QUOTA),
        ("failed quota: bais: must specify limits.cpu for: api", StageCode.QUOTA),
        (PSA, StageCode.POD_SECURITY),
        ("unable to create new content because it is being terminated", StageCode.NAMESPACE_TERMINATING),
        ('serviceaccounts "x" not found', None),
        ("", None),
    ],
)
def test_refusals_by_their_words(message: str, code: StageCode | None) -> None:
    """Quota, Pod Security and a terminating namespace are told apart by the admission plugins' words."""
    assert refusal_code(message) is code


def test_pods_that_can_not_be_made() -> None:
    """A FailedCreate event tells of quota, Pod Security or a webhook; one that may pass tells nothing."""
    passing = event("FailedCreate", 'error looking up service account bais/x: serviceaccount "x" not found')
    webhook = event("FailedCreate", 'admission webhook "policy.example" denied the request: no')

    assert creation_refused([passing]) is None
    assert creation_refused([event("FailedCreate", QUOTA, kind="Normal")]) is None
    for found, code in (
        (event("FailedCreate", QUOTA), StageCode.QUOTA),
        (event("FailedCreate", PSA), StageCode.POD_SECURITY),
        (webhook, StageCode.ADMISSION),
    ):
        verdict = creation_refused([passing, found])
        assert verdict is not None
        assert verdict.code is code
