"""What makes a 422: reason, field and message as the API server words them."""

# ruff: noqa: E501, ISC004  # the API server's messages are long, and each is kept in one piece
from __future__ import annotations

import pytest

from bais_gates.sandbox.cluster.apiserver import kinds
from tests.cluster.kinds.objects import Obj, created, said_of

REQUIRED, INVALID = "FieldValueRequired", "FieldValueInvalid"
NOT_SUPPORTED, DUPLICATE = "FieldValueNotSupported", "FieldValueDuplicate"
FORBIDDEN, NOT_FOUND = "FieldValueForbidden", "FieldValueNotFound"
C0 = "spec__template__spec__containers__0"
AT = "spec.template.spec.containers[0]"
CASES: list[tuple[str, Obj, str, str, str]] = [
    (
        "Deployment",
        {"spec__replicas": -1},
        INVALID,
        "spec.replicas",
        "Invalid value: -1: must be greater than or equal to 0",
    ),
    ("Deployment", {"spec__selector": ...}, REQUIRED, "spec.selector", "Required value"),
    (
        "Deployment",
        {"spec__selector": {"matchLabels": {"app": "other"}}},
        INVALID,
        "spec.template.metadata.labels",
        'Invalid value: {"app":"web"}: `selector` does not match template `labels`',
    ),
    (
        "Deployment",
        {"spec__selector": {}},
        INVALID,
        "spec.selector",
        "Invalid value: {}: empty selector is invalid for deployment",
    ),
    (
        "Deployment",
        {"spec__strategy": {"type": "Sideways"}},
        NOT_SUPPORTED,
        "spec.strategy.type",
        'Unsupported value: "Sideways": supported values: "Recreate", "RollingUpdate"',
    ),
    ("Deployment", {f"{C0}__name": ...}, REQUIRED, f"{AT}.name", "Required value"),
    ("Deployment", {f"{C0}__image": ...}, REQUIRED, f"{AT}.image", "Required value"),
    (
        "Deployment",
        {"spec__template__spec__containers": []},
        REQUIRED,
        "spec.template.spec.containers",
        "Required value",
    ),
    (
        "Deployment",
        {"spec__template__spec__containers": [{"name": "a", "image": "i"}, {"name": "a", "image": "i"}]},
        DUPLICATE,
        "spec.template.spec.containers[1].name",
        'Duplicate value: "a"',
    ),
    (
        "Deployment",
        {f"{C0}__volumeMounts": [{"name": "gone", "mountPath": "/x"}]},
        NOT_FOUND,
        f"{AT}.volumeMounts[0].name",
        'Not found: "gone"',
    ),
    (
        "Deployment",
        {f"{C0}__ports": [{"containerPort": 70000}]},
        INVALID,
        f"{AT}.ports[0].containerPort",
        "Invalid value: 70000: must be between 1 and 65535, inclusive",
    ),
    (
        "Deployment",
        {f"{C0}__readinessProbe": {"httpGet": {"port": 80}, "exec": {"command": ["true"]}}},
        FORBIDDEN,
        f"{AT}.readinessProbe.httpGet",
        "Forbidden: may not specify more than 1 handler type",
    ),
    (
        "Deployment",
        {f"{C0}__livenessProbe": {"periodSeconds": 3}},
        REQUIRED,
        f"{AT}.livenessProbe",
        "Required value: must specify a handler type",
    ),
    (
        "Deployment",
        {f"{C0}__resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "2"}}},
        INVALID,
        f"{AT}.resources.requests",
        'Invalid value: "2": must be less than or equal to cpu limit of 1',
    ),
    (
        "Deployment",
        {f"{C0}__imagePullPolicy": "Sometimes"},
        NOT_SUPPORTED,
        f"{AT}.imagePullPolicy",
        'Unsupported value: "Sometimes": supported values: "Always", "IfNotPresent", "Never"',
    ),
    (
        "Deployment",
        {"spec__template__spec__restartPolicy": "Never"},
        NOT_SUPPORTED,
        "spec.template.spec.restartPolicy",
        'Unsupported value: "Never": supported values: "Always"',
    ),
    (
        "Deployment",
        {"metadata__labels": {"app": "not ok"}},
        INVALID,
        "metadata.labels",
        'Invalid value: "not ok": a valid label must be an empty string or consist of alphanumeric characters, '
        "'-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  "
        "or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
    ),
    (
        "ConfigMap",
        {"metadata__name": "Big_Name"},
        INVALID,
        "metadata.name",
        'Invalid value: "Big_Name": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric '
        "characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex "
        "used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
    ),
    (
        "Service",
        {"metadata__name": "1st"},
        INVALID,
        "metadata.name",
        "Invalid value: \"1st\": a DNS-1035 label must consist of lower case alphanumeric characters or '-', start "
        "with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex "
        "used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')",
    ),
    (
        "ConfigMap",
        {"metadata__name": ""},
        REQUIRED,
        "metadata.name",
        "Required value: name or generateName is required",
    ),
    ("Service", {"spec__ports": []}, REQUIRED, "spec.ports", "Required value"),
    (
        "Service",
        {"spec__ports": [{"port": 80}, {"port": 81}]},
        REQUIRED,
        "spec.ports[0].name",
        "Required value",
    ),
    (
        "Service",
        {"spec__type": "Magic"},
        NOT_SUPPORTED,
        "spec.type",
        'Unsupported value: "Magic": supported values: "ClusterIP", "ExternalName"',
    ),
    (
        "Job",
        {"spec__template__spec__restartPolicy": ...},
        REQUIRED,
        "spec.template.spec.restartPolicy",
        'Required value: valid values: "OnFailure", "Never"',
    ),
    (
        "CronJob",
        {"spec__schedule": "* * * *"},
        INVALID,
        "spec.schedule",
        'Invalid value: "* * * *": expected exactly 5 fields, found 4: [* * * *]',
    ),
    (
        "CronJob",
        {"spec__schedule": "61 * * * *"},
        INVALID,
        "spec.schedule",
        'Invalid value: "61 * * * *": [61 * * * *] is not acceptable, out of range',
    ),
    (
        "CronJob",
        {"spec__concurrencyPolicy": "Maybe"},
        NOT_SUPPORTED,
        "spec.concurrencyPolicy",
        'Unsupported value: "Maybe": supported values: "Allow", "Forbid", "Replace"',
    ),
    (
        "Ingress",
        {"spec__rules__0__http__paths__0__pathType": ...},
        REQUIRED,
        "spec.rules[0].http.paths[0].pathType",
        "Required value: pathType must be specified",
    ),
    (
        "Ingress",
        {"spec__rules__0__http__paths__0__path": "x"},
        INVALID,
        "spec.rules[0].http.paths[0].path",
        'Invalid value: "x": must be an absolute path',
    ),
    (
        "NetworkPolicy",
        {"spec__egress": [{"to": [{}]}]},
        REQUIRED,
        "spec.egress[0].to[0]",
        "Required value: must specify a peer",
    ),
    (
        "NetworkPolicy",
        {"spec__policyTypes": ["Sideways"]},
        NOT_SUPPORTED,
        "spec.policyTypes[0]",
        'Unsupported value: "Sideways": supported values: "Ingress", "Egress"',
    ),
    (
        "HorizontalPodAutoscaler",
        {"spec__minReplicas": 9},
        INVALID,
        "spec.maxReplicas",
        "Invalid value: 5: must be greater than or equal to `minReplicas`",
    ),
    (
        "PodDisruptionBudget",
        {"spec__minAvailable": "half"},
        INVALID,
        "spec.minAvailable",
        "Invalid value: \"half\": a valid percent string must be a numeric string followed by an ending '%' (e.g. "
        "'1%',  or '93%', regex used for validation is '[0-9]+%')",
    ),
    (
        "PersistentVolumeClaim",
        {"spec__accessModes": []},
        REQUIRED,
        "spec.accessModes",
        "Required value: at least 1 access mode is required",
    ),
    ("PersistentVolumeClaim", {"spec__resources": {}}, REQUIRED, "spec.resources[storage]", "Required value"),
    (
        "Role",
        {"rules__0__verbs": []},
        REQUIRED,
        "rules[0].verbs",
        "Required value: verbs must contain at least one value",
    ),
    (
        "RoleBinding",
        {"subjects__0__kind": "Robot"},
        NOT_SUPPORTED,
        "subjects[0].kind",
        'Unsupported value: "Robot": supported values: "ServiceAccount", "User", "Group"',
    ),
    (
        "Namespace",
        {"metadata__labels": {"pod-security.kubernetes.io/enforce": "strict"}},
        INVALID,
        "metadata.labels[pod-security.kubernetes.io/enforce]",
        'Invalid value: "strict": must be one of privileged, baseline, restricted',
    ),
    ("StorageClass", {"provisioner": ""}, REQUIRED, "provisioner", "Required value"),
]


@pytest.mark.parametrize(("name", "changes", "reason", "field", "message"), CASES)
def test_a_broken_rule_is_said_as_the_api_server_says_it(
    name: str, changes: Obj, reason: str, field: str, message: str
) -> None:
    """An object with one thing wrong is refused with that cause, in the API server's words."""
    assert (reason, field, message) in said_of(name, **changes)


def test_without_a_selector_the_template_does_not_match_either() -> None:
    """A missing selector is told twice: it is required, and what chooses nothing matches no template."""
    assert [field for _, field, _ in said_of("Deployment", spec__selector=...)] == [
        "spec.selector",
        "spec.template.metadata.labels",
    ]


def test_several_causes_are_joined_in_brackets() -> None:
    """All causes are said, each once, several of them in brackets."""
    with pytest.raises(kinds.Invalid) as refused:
        created("Deployment", spec__replicas=-1, spec__minReadySeconds=-2)

    assert refused.value.summary == (
        "[spec.replicas: Invalid value: -1: must be greater than or equal to 0, "
        "spec.minReadySeconds: Invalid value: -2: must be greater than or equal to 0]"
    )


@pytest.mark.parametrize("schedule", ["* * * * *", "*/5 0-6,22 1 jan-mar mon", "@daily", "0 0 ? * SUN"])
def test_good_schedules_pass(schedule: str) -> None:
    """Schedules that cron knows are accepted."""
    assert said_of("CronJob", spec__schedule=schedule) == []
