"""Watches: what they begin with, what they are told, when they end."""

from __future__ import annotations

from typing import Any

from tests.cluster.conformance.server import Server, config_map


def _seen(events: list[Any]) -> list[tuple[str, str]]:
    return [(each["type"], each["object"]["metadata"]["name"]) for each in events]


def test_a_watch_from_a_version_tells_what_came_after(server: Server, core: str, name: str) -> None:
    """ADDED, MODIFIED and DELETED in order, each at its own version."""
    path = f"{core}/configmaps"
    before = server.ask("GET", path).body["metadata"]["resourceVersion"]
    labels = {"case": name}
    server.make(path, config_map(name, labels, a="1"))
    changed = server.patch(f"{path}/{name}", {"data": {"a": "2"}}).body
    server.ask("DELETE", f"{path}/{name}")
    events = server.watch(path, resourceVersion=before, labelSelector=f"case={name}")
    assert _seen(events) == [("ADDED", name), ("MODIFIED", name), ("DELETED", name)]
    assert events[1]["object"] == changed
    versions = [int(each["object"]["metadata"]["resourceVersion"]) for each in events]
    assert versions == sorted(set(versions))
    assert events[0]["object"]["kind"] == "ConfigMap"


def test_a_watch_without_a_version_begins_with_what_is_there(server: Server, core: str, name: str) -> None:
    """Each object is ADDED; the watch ends after timeoutSeconds."""
    server.make(f"{core}/configmaps", config_map(name, {"case": name}))
    for version in ({}, {"resourceVersion": "0"}):
        events = server.watch(f"{core}/configmaps", labelSelector=f"case={name}", **version)
        assert _seen(events) == [("ADDED", name)]


def test_what_leaves_a_selection_is_deleted_for_it(server: Server, core: str, name: str) -> None:
    """A changed label is ADDED and DELETED to a watch with a selector."""
    path = f"{core}/configmaps"
    made = server.make(path, config_map(name))
    for value in ("yes", "no"):
        server.patch(f"{path}/{name}", {"metadata": {"labels": {"in": value}}})
    events = server.watch(
        path,
        resourceVersion=made["metadata"]["resourceVersion"],
        labelSelector="in=yes",
        fieldSelector=f"metadata.name={name}",
    )
    assert _seen(events) == [("ADDED", name), ("DELETED", name)]
    assert events[1]["object"]["metadata"]["labels"] == {"in": "yes"}


def test_one_object_can_be_watched_by_its_name(server: Server, core: str, name: str) -> None:
    """By the field metadata.name."""
    path = f"{core}/configmaps"
    made = server.make(path, config_map(name))
    server.make(path, config_map(f"{name}-other"))
    server.patch(f"{path}/{name}", {"data": {"a": "1"}})
    version = made["metadata"]["resourceVersion"]
    events = server.watch(path, resourceVersion=version, fieldSelector=f"metadata.name={name}")
    assert _seen(events) == [("MODIFIED", name)]


def test_a_watch_of_a_table_names_its_columns_once(server: Server, core: str, name: str) -> None:
    """As kubectl get --watch asks."""
    server.make(f"{core}/configmaps", config_map(name, {"case": name}))
    server.make(f"{core}/configmaps", config_map(f"{name}-2", {"case": name}))
    answer = server.ask(
        "GET",
        f"{core}/configmaps",
        watch=True,
        timeoutSeconds=1,
        labelSelector=f"case={name}",
        headers={"accept": "application/json;as=Table;v=v1;g=meta.k8s.io"},
    )
    first, second = answer.body.splitlines()
    assert '"columnDefinitions":[{' in first
    assert '"columnDefinitions":null' in second or "columnDefinitions" not in second


def test_a_version_to_come_is_waited_for_in_vain(server: Server, core: str) -> None:
    """504 with the cause ResourceVersionTooLarge."""
    answer = server.ask("GET", f"{core}/configmaps", resourceVersion=10**15)
    assert (answer.code, answer.reason) == (504, "Timeout")
    assert answer.body["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"
