"""What staging asks of a Kubernetes API server, and its refusals as reasons that a person can act on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from bais_gates.probes.kubernetes.access import ClusterError, ClusterRefused
from bais_gates.staging.errors import StageCode, StageError
from bais_gates.staging.plan import describe
from bais_gates.staging.readiness import refusal_code

if TYPE_CHECKING:
    from collections.abc import Callable

    from bais_gates.staging.readiness import Object, Objects


class Server(Protocol):
    """A cluster that may be written to; :class:`bais_gates.probes.kubernetes.writer.ClusterWriter` is one.

    Each call raises ``ClusterRefused`` or ``ClusterUnreachable``; objects are plain dicts.
    """

    def named(self, api_version: str, kind: str, name: str, namespace: str | None = None) -> Object | None:
        """Read one object; None when it is not there."""

    def list(
        self, api_version: str, kind: str, namespace: str | None = None, *, labels: str | None = None
    ) -> Objects:
        """Read the objects of a kind, of all namespaces without one; ``labels`` is a label selector."""

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
        """Read the last lines of a container; empty when there are none."""

    def create(self, obj: Object) -> Object:
        """Create an object that must not be there yet."""

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
        """Delete an object, its dependents in the background; False when it was not there."""


_BY_STATUS: Final = {401: StageCode.UNAUTHENTICATED, 409: StageCode.CONFLICT}
_BY_REASON: Final = {
    "Conflict": StageCode.CONFLICT,
    "Invalid": StageCode.INVALID,
    "BadRequest": StageCode.INVALID,
    "UnsupportedMediaType": StageCode.SERVER,
    "Unauthorized": StageCode.UNAUTHENTICATED,
}


def code_of(refusal: ClusterRefused) -> StageCode:
    """Return the code of what the API server refused."""
    if refusal.kind_missing:
        return StageCode.KIND_MISSING
    if refusal.status == 403:
        return refusal_code(refusal.message) or _forbidden(refusal.message)
    if refusal.reason in _BY_REASON:
        code = _BY_REASON[refusal.reason]
        immutable = "immutable" in refusal.message or "updates to statefulset spec" in refusal.message
        return StageCode.IMMUTABLE if code is StageCode.INVALID and immutable else code
    if "admission webhook" in refusal.message and "denied" in refusal.message:
        return StageCode.ADMISSION
    if refusal.status in {400, 422}:
        return StageCode.INVALID
    return _BY_STATUS.get(refusal.status, StageCode.SERVER)


def _forbidden(message: str) -> StageCode:
    return StageCode.ADMISSION if "admission" in message and "denied" in message else StageCode.FORBIDDEN


def asked(what: str, call: Callable[[], Any], *, step: str = "") -> Any:
    """Make one call; a refusal or silence becomes a ``StageError`` that says what was wanted."""
    try:
        return call()
    except ClusterRefused as error:
        said = error.message or str(error)
        untold = [one for one in error.causes[:5] if one.partition(": ")[2] not in said]
        causes = f" ({'; '.join(untold)})" if untold else ""
        code = code_of(error)
        if code is StageCode.KIND_MISSING:
            said = f"the cluster does not serve this kind ({error.resource})"
        elif code is StageCode.FORBIDDEN:
            said = f"the verb {error.verb} on {error.resource} is forbidden to this user: {said}"
        raise StageError(code, f"{what} was refused: {said}{causes}", step=step) from None
    except ClusterError as error:
        raise StageError(StageCode.UNREACHABLE, f"{what} was not possible: {error}", step=step) from None


def address(obj: Object) -> tuple[str, str, str, str | None]:
    """Return what names an object to the server: apiVersion, kind, name and namespace."""
    metadata = obj["metadata"]
    return str(obj["apiVersion"]), str(obj["kind"]), str(metadata["name"]), metadata.get("namespace")


def place(obj: Object) -> str:
    """Return an object's name with its namespace: ``Deployment bais-staging/bais-api``."""
    namespace = (obj.get("metadata") or {}).get("namespace")
    if not namespace:
        return describe(obj)
    return f"{obj.get('kind')} {namespace}/{obj['metadata'].get('name')}"
