"""The Kubernetes API as staging uses it: a protocol, a clock, and refusals as errors with a remedy."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from bais_gates.probes.kubernetes.access import ClusterError, ClusterRefused
from bais_gates.staging.errors import StageCode, StageError
from bais_gates.staging.plan import describe
from bais_gates.staging.readiness import refusal_code

if TYPE_CHECKING:
    from collections.abc import Callable

    from bais_gates.staging.readiness import Object, Objects

_T = TypeVar("_T")


class Server(Protocol):
    """A cluster with write access, such as :class:`bais_gates.probes.kubernetes.writer.ClusterWriter`.

    Each call raises ``ClusterRefused`` or ``ClusterUnreachable``; objects are plain dicts.
    """

    def version(self) -> str:
        """Return the API server's version, such as ``v1.36.2``."""

    def named(self, api_version: str, kind: str, name: str, namespace: str | None = None) -> Object | None:
        """Return one object; None when it does not exist."""

    def list(
        self, api_version: str, kind: str, namespace: str | None = None, *, labels: str | None = None
    ) -> Objects:
        """Return the objects of a kind, of all namespaces without one; ``labels`` is a label selector."""

    def events(self, namespace: str) -> Objects:
        """Return the events of a namespace, the oldest first."""

    def logs(
        self,
        namespace: str,
        pod: str,
        container: str | None = None,
        *,
        tail: int = 20,
        previous: bool = False,
    ) -> str:
        """Return the last lines of a container's log; empty when there are none."""

    def create(self, obj: Object) -> Object:
        """Create an object that must not exist yet."""

    def apply(self, obj: Object, *, force: bool = False) -> Object:
        """Apply an object, server-side, as the field manager ``bais-gates``."""

    def patch(
        self, api_version: str, kind: str, name: str, patch: Object, namespace: str | None = None
    ) -> Object:
        """Merge a patch into an object."""

    def delete(
        self,
        api_version: str,
        kind: str,
        name: str,
        namespace: str | None = None,
        *,
        uid: str | None = None,
    ) -> bool:
        """Delete an object, its dependents in the background; False when it did not exist."""


@dataclass(slots=True, kw_only=True)
class Clock:
    """The deadline of a command, and how it sleeps; tests replace ``now`` and ``sleep``."""

    ends_at: float
    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    @classmethod
    def lasting(cls, seconds: float) -> Clock:
        """Return a clock that ends in ``seconds`` from now."""
        return cls(ends_at=time.monotonic() + seconds)

    @property
    def remaining_s(self) -> float:
        """Seconds until the deadline; negative after it."""
        return self.ends_at - self.now()


_BY_STATUS: Final = {401: StageCode.UNAUTHENTICATED, 409: StageCode.CONFLICT}
_BY_REASON: Final = {
    "Conflict": StageCode.CONFLICT,
    "Invalid": StageCode.INVALID,
    "BadRequest": StageCode.INVALID,
    "UnsupportedMediaType": StageCode.SERVER,
    "Unauthorized": StageCode.UNAUTHENTICATED,
}


def code_of(refusal: ClusterRefused) -> StageCode:
    """Return the code for a refusal of the API server."""
    if refusal.kind_missing:
        return StageCode.KIND_MISSING
    if refusal.status == 403:
        return refusal_code(refusal.message) or _forbidden_code(refusal.message)
    if refusal.reason in _BY_REASON:
        code = _BY_REASON[refusal.reason]
        immutable = "immutable" in refusal.message or "updates to statefulset spec" in refusal.message
        return StageCode.IMMUTABLE if code is StageCode.INVALID and immutable else code
    if "admission webhook" in refusal.message and "denied" in refusal.message:
        return StageCode.ADMISSION
    if refusal.status in {400, 422}:
        return StageCode.INVALID
    return _BY_STATUS.get(refusal.status, StageCode.SERVER)


def _forbidden_code(message: str) -> StageCode:
    return StageCode.ADMISSION if "admission" in message and "denied" in message else StageCode.FORBIDDEN


def request(action: str, call: Callable[[], _T], *, step: str = "") -> _T:
    """Return the result of one call to the server; raise ``StageError`` naming ``action`` if it fails."""
    try:
        return call()
    except ClusterRefused as error:
        message = error.message or str(error)
        unmentioned = [cause for cause in error.causes[:5] if cause.partition(": ")[2] not in message]
        causes = f" ({'; '.join(unmentioned)})" if unmentioned else ""
        code = code_of(error)
        if code is StageCode.KIND_MISSING:
            message = f"the cluster does not serve this kind ({error.resource})"
        elif code is StageCode.FORBIDDEN:
            message = f"the verb {error.verb} on {error.resource} is forbidden to this user: {message}"
        raise StageError(code, f"{action} was refused: {message}{causes}", step=step) from None
    except ClusterError as error:
        raise StageError(StageCode.UNREACHABLE, f"{action} failed: {error}", step=step) from None


def key_of(obj: Object) -> tuple[str, str, str, str | None]:
    """Return what identifies an object to the server: apiVersion, kind, name and namespace."""
    metadata = obj["metadata"]
    return str(obj["apiVersion"]), str(obj["kind"]), str(metadata["name"]), metadata.get("namespace")


def qualified_name(obj: Object) -> str:
    """Return an object's kind and name with its namespace: ``Deployment bais-staging/bais-api``."""
    namespace = (obj.get("metadata") or {}).get("namespace")
    if not namespace:
        return describe(obj)
    return f"{obj.get('kind')} {namespace}/{obj['metadata'].get('name')}"
