"""A small client of the cluster's API server, which needs no Kubernetes client library."""

from __future__ import annotations

import ssl
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import httpx

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
        self._http = httpx.Client(
            base_url=url,
            verify=ssl.create_default_context(cafile=ca),
            headers={"authorization": f"Bearer {token}"},
            timeout=10,
            trust_env=False,
        )
        self._paths: dict[tuple[str, str], tuple[str, bool]] = {}

    def __enter__(self) -> ClusterClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._http.close()

    def is_ready(self) -> bool:
        """Return whether the server reports that it is ready."""
        with suppress(httpx.HTTPError):
            return self._http.get("/readyz", timeout=3).status_code == 200
        return False

    def apply(self, obj: _Object, *, within: float = 0.0) -> _Object:
        """Apply the object (server-side); retry for ``within`` seconds while its kind is not served."""
        deadline = time.monotonic() + within
        while True:
            try:
                path = f"{self._path(obj)}/{obj['metadata']['name']}"
                return self._request(
                    "PATCH",
                    path,
                    json=obj,
                    params={"fieldManager": FIELD_MANAGER, "force": "true"},
                    headers={"content-type": "application/apply-patch+yaml"},
                )
            except SandboxError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def create(self, obj: _Object) -> _Object:
        """Create the object and return it, or the existing object of that name."""
        try:
            return self._request("POST", self._path(obj), json=obj, params={"fieldManager": FIELD_MANAGER})
        except AlreadyExistsError:
            return self.get(obj) or obj

    def get(self, obj: Mapping[str, Any]) -> _Object | None:
        """Return the current object of that kind, namespace and name, or None."""
        response = self._send("GET", f"{self._path(obj)}/{obj['metadata']['name']}")
        if response.status_code == 404:
            return None
        return self._content(response)

    def list(self, api_version: str, kind: str, namespace: str) -> list[_Object]:
        """Return every object of a kind in a namespace."""
        of_kind = {"apiVersion": api_version, "kind": kind, "metadata": {"namespace": namespace}}
        items: list[_Object] = self._request("GET", self._path(of_kind))["items"]
        return items

    def set_status(self, obj: _Object, status: _Object) -> None:
        """Replace an object's status."""
        self._request(
            "PATCH",
            f"{self._path(obj)}/{obj['metadata']['name']}/status",
            json={"status": status},
            headers={"content-type": "application/merge-patch+json"},
        )

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
        return self._content(self._send(method, path, **options))

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            return self._http.request(method, path, **options)
        except httpx.HTTPError as error:
            raise SandboxError(
                f"the sandbox's cluster does not respond to {method} {path}: {type(error).__name__} {error}"
            ) from error

    @staticmethod
    def _content(response: httpx.Response) -> _Object:
        if response.is_success:
            content: _Object = response.json()
            return content
        try:
            reason = str(response.json()["message"])
        except (ValueError, KeyError, TypeError):
            reason = response.text[:300]
        request = response.request
        message = (
            f"the sandbox's cluster responded {response.status_code} to {request.method} {request.url.path}: "
            f"{reason}"
        )
        raise AlreadyExistsError(message) if response.status_code == 409 else SandboxError(message)


class AlreadyExistsError(SandboxError):
    """An object of that name exists (409)."""
