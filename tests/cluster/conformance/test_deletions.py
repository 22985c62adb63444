"""Deletions: at once, later, with dependents; evictions, bindings and the end of a namespace."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cluster.conformance.server import Server, config_map, deployment, pod


def test_a_deletion_is_answered_with_a_status(server: Server, core: str, name: str) -> None:
    """Success with the details; gone afterwards."""
    made = server.make(f"{core}/configmaps", config_map(name))
    answer = server.ask("DELETE", f"{core}/configmaps/{name}")
    assert answer.code == 200
    assert answer.body["status"] == "Success"
    assert answer.body["details"] == {"name": name, "kind": "configmaps", "uid": made["metadata"]["uid"]}
    assert server.ask("GET", f"{core}/configmaps/{name}").code == 404


def test_a_finalizer_holds_a_deletion_up(server: Server, core: str, name: str) -> None:
    """Marked at once; gone when the last finalizer is; no new ones meanwhile."""
    path, body = f"{core}/configmaps/{name}", config_map(name)
    body["metadata"]["finalizers"] = ["example.com/wait"]
    server.make(f"{core}/configmaps", body)
    marked = server.ask("DELETE", path)
    assert marked.code == 200
    assert marked.body["metadata"]["deletionTimestamp"]
    assert marked.body["metadata"]["deletionGracePeriodSeconds"] == 0
    more = server.patch(path, {"metadata": {"finalizers": ["example.com/wait", "example.com/more"]}})
    assert (more.code, more.reason) == (422, "Invalid")
    assert "no new finalizers can be added if the object is being deleted" in more.message
    assert server.patch(path, {"data": {"a": "1"}}).code == 200
    assert server.patch(path, {"metadata": {"finalizers": None}}).code == 200
    assert server.ask("GET", path).code == 404


@pytest.mark.parametrize(
    ("policy", "finalizer"), [("Foreground", "foregroundDeletion"), ("Orphan", "orphan")]
)
def test_dependents_are_left_to_the_garbage_collector(
    server: Server, apps: str, name: str, policy: str, finalizer: str
) -> None:
    """The object stays with the collector's finalizer until that takes it off."""
    path = f"{apps}/deployments/{name}"
    server.make(f"{apps}/deployments", deployment(name))
    answer = server.ask("DELETE", path, {"propagationPolicy": policy})
    assert answer.code == 200
    found = server.ask("GET", path)
    if found.code == 404:
        pytest.skip("this server's garbage collector was faster")
    assert found.body["metadata"]["finalizers"] == [finalizer]
    assert found.body["metadata"]["deletionTimestamp"]
    assert found.body["metadata"]["generation"] == 2
    server.patch(path, {"metadata": {"finalizers": None}})
    assert server.ask("GET", path).code == 404


def test_a_background_deletion_is_done_at_once(server: Server, apps: str, name: str) -> None:
    """The default of the apps group; the policy may also be in the query."""
    queries: list[dict[str, Any]] = [{}, {"propagationPolicy": "Background"}]
    for query in queries:
        server.make(f"{apps}/deployments", deployment(name))
        answer = server.ask("DELETE", f"{apps}/deployments/{name}", **query)
        assert answer.body["status"] == "Success"


def test_preconditions_hold_a_deletion(server: Server, core: str, name: str) -> None:
    """409 for another uid or an older version."""
    path = f"{core}/configmaps/{name}"
    made = server.make(f"{core}/configmaps", config_map(name))
    uid = made["metadata"]["uid"]
    other = server.ask("DELETE", path, {"preconditions": {"uid": "other"}})
    assert (other.code, other.reason) == (409, "Conflict")
    assert f"the UID in the precondition (other) does not match the UID in record ({uid})" in other.message
    assert server.ask("DELETE", path, {"preconditions": {"resourceVersion": "1"}}).code == 409
    assert server.ask("DELETE", path, {"preconditions": {"uid": uid}}).code == 200


def test_options_that_make_no_sense(server: Server, core: str, name: str) -> None:
    """Nothing is deleted by a request that can't be read."""
    path = f"{core}/configmaps/{name}"
    server.make(f"{core}/configmaps", config_map(name))
    assert server.ask("DELETE", path, {"propagationPolicy": "Sideways"}).code == 422
    both = {"propagationPolicy": "Orphan", "orphanDependents": True}
    assert server.ask("DELETE", path, both).code == 422
    assert server.ask("DELETE", path, {"gracePeriodSeconds": "x"}).code >= 400
    assert server.ask("DELETE", path, {"dryRun": ["no"]}).code == 422
    assert server.ask("GET", path).code == 200


def test_a_collection_is_deleted_by_selector(server: Server, core: str, name: str) -> None:
    """Only what is selected goes; the answer lists it."""
    path = f"{core}/configmaps"
    for index in range(3):
        server.make(path, config_map(f"{name}-{index}", {"case": name, "n": str(index)}))
    dry = server.ask("DELETE", path, labelSelector=f"case={name}", dryRun="All")
    assert len(dry.body["items"]) == 3
    answer = server.ask("DELETE", path, labelSelector=f"case={name},n!=1")
    assert answer.body["kind"] == "ConfigMapList"
    assert [each["metadata"]["name"] for each in answer.body["items"]] == [f"{name}-0", f"{name}-2"]
    left = server.ask("GET", path, labelSelector=f"case={name}").body["items"]
    assert [each["metadata"]["name"] for each in left] == [f"{name}-1"]


def test_a_pod_that_runs_has_a_grace_period(server: Server, core: str, name: str) -> None:
    """A pod on a node is marked and stays; grace 0 removes it."""
    path = f"{core}/pods/{name}"
    server.make(f"{core}/pods", pod(name, nodeName="nowhere", terminationGracePeriodSeconds=40))
    marked = server.ask("DELETE", path)
    assert marked.body["metadata"]["deletionGracePeriodSeconds"] == 40
    shorter = server.ask("DELETE", path, {"gracePeriodSeconds": 5})
    assert shorter.body["metadata"]["deletionGracePeriodSeconds"] == 5
    assert server.ask("GET", path).code == 200
    assert server.ask("DELETE", path, {"gracePeriodSeconds": 0}).code == 200
    assert server.ask("GET", path).code == 404


def test_a_pod_on_no_node_goes_at_once(server: Server, core: str, name: str) -> None:
    """Its last state is what comes back."""
    server.make(f"{core}/pods", pod(name, schedulerName="nobody"))
    answer = server.ask("DELETE", f"{core}/pods/{name}")
    assert answer.body["kind"] == "Pod"
    assert answer.body["metadata"]["deletionGracePeriodSeconds"] == 0
    assert answer.body["metadata"]["deletionTimestamp"]
    assert server.ask("GET", f"{core}/pods/{name}").code == 404


def test_a_pod_is_bound_to_a_node_once(server: Server, core: str, name: str) -> None:
    """A binding sets nodeName; a second one conflicts."""
    server.make(f"{core}/pods", pod(name, schedulerName="nobody"))
    binding = {"metadata": {"name": name}, "target": {"kind": "Node", "name": "somewhere"}}
    answer = server.ask("POST", f"{core}/pods/{name}/binding", binding)
    assert (answer.code, answer.body["status"]) == (201, "Success")
    found = server.ask("GET", f"{core}/pods/{name}").body
    assert found["spec"]["nodeName"] == "somewhere"
    [condition] = found["status"]["conditions"]
    assert (condition["type"], condition["status"]) == ("PodScheduled", "True")
    again = server.ask("POST", f"{core}/pods/{name}/binding", binding)
    assert (again.code, again.reason) == (409, "Conflict")
    assert f'pod {name} is already assigned to node "somewhere"' in again.message
    elsewhere = {"metadata": {"name": "other"}, "target": {"name": "somewhere"}}
    assert server.ask("POST", f"{core}/pods/{name}/binding", elsewhere).code == 400
    server.ask("DELETE", f"{core}/pods/{name}", {"gracePeriodSeconds": 0})


def test_an_eviction_asks_the_disruption_budget(server: Server, core: str, name: str) -> None:
    """429 while the budget permits none, and the budget is spent by the one that goes."""
    server.serves("/apis/policy/v1", "poddisruptionbudgets")
    namespace, labels = core.rpartition("/")[2], {"case": name}
    server.make(f"{core}/pods", pod(name, labels, nodeName="nowhere"))
    running = {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}
    assert server.patch(f"{core}/pods/{name}/status", running).code == 200
    budgets = f"/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets"
    spec = {"minAvailable": 1, "selector": {"matchLabels": labels}}
    server.make(budgets, {"metadata": {"name": name}, "spec": spec})
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
    where = f"{core}/pods/{name}/eviction"
    early = server.ask("POST", where, eviction)
    assert (early.code, early.reason) == (429, "TooManyRequests")
    counted = {"observedGeneration": 1, "disruptionsAllowed": 0, "currentHealthy": 1, "desiredHealthy": 1}
    counted["expectedPods"] = 1
    server.patch(f"{budgets}/{name}/status", {"status": counted})
    refused = server.ask("POST", where, eviction)
    assert (refused.code, refused.reason) == (429, "TooManyRequests")
    assert refused.message == "Cannot evict pod as it would violate the pod's disruption budget."
    assert refused.body["details"]["causes"] == [
        {
            "reason": "DisruptionBudget",
            "message": f"The disruption budget {name} needs 1 healthy pods and has 1 currently",
        }
    ]
    server.patch(f"{budgets}/{name}/status", {"status": {"disruptionsAllowed": 1, "currentHealthy": 2}})
    dry = server.ask("POST", where, {**eviction, "deleteOptions": {"dryRun": ["All"]}})
    assert dry.code == 201
    assert server.ask("POST", where, eviction).code == 201
    status = server.ask("GET", f"{budgets}/{name}").body["status"]
    assert status["disruptionsAllowed"] == 0
    assert list(status["disruptedPods"]) == [name]
    assert server.ask("GET", f"{core}/pods/{name}").body["metadata"]["deletionTimestamp"]
    server.ask("DELETE", f"{core}/pods/{name}", {"gracePeriodSeconds": 0})
    assert server.ask("POST", where, eviction).code == 404


def test_a_namespace_ends_when_it_is_finalized(server: Server, name: str) -> None:
    """Terminating first: nothing is made in it any more; finalized, it is gone."""
    namespace = server.new_namespace()
    path, core = f"/api/v1/namespaces/{namespace}", f"/api/v1/namespaces/{namespace}"
    made = server.ask("GET", path).body
    if server.minor > 20:
        assert made["metadata"]["labels"]["kubernetes.io/metadata.name"] == namespace
    assert made["spec"]["finalizers"] == ["kubernetes"]
    held = config_map(name)
    held["metadata"]["finalizers"] = ["example.com/wait"]
    server.make(f"{core}/configmaps", held)
    assert server.ask("DELETE", path).body["status"]["phase"] == "Terminating"
    refused = server.ask("POST", f"{core}/configmaps", config_map(f"{name}-late"))
    assert (refused.code, refused.reason) == (403, "Forbidden")
    assert refused.message == (
        f'configmaps "{name}-late" is forbidden: unable to create new content in namespace {namespace} '
        "because it is being terminated"
    )
    assert refused.body["details"]["causes"][0]["reason"] == "NamespaceTerminating"
    server.patch(f"{core}/configmaps/{name}", {"metadata": {"finalizers": None}})
    found = server.ask("GET", path)
    if found.code == 200 and not found.body["status"].get("conditions"):
        answer = server.ask("PUT", f"{path}/finalize", {**found.body, "spec": {"finalizers": []}})
        assert answer.code in (200, 409)
    if server.ask("GET", path).code == 404:
        server.namespaces.remove(namespace)


@pytest.mark.parametrize("kept", ["default", "kube-system", "kube-public"])
def test_some_namespaces_are_never_deleted(server: Server, kept: str) -> None:
    """403."""
    answer = server.ask("DELETE", f"/api/v1/namespaces/{kept}", dryRun="All")
    assert (answer.code, answer.reason) == (403, "Forbidden")
    assert answer.message == f'namespaces "{kept}" is forbidden: this namespace may not be deleted'
