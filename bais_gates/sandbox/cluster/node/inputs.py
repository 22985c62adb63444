"""What a pod is given: the values of its environment and the files of its volumes, or what is missing."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bais_gates.sandbox.cluster.controllers.objects import (
    Object,
    annotations_of,
    labels_of,
    name_of,
    namespace_of,
    spec_of,
    status_of,
    uid_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bais_gates.sandbox.cluster.controllers.world import World

_VARIABLE = re.compile(r"\$\$|\$\(([A-Za-z_][A-Za-z0-9_.-]*)\)")


class MissingError(Exception):
    """Something that a container's environment refers to is not there (CreateContainerConfigError)."""


class UnmountableError(Exception):
    """A volume can't be mounted (FailedMount)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """The files of a container by absolute path, and the claims it mounts by mount path."""

    texts: Mapping[str, str]
    claims: Mapping[str, str]

    def ending(self, name: str) -> str | None:
        """Give the text of the file with this name, wherever it is mounted."""
        return next((text for path, text in self.texts.items() if path.rpartition("/")[2] == name), None)


def environment(world: World, pod: Object, container: Mapping[str, Any]) -> dict[str, str]:
    """Give a container's environment. Raises ``MissingError`` as the kubelet words it."""
    found: dict[str, str] = {}
    for source in container.get("envFrom") or ():
        prefix = source.get("prefix") or ""
        for kind, key in (("ConfigMap", "configMapRef"), ("Secret", "secretRef")):
            if (ref := source.get(key)) is None:
                continue
            data = _data(world, kind, namespace_of(pod), ref["name"])
            if data is None and not ref.get("optional"):
                raise MissingError(f'{kind.lower()} "{ref["name"]}" not found')
            found |= {prefix + name: value for name, value in (data or {}).items()}
    for variable in container.get("env") or ():
        value = _value(world, pod, variable, found)
        if value is not None:
            found[variable["name"]] = value
    return found


def _value(world: World, pod: Object, variable: Mapping[str, Any], earlier: Mapping[str, str]) -> str | None:
    source = variable.get("valueFrom")
    if source is None:
        return _expanded(str(variable.get("value") or ""), earlier)
    for kind, key in (("ConfigMap", "configMapKeyRef"), ("Secret", "secretKeyRef")):
        if (ref := source.get(key)) is None:
            continue
        data = _data(world, kind, namespace_of(pod), ref["name"])
        if data is not None and ref["key"] in data:
            return data[ref["key"]]
        if ref.get("optional"):
            return None
        if data is None:
            raise MissingError(f'{kind.lower()} "{ref["name"]}" not found')
        raise MissingError(f"couldn't find key {ref['key']} in {kind} {namespace_of(pod)}/{ref['name']}")
    if (ref := source.get("fieldRef")) is not None:
        return _field(pod, str(ref["fieldPath"]))
    return None


def _expanded(text: str, values: Mapping[str, str]) -> str:
    """Replace ``$(NAME)`` by the value of an earlier variable; ``$$`` is a dollar."""
    return _VARIABLE.sub(
        lambda found: "$" if found[0] == "$$" else values.get(found[1], found[0]),
        text,
    )


def _field(pod: Object, path: str) -> str:
    plain = {
        "metadata.name": name_of(pod),
        "metadata.namespace": namespace_of(pod),
        "metadata.uid": uid_of(pod),
        "spec.nodeName": str(spec_of(pod).get("nodeName") or ""),
        "spec.serviceAccountName": str(spec_of(pod).get("serviceAccountName") or ""),
        "status.podIP": str(status_of(pod).get("podIP") or ""),
        "status.hostIP": str(status_of(pod).get("hostIP") or ""),
    }
    if path in plain:
        return plain[path]
    for prefix, values in (
        ("metadata.labels", labels_of(pod)),
        ("metadata.annotations", annotations_of(pod)),
    ):
        if path.startswith(f"{prefix}['"):
            return values.get(path[len(prefix) + 2 : -2], "")
    raise MissingError(f"unsupported fieldPath: {path}")


def _data(world: World, kind: str, namespace: str, name: str) -> dict[str, str] | None:
    """Give the texts of a ConfigMap or Secret, None if there is none of that name."""
    obj = world.get(kind, namespace, name)
    if obj is None:
        return None
    data = obj.get("data") or {}
    if kind == "ConfigMap":
        return dict(data)
    return {key: base64.b64decode(text).decode("utf-8", "replace") for key, text in data.items()}


def files(world: World, pod: Object, container: Mapping[str, Any]) -> Files:
    """Give what a container mounts. Raises ``UnmountableError`` as the kubelet words it."""
    texts: dict[str, str] = {}
    claims: dict[str, str] = {}
    volumes = {volume["name"]: volume for volume in spec_of(pod).get("volumes") or ()}
    contents = {name: dict(_content(world, pod, volume)) for name, volume in volumes.items()}
    for mount in container.get("volumeMounts") or ():
        volume, at = volumes[mount["name"]], str(mount["mountPath"]).rstrip("/")
        if claim := volume.get("persistentVolumeClaim"):
            claims[at] = claim["claimName"]
        sub = str(mount.get("subPath") or "")
        for path, text in contents[mount["name"]].items():
            if not sub:
                texts[f"{at}/{path}"] = text
            elif path == sub:
                texts[at] = text
    return Files(texts=texts, claims=claims)


def _content(world: World, pod: Object, volume: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    namespace = namespace_of(pod)
    if (claim_ref := volume.get("persistentVolumeClaim")) is not None:
        claim = world.get("PersistentVolumeClaim", namespace, claim_ref["claimName"])
        if claim is None or status_of(claim).get("phase") != "Bound":
            raise UnmountableError(
                "Unable to attach or mount volumes: "
                f'PersistentVolumeClaim "{claim_ref["claimName"]}" is not bound'
            )
    sources = [volume, *((volume.get("projected") or {}).get("sources") or ())]
    for source in sources:
        for kind, key, name_key in (("ConfigMap", "configMap", "name"), ("Secret", "secret", "secretName")):
            if (ref := source.get(key)) is None:
                continue
            name = ref.get(name_key) or ref.get("name")
            data = _data(world, kind, namespace, name)
            failed = f'MountVolume.SetUp failed for volume "{volume["name"]}" : '
            if data is None:
                if ref.get("optional"):
                    continue
                raise UnmountableError(f'{failed}{kind.lower()} "{name}" not found')
            yield from _items(ref, data, failed)


def _items(ref: Mapping[str, Any], data: Mapping[str, str], failed: str) -> Iterator[tuple[str, str]]:
    if not ref.get("items"):
        yield from data.items()
        return
    for item in ref["items"]:
        if item["key"] in data:
            yield str(item["path"]), data[item["key"]]
        elif not ref.get("optional"):
            raise UnmountableError(f"{failed}references non-existent config key: {item['key']}")
