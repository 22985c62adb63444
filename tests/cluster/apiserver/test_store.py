"""The store: versions, the past, and what it no longer remembers."""

from __future__ import annotations

import pytest

from bais_gates.sandbox.cluster.apiserver.store import ExpiredVersionError, Store

TYPE = ("", "configmaps")


def _object(name: str, value: int) -> dict[str, object]:
    return {"metadata": {"name": name}, "value": value}


def test_the_past_is_shown_as_it_was() -> None:
    """Later writes and removals are undone in a list at an earlier version."""
    store = Store()
    store.put(TYPE, ("n", "a"), _object("a", 1))
    version = store.version
    store.put(TYPE, ("n", "a"), _object("a", 2))
    store.put(TYPE, ("n", "b"), _object("b", 1))
    store.remove(TYPE, ("n", "a"))
    assert [(key, each["value"]) for key, each in store.items_at(TYPE, version)] == [(("n", "a"), 1)]
    assert [each["value"] for each in store.items(TYPE)] == [1]


def test_what_is_forgotten_is_expired() -> None:
    """Only so many changes are kept; asking for older ones is an error, as after etcd's compaction."""
    store = Store(kept_changes=3)
    for value in range(6):
        store.put(TYPE, ("n", "a"), _object("a", value))
    with pytest.raises(ExpiredVersionError, match="too old resource version: 2"):
        store.items_at(TYPE, 2)
    with pytest.raises(ExpiredVersionError):
        store.changes_since(TYPE, 2)
    assert len(list(store.changes_since(TYPE, store.oldest))) == 3
