"""Objects are judged as ``kubectl rollout status`` does: a status counts once its generation was observed."""

from __future__ import annotations

from typing import Any

import pytest

from bais_gates.staging.errors import StageCode
from bais_gates.staging.readiness import State, creation_refused, judge, refusal_code
from tests.staging.objects import condition, deployment, event, job, stateful_set

EXCEEDED = condition(
    "Progressing", "False", reason="ProgressDeadlineExceeded", message="timed out progressing"
)
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
        ({"conditions": [condition("Progressing", reason="NewReplicaSetAvailable")]}, State.READY),
        ({"conditions": [EXCEEDED], "observedGeneration": 1}, State.WAITING),
        ({"conditions": [condition("ReplicaFailure", reason="FailedCreate", message=QUOTA)]}, State.FAILED),
        ({"conditions": [condition("ReplicaFailure", message="etcd leader changed")]}, State.WAITING),
        ({"conditions": [condition("ReplicaFailure", "False", message=QUOTA)]}, State.READY),
    ],
)
def test_a_deployment(status: dict[str, Any], state: State) -> None:
    """A Deployment is ready when all replicas are new and available, for the current generation."""
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
    """A StatefulSet is ready when all replicas are ready and have the current revision."""
    assert judge(stateful_set(strategy, **status)).state is state


@pytest.mark.parametrize(
    ("conditions", "status", "state", "code"),
    [
        ([], {}, State.WAITING, None),
        ([], {"active": 1, "failed": 1}, State.WAITING, None),
        ([condition("SuccessCriteriaMet")], {"active": 1}, State.WAITING, None),
        ([condition("FailureTarget", reason="BackoffLimitExceeded")], {}, State.WAITING, None),
        ([condition("SuccessCriteriaMet"), condition("Complete")], {"succeeded": 1}, State.READY, None),
        ([condition("Complete", "False")], {}, State.WAITING, None),
        ([condition("Failed", reason="BackoffLimitExceeded")], {}, State.FAILED, StageCode.JOB_FAILED),
        ([condition("Failed", reason="PodFailurePolicy")], {}, State.FAILED, StageCode.JOB_FAILED),
        ([condition("Failed", reason="DeadlineExceeded")], {}, State.FAILED, StageCode.JOB_DEADLINE),
        ([condition("Failed", "False", reason="DeadlineExceeded")], {}, State.WAITING, None),
    ],
)
def test_a_job(
    conditions: list[dict[str, Any]], status: dict[str, Any], state: State, code: StageCode | None
) -> None:
    """A Job ends with Complete or Failed alone; a condition that announces them does not end it."""
    verdict = judge(job(*conditions, **status))

    assert (verdict.state, verdict.code) == (state, code)


def test_a_workload_that_runs_nothing_fails() -> None:
    """A workload without replicas, a paused and a suspended one fail at once."""
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
        ({"kind": "Certificate", "status": {"conditions": [condition("Ready")]}}, State.READY),
        ({"kind": "Certificate", "status": {"conditions": [condition("Ready", "False")]}}, State.WAITING),
        (
            {
                "kind": "Certificate",
                "metadata": {"generation": 2},
                "status": {"conditions": [condition("Ready", observedGeneration=1)]},
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
    """Claims, Certificates and Ingresses become ready; other kinds are ready once they exist."""
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
def test_refusal_code(message: str, code: StageCode | None) -> None:
    """The admission plugins' messages determine the code: quota, Pod Security, terminating namespace."""
    assert refusal_code(message) is code


def test_creation_refused() -> None:
    """A FailedCreate event for quota, Pod Security or a webhook fails; one that may pass does not."""
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
