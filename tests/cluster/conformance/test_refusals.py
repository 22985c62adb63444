"""Requests that make no sense, and requests that nobody may make."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.cluster.conformance.server import MERGE_PATCH, Server, config_map, container, deployment, pod


def test_without_a_right_token_nothing_is_told(server: Server) -> None:
    """401 with a Status for a wrong token; 401 or 403 for none."""
    wrong = server.ask("GET", "/api/v1/namespaces", headers={"authorization": "Bearer wrong"})
    assert (wrong.code, wrong.reason, wrong.message) == (401, "Unauthorized", "Unauthorized")
    request = httpx.Request("GET", server.http.base_url.join("/api/v1/namespaces"))
    nobody = server.http.send(request)
    assert nobody.status_code in (401, 403)


def test_a_body_that_is_no_json(server: Server, core: str) -> None:
    """400 BadRequest."""
    for body in (b"{", b"[]", b'"x"', b"\xff\xfe"):
        answer = server.ask("POST", f"{core}/configmaps", body)
        assert (answer.code, answer.reason) == (400, "BadRequest"), body


def test_a_body_of_another_kind(server: Server, core: str, name: str) -> None:
    """400, naming what was expected."""
    answer = server.ask("POST", f"{core}/configmaps", pod(name))
    assert (answer.code, answer.reason) == (400, "BadRequest")
    assert "ConfigMap" in answer.message


def test_a_body_in_an_unknown_format(server: Server, core: str, name: str) -> None:
    """415."""
    answer = server.ask("POST", f"{core}/configmaps", config_map(name), media="text/csv")
    assert (answer.code, answer.reason) == (415, "UnsupportedMediaType")


def test_yaml_is_taken_too(server: Server, core: str, name: str) -> None:
    """As kubectl create --raw sends it."""
    text = f"metadata: {{name: {name}}}\ndata: {{a: '1'}}\n".encode()
    answer = server.ask("POST", f"{core}/configmaps", text, media="application/yaml")
    assert (answer.code, answer.body["data"]) == (201, {"a": "1"})


def test_an_answer_in_an_unknown_format(server: Server, core: str) -> None:
    """406."""
    assert server.ask("GET", f"{core}/configmaps", headers={"accept": "text/html"}).code == 406


def test_a_body_that_is_too_large(server: Server, core: str, name: str) -> None:
    """413 past three megabytes; a ConfigMap past one is 422."""
    huge = server.ask("POST", f"{core}/configmaps", b" " * (3 * 1024 * 1024 + 1))
    assert (huge.code, huge.reason) == (413, "RequestEntityTooLarge")
    large = server.ask("POST", f"{core}/configmaps", config_map(name, a="x" * 1_100_000))
    assert (large.code, large.reason) == (422, "Invalid")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "configmaps/x"),
        ("PUT", "configmaps"),
        ("PATCH", "configmaps"),
        ("POST", "pods/x/status"),
        ("DELETE", "pods/x/log"),
    ],
)
def test_methods_that_a_path_does_not_have(server: Server, core: str, method: str, path: str) -> None:
    """405."""
    answer = server.ask(
        method, f"{core}/{path}", {}, media=MERGE_PATCH if method == "PATCH" else "application/json"
    )
    assert (answer.code, answer.reason) == (405, "MethodNotAllowed")


def test_selectors_that_cannot_be_read(server: Server, core: str) -> None:
    """400 for label and field selectors and numbers that are none."""
    queries: list[dict[str, Any]] = [
        {"labelSelector": "a in"},
        {"labelSelector": "=x"},
        {"labelSelector": "a>b"},
        {"fieldSelector": "spec.bogus=1"},
        {"fieldSelector": "metadata.name"},
        {"continue": "bogus"},
    ]
    for query in queries:
        answer = server.ask("GET", f"{core}/configmaps", **query)
        assert (answer.code, answer.reason) == (400, "BadRequest"), query
    unknown = server.ask("GET", f"{core}/configmaps", fieldSelector="bogus=1")
    assert unknown.message == (
        '"bogus" is not a known field selector: only "metadata.name", "metadata.namespace"'
    )


def test_a_namespace_that_is_not_there(server: Server, name: str) -> None:
    """404 names the namespace; reading in it finds nothing."""
    path = "/api/v1/namespaces/bais-nowhere/configmaps"
    answer = server.ask("POST", path, config_map(name))
    assert (answer.code, answer.message) == (404, 'namespaces "bais-nowhere" not found')
    assert server.ask("GET", path).body["items"] == []


INVALID: dict[str, tuple[dict[str, Any], str]] = {
    "selector and labels differ": (
        {"selector": {"matchLabels": {"app": "other"}}},
        "spec.template.metadata.labels",
    ),
    "negative replicas": ({"replicas": -1}, "spec.replicas"),
    "a quantity that is none": (
        {"containers": [container(resources={"limits": {"cpu": "-1"}})]},
        "spec.template.spec.containers[0].resources.limits[cpu]",
    ),
    "two of one name": (
        {"containers": [container("a"), container("a")]},
        "spec.template.spec.containers[1].name",
    ),
    "a volume that is not there": (
        {"containers": [container(volumeMounts=[{"name": "v", "mountPath": "/v"}])]},
        "spec.template.spec.containers[0].volumeMounts[0].name",
    ),
    "a port beyond": (
        {"containers": [container(ports=[{"containerPort": 70000}])]},
        "spec.template.spec.containers[0].ports[0].containerPort",
    ),
}


@pytest.mark.parametrize("case", INVALID)
def test_deployments_that_cannot_be(server: Server, apps: str, name: str, case: str) -> None:
    """422 with the field as a cause."""
    spec, field = dict(INVALID[case][0]), INVALID[case][1]
    containers = spec.pop("containers", [])
    answer = server.ask("POST", f"{apps}/deployments", deployment(name, containers, **spec))
    assert (answer.code, answer.reason) == (422, "Invalid")
    assert field in {each["field"] for each in answer.body["details"]["causes"]}
    assert answer.body["details"]["group"] == "apps"


def test_selectors_are_immutable(server: Server, apps: str, name: str) -> None:
    """422: field is immutable."""
    server.make(f"{apps}/deployments", deployment(name))
    labels = {"app": "other"}
    change = {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}}}
    answer = server.patch(f"{apps}/deployments/{name}", {"spec": change})
    assert (answer.code, answer.reason) == (422, "Invalid")
    assert "spec.selector: Invalid value" in answer.message
    assert "field is immutable" in answer.message


def test_cron_schedules_are_read(server: Server, namespace: str, name: str) -> None:
    """422 for a schedule that is none."""
    server.serves("/apis/batch/v1", "cronjobs")
    template = {"spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [container()]}}}}
    body = {"metadata": {"name": name}, "spec": {"schedule": "every day", "jobTemplate": template}}
    answer = server.ask("POST", f"/apis/batch/v1/namespaces/{namespace}/cronjobs", body)
    assert (answer.code, answer.reason) == (422, "Invalid")
    assert answer.body["details"]["causes"][0]["field"] == "spec.schedule"


def test_pod_security_refuses_pods_and_warns_of_workloads(server: Server, name: str) -> None:
    """403 for the pod, a Warning header for the Deployment."""
    server.needs(25, "Pod Security admission")
    level = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
    namespace = server.new_namespace(level)
    answer = server.ask("POST", f"/api/v1/namespaces/{namespace}/pods", pod(name))
    assert (answer.code, answer.reason) == (403, "Forbidden")
    assert answer.message.startswith(
        f'pods "{name}" is forbidden: violates PodSecurity "restricted:latest": '
        "allowPrivilegeEscalation != false"
    )
    made = server.ask("POST", f"/apis/apps/v1/namespaces/{namespace}/deployments", deployment(name))
    assert made.code == 201
    assert 'would violate PodSecurity \\"restricted:latest\\"' in made.headers["warning"]


def _review(server: Server, user: str, **attributes: str) -> bool:
    body = {"spec": {"user": user, "groups": ["system:authenticated"], "resourceAttributes": attributes}}
    answer = server.ask("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", body)
    assert answer.code == 201
    return bool(answer.body["status"]["allowed"])


def test_roles_decide_who_may_what(server: Server, namespace: str, name: str) -> None:
    """A RoleBinding holds in its namespace, for its verbs, resources and names."""
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
    rules = [
        {"apiGroups": [""], "resources": ["pods", "pods/log"], "verbs": ["get", "list"]},
        {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["one"], "verbs": ["get"]},
    ]
    server.make(f"{rbac}/roles", {"metadata": {"name": name}, "rules": rules})
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name}
    binding = {"metadata": {"name": name}, "roleRef": reference, "subjects": [subject]}
    server.make(f"{rbac}/rolebindings", binding)
    where = {"namespace": namespace, "resource": "pods"}
    deadline = 50
    while not _review(server, name, **where, verb="list") and deadline:
        deadline -= 1  # a real server's authoriser reads the bindings from a watch
    assert _review(server, name, **where, verb="list")
    assert _review(server, name, **where, verb="get", subresource="log")
    assert not _review(server, name, **where, verb="delete")
    assert not _review(server, name, resource="pods", namespace="default", verb="list")
    assert not _review(server, "other", **where, verb="list")
    assert _review(server, name, namespace=namespace, resource="secrets", verb="get", name="one")
    assert not _review(server, name, namespace=namespace, resource="secrets", verb="get", name="two")
    changed = server.patch(f"{rbac}/rolebindings/{name}", {"roleRef": {"name": "other"}})
    assert (changed.code, changed.reason) == (422, "Invalid")
    assert "cannot change roleRef" in changed.message


def test_one_may_ask_about_oneself(server: Server, namespace: str) -> None:
    """SelfSubjectAccessReview and SelfSubjectRulesReview."""
    path = "/apis/authorization.k8s.io/v1"
    asked = {"namespace": namespace, "verb": "create", "resource": "pods"}
    mine = server.ask("POST", f"{path}/selfsubjectaccessreviews", {"spec": {"resourceAttributes": asked}})
    assert (mine.code, mine.body["status"]["allowed"]) == (201, True)
    rules = server.ask("POST", f"{path}/selfsubjectrulesreviews", {"spec": {"namespace": namespace}})
    assert rules.code == 201
    assert {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]} in rules.body["status"]["resourceRules"]
    empty = server.ask("POST", f"{path}/selfsubjectaccessreviews", {"spec": {}})
    assert empty.code == 422


def test_health_and_version_are_told(server: Server) -> None:
    """With the trailing slashes that the official client sends."""
    for path in ("/readyz", "/livez", "/healthz"):
        assert server.ask("GET", path).body == "ok"
    assert server.ask("GET", "/version/").body["gitVersion"].startswith("v")
    assert server.ask("GET", "/api/").body["versions"] == ["v1"]
    assert server.ask("GET", "/apis/").body["kind"] == "APIGroupList"


def test_an_impersonated_user_decides(server: Server, namespace: str, core: str, name: str) -> None:
    """A request as another user has that user's rights, its groups' included, and no others."""
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
    rule = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}
    server.make(f"{rbac}/roles", {"metadata": {"name": name}, "rules": [rule]})
    subject = {"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": f"{name}-readers"}
    reference = {"kind": "Role", "apiGroup": "rbac.authorization.k8s.io", "name": name}
    binding = {"metadata": {"name": name}, "roleRef": reference, "subjects": [subject]}
    server.make(f"{rbac}/rolebindings", binding)
    bob = {"Impersonate-User": name}

    assert server.ask("GET", f"{core}/configmaps").code == 200
    refused = server.ask("GET", f"{core}/configmaps", headers=bob)
    member = server.ask("GET", f"{core}/configmaps", headers=bob | {"Impersonate-Group": f"{name}-readers"})

    assert (refused.code, refused.reason) == (403, "Forbidden")
    assert f'User "{name}" cannot list resource "configmaps"' in refused.message
    assert member.code == 200


def test_impersonation_needs_the_right(server: Server, core: str, name: str) -> None:
    """Who may not impersonate is refused by 403 with the verb and the user; groups alone are no user."""
    stranger = {"Impersonate-User": name}
    review = {"spec": {"resourceAttributes": {"verb": "impersonate", "resource": "users", "name": "admin"}}}
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"

    asked = server.ask("POST", path, review, headers=stranger)
    nobody = server.ask("GET", f"{core}/configmaps", headers={"Impersonate-Group": "system:masters"})

    assert asked.body["status"]["allowed"] is False
    assert nobody.code == 500
    assert "without impersonating a user" in nobody.message
