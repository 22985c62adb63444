"""A small client of the cluster's API server, which needs no Kubernetes client library."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from bais_gates.sandbox.cluster.controllers.client import Api, ApiError, ApiUnreachableError
from bais_gates.sandbox.errors import SandboxError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

FIELD_MANAGER = "bais-gates"
_Object = dict[str, Any]


class ClusterClient:
    """A connection to the API server; every failure raises a ``SandboxError``."""

    def __init__(self, url: str, *, ca: Path, token: str) -> None:
        self._api = Api(url, ca_file=str(ca), token=token)
        self._paths: dict[tuple[str, str], tuple[str, bool]] = {}

    def __enter__(self) -> ClusterClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._api.close()

    def is_ready(self) -> bool:
        """Return whether the server reports that it is ready."""
        try:
            self._api.request("GET", "/readyz")
        except (ApiError, ApiUnreachableError):
            return False
        return True

    def apply(self, obj: _Object, *, within: float = 0.0) -> _Object:
        """Apply the object (server-side); retry for ``within`` seconds while its kind is not served."""
        deadline = time.monotonic() + within
        while True:
            try:
                path = f"{self._path(obj)}/{obj['metadata']['name']}"
                return self._request(
                    "PATCH",
                    path,
                    body=obj,
                    query={"fieldManager": FIELD_MANAGER, "force": "true"},
                    content_type="application/apply-patch+yaml",
                )
            except SandboxError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def create(self, obj: _Object) -> _Object:
        """Create the object and return it, or the existing object of that name."""
        try:
            return self._request("POST", self._path(obj), body=obj, query={"fieldManager": FIELD_MANAGER})
        except AlreadyExistsError:
            return self.get(obj) or obj

    def get(self, obj: Mapping[str, Any]) -> _Object | None:
        """Return the current object of that kind, namespace and name, or None."""
        try:
            return self._request("GET", f"{self._path(obj)}/{obj['metadata']['name']}")
        except AbsentError:
            return None

    def list(self, api_version: str, kind: str, namespace: str) -> list[_Object]:
        """Return every object of a kind in a namespace."""
        of_kind = {"apiVersion": api_version, "kind": kind, "metadata": {"namespace": namespace}}
        items: list[_Object] = self._request("GET", self._path(of_kind))["items"]
        return items

    def set_status(self, obj: Mapping[str, Any], status: _Object) -> None:
        """Replace an object's status."""
        self.merge(obj, {"status": status}, subresource="/status")

    def merge(self, obj: Mapping[str, Any], patch: Mapping[str, Any], *, subresource: str = "") -> _Object:
        """Apply a JSON merge patch to the object, and return it. Raises ``AbsentError``."""
        return self._request(
            "PATCH",
            f"{self._path(obj)}/{obj['metadata']['name']}{subresource}",
            body=patch,
            content_type="application/merge-patch+json",
        )

    def delete(self, obj: Mapping[str, Any], *, grace_s: int | None = None) -> None:
        """Delete the object, and its dependents in the background; nothing is done without it."""
        options = {"propagationPolicy": "Background"} | (
            {} if grace_s is None else {"gracePeriodSeconds": grace_s}
        )
        with suppress(AbsentError):
            self._request("DELETE", f"{self._path(obj)}/{obj['metadata']['name']}", body=options)

    def version(self) -> str:
        """Return the resourceVersion of the last change to any object."""
        answer = self._request("GET", "/api/v1/namespaces", query={"limit": "1"})
        return str(answer["metadata"]["resourceVersion"])

    def _path(self, obj: Mapping[str, Any]) -> str:
        version, kind = str(obj["apiVersion"]), str(obj["kind"])
        root = f"/apis/{version}" if "/" in version else f"/api/{version}"
        if (version, kind) not in self._paths:
            for resource in self._request("GET", root)["resources"]:
                if "/" not in resource["name"]:
                    path = (resource["name"], bool(resource["namespaced"]))
                    self._paths[version, resource["kind"]] = path
        if (version, kind) not in self._paths:
            raise SandboxError(f"the sandbox's cluster does not serve {version} {kind}")
        plural, namespaced = self._paths[version, kind]
        within = f"/namespaces/{obj['metadata']['namespace']}" if namespaced else ""
        return f"{root}{within}/{plural}"

    def _request(self, method: str, path: str, **options: Any) -> _Object:
        try:
            return self._api.request(method, path, **options)
        except ApiUnreachableError as error:
            raise SandboxError(f"the sandbox's cluster does not respond to {error}") from error
        except ApiError as error:
            message = f"the sandbox's cluster responded {error.status} to {method} {path}: {error.message}"
            raise _ERRORS.get(error.status, SandboxError)(message) from error


class AbsentError(SandboxError):
    """There is no such object (404)."""


class AlreadyExistsError(SandboxError):
    """An object of that name exists (409)."""


_ERRORS = {404: AbsentError, 409: AlreadyExistsError}
