"""What is made, read, replaced and listed, and what the server adds to it."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.cluster.conformance.server import Server, config_map, container, deployment, pod

MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


def test_a_new_object_gets_what_only_the_server_gives(server: Server, core: str, name: str) -> None:
    """uid, resourceVersion, creationTimestamp, managedFields are there; a client's own ones don't count."""
    body = config_map(name, a="1")
    body["metadata"] |= {"uid": "mine", "creationTimestamp": "2001-01-01T00:00:00Z"}
    answer = server.ask("POST", f"{core}/configmaps", body, fieldManager="me")
    metadata = answer.body["metadata"]
    assert answer.code == 201
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", metadata["uid"])
    assert metadata["resourceVersion"].isdecimal()
    assert metadata["creationTimestamp"] > "2020"
    [entry] = metadata["managedFields"]
    assert (entry["manager"], entry["operation"], entry["fieldsType"]) == ("me", "Update", "FieldsV1")
    assert entry["fieldsV1"] == {"f:data": {".": {}, "f:a": {}}}
    assert "labels" not in metadata
    assert server.ask("GET", f"{core}/configmaps/{name}").body == answer.body


def test_a_missing_object_is_not_found(server: Server, core: str, apps: str) -> None:
    """The Status names the resource as the API does."""
    assert server.ask("GET", f"{core}/configmaps/nope").body == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": 'configmaps "nope" not found',
        "reason": "NotFound",
        "details": {"name": "nope", "kind": "configmaps"},
        "code": 404,
    }
    found = server.ask("DELETE", f"{apps}/deployments/nope")
    assert found.message == 'deployments.apps "nope" not found'
    assert found.body["details"] == {"name": "nope", "group": "apps", "kind": "deployments"}


def test_a_name_that_is_taken_conflicts(server: Server, core: str, name: str) -> None:
    """409 AlreadyExists."""
    server.make(f"{core}/configmaps", config_map(name))
    answer = server.ask("POST", f"{core}/configmaps", config_map(name))
    assert (answer.code, answer.reason) == (409, "AlreadyExists")
    assert answer.message == f'configmaps "{name}" already exists'
    assert answer.body["details"] == {"name": name, "kind": "configmaps"}


def test_a_name_is_generated(server: Server, core: str, name: str) -> None:
    """Five letters without vowels after the prefix, another one each time."""
    body = {"metadata": {"generateName": f"{name}-"}}
    made = [server.make(f"{core}/configmaps", body)["metadata"] for _ in range(2)]
    for metadata in made:
        assert re.fullmatch(rf"{name}-[bcdfghjklmnpqrstvwxz2456789]{{5}}", metadata["name"])
        assert metadata["generateName"] == f"{name}-"
    assert made[0]["name"] != made[1]["name"]


def test_nameless_is_invalid(server: Server, core: str) -> None:
    """A name or a prefix is required."""
    answer = server.ask("POST", f"{core}/configmaps", {"metadata": {}})
    assert (answer.code, answer.reason) == (422, "Invalid")
    assert answer.message == (
        'ConfigMap "" is invalid: metadata.name: Required value: name or generateName is required'
    )


def test_an_older_version_conflicts(server: Server, core: str, name: str) -> None:
    """PUT with a resourceVersion that has passed is 409; without one it goes through."""
    path = f"{core}/configmaps/{name}"
    made = server.make(f"{core}/configmaps", config_map(name, a="1"))
    newer = server.ask("PUT", path, {**made, "data": {"a": "2"}})
    assert newer.code == 200
    assert newer.body["metadata"]["resourceVersion"] != made["metadata"]["resourceVersion"]
    older = server.ask("PUT", path, {**made, "data": {"a": "3"}})
    assert (older.code, older.reason) == (409, "Conflict")
    assert older.message == f'Operation cannot be fulfilled on configmaps "{name}": {MODIFIED}'
    assert server.ask("PUT", path, config_map(name, a="4")).code == 200


def test_a_lease_has_one_holder(server: Server, namespace: str, name: str) -> None:
    """A second Lease of that name is 409, and so is a renewal by somebody who has not seen the last one."""
    path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
    lease = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name},
        "spec": {
            "holderIdentity": "one",
            "leaseDurationSeconds": 30,
            "renewTime": "2026-01-01T00:00:00.000000Z",
        },
    }
    made = server.make(path, lease)
    second = server.ask("POST", path, {**lease, "spec": {"holderIdentity": "two"}})
    assert (second.code, second.reason) == (409, "AlreadyExists")
    assert second.headers["date"]  # by which a Lease has expired or not
    taken = server.ask("PUT", f"{path}/{name}", {**made, "spec": {**made["spec"], "holderIdentity": "two"}})
    assert (taken.code, taken.body["spec"]["holderIdentity"]) == (200, "two")
    renewed = server.ask("PUT", f"{path}/{name}", made)
    assert (renewed.code, renewed.reason) == (409, "Conflict")
    assert renewed.message.endswith(MODIFIED)
    assert server.ask("GET", f"{path}/{name}").body == taken.body


def test_a_write_that_changes_nothing_is_none(server: Server, core: str, name: str) -> None:
    """The same object put again keeps its resourceVersion."""
    made = server.make(f"{core}/configmaps", config_map(name, a="1"))
    again = server.ask("PUT", f"{core}/configmaps/{name}", made)
    assert again.body == made


def test_names_and_namespaces_must_agree(server: Server, core: str, name: str) -> None:
    """400 when the body names another object or another namespace than the path."""
    server.make(f"{core}/configmaps", config_map(name))
    other = server.ask("PUT", f"{core}/configmaps/{name}", config_map("other"))
    assert (other.code, other.reason) == (400, "BadRequest")
    assert other.message == (f"the name of the object (other) does not match the name on the URL ({name})")
    body = config_map(name)
    body["metadata"]["namespace"] = "elsewhere"
    elsewhere = server.ask("POST", f"{core}/configmaps", body)
    assert elsewhere.code == 400
    assert elsewhere.message == (
        "the namespace of the provided object does not match the namespace sent on the request"
    )


def test_generation_counts_changes_of_what_is_wanted(server: Server, apps: str, name: str) -> None:
    """A changed spec counts; labels and status do not."""
    path = f"{apps}/deployments/{name}"
    assert server.make(f"{apps}/deployments", deployment(name))["metadata"]["generation"] == 1
    labelled = server.patch(path, {"metadata": {"labels": {"a": "b"}}})
    assert labelled.body["metadata"]["generation"] == 1
    changed = server.patch(path, {"spec": {"minReadySeconds": 3}})
    assert changed.body["metadata"]["generation"] == 2
    told = server.patch(f"{path}/status", {"status": {"replicas": 3}})
    assert told.body["metadata"]["generation"] == 2
    assert told.body["status"]["replicas"] == 3


def test_status_and_spec_are_separate(server: Server, apps: str, name: str) -> None:
    """A write of the object leaves its status, a write of the status leaves the spec."""
    path = f"{apps}/deployments/{name}"
    made = server.make(f"{apps}/deployments", {**deployment(name), "status": {"replicas": 9}})
    assert made["status"] == {}
    made["status"], made["spec"]["minReadySeconds"] = {"observedGeneration": 7}, 5
    told = server.ask("PUT", f"{path}/status", made)
    assert told.body["status"] == {"observedGeneration": 7}
    assert "minReadySeconds" not in told.body["spec"]
    put = server.ask("PUT", path, {**deployment(name), "status": {"observedGeneration": 8}})
    assert put.body["status"] == {"observedGeneration": 7}
    assert server.ask("GET", f"{path}/status").body == put.body


def test_scale_is_read_and_changed(server: Server, apps: str, name: str) -> None:
    """The Scale shows the replicas and the selector; changing it changes the object."""
    path = f"{apps}/deployments/{name}"
    server.make(f"{apps}/deployments", deployment(name, replicas=2))
    scale = server.ask("GET", f"{path}/scale").body
    assert (scale["kind"], scale["apiVersion"]) == ("Scale", "autoscaling/v1")
    assert scale["spec"] == {"replicas": 2}
    assert scale["status"] == {"replicas": 0, "selector": f"app={name}"}
    changed = server.ask("PUT", f"{path}/scale", {**scale, "spec": {"replicas": 5}})
    assert (changed.code, changed.body["spec"]) == (200, {"replicas": 5})
    older = server.ask("PUT", f"{path}/scale", scale)
    assert (older.code, older.reason) == (409, "Conflict")
    assert server.patch(f"{path}/scale", {"spec": {"replicas": 1}}).body["spec"] == {"replicas": 1}
    found = server.ask("GET", path).body
    assert (found["spec"]["replicas"], found["metadata"]["generation"]) == (1, 3)
    wrong = server.patch(f"{path}/scale", {"spec": {"replicas": -1}})
    assert (wrong.code, wrong.reason) == (422, "Invalid")
    assert "spec.replicas: Invalid value: -1: must be greater than or equal to 0" in wrong.message


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_dry_run_changes_nothing(server: Server, core: str, name: str, method: str) -> None:
    """dryRun=All answers as if it were done."""
    made = server.make(f"{core}/configmaps", config_map(name, a="1"))
    path, body = f"{core}/configmaps/{name}", config_map(name, a="2")
    if method == "POST":
        answer = server.ask("POST", f"{core}/configmaps", config_map(f"{name}-b"), dryRun="All")
        assert answer.code == 201
        assert server.ask("GET", f"{core}/configmaps/{name}-b").code == 404
    elif method == "PATCH":
        answer = server.patch(path, {"data": {"a": "2"}}, dryRun="All")
        assert answer.body["data"] == {"a": "2"}
    elif method == "PUT":
        answer = server.ask("PUT", path, body, dryRun="All")
        assert answer.body["data"] == {"a": "2"}
    else:
        assert server.ask("DELETE", path, dryRun="All").body["status"] == "Success"
    assert server.ask("GET", path).body == made


def test_a_dry_run_is_all_or_an_error(server: Server, core: str, name: str) -> None:
    """Only the word All is known."""
    answer = server.ask("POST", f"{core}/configmaps", config_map(name), dryRun="yes")
    assert (answer.code, answer.reason) == (422, "Invalid")
    assert answer.body["details"]["causes"][0]["field"] == "dryRun"


def test_defaults_are_filled_in(server: Server, core: str, apps: str, name: str) -> None:
    """The fields that everybody reads are there although nobody wrote them."""
    spec = server.make(f"{apps}/deployments", deployment(name))["spec"]
    assert spec["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"},
    }
    assert (spec["revisionHistoryLimit"], spec["progressDeadlineSeconds"]) == (10, 600)
    template = spec["template"]["spec"]
    assert template["restartPolicy"] == "Always"
    assert template["terminationGracePeriodSeconds"] == 30
    assert template["containers"][0]["imagePullPolicy"] == "IfNotPresent"
    port = {"port": 80}
    service = server.make(
        f"{core}/services",
        {"metadata": {"name": name}, "spec": {"ports": [port], "selector": {"a": "b"}}},
    )
    assert service["spec"]["ports"] == [{"port": 80, "protocol": "TCP", "targetPort": 80}]
    assert service["spec"]["type"] == "ClusterIP"
    assert service["spec"]["clusterIP"].count(".") == 3
    server.ask("DELETE", f"{core}/services/{name}")


def test_string_data_is_folded_into_data(server: Server, core: str, name: str) -> None:
    """A Secret's stringData is never given back."""
    body = {"metadata": {"name": name}, "data": {"a": "eA=="}, "stringData": {"a": "one", "b": "two"}}
    made = server.make(f"{core}/secrets", body)
    assert made["data"] == {"a": "b25l", "b": "dHdv"}
    assert "stringData" not in made
    assert made["type"] == "Opaque"


def _made(server: Server, core: str, name: str, count: int = 5) -> None:
    for index in range(count):
        labels = {"case": name, "n": str(index), **({"odd": "yes"} if index % 2 else {})}
        server.make(f"{core}/configmaps", config_map(f"{name}-{index}", labels))


def test_a_list_has_a_kind_and_a_version(server: Server, core: str, name: str) -> None:
    """Items of built-in kinds don't repeat apiVersion and kind."""
    _made(server, core, name, 2)
    found = server.ask("GET", f"{core}/configmaps", labelSelector=f"case={name}").body
    assert (found["kind"], found["apiVersion"]) == ("ConfigMapList", "v1")
    assert found["metadata"]["resourceVersion"].isdecimal()
    assert [each["metadata"]["name"] for each in found["items"]] == [f"{name}-0", f"{name}-1"]
    assert "kind" not in found["items"][0]


@pytest.mark.parametrize(
    ("selector", "numbers"),
    [
        ("odd", "13"),
        ("!odd", "024"),
        ("odd=yes", "13"),
        ("odd==yes", "13"),
        ("odd!=yes", "024"),
        ("n in (1,3,9)", "13"),
        ("n notin (1,3)", "024"),
        ("n>2", "34"),
        ("n<1", "0"),
        ("odd=yes,n!=1", "3"),
        ("n=", ""),
    ],
)
def test_label_selectors(server: Server, core: str, selector: str, numbers: str) -> None:
    """Every form of a label selector."""
    if server.ask("GET", f"{core}/configmaps/selected-0").code == 404:
        _made(server, core, "selected")
    found = server.ask("GET", f"{core}/configmaps", labelSelector=f"case=selected,{selector}")
    assert "".join(each["metadata"]["labels"]["n"] for each in found.body["items"]) == numbers


def test_field_selectors(server: Server, core: str, name: str) -> None:
    """Names everywhere, a pod's phase and node where it has them."""
    server.make(f"{core}/pods", pod(name, {"case": name}, nodeName="somewhere"))
    for selector, count in {
        f"metadata.name={name}": 1,
        f"metadata.name!={name}": 0,
        "spec.nodeName=somewhere": 1,
        "spec.nodeName=": 0,
        "status.phase=Pending": 1,
        "status.phase!=Pending": 0,
        f"status.phase=Pending,metadata.name={name}": 1,
        "spec.restartPolicy=Always": 1,
    }.items():
        found = server.ask("GET", f"{core}/pods", labelSelector=f"case={name}", fieldSelector=selector)
        assert len(found.body["items"]) == count, selector
    server.ask("DELETE", f"{core}/pods/{name}", {"gracePeriodSeconds": 0})


def test_pages_follow_one_another(server: Server, core: str, name: str) -> None:
    """Pages show one state of the collection, whatever is written meanwhile."""
    namespace = server.new_namespace()
    core = f"/api/v1/namespaces/{namespace}"
    have = len(server.ask("GET", f"{core}/configmaps").body["items"])
    _made(server, core, name, 5)
    first = server.ask("GET", f"{core}/configmaps", limit=2).body
    assert len(first["items"]) == 2
    assert first["metadata"]["remainingItemCount"] == 3 + have
    server.make(f"{core}/configmaps", config_map("zzz"))
    server.ask("DELETE", f"{core}/configmaps/{name}-4")
    second = server.ask("GET", f"{core}/configmaps", limit=500, **{"continue": first["metadata"]["continue"]})
    names = [each["metadata"]["name"] for each in first["items"] + second.body["items"]]
    assert [each for each in names if each.startswith(name)] == [f"{name}-{n}" for n in range(5)]
    assert "zzz" not in names
    assert second.body["metadata"] == {"resourceVersion": first["metadata"]["resourceVersion"]}


def test_a_page_that_was_selected_says_nothing_of_the_rest(server: Server, core: str, name: str) -> None:
    """With a selector, no count of what remains; what remains may turn out to be nothing."""
    _made(server, core, name, 3)
    query: dict[str, Any] = {"labelSelector": f"case={name}", "limit": 2}
    first = server.ask("GET", f"{core}/configmaps", **query).body
    assert len(first["items"]) == 2
    assert "remainingItemCount" not in first["metadata"]
    rest = server.ask(
        "GET", f"{core}/configmaps", **query, **{"continue": first["metadata"]["continue"]}
    ).body
    assert [each["metadata"]["name"] for each in rest["items"]] == [f"{name}-2"]


def test_tables_are_shown_to_kubectl(server: Server, core: str, name: str) -> None:
    """The answer as columns and rows, each row with the metadata of its object."""
    server.make(f"{core}/configmaps", config_map(name, a="1", b="2"))
    accept = {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    table = server.ask("GET", f"{core}/configmaps/{name}", headers=accept).body
    assert (table["kind"], table["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Data", "Age"]
    assert table["rows"][0]["cells"][:2] == [name, 2]
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"


def test_a_container_without_a_name_is_told_where(server: Server, core: str, name: str) -> None:
    """422 with every cause and its path."""
    body = pod(name)
    body["spec"]["containers"] = [container(""), container("A")]
    answer = server.ask("POST", f"{core}/pods", body)
    assert (answer.code, answer.reason) == (422, "Invalid")
    details = answer.body["details"]
    assert (details["name"], details["kind"]) == (name, "Pod")
    causes = {(each["field"], each["reason"]) for each in details["causes"]}
    assert ("spec.containers[0].name", "FieldValueRequired") in causes
    assert ("spec.containers[1].name", "FieldValueInvalid") in causes
