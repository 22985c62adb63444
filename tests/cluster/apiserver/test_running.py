"""What only the stand-in has: its log of requests, its pods' logs, and that nothing upsets it."""

from __future__ import annotations

import itertools
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from bais_gates.sandbox.cluster.apiserver import unsupported
from tests.cluster.conformance.server import (
    APPLY_PATCH,
    JSON_PATCH,
    MERGE_PATCH,
    STRATEGIC_PATCH,
    Server,
    config_map,
    pod,
)


def _audited(server: Server) -> list[dict[str, Any]]:
    lines = (server.kubeconfig.parent / "audit.log").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_every_request_leaves_a_line(server: Server, core: str) -> None:
    """audit.k8s.io/v1 at level Metadata, as kube-apiserver writes it."""
    server.ask("GET", f"{core}/configmaps/audited", headers={"user-agent": "a-test/1"})
    event = next(each for each in _audited(server) if each.get("userAgent") == "a-test/1")
    assert (event["kind"], event["apiVersion"]) == ("Event", "audit.k8s.io/v1")
    assert event["level"] == "Metadata"
    assert (event["stage"], event["verb"], event["user"]["username"]) == ("ResponseComplete", "get", "admin")
    assert event["objectRef"] == {
        "resource": "configmaps",
        "namespace": core.rpartition("/")[2],
        "name": "audited",
        "apiVersion": "v1",
    }
    assert (event["responseStatus"]["code"], event["responseStatus"]["reason"]) == (404, "NotFound")
    assert event["requestURI"] == f"{core}/configmaps/audited"
    assert event["requestReceivedTimestamp"].endswith("Z")


def test_a_secret_is_never_in_the_audit_log(server: Server, core: str) -> None:
    """Level Metadata has no bodies."""
    server.make(f"{core}/secrets", {"metadata": {"name": "s"}, "stringData": {"a": "s3cr3t-value"}})
    assert "s3cr3t-value" not in (server.kubeconfig.parent / "audit.log").read_text()


def test_a_log_is_read_from_the_annotated_file(server: Server, core: str, tmp_path: Path) -> None:
    """The whole of it, or its last lines; 404 without a pod."""
    path = tmp_path / "log"
    path.write_text("one\ntwo\nthree\n")
    body = pod("logs", nodeName="n")
    body["metadata"]["annotations"] = {"sandbox.bais-gates/log": str(path)}
    server.make(f"{core}/pods", body)
    assert server.ask("GET", f"{core}/pods/logs/log").body == "one\ntwo\nthree\n"
    assert server.ask("GET", f"{core}/pods/logs/log", tailLines=1).body == "three\n"
    assert server.ask("GET", f"{core}/pods/logs/log", container="other").code == 400
    assert server.ask("GET", f"{core}/pods/nope/log").code == 404


def test_what_is_not_served_is_refused_in_one_sentence(server: Server, core: str) -> None:
    """Protobuf, streamed lists and lists of the past are refused by name."""
    protobuf = server.ask("POST", f"{core}/configmaps", b"k8s", media="application/vnd.kubernetes.protobuf")
    assert (protobuf.code, protobuf.reason) == (415, "UnsupportedMediaType")
    assert protobuf.message == f"the sandbox's API server {unsupported.PROTOBUF}"
    streamed = server.ask("GET", f"{core}/configmaps", watch=True, sendInitialEvents=True)
    assert (streamed.code, streamed.reason) == (422, "Invalid")
    exact = server.ask("GET", f"{core}/configmaps", resourceVersion=1, resourceVersionMatch="Exact")
    assert exact.message == "the sandbox's API server does not serve resourceVersionMatch=Exact"
    daemon_set = server.ask("POST", f"/apis/apps/v1/namespaces/{core.rpartition('/')[2]}/daemonsets", {})
    assert (daemon_set.code, daemon_set.reason) == (405, "MethodNotAllowed")
    assert daemon_set.message == "the sandbox's API server does not serve create of daemonsets"


@pytest.mark.parametrize("what", [*unsupported.SUBRESOURCES, *unsupported.GROUPS])
def test_what_help_lists_is_refused_in_the_same_words(server: Server, core: str, what: str) -> None:
    """Every resource and group of the one list is answered by a Status with the list's sentence."""
    plural, _, part = what.partition("/")
    root = "/api/v1" if plural == "nodes" else core
    path = f"{root}/{plural}/x/{part}" if part else f"/apis/{what}/v1/things"

    answer = server.ask("POST", path)

    assert (answer.code, answer.reason) == (404, "NotFound")
    assert answer.message == unsupported.refusal(what)
    assert answer.message.removeprefix("the sandbox's API server ") in unsupported.sentences()


def test_an_unlisted_subresource_is_refused_by_name(server: Server, core: str) -> None:
    """What is not on the list is not served, either."""
    answer = server.ask("GET", f"{core}/pods/x/mirror")
    assert (answer.code, answer.message) == (404, "the sandbox's API server does not serve pods/mirror")


BODIES = [
    *(b"", b"{", b"[]", b"null", b"5", b'"x"', b"\xff", b"[" * 2000, b"a: &a [*a]", b'{"kind": 5}'),
    *(b'{"metadata": 5}', b'{"metadata": []}', b'{"metadata": {"name": 5}}', b'{"metadata": {"labels": []}}'),
    *(b'{"metadata": {"managedFields": 5}}', b'{"metadata": {"finalizers": 5}}', b'{"status": 5}'),
    *(b'{"metadata": {"ownerReferences": [5]}}', b'{"spec": []}', b'{"spec": {"a": 1}}', b"[5]"),
    *(b'{"spec": {"containers": 5}}', b'{"spec": {"containers": [5]}}', b'{"spec": {"replicas": 1e99}}'),
    *(b'[{"op": "x"}]', b'{"target": 5}', b'{"deleteOptions": 5}'),
]
MEDIA = [
    *("application/json", "application/yaml", "application/vnd.kubernetes.protobuf"),
    *(JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, APPLY_PATCH),
]
PATHS = [
    "pods",
    "pods/victim",
    "pods/victim/status",
    "pods/victim/eviction",
    "pods/victim/binding",
    "configmaps/v",
    "serviceaccounts",
    "services",
    "events",
]


@pytest.mark.parametrize("path", PATHS)
def test_bad_input_is_never_our_fault(server: Server, core: str, path: str) -> None:
    """Whatever a body is, the answer is not an internal error."""
    if server.ask("GET", f"{core}/pods/victim").code == 404:
        server.make(f"{core}/pods", pod("victim", nodeName="n"))
    for body in BODIES:
        for media in MEDIA:
            for method in ("PATCH",) if "patch" in media else ("POST", "PUT"):
                query: dict[str, Any] = {"fieldManager": "m", "dryRun": "All"}
                answer = server.ask(method, f"{core}/{path}", body, media=media, **query)
                assert "Internal error" not in answer.message, (method, media, body)


QUERIES = [
    *(
        "limit=x",
        "limit=-1",
        "limit=99999999999999999999",
        "continue=%00",
        "continue=bnVsbA",
        "continue=WzVd",
    ),
    *(
        "labelSelector=%28",
        "fieldSelector==",
        "timeoutSeconds=x&watch=1",
        "resourceVersion=-1",
        "watch=maybe",
    ),
]


@pytest.mark.parametrize("query", QUERIES)
def test_bad_queries_are_never_our_fault(server: Server, core: str, query: str) -> None:
    """Neither is a query."""
    assert "Internal error" not in server.ask("GET", f"{core}/configmaps?{query}").message


def test_of_many_writers_one_wins_each_time(server: Server, core: str) -> None:
    """No increment is lost to optimistic concurrency."""
    server.make(f"{core}/configmaps", config_map("counter", n="0"))
    path = f"{core}/configmaps/counter"

    def increment(_: int) -> int:
        for conflicts in range(200):
            found = server.ask("GET", path).body
            found["data"]["n"] = str(int(found["data"]["n"]) + 1)
            if server.ask("PUT", path, found).code == 200:
                return conflicts
        raise AssertionError("never got through")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(increment, range(40)))
    assert server.ask("GET", path).body["data"]["n"] == "40"


def test_many_watches_are_told_of_every_change(server: Server, core: str) -> None:
    """Twenty watches see the same hundred changes in the same order."""
    begin = server.ask("GET", f"{core}/configmaps").body["metadata"]["resourceVersion"]
    query = {"watch": "1", "resourceVersion": begin, "timeoutSeconds": "30", "labelSelector": "many"}

    def watch(_: int) -> list[str]:
        with server.http.stream("GET", f"{core}/configmaps", params=query) as answer:
            lines = itertools.islice(answer.iter_lines(), 100)
            return [json.loads(line)["object"]["metadata"]["resourceVersion"] for line in lines]

    def write() -> None:
        for index in range(100):
            server.make(f"{core}/configmaps", config_map(f"many-{index}", {"many": "1"}))

    writer = threading.Thread(target=write)
    with ThreadPoolExecutor(20) as pool:
        writer.start()
        seen = list(pool.map(watch, range(20)))
    writer.join()
    assert len(seen[0]) == 100
    assert all(each == seen[0] for each in seen)
    assert seen[0] == sorted(seen[0], key=int)
