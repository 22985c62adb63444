"""RBAC: who is bound to what, and which permissions lead to more."""

from __future__ import annotations

from typing import Any

import pytest

from bais_gates.rules.kubernetes import rbac

RBAC = "rbac.authorization.k8s.io"
CLUSTER_ADMIN = "ClusterRole/cluster-admin"
BOOTSTRAP = {"kubernetes.io/bootstrapping": "rbac-defaults"}


def rule(verbs: str, resources: str, group: str = "", names: str = "") -> dict[str, Any]:
    """Return a rule of a role."""
    given = {"verbs": verbs.split(), "resources": resources.split(), "apiGroups": [group]}
    return given | ({"resourceNames": names.split()} if names else {})


def paths(*urls: str, verbs: str = "get") -> dict[str, Any]:
    """Return a rule for paths of the API server."""
    return {"nonResourceURLs": [*urls], "verbs": verbs.split()}


SAFE = [
    rule("get list watch", "pods services configmaps nodes namespaces persistentvolumes"),
    rule("get", "pods/log"),
    rule("get list", "deployments", "apps"),
    rule("create", "secrets", "example.com"),
    rule("get list watch update patch", "configmaps"),
    rule("create patch", "events"),
    rule("patch", "deployments/scale", "apps"),
    rule("delete", "pods"),
    rule("create update", "leases", "coordination.k8s.io"),
    rule("create", "pods", names="one"),
    rule("get list", "roles rolebindings", RBAC),
    rule("get", "certificatesigningrequests", "certificates.k8s.io"),
    rule("get list", "validatingwebhookconfigurations", "admissionregistration.k8s.io"),
    paths("/metrics", "/healthz"),
]
RISKY = [
    (rule("get", "secrets"), "access-to-secrets", "get secrets"),
    (rule("list", "secrets"), "access-to-secrets", "list secrets"),
    (rule("watch", "secrets"), "access-to-secrets", "watch secrets"),
    (rule("create", "secrets"), "access-to-secrets", "create secrets"),
    (rule("get", "secrets", names="bais-api"), "access-to-secrets", "get secrets bais-api"),
    (rule("create", "pods"), "access-to-create-pods", "create pods"),
    (rule("patch", "pods"), "access-to-create-pods", "patch pods"),
    (rule("create", "deployments", "apps"), "access-to-create-pods", "create deployments"),
    (rule("patch", "statefulsets", "apps"), "access-to-create-pods", "patch statefulsets"),
    (rule("update", "cronjobs", "batch"), "access-to-create-pods", "update cronjobs"),
    (rule("create", "jobs", "batch"), "access-to-create-pods", "create jobs"),
    (rule("create", "replicationcontrollers"), "access-to-create-pods", "replicationcontrollers"),
    (rule("delete", "deployments", "apps"), "access-to-workloads", "delete deployments"),
    (rule("delete", "cronjobs", "batch"), "access-to-workloads", "delete cronjobs"),
    (rule("patch", "networkpolicies", "networking.k8s.io"), "access-to-workloads", "patch networkpolicies"),
    (rule("create", "pods/exec"), "pod-exec", "create pods/exec"),
    (rule("get", "pods/exec"), "pod-exec", "get pods/exec"),
    (rule("get", "pods/attach"), "pod-exec", "get pods/attach"),
    (rule("create", "pods/portforward"), "pod-exec", "create pods/portforward"),
    (rule("create", "pods/exec", names="bais-api-0"), "pod-exec", "create pods/exec bais-api-0"),
    (rule("create", "*/exec"), "pod-exec", "create */exec"),
    (rule("get", "services/proxy"), "pod-exec", "get services/proxy"),
    (rule("patch", "pods/ephemeralcontainers"), "pod-exec", "patch pods/ephemeralcontainers"),
    (rule("create", "serviceaccounts/token"), "access-to-tokens", "create serviceaccounts/token"),
    (rule("create", "persistentvolumes"), "access-to-volumes", "create persistentvolumes"),
    (rule("get", "nodes/proxy"), "access-to-nodes", "get nodes/proxy"),
    (rule("patch", "nodes"), "access-to-nodes", "patch nodes"),
    (rule("patch", "namespaces"), "access-to-namespaces", "patch namespaces"),
    (rule("update", "endpoints"), "access-to-endpoints", "update endpoints"),
    (rule("patch", "endpointslices", "discovery.k8s.io"), "access-to-endpoints", "endpointslices"),
    (rule("get list update", "services"), "access-to-endpoints", "update services"),
    (rule("patch", "services/status"), "access-to-endpoints", "patch services/status"),
    (rule("create", "ingresses", "networking.k8s.io"), "access-to-endpoints", "create ingresses"),
    (rule("delete", "apiservices", "apiregistration.k8s.io"), "access-to-endpoints", "delete apiservices"),
    (rule("bind", "clusterroles", RBAC), "escalation", "bind clusterroles"),
    (rule("escalate", "roles", RBAC), "escalation", "escalate roles"),
    (rule("create", "rolebindings", RBAC), "escalation", "create rolebindings"),
    (rule("patch", "clusterroles", RBAC), "escalation", "patch clusterroles"),
    (rule("impersonate", "users"), "escalation", "impersonate users"),
    (rule("impersonate", "groups", names="system:masters"), "escalation", "groups system:masters"),
    (rule("impersonate", "userextras/x", "authentication.k8s.io"), "escalation", "impersonate userextras/x"),
    (rule("create", "certificatesigningrequests", "certificates.k8s.io"), "access-to-certificates", "create"),
    (
        rule("update", "certificatesigningrequests/approval", "certificates.k8s.io"),
        "access-to-certificates",
        "update certificatesigningrequests/approval",
    ),
    (rule("approve", "signers", "certificates.k8s.io"), "access-to-certificates", "approve signers"),
    (
        rule("patch", "mutatingwebhookconfigurations", "admissionregistration.k8s.io"),
        "access-to-admission",
        "patch mutatingwebhookconfigurations",
    ),
    (
        rule("delete", "validatingadmissionpolicybindings", "admissionregistration.k8s.io"),
        "access-to-admission",
        "delete validatingadmissionpolicybindings",
    ),
    (rule("*", "configmaps"), "wildcard-in-rules", "every verb"),
    (rule("get", "*"), "wildcard-in-rules", "get every resource of the core API group"),
    (rule("get", "*", "apps"), "wildcard-in-rules", "get every resource of apps"),
    (rule("get", "deployments", "*"), "wildcard-in-rules", "deployments of every API group"),
    (paths("*"), "wildcard-in-rules", "the API server's paths *"),
    (paths("/logs/*"), "wildcard-in-rules", "/logs/*"),
    (paths("/debug/pprof/*"), "wildcard-in-rules", "/debug/pprof/*"),
]


@pytest.mark.parametrize("given", SAFE, ids=str)
def test_reading_and_what_leads_to_nothing_is_no_fault(given: dict[str, Any]) -> None:
    """Reading objects, leases, events, scaling and deleting a pod lead to nothing more."""
    assert rbac.rule_faults(given) == []


@pytest.mark.parametrize(("given", "name", "detail"), RISKY, ids=str)
def test_what_leads_to_more_is_a_fault(given: dict[str, Any], name: str, detail: str) -> None:
    """Each permission of RBAC Good Practices is one fault, which names verb and resource."""
    ((found, message),) = rbac.rule_faults(given)

    assert (found, detail in message) == (name, True)


READS_SECRETS = {
    "kind": "Role",
    "metadata": {"name": "r", "namespace": "n"},
    "rules": [rule("get", "secrets")],
}
READS_PODS = {"kind": "Role", "metadata": {"name": "p", "namespace": "n"}, "rules": [rule("get", "pods")]}


def cluster_role(name: str, *rules: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Return a ClusterRole."""
    metadata = {"name": name, "labels": fields.pop("labels", {})}
    return {"kind": "ClusterRole", "metadata": metadata, "rules": [*rules], **fields}


ROLES = [
    READS_SECRETS,
    READS_PODS,
    READS_SECRETS | {"metadata": {"name": "r", "namespace": "elsewhere"}},
    cluster_role("reads-secrets", rule("get list watch", "secrets")),
    cluster_role("reads-pods", rule("get list watch", "pods")),
    cluster_role("everything", rule("*", "*", "*")),
    cluster_role("cluster-admin", rule("*", "*", "*"), paths("*", verbs="*"), labels=BOOTSTRAP),
    cluster_role("system:discovery", paths("/api", "/api/*", "/openapi/*", "/version"), labels=BOOTSTRAP),
    cluster_role(
        "system:basic-user",
        rule("create", "selfsubjectaccessreviews selfsubjectrulesreviews", "authorization.k8s.io"),
        labels=BOOTSTRAP,
    ),
    cluster_role("system:public-info-viewer", paths("/healthz", "/livez", "/version/"), labels=BOOTSTRAP),
    cluster_role("system:service-account-issuer-discovery", paths("/openid/v1/jwks"), labels=BOOTSTRAP),
    cluster_role("system:controller:job-controller", rule("create", "pods"), labels=BOOTSTRAP),
    cluster_role("system:kube-scheduler", rule("create", "pods"), labels=BOOTSTRAP),
    cluster_role(
        "system:node-bootstrapper", rule("create", "certificatesigningrequests", "certificates.k8s.io")
    ),
    cluster_role("system:volume-scheduler", rule("get update patch", "persistentvolumes"), labels=BOOTSTRAP),
    cluster_role("system:monitoring", paths("/metrics", "/flagz", "/statusz"), labels=BOOTSTRAP),
    cluster_role("system:node", rule("get", "secrets"), labels=BOOTSTRAP),
    cluster_role("aggregated", aggregationRule={"clusterRoleSelectors": [{"matchLabels": {"add": "true"}}]}),
    cluster_role("added", rule("create", "pods/exec"), labels={"add": "true"}),
]


def found(
    subject: str, kind: str = "RoleBinding", role: str = "Role/r", space: str = "n", **options: Any
) -> list[str]:
    """Return the rules that one binding violates for namespace n."""
    what, _, name = subject.partition(" ")
    one = {"kind": what, "name": name}
    if what == "ServiceAccount":
        one["namespace"], _, one["name"] = name.rpartition("/")
    of, _, role_name = role.partition("/")
    metadata = {"name": "b", "labels": BOOTSTRAP} | ({"namespace": space} if kind == "RoleBinding" else {})
    reference = {"kind": of, "name": role_name}
    binding = {"kind": kind, "metadata": metadata, "subjects": [one], "roleRef": reference}
    findings = rbac.binding_findings([*ROLES, binding], "n", **options)
    assert all(str(each).startswith(f"{kind}/") for each in findings)
    return [each.rule for each in findings]


ALL = "ClusterRoleBinding"


@pytest.mark.parametrize(
    ("given", "rules"),
    [
        (("ServiceAccount n/api",), ["access-to-secrets"]),
        (("ServiceAccount /api",), ["access-to-secrets"]),
        (("User system:serviceaccount:n:api",), ["access-to-secrets"]),
        (("User jane",), ["access-to-secrets"]),
        (("Group developers",), ["access-to-secrets"]),
        (("ServiceAccount elsewhere/x",), ["access-to-secrets"]),
        (("User jane", "RoleBinding", "Role/gone"), ["dangling-binding"]),
        (("User jane", "RoleBinding", "ClusterRole/gone"), ["dangling-binding"]),
        (("User jane", "RoleBinding", CLUSTER_ADMIN), ["cluster-admin"]),
        (("User jane", "RoleBinding", "ClusterRole/everything"), ["wildcard-in-rules"]),
        (("User jane", "RoleBinding", "ClusterRole/aggregated"), ["pod-exec"]),
        (("User jane", "RoleBinding", "ClusterRole/edit"), ["access-to-create-pods", "access-to-secrets"]),
        (("User jane", ALL, CLUSTER_ADMIN), ["cluster-admin"]),
        (("Group system:authenticated", ALL, CLUSTER_ADMIN), ["cluster-admin"]),
        (("ServiceAccount n/api", ALL, CLUSTER_ADMIN), ["cluster-admin"]),
        (("ServiceAccount elsewhere/x", ALL, CLUSTER_ADMIN), ["cluster-admin"]),
        (("ServiceAccount kube-system/x", ALL, CLUSTER_ADMIN), ["cluster-admin"]),
        (("ServiceAccount kube-system/x", ALL, "ClusterRole/everything"), ["wildcard-in-rules"]),
        (
            ("Group system:serviceaccounts:n", ALL, "ClusterRole/reads-secrets"),
            ["access-to-secrets", "default-service-account"],
        ),
        (
            ("Group system:serviceaccounts:elsewhere", "RoleBinding", "Role/p"),
            ["default-service-account"],
        ),
        (("ServiceAccount elsewhere/x", ALL, "ClusterRole/reads-secrets"), ["access-to-secrets"]),
        (("Group system:nodes", ALL, "ClusterRole/system:node"), ["access-to-secrets"]),
        (("User system:anonymous", ALL, "ClusterRole/reads-pods"), ["public-access"]),
        (("Group system:unauthenticated", "RoleBinding", "Role/p"), ["public-access"]),
        (("Group system:authenticated", "RoleBinding", "Role/p"), ["public-access"]),
        (("Group system:serviceaccounts", ALL, "ClusterRole/reads-pods"), ["public-access"]),
        (("Group system:unauthenticated", ALL, "ClusterRole/system:discovery"), ["public-access"]),
        (("Group system:unauthenticated", ALL, "ClusterRole/view"), ["public-access"]),
        (("ServiceAccount n/default", "RoleBinding", "Role/p"), ["default-service-account"]),
        (("ServiceAccount kube-system/default", ALL, "ClusterRole/reads-pods"), ["default-service-account"]),
        (("ServiceAccount n/api", "RoleBinding", "Role/r", "elsewhere"), ["access-to-secrets"]),
        (("User jane", ALL, "ClusterRole/system:controller:job-controller"), ["access-to-create-pods"]),
        (("User jane", ALL, "ClusterRole/system:kube-scheduler"), ["access-to-create-pods"]),
    ],
    ids=str,
)
def test_a_binding_that_grants_too_much_is_a_finding(given: tuple[str, ...], rules: list[str]) -> None:
    """It counts in the namespace, for the whole cluster, and elsewhere for the namespace's accounts."""
    assert found(*given) == rules


@pytest.mark.parametrize(
    "given",
    [
        ("User jane", "RoleBinding", "Role/p"),
        ("User jane", "RoleBinding", "ClusterRole/view"),
        ("ServiceAccount monitoring/prometheus", ALL, "ClusterRole/reads-pods"),
        ("ServiceAccount n/api", "RoleBinding", "Role/p"),
        ("Group system:masters", ALL, CLUSTER_ADMIN),
        ("Group kubeadm:cluster-admins", ALL, CLUSTER_ADMIN),
        ("Group system:authenticated", ALL, "ClusterRole/system:discovery"),
        ("Group system:authenticated", ALL, "ClusterRole/system:basic-user"),
        ("Group system:unauthenticated", ALL, "ClusterRole/system:public-info-viewer"),
        ("Group system:serviceaccounts", ALL, "ClusterRole/system:service-account-issuer-discovery"),
        ("Group system:serviceaccounts:n", ALL, "ClusterRole/system:service-account-issuer-discovery"),
        ("ServiceAccount kube-system/job-controller", ALL, "ClusterRole/system:controller:job-controller"),
        ("User system:kube-scheduler", ALL, "ClusterRole/system:kube-scheduler"),
        ("User system:kube-scheduler", ALL, "ClusterRole/system:volume-scheduler"),
        ("Group system:monitoring", ALL, "ClusterRole/system:monitoring"),
        ("Group system:bootstrappers:kubeadm:x", ALL, "ClusterRole/system:node-bootstrapper"),
        ("ServiceAccount kube-system/csi", ALL, "ClusterRole/reads-secrets"),
        ("User jane", "RoleBinding", "Role/r", "elsewhere"),
        ("Group system:unauthenticated", "RoleBinding", "ClusterRole/reads-pods", "elsewhere"),
    ],
    ids=str,
)
def test_what_every_cluster_has_and_readers_are_no_finding(given: tuple[str, ...]) -> None:
    """The cluster's own bindings, those of its components, and further readers are none."""
    assert found(*given) == []


def test_a_declared_subject_may_have_its_permissions() -> None:
    """The environment's trusted subjects are left out, but for everybody and the platform's own accounts."""
    trusted = ["ServiceAccount cert-manager/*", "Group admins", "Group system:*", "ServiceAccount n/*"]
    role = "ClusterRole/reads-secrets"

    assert found("ServiceAccount cert-manager/controller", ALL, role, trusted=trusted) == []
    assert found("Group admins", ALL, CLUSTER_ADMIN, trusted=trusted) == []
    assert found("ServiceAccount n/api", ALL, role, trusted=trusted) == ["access-to-secrets"]
    assert found("Group system:authenticated", ALL, role, trusted=trusted) == ["public-access"]
    assert found("ServiceAccount other/x", ALL, role, trusted=trusted) == ["access-to-secrets"]


def test_a_forged_label_changes_nothing() -> None:
    """A role that says to be built in is judged by what it grants."""
    forged = cluster_role("system:discovery", rule("get", "secrets"), labels=BOOTSTRAP)
    subjects = [{"kind": "Group", "name": "system:authenticated"}]
    reference = {"kind": "ClusterRole", "name": "system:discovery"}
    binding = {"kind": ALL, "metadata": {"name": "x"}, "subjects": subjects, "roleRef": reference}

    (finding,) = rbac.binding_findings([forged, binding], "n")

    assert "everybody (Group system:authenticated) may get secrets" in str(finding)


def test_without_a_namespace_every_binding_counts() -> None:
    """In manifests, a binding to cluster-admin is a finding whatever its subjects."""
    subjects, reference = [{"kind": "User", "name": "jane"}], {"kind": "ClusterRole", "name": "cluster-admin"}
    binding = {"kind": ALL, "metadata": {"name": "x"}, "subjects": subjects, "roleRef": reference}

    assert [str(each) for each in rbac.binding_findings([binding])] == [
        "ClusterRoleBinding/x: User jane has cluster-admin: it may do everything"
    ]
