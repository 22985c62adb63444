"""Secrets, resources, images, accounts and users of pods, and encryption at rest."""

from __future__ import annotations

from typing import Any

import pytest

from bais_gates.rules.kubernetes import hygiene
from bais_gates.rules.kubernetes.storage import is_encrypted, unencrypted_claims

DIGEST = "@sha256:" + "0" * 64


def deployment(container: dict[str, Any], **spec: Any) -> dict[str, Any]:
    """Return a Deployment of one container."""
    pod = {"containers": [{"name": "c"} | container]} | spec
    return {
        "kind": "Deployment",
        "metadata": {"name": "d", "namespace": "n"},
        "spec": {"template": {"spec": pod}},
    }


def rules(findings: list[Any]) -> list[str]:
    """Return the rules of findings."""
    return [finding.rule for finding in findings]


@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [
        ("DB_PASSWORD", "hunter2", True),
        ("DB_PASSWORD", "123456", True),
        ("POSTGRES_PASS", "x1", True),
        ("API_KEY", "abc", True),
        ("SLACK_TOKEN", "abc", True),
        ("MY_SECRET", "abc", True),
        ("AWS_SECRET_ACCESS_KEY", "abc", True),
        ("URL", "postgresql://user:pw@db/x", True),
        ("KEY", "-----BEGIN EC PRIVATE KEY-----", True),
        ("AZURE_BATCH_KEY", "xxx", True),
        ("OCI_CLI_KEY_CONTENT", "xxx", True),
        ("THE_GOOD_STUFF", "---BEGIN OPENSSH PRIVATE KEY---\nxxxxx\n", True),
        ("ID", "AKIAABCDEFGHIJKLMNOP", True),
        ("HOOK", "https://hooks.slack.com/services/T0/B0/abc", True),
        ("DB_PASSWORD", "", False),
        ("DB_PASSWORD", "$(OTHER)", False),
        ("DB_PASSWORD_FILE", "/run/secrets/db", False),
        ("RATE_LIMIT_PER_TOKEN", "100", False),
        ("TOKEN_TTL", "15m", False),
        ("SECRETS_ENABLED", "true", False),
        ("COMPASS", "north", False),
        ("URL", "https://api.example/path", False),
        ("URL", "postgresql://user@db/x", False),
        ("MONKEY", "banana", False),
    ],
)
def test_a_secret_is_recognised_by_name_or_value(name: str, value: str, secret: bool) -> None:
    """A file name, a number or a reference to a variable is not a secret."""
    assert hygiene.looks_secret(name, value) is secret


def test_findings_do_not_contain_the_secret() -> None:
    """A finding has the container and variable, or the ConfigMap's key, and not the value."""
    config = {
        "kind": "ConfigMap",
        "metadata": {"name": "m"},
        "data": {"password": "hunter2", "conf": "a = 1"},
    }
    literal = deployment({"env": [{"name": "PASSWORD", "value": "hunter2"}]})
    by_reference = deployment({"env": [{"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "s"}}}]})
    found = hygiene.literal_secrets([config, literal, by_reference])

    assert rules(found) == ["env-var-secret", "configmap-secret"]
    assert "hunter2" not in "".join(map(str, found))


FULL = {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "1Gi"}}


@pytest.mark.parametrize(
    ("resources", "missing"),
    [
        (FULL, []),
        ({"limits": FULL["limits"]}, ["requests.cpu", "requests.memory"]),
        ({"requests": FULL["requests"]}, ["limits.cpu", "limits.memory"]),
        (FULL | {"limits": {"cpu": "0", "memory": "1Gi"}}, ["limits.cpu"]),
        (None, ["requests.cpu", "requests.memory", "limits.cpu", "limits.memory"]),
    ],
)
def test_missing_requests_and_limits(resources: Any, missing: list[str]) -> None:
    """Each container needs requests and limits of CPU and memory; a limit is not a request."""
    found = hygiene.missing_resources([deployment({"resources": resources})])

    assert [str(f).partition("does not set ")[2].split(", ") for f in found] == ([missing] if missing else [])


def test_init_containers_need_requests_and_limits() -> None:
    """An init container without limits is a finding."""
    pod = deployment({"resources": FULL}, initContainers=[{"name": "i"}])

    assert ["container i" in str(f) for f in hygiene.missing_resources([pod])] == [True]


@pytest.mark.parametrize(
    ("image", "count"), [("a/b" + DIGEST, 0), ("a/b:1" + DIGEST, 0), ("a/b:1", 1), ("a/b", 1)]
)
def test_images_need_a_digest(image: str, count: int) -> None:
    """A tag may be moved to another image."""
    assert len(hygiene.unpinned_images([deployment({"image": image})])) == count


@pytest.mark.parametrize(
    ("pod", "account", "found"),
    [
        ({"serviceAccountName": "a", "automountServiceAccountToken": False}, None, []),
        ({"serviceAccountName": "a"}, False, []),
        ({"serviceAccountName": "a"}, None, ["service-account-token"]),
        ({"serviceAccountName": "a", "automountServiceAccountToken": True}, False, ["service-account-token"]),
        ({"automountServiceAccountToken": False}, None, ["default-service-account"]),
        (
            {
                "serviceAccountName": "a",
                "automountServiceAccountToken": False,
                "volumes": [{"projected": {"sources": [{"serviceAccountToken": {}}]}}],
            },
            None,
            ["service-account-token"],
        ),
    ],
)
def test_mounted_tokens(pod: dict[str, Any], account: bool | None, found: list[str]) -> None:
    """The pod overrides its account, unset means mounted, and a projected token counts."""
    given: dict[str, Any] = {"kind": "ServiceAccount", "metadata": {"name": "a", "namespace": "n"}}
    given |= {} if account is None else {"automountServiceAccountToken": account}

    assert rules(hygiene.account_findings([deployment({}, **pod), given])) == found


@pytest.mark.parametrize(
    ("pod", "own", "may"),
    [
        ({}, {}, True),
        ({"runAsNonRoot": True}, {}, False),
        ({"runAsNonRoot": True}, {"runAsNonRoot": False}, True),
        ({"runAsNonRoot": True}, {"runAsUser": 0}, True),
        ({"runAsUser": 1000}, {}, False),
        ({"runAsUser": 1000}, {"runAsUser": 0}, True),
        ({}, {"runAsNonRoot": True}, False),
    ],
)
def test_root_users(pod: Any, own: Any, may: bool) -> None:
    """The container's setting overrides the pod's."""
    assert bool(hygiene.root_users([deployment({"securityContext": own}, securityContext=pod)])) is may


def test_writable_root_file_systems() -> None:
    """Only readOnlyRootFilesystem: true is no finding."""
    assert len(hygiene.writable_root([deployment({})])) == 1
    assert hygiene.writable_root([deployment({"securityContext": {"readOnlyRootFilesystem": True}})]) == []


@pytest.mark.parametrize(
    ("parameters", "driver", "encrypted"),
    [
        ({"encrypted": "true"}, "", True),
        ({"encrypted": "TRUE"}, "", True),
        ({"encrypted": "false", "kmsKeyId": "arn"}, "", False),
        ({"encrypted": "false"}, "pd.csi.storage.gke.io", False),
        ({"kmsKeyId": "arn"}, "", True),
        ({"disk-encryption-kms-key": "k"}, "", True),
        ({}, "disk.csi.azure.com", True),
        ({}, "ebs.csi.aws.com", False),
        ({"encrypted": ""}, "", False),
    ],
)
def test_encryption_by_the_parameters_of_a_class(parameters: Any, driver: str, encrypted: bool) -> None:
    """Unset means unencrypted, except for drivers that always encrypt."""
    assert is_encrypted(parameters, driver) is encrypted


def claim_on(
    volume: dict[str, Any] | None, parameters: dict[str, str] | None, phase: str = "Bound"
) -> list[str]:
    """Return the rules that a claim on a volume of a class violates."""
    objects: list[dict[str, Any]] = [
        {
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "c"},
            "spec": {"volumeName": "v"},
            "status": {"phase": phase},
        }
    ]
    if volume is not None:
        objects.append(
            {
                "kind": "PersistentVolume",
                "metadata": {"name": "v"},
                "spec": {"storageClassName": "s"} | volume,
            }
        )
    if parameters is not None:
        objects.append({"kind": "StorageClass", "metadata": {"name": "s"}, "parameters": parameters})
    return rules(unencrypted_claims(objects))


def test_a_volume_overrides_its_class() -> None:
    """An unbound claim, a missing class, a class or volume without encryption are findings."""
    yes = {"encrypted": "true"}
    no = {"csi": {"driver": "x", "volumeAttributes": {"encrypted": "false"}}}

    assert claim_on({}, yes) == []
    assert claim_on({}, {}) == ["unencrypted-volume"]
    assert claim_on({}, None) == ["unencrypted-volume"]
    assert claim_on(no, yes) == ["unencrypted-volume"]
    assert claim_on(None, yes) == ["unbound-claim"]
    assert claim_on({}, yes, "Pending") == ["unbound-claim"]
