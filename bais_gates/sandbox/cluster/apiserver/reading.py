"""Get, list and watch."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bais_gates.sandbox.cluster.apiserver import selectors
from bais_gates.sandbox.cluster.apiserver.core import key_of, resource_of, type_of
from bais_gates.sandbox.cluster.apiserver.statuses import (
    StatusError,
    bad_request,
    expired,
    invalid,
    not_found,
    too_large_version,
)
from bais_gates.sandbox.cluster.apiserver.store import ExpiredVersionError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from bais_gates.sandbox.cluster.apiserver.core import Core
    from bais_gates.sandbox.cluster.apiserver.kinds import Kind
    from bais_gates.sandbox.cluster.apiserver.request import Request
    from bais_gates.sandbox.cluster.apiserver.store import Change, Watcher

Object = dict[str, Any]
BOOKMARKS_EVERY_S = 60.0


def get(core: Core, kind: Kind, namespace: str, name: str) -> Object:
    """Return one object; raises 404."""
    found = core.store.get(type_of(kind), key_of(kind, namespace, name))
    if found is None:
        raise not_found(resource_of(kind), name)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One answer to a list: the objects, the version they are of, and how to go on."""

    items: list[Object]
    version: int
    continue_token: str = ""
    remaining: int | None = None

    @property
    def metadata(self) -> Object:
        """The list's metadata."""
        found: Object = {"resourceVersion": str(self.version)}
        if self.continue_token:
            found["continue"] = self.continue_token
            if self.remaining is not None:
                found["remainingItemCount"] = self.remaining
        return found


def selection(request: Request, kind: Kind) -> Callable[[Object], bool] | None:
    """Return the test that the request's selectors are; raises 400 for one that can't be read."""
    labels, fields = request.option("labelSelector"), request.option("fieldSelector")
    try:
        wanted = selectors.parse_labels(labels)
        return selectors.matcher(wanted, selectors.parse_fields(fields, str(resource_of(kind))))
    except selectors.SelectorError as error:
        raise bad_request(str(error)) from error


def version_asked(request: Request) -> int:
    """Return the resourceVersion of a list or watch, 0 without one; raises 500 when it is no number."""
    text = request.option("resourceVersion")
    if not text:
        return 0
    if not text.isdecimal():
        # The real server does not foresee this one: it is an unknown error there.
        why = f'Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax'
        raise StatusError(500, "", f"resourceVersion: {why}")
    return int(text)


def _number(request: Request, name: str) -> int:
    text = request.option(name)
    try:
        return int(text) if text else 0
    except ValueError:
        raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None


def _refuse_unserved(request: Request) -> None:
    """Refuse the options of a list or watch that are not served, and not to be ignored either."""
    if request.option("sendInitialEvents"):  # clients that try it fall back to a list
        message = (
            "Forbidden: sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled"
        )
        cause = ("FieldValueForbidden", message, "sendInitialEvents")
        raise invalid("meta.k8s.io", "ListOptions", "", [cause])
    if request.option("resourceVersionMatch") == "Exact":
        raise bad_request("the sandbox's API server does not serve resourceVersionMatch=Exact")


async def list_(core: Core, request: Request, kind: Kind, namespace: str) -> Page:
    """Return a page of the objects that the request selects."""
    _refuse_unserved(request)
    test = selection(request, kind)
    limit, token = _number(request, "limit"), request.option("continue")
    asked = version_asked(request)
    if token:
        if request.option("resourceVersion") not in {"", "0"}:
            raise bad_request("specifying resource version is not allowed when using continue")
        version, start = _read_token(core, token)
    else:
        if asked > core.store.version:
            await _wait_for(core, asked)
        version, start = core.store.version, ("", "")
    try:
        found = (
            core.store.items_at(type_of(kind), version)
            if version != core.store.version
            else [(_key(each, kind), each) for each in core.store.items(type_of(kind), namespace)]
        )
    except ExpiredVersionError as error:
        message = "The provided continue parameter is too old to display a consistent list result."
        raise expired(message) from error
    rest = [(key, each) for key, each in found if (not namespace or key[0] == namespace) and key > start]
    return _page(rest, test, limit, version)


def _key(obj: Object, kind: Kind) -> tuple[str, str]:
    metadata = obj["metadata"]
    return (metadata.get("namespace", "") if kind.namespaced else "", metadata["name"])


def _page(
    rest: list[tuple[tuple[str, str], Object]],
    test: Callable[[Object], bool] | None,
    limit: int,
    version: int,
) -> Page:
    if limit <= 0:
        items = [each for _, each in rest if test is None or test(each)]
        return Page(items=items, version=version)
    items = []
    for index, (key, each) in enumerate(rest):
        if test is not None and not test(each):
            continue
        items.append(each)
        if len(items) == limit:
            left = len(rest) - index - 1
            if not left:
                break
            # With a selector nobody has looked whether any of what is left matches it.
            remaining = left if test is None else None
            return Page(
                items=items, version=version, continue_token=_token(version, key), remaining=remaining
            )
    return Page(items=items, version=version)


def _token(version: int, key: tuple[str, str]) -> str:
    start = f"{key[0]}/{key[1]}\0" if key[0] else f"{key[1]}\0"
    raw = json.dumps({"v": "meta.k8s.io/v1", "rv": version, "start": start}, separators=(",", ":"))
    return base64.urlsafe_b64encode(raw.encode()).decode().rstrip("=")


def _read_token(core: Core, token: str) -> tuple[int, tuple[str, str]]:
    try:
        raw = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        version, start, form = int(raw["rv"]), str(raw["start"]).rstrip("\0"), raw["v"]
    except (ValueError, KeyError, TypeError) as error:
        raise bad_request("continue key is not valid: it can't be decoded") from error
    if form != "meta.k8s.io/v1":
        raise bad_request(
            f'continue key is not valid: server does not recognize this encoded version "{form}"'
        )
    if not start:
        raise bad_request("continue key is not valid: encoded start key empty (version meta.k8s.io/v1)")
    namespace, _, name = start.rpartition("/")
    return (version if version > 0 else core.store.version), (namespace, name)


async def _wait_for(core: Core, version: int) -> None:
    """Wait a little for a version that isn't there yet; raises 504 as the real server's cache does."""
    for _ in range(30):
        await asyncio.sleep(0.1)
        if core.store.version >= version:
            return
    raise too_large_version(version, core.store.version)


async def watch(
    core: Core, request: Request, kind: Kind, namespace: str
) -> AsyncIterator[tuple[str, Object]]:
    """Check what a watch asks for, then hand out its events as ``(type, object)``."""
    _refuse_unserved(request)
    test = selection(request, kind)
    asked = version_asked(request)
    timeout = _number(request, "timeoutSeconds") or random.uniform(1800, 3600)  # noqa: S311 - spreads ends
    initial: list[tuple[str, Object]] = []
    missed: list[Change] = []
    if request.option("resourceVersion") in {"", "0"}:
        found = core.store.items(type_of(kind), namespace)
        initial = [("ADDED", each) for each in found if test is None or test(each)]
    elif asked:
        try:
            missed = list(core.store.changes_since(type_of(kind), asked))
        except ExpiredVersionError as error:
            initial = [("ERROR", expired(str(error)).body)]
            return _replay(initial)
    watcher = core.store.watch(type_of(kind))
    watcher.pending.extend(missed)
    if missed:
        watcher.wake.set()
    bookmarks = request.flag("allowWatchBookmarks")
    return _events(
        core,
        watcher,
        kind,
        namespace=namespace,
        test=test,
        initial=initial,
        timeout=timeout,
        bookmarks=bookmarks,
    )


async def _replay(events: list[tuple[str, Object]]) -> AsyncIterator[tuple[str, Object]]:
    for event in events:
        yield event


async def _events(
    core: Core,
    watcher: Watcher,
    kind: Kind,
    *,
    namespace: str,
    test: Callable[[Object], bool] | None,
    initial: list[tuple[str, Object]],
    timeout: float,  # noqa: ASYNC109 - the client's own limit, not a deadline of this call
    bookmarks: bool,
) -> AsyncIterator[tuple[str, Object]]:
    loop = asyncio.get_running_loop()
    end = loop.time() + timeout
    try:
        for event in initial:
            yield event
        while not watcher.closed:
            while watcher.pending:
                change = watcher.pending.popleft()
                if (event_ := event_of(change, namespace, test)) is not None:
                    yield event_
            watcher.wake.clear()
            left = end - loop.time()
            if left <= 0:
                break
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(watcher.wake.wait(), min(left, BOOKMARKS_EVERY_S))
                continue
            if bookmarks:
                yield "BOOKMARK", _bookmark(kind, core.store.version)
    finally:
        core.store.unwatch(watcher)


def event_of(
    change: Change, namespace: str, test: Callable[[Object], bool] | None
) -> tuple[str, Object] | None:
    """Return what a change is to a watch with these selectors, or None if it is nothing."""
    if namespace and change.key[0] != namespace:
        return None
    before = change.old is not None and (test is None or test(change.old))
    after = change.new is not None and (test is None or test(change.new))
    if after and change.new is not None:
        return ("MODIFIED" if before else "ADDED"), change.new
    if not before or change.old is None:
        return None
    if change.final is not None:
        return "DELETED", change.final
    # It left the selection: the watch sees what it was, at the version at which it left.
    metadata = {**change.old["metadata"], "resourceVersion": str(change.version)}
    return "DELETED", {**change.old, "metadata": metadata}


def _bookmark(kind: Kind, version: int) -> Object:
    metadata: Object = {"resourceVersion": str(version), "creationTimestamp": None}
    return {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": metadata}
