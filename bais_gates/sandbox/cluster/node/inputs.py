"""What a pod is given: the values of its environment and the files of its volumes, or what is missing."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bais_gates.sandbox.cluster.controllers.objects import Object, namespace_of, spec_of, status_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bais_gates.sandbox.cluster.controllers.world import World


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
        """Return the text of the file with this name, wherever it is mounted."""
        return next((text for path, text in self.texts.items() if path.rpartition("/")[2] == name), None)


def environment(world: World, pod: Object, container: Mapping[str, Any]) -> dict[str, str]:
    """Return a container's environment.

    Raise ``MissingError``, worded as by the kubelet, for what is not there, and for what the sandbox does not
    do (``$(NAME)``, fields of the pod).
    """
    found: dict[str, str] = {}
    for source in container.get("envFrom") or ():
        for kind, key in (("ConfigMap", "configMapRef"), ("Secret", "secretRef")):
            if (ref := source.get(key)) is not None:
                data = _needed(world, kind, namespace_of(pod), ref)
                found |= {(source.get("prefix") or "") + name: text for name, text in data.items()}
    for variable in container.get("env") or ():
        value = _value(world, pod, variable)
        if value is not None:
            found[variable["name"]] = value
    return found


def _value(world: World, pod: Object, variable: Mapping[str, Any]) -> str | None:
    source = variable.get("valueFrom")
    if source is None:
        value = str(variable.get("value") or "")
        if "$(" in value:
            raise MissingError(f"the sandbox does not expand {value!r} of {variable['name']}: write it out")
        return value
    for kind, key in (("ConfigMap", "configMapKeyRef"), ("Secret", "secretKeyRef")):
        if (ref := source.get(key)) is None:
            continue
        data = _needed(world, kind, namespace_of(pod), ref)
        if ref["key"] not in data and not ref.get("optional"):
            raise MissingError(f"couldn't find key {ref['key']} in {kind} {namespace_of(pod)}/{ref['name']}")
        return data.get(ref["key"])
    raise MissingError(f"the sandbox has no {', '.join(source)} for {variable['name']}")


def _needed(world: World, kind: str, namespace: str, ref: Mapping[str, Any]) -> dict[str, str]:
    """Return the texts that a reference names; none if it is optional and there are none."""
    data = _data(world, kind, namespace, ref["name"])
    if data is None and not ref.get("optional"):
        raise MissingError(f'{kind.lower()} "{ref["name"]}" not found')
    return data or {}


def _data(world: World, kind: str, namespace: str, name: str) -> dict[str, str] | None:
    """Return the texts of a ConfigMap or Secret, None if there is none of that name."""
    obj = world.get(kind, namespace, name)
    if obj is None:
        return None
    data = obj.get("data") or {}
    if kind == "ConfigMap":
        return dict(data)
    return {key: base64.b64decode(text).decode("utf-8", "replace") for key, text in data.items()}


def files(world: World, pod: Object, container: Mapping[str, Any]) -> Files:
    """Return what a container mounts. Raise ``UnmountableError``, worded as by the kubelet."""
    texts: dict[str, str] = {}
    claims: dict[str, str] = {}
    volumes = {volume["name"]: volume for volume in spec_of(pod).get("volumes") or ()}
    contents = {name: dict(_content(world, pod, volume)) for name, volume in volumes.items()}
    for mount in container.get("volumeMounts") or ():
        at = str(mount["mountPath"]).rstrip("/")
        if claim := volumes[mount["name"]].get("persistentVolumeClaim"):
            claims[at] = claim["claimName"]
        sub = mount.get("subPath")
        for path, text in contents[mount["name"]].items():
            if not sub:
                texts[f"{at}/{path}"] = text
            elif path == sub:
                texts[at] = text
    return Files(texts=texts, claims=claims)


def _content(world: World, pod: Object, volume: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    namespace = namespace_of(pod)
    if (ref := volume.get("persistentVolumeClaim")) is not None:
        claim = world.get("PersistentVolumeClaim", namespace, ref["claimName"]) or {}
        if status_of(claim).get("phase") != "Bound":
            raise UnmountableError(
                f'Unable to attach or mount volumes: PersistentVolumeClaim "{ref["claimName"]}" is not bound'
            )
    for source in (volume, *((volume.get("projected") or {}).get("sources") or ())):
        for kind, key in (("ConfigMap", "configMap"), ("Secret", "secret")):
            if (ref := source.get(key)) is None:
                continue
            name = ref.get("secretName") or ref.get("name")
            data = _data(world, kind, namespace, name)
            failed = f'MountVolume.SetUp failed for volume "{volume["name"]}" : '
            if data is not None:
                yield from _items(ref, data, failed)
            elif not ref.get("optional"):
                raise UnmountableError(f'{failed}{kind.lower()} "{name}" not found')


def _items(ref: Mapping[str, Any], data: Mapping[str, str], failed: str) -> Iterator[tuple[str, str]]:
    for item in ref.get("items") or [{"key": key, "path": key} for key in data]:
        if item["key"] in data:
            yield str(item["path"]), data[item["key"]]
        elif not ref.get("optional"):
            raise UnmountableError(f"{failed}references non-existent config key: {item['key']}")
