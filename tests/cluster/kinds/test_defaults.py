"""What the API server fills in."""

from __future__ import annotations

import base64

import pytest

from tests.cluster.kinds.objects import Obj, created


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "Deployment",
            {
                "replicas": 1,
                "revisionHistoryLimit": 10,
                "progressDeadlineSeconds": 600,
                "strategy": {
                    "type": "RollingUpdate",
                    "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"},
                },
            },
        ),
        (
            "StatefulSet",
            {
                "podManagementPolicy": "OrderedReady",
                "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
                "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
            },
        ),
        (
            "Job",
            {
                "backoffLimit": 6,
                "completions": 1,
                "parallelism": 1,
                "completionMode": "NonIndexed",
                "suspend": False,
                "podReplacementPolicy": "TerminatingOrFailed",
            },
        ),
        (
            "CronJob",
            {
                "concurrencyPolicy": "Allow",
                "suspend": False,
                "successfulJobsHistoryLimit": 3,
                "failedJobsHistoryLimit": 1,
            },
        ),
        (
            "Service",
            {
                "type": "ClusterIP",
                "sessionAffinity": "None",
                "internalTrafficPolicy": "Cluster",
                "ports": [{"port": 80, "protocol": "TCP", "targetPort": "http"}],
            },
        ),
        ("NetworkPolicy", {"policyTypes": ["Ingress", "Egress"]}),
        ("HorizontalPodAutoscaler", {"minReplicas": 1}),
        ("PersistentVolumeClaim", {"volumeMode": "Filesystem"}),
        (
            "Pod",
            {
                "dnsPolicy": "ClusterFirst",
                "restartPolicy": "Always",
                "schedulerName": "default-scheduler",
                "securityContext": {},
                "terminationGracePeriodSeconds": 30,
                "enableServiceLinks": True,
                "priority": 0,
            },
        ),
    ],
)
def test_defaults_of_specifications(name: str, expected: Obj) -> None:
    """Each kind's specification is completed as the API server completes it."""
    spec = created(name)["spec"]

    assert {key: spec.get(key) for key in expected} == expected


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("web", "Always"),
        ("web:latest", "Always"),
        ("web:1", "IfNotPresent"),
        ("localhost:5000/web", "Always"),
        ("web@sha256:" + "0" * 64, "IfNotPresent"),
    ],
)
def test_the_pull_policy_follows_the_tag(image: str, policy: str) -> None:
    """Only the tag latest, said or meant, is always pulled."""
    pod = created("Pod", spec__containers__0__image=image)

    assert pod["spec"]["containers"][0]["imagePullPolicy"] == policy


def test_probes_and_ports_are_completed() -> None:
    """A probe gets its times and its scheme, a port its protocol."""
    probe = {"httpGet": {"port": 80}}

    container = created("Deployment", spec__template__spec__containers__0__readinessProbe=probe)
    container = container["spec"]["template"]["spec"]["containers"][0]

    assert container["readinessProbe"] == {
        "httpGet": {"path": "/", "port": 80, "scheme": "HTTP"},
        "timeoutSeconds": 1,
        "periodSeconds": 10,
        "successThreshold": 1,
        "failureThreshold": 3,
    }
    assert container["ports"] == [{"containerPort": 80, "protocol": "TCP"}]


def test_string_data_is_folded_into_data() -> None:
    """A Secret's stringData becomes data, over what data said."""
    stored = created("Secret", data={"password": "b2xk", "other": "b2xk"})

    assert stored["type"] == "Opaque"
    assert stored["data"] == {"password": base64.b64encode(b"hunter2").decode(), "other": "b2xk"}
    assert "stringData" not in stored


def test_a_job_selects_its_own_pods() -> None:
    """A Job gets a selector and labels made of its uid and name."""
    job = created("Job")
    uid = job["metadata"]["uid"]

    assert job["spec"]["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}
    assert job["spec"]["template"]["metadata"]["labels"] == {
        "batch.kubernetes.io/controller-uid": uid,
        "batch.kubernetes.io/job-name": "web",
        "controller-uid": uid,
        "job-name": "web",
    }


def test_a_fresh_object_has_no_status_of_its_own_making() -> None:
    """What a POST says about the status is dropped."""
    assert created("Deployment", status={"replicas": 7})["status"] == {}
    assert created("Service", status={"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}})["status"] == {
        "loadBalancer": {}
    }
    assert created("Pod")["status"] == {"phase": "Pending", "qosClass": "BestEffort"}
    assert created("Namespace")["spec"] == {"finalizers": ["kubernetes"]}


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ({}, "BestEffort"),
        ({"requests": {"cpu": "1"}}, "Burstable"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}}, "Guaranteed"),
    ],
)
def test_quality_of_service_follows_requests_and_limits(resources: Obj, expected: str) -> None:
    """A pod's class says how firmly its resources are promised; requests default to limits."""
    assert created("Pod", spec__containers__0__resources=resources)["status"]["qosClass"] == expected
