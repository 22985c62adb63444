"""Secrets as text in the fields of objects, and weak values in Secrets."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from bais_gates.rules.kubernetes.plaintext import literal_secrets, weak_secrets

CANARY = "canary-7Hq2"
URL = f"postgresql://bais:{CANARY}@db/x"


def obj(kind: str, **fields: Any) -> dict[str, Any]:
    """Return an object of namespace n."""
    return {"kind": kind, "metadata": {"name": "x", "namespace": "n"} | fields.pop("metadata", {}), **fields}


def pod(container: dict[str, Any], kind: str = "Deployment") -> dict[str, Any]:
    """Return a workload of one container."""
    template = {"template": {"spec": {"containers": [{"name": "c"} | container]}}}
    return obj(kind, spec={"jobTemplate": {"spec": template}} if kind == "CronJob" else template)


def applied(one: dict[str, Any]) -> dict[str, Any]:
    """Return an object whose annotation has what kubectl applied."""
    text = json.dumps(one)
    return obj(
        "Deployment", metadata={"annotations": {"kubectl.kubernetes.io/last-applied-configuration": text}}
    )


def encoded(text: str) -> str:
    """Return a text in base64."""
    return base64.b64encode(text.encode()).decode()


LITERAL = {"env": [{"name": "DB_PASSWORD", "value": CANARY}]}


@pytest.mark.parametrize(
    ("given", "where"),
    [
        (pod(LITERAL), "Deployment/n/x: spec.template.spec.containers[c].env[DB_PASSWORD]"),
        (pod(LITERAL, "CronJob"), "CronJob/n/x: spec.jobTemplate.spec.template.spec.containers[c].env"),
        (pod({"env": [{"name": "A", "value": URL}]}), "containers[c].env[A]"),
        (pod({"command": ["sh", "-c", f"PGPASSWORD={CANARY} psql"]}), "containers[c].command[2]"),
        (pod({"args": ["--password", CANARY]}), "containers[c].args"),
        (pod({"args": [f"--password={CANARY}"]}), "containers[c].args[0]"),
        (pod({"command": ["redis-cli"], "args": ["-h", "cache", "-a", CANARY]}), "containers[c].args"),
        (pod({"livenessProbe": {"exec": {"command": ["redis-cli", "-a", CANARY]}}}), "livenessProbe.exec"),
        (
            pod(
                {"readinessProbe": {"httpGet": {"httpHeaders": [{"name": "Authorization", "value": CANARY}]}}}
            ),
            "httpHeaders[Authorization]",
        ),
        (pod({"lifecycle": {"preStop": {"exec": {"command": [f"x --token={CANARY}"]}}}}), "preStop"),
        (obj("ConfigMap", data={"DB_PASSWORD": CANARY}), "ConfigMap/n/x: data.DB_PASSWORD"),
        (obj("ConfigMap", data={"app.yaml": f"a: 1\npassword: {CANARY}\n"}), "data[app.yaml]"),
        (obj("ConfigMap", data={"app.json": json.dumps({"db": {"password": CANARY}})}), "data[app.json].db"),
        (obj("ConfigMap", data={"b": encoded(URL)}), "data.b"),
        (obj("ConfigMap", binaryData={"b": encoded(URL)}), "binaryData.b"),
        (obj("Ingress", metadata={"annotations": {"a.example/password": CANARY}}), "[a.example/password]"),
        (obj("Service", metadata={"labels": {"token": "abc123def456"}}), "metadata.labels.token"),
        (obj("Other", spec={"smtp": {"password": CANARY}}), "spec.smtp.password"),
        (obj("ServiceMonitor", spec={"params": {"token": [f"{CANARY}1"]}}), "spec.params.token[0]"),
        (applied(pod(LITERAL)), "metadata.annotations[kubectl.kubernetes.io/last-applied-configuration]"),
    ],
    ids=str,
)
def test_a_secret_as_text_is_a_finding_without_its_value(given: dict[str, Any], where: str) -> None:
    """The finding names the object and the field, wherever the secret stands."""
    found = [str(each) for each in literal_secrets([given])]

    assert len(found) == 1
    assert where in found[0]
    assert CANARY not in found[0]


@pytest.mark.parametrize(
    "given",
    [
        pod({"env": [{"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "s", "key": "password"}}}]}),
        pod({"envFrom": [{"secretRef": {"name": "bais-secret"}}], "image": "a@sha256:" + "0e26" * 16}),
        pod({"command": ["sh", "-c", 'PGPASSWORD="$PASSWORD" psql'], "args": ["--password-file", "/run/x"]}),
        obj("ConfigMap", data={"TOKEN_TTL": "15m", "conf": "password_encryption = scram-sha-256\n"}),
        obj("Secret", data={"password": encoded(CANARY)}),
        applied(obj("Secret", data={"password": encoded(CANARY)})),
        obj("ServiceAccount", secrets=[{"name": "x-token-abc12"}], imagePullSecrets=[{"name": "registry"}]),
        obj(
            "Ingress",
            metadata={
                "uid": "6f9619ff-8b86-d011-b42d-00cf4fc964ff",
                "annotations": {
                    "nginx.ingress.kubernetes.io/auth-secret": "n/basic-auth",
                    "nginx.ingress.kubernetes.io/auth-type": "basic",
                    "cert-manager.io/private-key-secret-name": "x-key",
                    "cert-manager.io/private-key-rotation-policy": "Always",
                    "checksum/config": "0e2657aeb781a5758a78a7eecce13e66e65d1d4869255d2f6cadc8377a1d9edd",
                    "checksum/secret": "0e2657aeb781a5758a78a7eecce13e66e65d1d4869255d2f6cadc8377a1d9edd",
                    "deployment.kubernetes.io/revision": "3",
                },
            },
            spec={"tls": [{"secretName": "bais-api-tls"}]},
        ),
        obj("Certificate", spec={"secretName": "a", "privateKey": {"algorithm": "ECDSA", "size": 256}}),
        obj("ServiceMonitor", spec={"endpoints": [{"bearerTokenSecret": {"name": "x", "key": "token"}}]}),
    ],
    ids=str,
)
def test_what_refers_to_a_secret_is_no_finding(given: dict[str, Any]) -> None:
    """References, checksums, ids, options about secrets, and Secrets themselves are none."""
    assert literal_secrets([given]) == []


def test_weak_values_of_secrets() -> None:
    """A finding has the Secret and the key."""
    values = {"DB_USER": "bais_app", "DB_PASSWORD": "bais_app", "API_KEY": "", "SECRET_KEY": CANARY * 3}
    secret = obj("Secret", data={key: encoded(value) for key, value in values.items()})

    assert [str(each) for each in weak_secrets([secret])] == [
        "Secret/n/x: the value of API_KEY is empty",
        "Secret/n/x: the value of DB_PASSWORD is the name of its user",
    ]
