"""What the server has: groups, versions and resources, and as much OpenAPI as ``kubectl apply`` needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bais_gates.sandbox.cluster.apiserver.core import Core
    from bais_gates.sandbox.cluster.apiserver.kinds import Kind

Object = dict[str, Any]
VERSION = {
    "major": "1",
    "minor": "36",
    "gitVersion": "v1.36.0+bais-gates",
    "gitCommit": "0000000000000000000000000000000000000000",
    "gitTreeState": "clean",
    "buildDate": "2026-04-22T00:00:00Z",
    "goVersion": "go1.26.0",
    "compiler": "python",
    "platform": "linux/amd64",
}
_POD_PARTS = (
    ("binding", "Binding", ("create",)),
    ("eviction", "Eviction", ("create",)),
    ("log", "Pod", ("get",)),
)
_ORDER = ("", "apps", "batch", "autoscaling", "policy", "networking.k8s.io", "rbac.authorization.k8s.io")


def groups_of(core: Core) -> dict[str, dict[str, list[Kind]]]:
    """Return the kinds by group and version, the groups in a fixed order."""
    found: dict[str, dict[str, list[Kind]]] = {}
    for kind in core.registry.all():
        found.setdefault(kind.group, {}).setdefault(kind.version, []).append(kind)
    rank = {group: index for index, group in enumerate(_ORDER)}
    return dict(sorted(found.items(), key=lambda item: (rank.get(item[0], len(rank)), item[0])))


def api_versions() -> Object:
    """Answer ``/api``."""
    address = {"clientCIDR": "0.0.0.0/0", "serverAddress": "127.0.0.1:443"}
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [address]}


def group_list(core: Core) -> Object:
    """Answer ``/apis``."""
    groups = [_group(name, versions) for name, versions in groups_of(core).items() if name]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def group(core: Core, name: str) -> Object | None:
    """Answer ``/apis/GROUP``; None when there is no such group."""
    versions = groups_of(core).get(name)
    if not name or versions is None:
        return None
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(name, versions)}


def _group(name: str, versions: Iterable[str]) -> Object:
    listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": listed, "preferredVersion": listed[0]}


def resource_list(core: Core, group_name: str, version: str) -> Object | None:
    """Answer ``/api/v1`` and ``/apis/GROUP/VERSION``; None when there is no such version."""
    found = groups_of(core).get(group_name, {}).get(version)
    if found is None:
        return None
    resources = [entry for kind in sorted(found, key=lambda each: each.plural) for entry in _resources(kind)]
    version_ = f"{group_name}/{version}" if group_name else version
    answer: Object = {"kind": "APIResourceList", "groupVersion": version_, "resources": resources}
    if group_name:
        answer["apiVersion"] = "v1"
    return answer


def _resources(kind: Kind) -> list[Object]:
    main: Object = {
        "name": kind.plural,
        "singularName": kind.singular,
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": list(kind.verbs),
    }
    if kind.short_names:
        main["shortNames"] = list(kind.short_names)
    if kind.categories:
        main["categories"] = list(kind.categories)
    return [main, *(_part(kind, *part) for part in _parts(kind))]


def _parts(kind: Kind) -> list[tuple[str, str, tuple[str, ...], str, str]]:
    """Return the subresources: name, kind, verbs, and group and version where they are other ones."""
    parts: list[tuple[str, str, tuple[str, ...], str, str]] = []
    if kind.plural == "pods" and not kind.group:
        for name, kind_name, verbs in _POD_PARTS:
            where = ("policy", "v1") if name == "eviction" else ("", "")
            parts.append((name, kind_name, verbs, *where))
    if kind.plural == "namespaces" and not kind.group:
        parts.append(("finalize", "Namespace", ("update",), "", ""))
    changing = ("get", "patch", "update")
    if "scale" in kind.subresources:
        parts.append(("scale", "Scale", changing, "autoscaling", "v1"))
    if "status" in kind.subresources:
        parts.append(("status", kind.kind, changing, "", ""))
    return parts


def _part(kind: Kind, name: str, kind_name: str, verbs: tuple[str, ...], *where: str) -> Object:
    found: Object = {
        "name": f"{kind.plural}/{name}",
        "singularName": "",
        "namespaced": kind.namespaced,
        "kind": kind_name,
        "verbs": list(verbs),
    }
    group_, version = where
    if group_:
        found |= {"group": group_, "version": version}
    return found


def openapi_index(core: Core) -> Object:
    """Answer ``/openapi/v3``: where the document of each group and version is."""
    paths = [
        f"apis/{group_}/{version}" if group_ else f"api/{version}"
        for group_, versions in groups_of(core).items()
        for version in versions
    ]
    return {"paths": {path: {"serverRelativeURL": f"/openapi/v3/{path}"} for path in paths}}


def openapi(core: Core, group_name: str, version: str) -> Object | None:
    """Answer ``/openapi/v3/apis/GROUP/VERSION``; None when there is no such version.

    It says only what kubectl asks before it applies: that PATCH takes ``dryRun`` and ``fieldValidation``. No
    schema is published, so that kubectl merges by its own types and leaves validation to the server.
    """
    found = groups_of(core).get(group_name, {}).get(version)
    if found is None:
        return None
    names = ("dryRun", "fieldManager", "fieldValidation", "force")
    parameters = [{"name": name, "in": "query", "schema": {"type": "string"}} for name in names]
    paths = {}
    for kind in found:
        about = {"group": kind.group, "version": kind.version, "kind": kind.kind}
        patch = {"x-kubernetes-group-version-kind": about, "parameters": parameters, "responses": {}}
        root = f"/apis/{kind.group}" if kind.group else "/api"
        inside = "/namespaces/{namespace}" if kind.namespaced else ""
        paths[f"{root}/{kind.version}{inside}/{kind.plural}/{{name}}"] = {"patch": patch}
    about = {"title": "Kubernetes", "version": VERSION["gitVersion"]}
    return {"openapi": "3.0.0", "info": about, "paths": paths}
