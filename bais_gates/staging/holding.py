"""Who holds the staged namespace: one run at a time, as long as it renews its annotation.

Two runs of one environment would otherwise provision, test and delete the same namespace at once, and each
would take the other's changes for faults of the release.
"""

from __future__ import annotations

import getpass
import os
import socket
import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Self

from bais_gates.probes.kubernetes.access import ClusterError
from bais_gates.staging.errors import StageCode, StageError
from bais_gates.staging.plan import Step
from bais_gates.staging.server import request

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager
    from types import TracebackType

    from bais_gates.staging.plan import Plan
    from bais_gates.staging.readiness import Object
    from bais_gates.staging.server import Server

RUN: Final = "bais-gates/run"
"""Annotation of the namespace: the run that provisioned it last, and that tears it down at its end."""
HOLDER: Final = "bais-gates/holder"
"""Annotation: user, host and process of that run while it uses the namespace."""
SINCE: Final = "bais-gates/held-since"
RENEWED: Final = "bais-gates/held-renewed"
"""Annotation: when the holder last said that it still runs."""
_HOLD: Final = (HOLDER, SINCE, RENEWED)
STALE_S: Final = 60.0
"""Seconds without a renewal after which another run may take the namespace over."""
RENEW_S: Final = 15.0


def annotation(obj: Mapping[str, Any], name: str) -> str | None:
    """Return an annotation of an object, None without one."""
    return ((obj.get("metadata") or {}).get("annotations") or {}).get(name)


def held_now() -> dict[str, str]:
    """Return the annotations of a namespace that this process holds from now on."""
    moment = _text(datetime.now(UTC))
    return {HOLDER: this_process(), SINCE: moment, RENEWED: moment}


def require_free(namespace: Mapping[str, Any], run: str | None = None, now: datetime | None = None) -> None:
    """Raise ``StageError`` if a run other than ``run`` holds the namespace, and is not past."""
    holder, other = annotation(namespace, HOLDER), annotation(namespace, RUN)
    if not holder or other == run:
        return
    renewed = _moment(annotation(namespace, RENEWED))
    left = None if renewed is None else renewed - (now or datetime.now(UTC)) + timedelta(seconds=STALE_S)
    if left is None or left <= timedelta():
        return
    raise StageError(
        StageCode.NAMESPACE_HELD,
        f"The namespace {namespace['metadata']['name']} is held by the run {other} of {holder} since "
        f"{annotation(namespace, SINCE)}, which renewed this at {annotation(namespace, RENEWED)}. Nothing in "
        "it was changed",
        step=Step.NAMESPACE,
    )


def take(server: Server, namespace: Object, wanted: Mapping[str, str]) -> None:
    """Write the run's annotations to a free namespace; raise ``StageError`` if another run was faster."""
    metadata = namespace["metadata"]
    name = str(metadata["name"])
    mine = {key: value for key, value in wanted.items() if key in {RUN, *_HOLD}}
    patch = {"metadata": {"resourceVersion": metadata.get("resourceVersion"), "annotations": mine}}
    try:
        request(
            f"Taking the namespace {name}",
            lambda: server.patch("v1", "Namespace", name, patch),
            step=Step.NAMESPACE,
        )
    except StageError as error:
        if error.code is StageCode.CONFLICT and (live := server.named("v1", "Namespace", name)) is not None:
            require_free(live, mine[RUN])
        raise


class Holding:
    """A run's hold on its namespace: renewed in a thread until the ``with`` block or the process ends."""

    def __init__(self, open_server: Callable[[], AbstractContextManager[Server]], plan: Plan) -> None:
        self._open, self._name, self._run = open_server, plan.namespace, plan.run
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="staging-hold", daemon=True)

    def begin(self) -> None:
        """Begin to renew; the process's end ends it."""
        self._thread.start()

    def __enter__(self) -> Self:
        self.begin()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join(RENEW_S)

    def _renew(self) -> None:
        """Renew until the end, or until the namespace is gone or another run's."""
        while not self._ended.wait(RENEW_S):
            with suppress(ClusterError), self._open() as server:
                live = server.named("v1", "Namespace", self._name)
                if live is None or annotation(live, RUN) != self._run:
                    return
                renewed = {"metadata": {"annotations": {RENEWED: _text(datetime.now(UTC))}}}
                server.patch("v1", "Namespace", self._name, renewed)


def let_go(server: Server, namespace: str, run: str) -> None:
    """Remove the run's hold from a namespace that is kept."""
    live = server.named("v1", "Namespace", namespace)
    if live is not None and annotation(live, RUN) == run:
        free = {"metadata": {"annotations": dict.fromkeys(_HOLD)}}
        server.patch("v1", "Namespace", namespace, free)


def this_process() -> str:
    """Return who acts here, for people: user, host and process."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # an id without a name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}, process {os.getpid()}"


def _text(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _moment(text: str | None) -> datetime | None:
    """Read a time of an annotation; None for anything else, also a time without a zone."""
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None
