"""Resources, images, accounts, tokens and users of pods, and encryption at rest."""

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


def test_a_token_that_is_valid_for_long() -> None:
    """The finding has the seconds that it is valid."""
    source = {"serviceAccountToken": {"path": "t", "expirationSeconds": 31536000}}
    pod = {"serviceAccountName": "a", "automountServiceAccountToken": False}
    (finding,) = hygiene.account_findings(
        [deployment({}, **pod, volumes=[{"projected": {"sources": [{"configMap": {}}, source]}}])]
    )

    assert "valid for 31536000 s" in str(finding)


@pytest.mark.parametrize(
    ("name", "automount", "count"),
    [("a", True, 1), ("a", None, 0), ("a", False, 0), ("default", None, 1), ("default", False, 0)],
)
def test_accounts_that_mount_tokens(name: str, automount: bool | None, count: int) -> None:
    """An account that asks for tokens is a finding, and the default account unless it asks for none."""
    account: dict[str, Any] = {"kind": "ServiceAccount", "metadata": {"name": name, "namespace": "n"}}
    account |= {} if automount is None else {"automountServiceAccountToken": automount}

    assert len(hygiene.account_findings([account])) == count


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        ({"enforce": "restricted"}, []),
        ({"enforce": "restricted", "enforce-version": "latest", "warn": "restricted"}, []),
        ({"enforce": "restricted", "enforce-version": "v1.36"}, []),
        ({"enforce": "restricted", "enforce-version": "v1.37"}, []),
        ({}, ["pod-security-level"]),
        ({"enforce": "baseline"}, ["pod-security-level"]),
        ({"enforce": "Restricted"}, ["pod-security-level"]),
        ({"enforce": "restricted", "audit": "privileged"}, ["pod-security-level"]),
        ({"enforce": "restricted", "enforce-version": "v1.20"}, ["pod-security-version"]),
        ({"enforce": "restricted", "enforce-version": "v1.9"}, ["pod-security-version"]),
        ({"enforce": "restricted", "enforce-version": "1.36"}, ["pod-security-version"]),
        ({"enforce": "restricted", "warn": "restricted", "warn-version": "v1.35"}, ["pod-security-version"]),
    ],
)
def test_pod_security_of_a_namespace(labels: dict[str, str], found: list[str]) -> None:
    """Restricted must be enforced by rules that are not older than the cluster."""
    named = {f"pod-security.kubernetes.io/{key}": value for key, value in labels.items()}
    space = {"metadata": {"name": "bais", "labels": named}}

    assert rules(hygiene.namespace_findings(space, (1, 36))) == found


def test_tokens_that_never_expire() -> None:
    """A Secret with an account's token is a finding that names both, whatever its type says."""
    annotations = {"kubernetes.io/service-account.name": "bais-api"}
    token = {"kind": "Secret", "metadata": {"name": "t", "annotations": annotations}}
    typed = token | {"type": "kubernetes.io/service-account-token"}
    other = {"kind": "Secret", "metadata": {"name": "o"}, "type": "Opaque"}

    found = hygiene.long_lived_tokens([token, typed, other])

    assert [str(each) for each in found] == [
        "Secret/default/t: has a token of ServiceAccount bais-api that never expires: delete it"
    ] * 2


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


@pytest.mark.parametrize(
    ("image", "moves"),
    [
        ("a/b" + DIGEST, False),
        ("a/b:latest" + DIGEST, False),
        ("a/b:1.36", False),
        ("reg:5000/a/b:v2.4.1-alpine", False),
        ("a/b:9c1e2f7", False),
        ("a/b:main-9c1e2f7d", False),
        ("a/b:17", True),
        ("a/b:latest", True),
        ("a/b:stable", True),
        ("a/b", True),
        ("reg.1.2:5000/a/b", True),
        ("", True),
    ],
)
def test_images_need_a_digest_or_a_version(image: str, moves: bool) -> None:
    """Without both, the next pull may be of another image."""
    assert bool(hygiene.moving_images([deployment({"image": image})])) is moves


@pytest.mark.parametrize(
    ("read_only", "writable", "foreign"), [(True, False, False), (False, True, True), (None, True, False)]
)
def test_writable_root_file_systems(read_only: bool | None, writable: bool, foreign: bool) -> None:
    """Only readOnlyRootFilesystem: true is no finding; pods of other names must not set false."""
    pods = [deployment({"securityContext": {"readOnlyRootFilesystem": read_only}})]

    assert bool(hygiene.writable_root(pods)) is writable
    assert bool(hygiene.writable_root(pods, {"another"})) is foreign


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
