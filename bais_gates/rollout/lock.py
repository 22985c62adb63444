"""One deploy at a time: a Kubernetes Lease in the platform's namespace.

The Lease is past when its ``renewTime`` plus ``leaseDurationSeconds`` is, by the API server's clock alone:
both are read and written as the server's header Date has it. Every write carries the resourceVersion that
was read, so that of two at once one is refused. A Lease does not fence: call :meth:`Lock.check` before each
phase that writes.
"""

from __future__ import annotations

import secrets
import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Self

from bais_gates.probes.kubernetes.access import ClusterError, ClusterRefused
from bais_gates.rollout.errors import RefusalCode, Refused, Stuck
from bais_gates.staging.holding import this_process

if TYPE_CHECKING:
    from types import TracebackType

    from bais_gates.probes.kubernetes.writer import ClusterWriter

Object = dict[str, Any]
_KIND: Final = ("coordination.k8s.io/v1", "Lease")
DURATION_S: Final = 30
_CONFLICT: Final = 409


class Lock:
    """The Lease ``name``; as a context manager it is taken, renewed in a thread, and released at the end."""

    def __init__(self, server: ClusterWriter, namespace: str, name: str) -> None:
        self._server, self._namespace, self._name = server, namespace, name
        self.holder = f"{this_process()} ({secrets.token_hex(4)})"
        self._ended = threading.Event()
        self._writing = threading.Lock()
        self._thread = threading.Thread(target=self._keep, name="deploy-lock", daemon=True)

    def __enter__(self) -> Self:
        """Take the Lease; raise ``Refused`` that names the holder, or ``ClusterError``."""
        self._take()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        with self._writing, suppress(ClusterError):
            if (live := self._read()) is not None and _holder(live) == self.holder:
                self._write(live, {"holderIdentity": ""})

    def require_free(self) -> None:
        """Raise ``Refused`` that names the holder if somebody holds the Lease; writes nothing."""
        live = self._read()
        if live is not None and _holder(live) and self._server.server_time() < ends_at(live):
            raise self._held(live)

    def check(self) -> None:
        """Renew the Lease; raise ``Stuck`` if another one holds it by now, or ``ClusterError``."""
        with self._writing:
            live = self._read()
            if live is None or _holder(live) != self.holder:
                other = _holder(live or {}) or "nobody"
                raise Stuck(
                    f"The lock {self._namespace}/{self._name} is not held by this deploy any more but by "
                    f"{other}. Nothing more was written. See what the other one does, then run the command "
                    "again with --resume or --abort."
                )
            self._write(live, {"renewTime": _text(self._server.server_time())})

    def _take(self) -> None:
        now = self._server.server_time()
        spec = {
            "holderIdentity": self.holder,
            "leaseDurationSeconds": DURATION_S,
            "acquireTime": _text(now),
            "renewTime": _text(now),
        }
        live = self._read()
        try:
            if live is None:
                metadata = {"name": self._name, "namespace": self._namespace}
                self._server.create(
                    {"apiVersion": _KIND[0], "kind": _KIND[1], "metadata": metadata, "spec": spec}
                )
                return
            if _holder(live) and now < ends_at(live):
                raise self._held(live)
            spec["leaseTransitions"] = int((live.get("spec") or {}).get("leaseTransitions") or 0) + 1
            self._write(live, spec)
        except ClusterRefused as error:
            if error.status != _CONFLICT:
                raise
            raise self._held(self._read() or {}) from None  # another one was faster

    def _held(self, live: Object) -> Refused:
        spec = live.get("spec") or {}
        return Refused(
            RefusalCode.LOCKED,
            f"Another deploy holds the lock {self._namespace}/{self._name}: {_holder(live) or 'unknown'}, "
            f"since {spec.get('acquireTime')}, last renewed at {spec.get('renewTime')}. Wait until it has "
            f"ended. If it was killed, the lock is past {spec.get('leaseDurationSeconds')} s after that.",
        )

    def _read(self) -> Object | None:
        return self._server.named(*_KIND, self._name, self._namespace)

    def _write(self, live: Object, spec: Object) -> None:
        version = live["metadata"]["resourceVersion"]  # the server refuses it if the Lease has changed
        patch = {"metadata": {"resourceVersion": version}, "spec": spec}
        self._server.patch(*_KIND, self._name, patch, self._namespace)

    def _keep(self) -> None:
        while not self._ended.wait(DURATION_S / 3):
            with suppress(ClusterError):  # what writes next checks it, and reports that
                try:
                    self.check()
                except Stuck:
                    return


def _holder(live: Object) -> str:
    return str((live.get("spec") or {}).get("holderIdentity") or "")


def ends_at(lease: Object) -> datetime:
    """Return when a Lease is past; the beginning of time for one without a readable renewTime."""
    spec = lease.get("spec") or {}
    try:
        renewed = datetime.fromisoformat(str(spec.get("renewTime")))
        return renewed.astimezone(UTC) + timedelta(seconds=int(spec.get("leaseDurationSeconds") or 0))
    except (ValueError, OverflowError):
        return datetime.min.replace(tzinfo=UTC)


def _text(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S.%fZ}"
