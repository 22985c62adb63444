"""Ask a Kubernetes cluster, reading only, in bounded time. Objects are the API's own, as plain dicts.

:class:`Cluster` has no method that writes, and what it sends goes through a guard that lets nothing else out
(:func:`bais_gates.probes.kubernetes.transport.why_refused`). The kubeconfig, its TLS and its credentials are
the official client's; retries are off, as each takes a whole time-out more.
"""

from __future__ import annotations

import re
import threading
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
"""A Kubernetes object (or another JSON object that the API server gives)."""
Objects = list[Object]

FIELD_MANAGER: Final = "bais-gates"
APPLY: Final = "application/apply-patch+yaml"
_ITEMS: Final = (list, type(None))
"""The items of a list: an empty one may be null."""
_PAGE: Final = 500
_LISTS_EXPIRED: Final = 3
"""How often a list is begun anew because its continue token expired on the way."""
_VERSION: Final = re.compile(r"v?(\d+)\.(\d+)")
_RESOURCE: Final = re.compile(r"([a-z0-9-]+)(?:\.([a-z0-9.-]+))?(?:/([a-z]+))?")
_VERBS: Final = {"GET": "get", "POST": "create", "PATCH": "patch", "PUT": "update", "DELETE": "delete"}
_GONE: Final = 410
_NO_LOG: Final = frozenset({"NotFound", "BadRequest"})


class Cluster:
    """One cluster as its kubeconfig's context shows it. Connects when first asked; safe between threads.

    Making one raises GateInputError for a kubeconfig that is not usable. Every method that asks raises
    :class:`ClusterUnreachable` when no answer comes (within ``access.request_timeout_s``), and
    :class:`ClusterRefused` when the API server says no.
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
        """Give one object; None when there is none of that name."""
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
        """Give all objects of a kind, of one namespace or (None) of all; each with apiVersion and kind.

        ``labels`` and ``fields`` are selectors as kubectl takes them. Read in pages; a list whose
        continuation expired is begun anew.
        """
        path = self._path(api_version, kind, namespace, None)
        query = {"limit": str(_PAGE)}
        query |= {"labelSelector": labels} if labels else {}
        query |= {"fieldSelector": fields} if fields else {}
        for turn in range(_LISTS_EXPIRED):
            try:
                found = self._pages(path, query, kind)
            except ClusterRefused as e:
                if e.status != _GONE or turn == _LISTS_EXPIRED - 1:
                    raise
            else:
                return [{"apiVersion": api_version, "kind": kind, **one} for one in found]
        raise self._strange(f"list {kind}")

    def _pages(self, path: str, query: Mapping[str, str], kind: str) -> Objects:
        found: Objects = []
        token = ""
        while True:
            asked = {**query, "continue": token} if token else query
            page = self._object("GET", path, "list", kind, query=asked)
            items, metadata = page.get("items"), page.get("metadata")
            if not isinstance(metadata, dict) or not isinstance(items, _ITEMS):
                raise self._strange(f"list {kind}")
            found += items or []
            token = str(metadata.get("continue") or "")
            if not token:
                return found

    def serves(self, api_version: str, kind: str) -> bool:
        """Tell whether the API server has such a kind: built in, or by a CRD that is established."""
        return self._resource(api_version, kind) is not None

    def events(self, namespace: str, about: str | None = None) -> Objects:
        """Give the events of a namespace, oldest first; ``about``: the name or uid of what they are about."""
        found = self.list("v1", "Event", namespace)
        if about is not None:
            found = [
                one
                for one in found
                if about in {(one.get("involvedObject") or {}).get(key) for key in ("name", "uid")}
            ]
        return sorted(found, key=_moment)

    def logs(
        self,
        namespace: str,
        pod: str,
        container: str | None = None,
        *,
        tail: int = 20,
        previous: bool = False,
    ) -> str:
        """Give the last lines of a container's log; empty when it has none, or never started."""
        query = {"tailLines": str(tail)}
        query |= {"container": container} if container else {}
        query |= {"previous": "true"} if previous else {}
        path = f"{self._path('v1', 'Pod', namespace, pod)}/log"
        try:
            answer = self._sent("GET", path, "get", "pods/log", query=query)
        except ClusterRefused as e:
            if e.reason in _NO_LOG:
                return ""
            raise
        return redact(answer.text)

    def dry_run_apply(self, obj: Object) -> Object:
        """Have the API server say what a server-side apply would give; nothing is stored."""
        return self._apply(obj, {"dryRun": "All"}, force=True)

    # -- the cluster itself --

    def version(self) -> str:
        """Give the API server's version, as ``v1.36.2``."""
        version = self.get("/version").get("gitVersion")
        if not isinstance(version, str) or version_number(version) is None:
            raise self._strange("the version")
        return version

    def uid(self) -> str:
        """Give what no other cluster has: the uid of its namespace kube-system."""
        found = self.named("v1", "Namespace", "kube-system")
        uid = ((found or {}).get("metadata") or {}).get("uid")
        if not isinstance(uid, str) or not uid:
            raise self._strange("the namespace kube-system")
        return uid

    def may(self, verb: str, resource: str, namespace: str | None = None, *, name: str = "") -> bool:
        """Ask whether one may ``verb`` a resource: ``pods``, ``deployments.apps``, ``pods/log``.

        ``namespace`` None asks for all namespaces (or a kind without). By SelfSubjectAccessReview.
        """
        match = _RESOURCE.fullmatch(resource)
        if match is None:
            raise ValueError(f"{resource!r} is no resource[.group][/subresource]")
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

    def rules(self, namespace: str) -> Object:
        """Give the status of a SelfSubjectRulesReview: ``resourceRules``, ``incomplete`` and others."""
        return self._review("SelfSubjectRulesReview", {"namespace": namespace})

    def _review(self, kind: str, spec: Object) -> Object:
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec}
        path = f"/apis/authorization.k8s.io/v1/{kind.lower()}s"
        answer = self._object("POST", path, "create", kind, body=body, content_type="application/json")
        status = answer.get("status")
        if not isinstance(status, dict):
            raise self._strange(kind)
        return status

    def get(self, path: str, query: Mapping[str, str] | None = None) -> Object:
        """GET a path of the API server that answers with a JSON object (``/version``, ``/apis`` ...)."""
        return self._object("GET", path, "get", path, query=query)

    def answers(self, path: str) -> tuple[int, str]:
        """GET a path of the API server that answers in words (``/readyz?verbose``): status and text."""
        answer = self._transport.send("GET", path)
        return answer.status, redact(answer.text)

    # -- asking --

    def _apply(self, obj: Object, query: Mapping[str, str], *, force: bool) -> Object:
        metadata = obj["metadata"]
        path = self._path(obj["apiVersion"], obj["kind"], metadata.get("namespace"), metadata["name"])
        asked = {**query, "fieldManager": FIELD_MANAGER, "force": "true" if force else "false"}
        return self._object("PATCH", path, "patch", obj["kind"], query=asked, body=obj, content_type=APPLY)

    def _path(self, api_version: str, kind: str, namespace: str | None, name: str | None) -> str:
        resource = self._resource(api_version, kind)
        if resource is None:
            text = f"it serves no kind {kind} in {api_version}; is its CustomResourceDefinition installed?"
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
            raise ValueError(f"a {kind} is in a namespace; say in which")
        inside = (
            f"/namespaces/{quote(namespace, safe='')}" if namespace and resource.get("namespaced") else ""
        )
        end = f"/{quote(name, safe='')}" if name is not None else ""
        return f"{_root(api_version)}{inside}/{resource['name']}{end}"

    def _resource(self, api_version: str, kind: str) -> Object | None:
        """Find the resource of a kind by discovery; only what was found is kept."""
        with self._lock:
            known = self._served.get(api_version, {})
        if kind in known:
            return known[kind]
        try:
            answer = self.get(_root(api_version))
        except ClusterRefused as e:
            if e.status == 404:  # no such group or version
                return None
            raise
        resources = answer.get("resources")
        if not isinstance(resources, list):
            raise self._strange(f"the kinds of {api_version}")
        served = {one["kind"]: one for one in resources if "/" not in one["name"]}
        with self._lock:
            self._served[api_version] = served
        return served.get(kind)

    def _object(self, method: str, path: str, verb: str, resource: str, **sent: Any) -> Object:
        found = self._sent(method, path, verb, resource, **sent).json
        if not isinstance(found, dict):
            raise self._strange(f"{verb} {resource}")
        return found

    def _sent(self, method: str, path: str, verb: str, resource: str, **sent: Any) -> Answer:
        """Send and give the answer when it is a success; :class:`ClusterRefused` with all it said if not."""
        answer = self._transport.send(method, path, **sent)
        if 200 <= answer.status < 300:
            return answer
        status = answer.json
        if not isinstance(status, dict) or status.get("kind") != "Status":
            if answer.status in {401, 403, 404, 429} or answer.status >= 500:
                status = {"message": " ".join(answer.text.split())[:200]}
            else:
                raise self._strange(f"{verb} {resource}")
        raise self._refused(answer.status, status, verb, resource)

    def _refused(self, code: int, status: Object, verb: str, resource: str) -> ClusterRefused:
        details = status.get("details")
        causes = details.get("causes") if isinstance(details, dict) else None
        message = redact(str(status.get("message") or ""))
        reason = str(status.get("reason") or "")
        text = f"{code} {reason}".strip()
        return ClusterRefused(
            f"The cluster of context {self.access.context!r} at {self.address} answered {text} when asked to "
            f"{verb} {resource}: {message[:600].rstrip('.') or 'nothing more'}.{_REMEDIES.get(code, '')}",
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
            # A kind that went away since discovery: the message is then the server's own, with no details.
            kind_missing=code == 404 and not (isinstance(details, dict) and details.get("name")),
        )

    def _strange(self, what: str) -> ClusterUnreachable:
        return ClusterUnreachable(
            f"What answers at {self.address} (context {self.access.context!r}) is no Kubernetes API server: "
            f"asked for {what}, it gave something else. Does the server in {self.access.kubeconfig} name one?"
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
    401: " The kubeconfig's token or client certificate is wrong, revoked or expired: have a new one issued.",
    403: " Give these credentials that right (gates/staging/manifests has the Role bais-gates-reader), or "
    "use a context that has it.",
    429: " It has too much to do; look at its load, and run again.",
}


def version_number(version: str) -> tuple[int, int] | None:
    """Give major and minor of ``v1.36.2`` or ``1.20`` (also with a suffix); None when it is no version."""
    match = _VERSION.match(version)
    return (int(match[1]), int(match[2])) if match else None


def _root(api_version: str) -> str:
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"


def _moment(event: Object) -> str:
    metadata = event.get("metadata") or {}
    moments = (event.get("lastTimestamp"), event.get("eventTime"), metadata.get("creationTimestamp"))
    return next((str(one) for one in moments if one), "")
