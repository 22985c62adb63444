"""Strategic merge patches merge lists by key; merge and JSON patches know no keys."""

from __future__ import annotations

from typing import Any

import pytest

from bais_gates.sandbox.cluster.apiserver import kinds
from tests.cluster.kinds.objects import Obj, created, kind


def containers(patched: Obj) -> list[Obj]:
    """Return the containers of a Deployment."""
    found: list[Obj] = patched["spec"]["template"]["spec"]["containers"]
    return found


def patched_deployment(pod_spec: Any) -> Obj:
    """Return a stored Deployment after a strategic merge patch of its pods."""
    patch = {"spec": {"template": {"spec": pod_spec}}}
    return kinds.strategic_merge(kind("Deployment"), created("Deployment"), patch)


def test_containers_merge_by_name() -> None:
    """A container of the same name keeps what the patch doesn't say; a new one is placed as patched."""
    made = containers(
        patched_deployment({"containers": [{"name": "side", "image": "s"}, {"name": "web", "image": "n"}]})
    )

    assert [(item["name"], item["image"]) for item in made] == [("side", "s"), ("web", "n")]
    assert made[1]["ports"] == [{"containerPort": 80, "protocol": "TCP"}]


def test_a_new_container_comes_first() -> None:
    """An item that only the patch has comes before those that only the object has."""
    made = containers(patched_deployment({"containers": [{"name": "side", "image": "s"}]}))

    assert [item["name"] for item in made] == ["side", "web"]


def test_directives_delete_and_replace() -> None:
    """$patch takes an item out, or puts a whole part in place of the old one."""
    gone = patched_deployment({"containers": [{"name": "web", "$patch": "delete"}]})
    replaced = patched_deployment({"$patch": "replace", "containers": [{"name": "new", "image": "n"}]})

    assert containers(gone) == []
    assert replaced["spec"]["template"]["spec"] == {"containers": [{"name": "new", "image": "n"}]}


def test_retained_keys_drop_the_others() -> None:
    """$retainKeys leaves only the keys it names, as kubectl uses for a strategy's kind."""
    patch = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}

    made = kinds.strategic_merge(kind("Deployment"), created("Deployment"), patch)

    assert made["spec"]["strategy"] == {"type": "Recreate"}


def test_the_order_of_elements_can_be_set() -> None:
    """$setElementOrder puts the items in the order it names."""
    live = created("Deployment")
    two = kinds.strategic_merge(
        kind("Deployment"),
        live,
        {"spec": {"template": {"spec": {"containers": [{"name": "side", "image": "s"}]}}}},
    )
    order = {
        "spec": {"template": {"spec": {"$setElementOrder/containers": [{"name": "web"}, {"name": "side"}]}}}
    }

    made = kinds.strategic_merge(kind("Deployment"), two, order)

    assert [item["name"] for item in containers(made)] == ["web", "side"]


def test_texts_are_added_to_and_taken_from_finalizers() -> None:
    """A merging list of texts grows; $deleteFromPrimitiveList takes out."""
    live = created("ConfigMap", metadata__finalizers=["a.example/x"])

    more = kinds.strategic_merge(kind("ConfigMap"), live, {"metadata": {"finalizers": ["b.example/y"]}})
    less = kinds.strategic_merge(
        kind("ConfigMap"), more, {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a.example/x"]}}
    )

    assert sorted(more["metadata"]["finalizers"]) == ["a.example/x", "b.example/y"]
    assert less["metadata"]["finalizers"] == ["b.example/y"]


def test_null_removes_and_plain_lists_are_replaced() -> None:
    """Null takes a field away; a list without merge key is replaced as a whole."""
    made = patched_deployment({"dnsPolicy": None, "containers": [{"name": "web", "args": ["b"]}]})

    assert "dnsPolicy" not in made["spec"]["template"]["spec"]
    assert containers(made)[0]["args"] == ["b"]


def test_an_item_without_its_key_is_refused() -> None:
    """An item of a merging list that doesn't say its key can't be placed."""
    with pytest.raises(kinds.Failed, match=r"map: .*image.* does not contain declared merge key: name"):
        patched_deployment({"containers": [{"image": "x"}]})


def test_a_merge_patch_follows_the_rfc() -> None:
    """Objects merge, null removes, everything else replaces; the arguments stay."""
    live = {"a": {"b": 1, "c": [1]}, "d": 1}

    assert kinds.merge_patch(live, {"a": {"c": [2], "e": {"f": None}}, "d": None}) == {
        "a": {"b": 1, "c": [2], "e": {}}
    }
    assert live == {"a": {"b": 1, "c": [1]}, "d": 1}


def test_a_json_patch_applies_or_says_why_not() -> None:
    """Operations apply in order; one that finds no place, or a test that fails, is unprocessable."""
    live = {"a": [1, 2]}

    assert kinds.json_patch(live, [{"op": "add", "path": "/a/-", "value": 3}]) == {"a": [1, 2, 3]}
    for patch in ([{"op": "test", "path": "/a", "value": 1}], [{"op": "remove", "path": "/nowhere"}]):
        with pytest.raises(kinds.Unprocessable):
            kinds.json_patch(live, patch)
    for malformed in ({"op": "add"}, [{"op": "fly", "path": "/a"}]):
        with pytest.raises((kinds.BadRequest, kinds.Unprocessable)):
            kinds.json_patch(live, malformed)
    assert live == {"a": [1, 2]}
