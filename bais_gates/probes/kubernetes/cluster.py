"""Read objects of a Kubernetes cluster, with a deadline per request; objects are plain dicts.

:class:`Cluster` has no method that writes, and a guard refuses every other request
(:func:`bais_gates.probes.kubernetes.transport.why_refused`). The official client handles the kubeconfig, TLS
and credentials. There are no retries, as each takes another timeout.
"""

from __future__ import annotations

import re
import threading
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from bais_gates.probes.kubernetes.access import (
    ClusterAccess,
    ClusterError,
    ClusterRefused,
    ClusterUnreachable,
)
from bais_gates.probes.kubernetes.transport import Answer, Transport, WriteRefused
from bais_gates.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType
    from typing import Self

__all__ = [
    "FIELD_MANAGER",
    "Cluster",
    "ClusterAccess",
    "ClusterError",
    "ClusterRefused",
    "ClusterUnreachable",
    "Object",
    "Objects",
    "WriteRefused",
    "version_number",
]

Object = dict[str, Any]
"""A Kubernetes object (or another JSON object of the API server)."""
Objects = list[Object]

FIELD_MANAGER: Final = "bais-gates"
_ITEMS: Final = (list, type(None))
"""The types of a list's items: an empty list may be null."""
_PAGE: Final = 500
_LISTS_EXPIRED: Final = 3
"""Maximum number of attempts to read a list whose continue token expires."""
_VERSION: Final = re.compile(r"v?(\d+)\.(\d+)")
_RESOURCE: Final = re.compile(r"([a-z0-9-]+)(?:\.([a-z0-9.-]+))?(?:/([a-z]+))?")
_VERBS: Final = {"GET": "get", "POST": "create", "PATCH": "patch", "PUT": "update", "DELETE": "delete"}
_GONE: Final = 410
_NO_LOG: Final = frozenset({"NotFound", "BadRequest"})


class Cluster:
    """One cluster of a kubeconfig. Connects on first use; safe to share between threads.

    Its creation raises GateInputError for a kubeconfig that is not usable. Every request raises
    :class:`ClusterUnreachable` without an answer within ``access.request_timeout_s``, and
    :class:`ClusterRefused` when the API server refuses it.
    """

    read_only = True

    def __init__(self, access: ClusterAccess) -> None:
        self._transport = self._open(access)
        self.access = access
        self.address = self._transport.address
        self._served: dict[str, dict[str, Object]] = {}
        self._lock = threading.Lock()

    def _open(self, access: ClusterAccess) -> Transport:
        return Transport(access)

    # -- objects --

    def named(self, api_version: str, kind: str, name: str, namespace: str | None = None) -> Object | None:
        """Return one object by name; None if it does not exist."""
        try:
            return self._object("GET", self._path(api_version, kind, namespace, name), "get", kind)
        except ClusterRefused as e:
            if e.reason == "NotFound" and not e.kind_missing:
                return None
            raise

    def list(
        self,
        api_version: str,
        kind: str,
        namespace: str | None = None,
        *,
        labels: str | None = None,
        fields: str | None = None,
    ) -> Objects:
        """Return all objects of a kind in one namespace or (None) in all, each with apiVersion and kind.

        ``labels`` and ``fields`` are selectors in kubectl's syntax. The list is read in pages, and from the
        beginning again if its continue token expires.
        """
        path = self._path(api_version, kind, namespace, None)
        query = {"limit": str(_PAGE)}
        query |= {"labelSelector": labels} if labels else {}
        query |= {"fieldSelector": fields} if fields else {}
        for turn in range(_LISTS_EXPIRED):
            try:
                objects = self._pages(path, query, kind)
            except ClusterRefused as e:
                if e.status != _GONE or turn == _LISTS_EXPIRED - 1:
                    raise
            else:
                return [{"apiVersion": api_version, "kind": kind, **one} for one in objects]
        raise self._unexpected(f"list {kind}")

    def _pages(self, path: str, query: Mapping[str, str], kind: str) -> Objects:
        objects: Objects = []
        token = ""
        while True:
            page_query = {**query, "continue": token} if token else query
            page = self._object("GET", path, "list", kind, query=page_query)
            items, metadata = page.get("items"), page.get("metadata")
            if not isinstance(metadata, dict) or not isinstance(items, _ITEMS):
                raise self._unexpected(f"list {kind}")
            objects += items or []
            token = str(metadata.get("continue") or "")
            if not token:
                return objects

    def events(self, namespace: str) -> Objects:
        """Return the events of a namespace, the oldest first."""
        return sorted(self.list("v1", "Event", namespace), key=_event_time)

    def logs(
        self,
        namespace: str,
        pod: str,
        container: str | None = None,
        *,
        tail: int = 20,
        previous: bool = False,
    ) -> str:
        """Return the last lines of a container's log; empty without a log or before the container started."""
        query = {"tailLines": str(tail)}
        query |= {"container": container} if container else {}
        query |= {"previous": "true"} if previous else {}
        path = f"{self._path('v1', 'Pod', namespace, pod)}/log"
        try:
            answer = self._send("GET", path, "get", "pods/log", query=query)
        except ClusterRefused as e:
            if e.reason in _NO_LOG:
                return ""
            raise
        return redact(answer.text)

    # -- the cluster itself --

    def version(self) -> str:
        """Return the API server's version, such as ``v1.36.2``."""
        version = self.get("/version").get("gitVersion")
        if not isinstance(version, str) or version_number(version) is None:
            raise self._unexpected("the version")
        return version

    def server_time(self) -> datetime:
        """Return the API server's time in UTC, to the second, from the header Date of its answer."""
        date = self._send("GET", "/version", "get", "/version").date
        try:
            return parsedate_to_datetime(date).astimezone(UTC)
        except ValueError:
            raise self._unexpected("the request for its time (header Date)") from None

    def uid(self) -> str:
        """Return the cluster's identity: the uid of its namespace kube-system."""
        namespace = self.named("v1", "Namespace", "kube-system")
        uid = ((namespace or {}).get("metadata") or {}).get("uid")
        if not isinstance(uid, str) or not uid:
            raise self._unexpected("the namespace kube-system")
        return uid

    def may(self, verb: str, resource: str, namespace: str | None = None, *, name: str = "") -> bool:
        """Return whether the credentials allow ``verb`` on a resource, by a SelfSubjectAccessReview.

        ``resource`` is ``pods``, ``deployments.apps``, ``pods/log``; ``namespace`` None means all namespaces
        (or a cluster-scoped kind).
        """
        match = _RESOURCE.fullmatch(resource)
        if match is None:
            raise ValueError(f"{resource!r} is not resource[.group][/subresource]")
        plural, group, subresource = match.groups()
        attributes = {
            "verb": verb,
            "resource": plural,
            "group": group or "",
            "subresource": subresource or "",
            "namespace": namespace or "",
            "name": name,
        }
        spec = {"resourceAttributes": {key: value for key, value in attributes.items() if value}}
        return bool(self._review("SelfSubjectAccessReview", spec).get("allowed"))

    def _review(self, kind: str, spec: Object) -> Object:
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec}
        path = f"/apis/authorization.k8s.io/v1/{kind.lower()}s"
        answer = self._object("POST", path, "create", kind, body=body, content_type="application/json")
        status = answer.get("status")
        if not isinstance(status, dict):
            raise self._unexpected(kind)
        return status

    def get(self, path: str, query: Mapping[str, str] | None = None) -> Object:
        """Return the JSON object at a path of the API server (``/version``, ``/apis`` ...)."""
        return self._object("GET", path, "get", path, query=query)

    # -- requests --

    def _path(self, api_version: str, kind: str, namespace: str | None, name: str | None) -> str:
        resource = self._resource(api_version, kind)
        if resource is None:
            text = f"it does not serve the kind {kind} of {api_version}: install its CustomResourceDefinition"
            raise ClusterRefused(
                f"The cluster of context {self.access.context!r} at {self.address}: {text}",
                status=404,
                reason="NotFound",
                message=text,
                verb="get",
                resource=kind,
                kind_missing=True,
            )
        if name is not None and resource.get("namespaced") and namespace is None:
            raise ValueError(f"{kind} is a namespaced kind: pass the namespace")
        inside = (
            f"/namespaces/{quote(namespace, safe='')}" if namespace and resource.get("namespaced") else ""
        )
        end = f"/{quote(name, safe='')}" if name is not None else ""
        return f"{_root(api_version)}{inside}/{resource['name']}{end}"

    def _resource(self, api_version: str, kind: str) -> Object | None:
        """Return the resource of a kind by discovery, which is cached; None if the kind is not served."""
        with self._lock:
            known = self._served.get(api_version, {})
        if kind in known:
            return known[kind]
        try:
            answer = self.get(_root(api_version))
        except ClusterRefused as e:
            if e.status == 404:  # no such group or version
                if api_version == "v1":
                    raise self._unexpected(f"the kinds of {api_version}") from None
                return None
            raise
        resources = answer.get("resources")
        if not isinstance(resources, list):
            raise self._unexpected(f"the kinds of {api_version}")
        served = {one["kind"]: one for one in resources if "/" not in one["name"]}
        with self._lock:
            self._served[api_version] = served
        return served.get(kind)

    def _object(self, method: str, path: str, verb: str, resource: str, **sent: Any) -> Object:
        document = self._send(method, path, verb, resource, **sent).json
        if not isinstance(document, dict):
            raise self._unexpected(f"{verb} {resource}")
        return document

    def _send(self, method: str, path: str, verb: str, resource: str, **sent: Any) -> Answer:
        """Send a request and return the answer; raise :class:`ClusterRefused` if it is not a success."""
        answer = self._transport.send(method, path, **sent)
        if 200 <= answer.status < 300:
            return answer
        status = answer.json
        if not isinstance(status, dict) or status.get("kind") != "Status":
            if answer.status in {401, 403, 404, 429} or answer.status >= 500:
                status = {"message": " ".join(answer.text.split())[:200]}
            else:
                raise self._unexpected(f"{verb} {resource}")
        raise self._refused(answer.status, status, verb, resource)

    def _refused(self, code: int, status: Object, verb: str, resource: str) -> ClusterRefused:
        details = status.get("details")
        causes = details.get("causes") if isinstance(details, dict) else None
        message = redact(str(status.get("message") or ""))
        reason = str(status.get("reason") or "")
        text = f"{code} {reason}".strip()
        return ClusterRefused(
            f"The cluster of context {self.access.context!r} at {self.address} answered {text} to "
            f"{verb} {resource}: {message[:600].rstrip('.') or 'no message'}.{_REMEDIES.get(code, '')}",
            status=code,
            reason=reason,
            message=message,
            verb=verb,
            resource=resource,
            causes=tuple(
                f"{cause.get('field', '')}: {redact(str(cause.get('message', '')))}"
                for cause in causes or ()
                if isinstance(cause, dict)
            ),
            # A kind that was removed since discovery has no details.
            kind_missing=code == 404 and not (isinstance(details, dict) and details.get("name")),
        )

    def _unexpected(self, what: str) -> ClusterUnreachable:
        return ClusterUnreachable(
            f"The server at {self.address} (context {self.access.context!r}) is not a Kubernetes API server: "
            f"unexpected answer to {what}. Check the server in {self.access.kubeconfig}."
        )

    def close(self) -> None:
        """Close all connections."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


_REMEDIES: Final = {
    401: " The kubeconfig's token or client certificate is wrong, revoked or expired: issue a new one.",
    403: " Grant these credentials this permission (gates/staging/manifests has the Role bais-gates-reader), "
    "or use a context that has it.",
    429: " The API server is overloaded: check its load, then run again.",
}


def version_number(version: str) -> tuple[int, int] | None:
    """Return major and minor of ``v1.36.2`` or ``1.20`` (also with a suffix); None if it is not a version."""
    match = _VERSION.match(version)
    return (int(match[1]), int(match[2])) if match else None


def _root(api_version: str) -> str:
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"


def _event_time(event: Object) -> str:
    metadata = event.get("metadata") or {}
    times = (event.get("lastTimestamp"), event.get("eventTime"), metadata.get("creationTimestamp"))
    return next((str(one) for one in times if one), "")
