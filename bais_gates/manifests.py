"""Kubernetes manifests kept in kustomize's layout: a base of plain YAML and a thin overlay per environment.

``render`` gives the objects that ``kubectl kustomize`` gives for the same folder, without needing kubectl. It
reads the part of a kustomization that these manifests use, and refuses any other key, so that nothing is
silently left out: resources, namespace, images (newName, newTag, digest), replicas, labels (pairs),
patches (a strategic merge of maps, or RFC 6902 with a target).
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from bais_gates.errors import GateInputError
from bais_gates.extras import optional
from bais_gates.verdict.strict_yaml import parse

jsonpatch = optional("jsonpatch", extra="cluster")

Manifest = dict[str, Any]
"""One Kubernetes object, as its YAML says it."""

_FILES: Final = ("kustomization.yaml", "kustomization.yml", "Kustomization")
_KEYS: Final = {
    "apiVersion", "kind", "resources", "namespace", "images", "replicas", "labels", "patches",
}  # fmt: skip
_CLUSTER_KINDS: Final = frozenset({
    "Namespace", "Node", "PersistentVolume", "StorageClass", "IngressClass", "PriorityClass", "ClusterRole",
    "ClusterRoleBinding", "ClusterIssuer", "CustomResourceDefinition",
})  # fmt: skip
_SEPARATOR: Final = re.compile(r"^---[ \t]*(?:#.*)?$", re.MULTILINE)
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")


def render(
    directory: Path, *, namespace: str | None = None, images: Mapping[str, str] | None = None
) -> list[Manifest]:
    """Give the objects of a kustomization folder, in its resources' order.

    ``namespace`` stands instead of the overlay's; ``images`` maps an image's name without tag and digest to
    the whole reference that stands in its place. Raises GateInputError naming file, key and remedy.
    """
    objects = _folder(directory, ())
    if namespace is not None:
        _set_namespace(objects, namespace)
    for name, reference in (images or {}).items():
        _each_image(
            objects, lambda image, name=name, ref=reference: ref if _name_of(image) == name else image
        )
    return objects


def image_references(objects: list[Manifest]) -> frozenset[str]:
    """Give every image that the pods of these objects run."""
    return frozenset(str(container["image"]) for container in _containers(objects) if "image" in container)


def is_cluster_scoped(manifest: Manifest) -> bool:
    """Tell whether an object belongs to no namespace."""
    return manifest.get("kind") in _CLUSTER_KINDS


@dataclass(frozen=True, slots=True)
class _Kustomization:
    path: Path
    data: Manifest

    def error(self, key: str, text: str) -> GateInputError:
        return GateInputError(f"{self.path}: {key}: {text}")

    def entries(self, key: str, allowed: set[str]) -> Iterator[Manifest]:
        """Give the mappings listed under a key, refusing keys that are not ``allowed``."""
        listed = self.data.get(key) or []
        if not isinstance(listed, list):
            raise self.error(key, "a list is wanted here.")
        for entry in listed:
            if not isinstance(entry, dict) or set(entry) - allowed:
                raise self.error(key, f"each entry may have {', '.join(sorted(allowed))}, and nothing else.")
            yield entry


def _read(path: Path) -> list[Manifest]:
    """Read the objects of one YAML file, by the strict rules that every file here is held to."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as e:
        raise GateInputError(f"{path}: can not be read ({e}). Check the name in `resources`.") from None
    objects, line = [], 0
    for part in _SEPARATOR.split(text):
        value, _ = parse("\n" * line + part, str(path))
        line += part.count("\n")
        if value is None:
            continue
        if not isinstance(value, dict):
            raise GateInputError(f"{path}: an object with apiVersion and kind is wanted, not a list or text.")
        objects.append(cast("Manifest", value))
    return objects


def _folder(directory: Path, seen: tuple[Path, ...]) -> list[Manifest]:
    directory = directory.resolve()
    path = next((directory / name for name in _FILES if (directory / name).is_file()), None)
    if path is None:
        raise GateInputError(f"{directory}: there is no kustomization.yaml here. Name an overlay's folder.")
    if directory in seen:
        raise GateInputError(f"{path}: resources: the folder includes itself. Take the entry out.")
    documents = _read(path)
    if len(documents) != 1:
        raise GateInputError(f"{path}: one kustomization is wanted, there are {len(documents)}.")
    kustomization = _Kustomization(path, documents[0])
    if unknown := sorted(set(kustomization.data) - _KEYS):
        raise kustomization.error(
            unknown[0], f"not a key that is read here. Use {', '.join(sorted(_KEYS))}, or leave it out."
        )
    objects = _resources(kustomization, (*seen, directory))
    _patch(objects, kustomization)
    if namespace := kustomization.data.get("namespace"):
        _set_namespace(objects, str(namespace))
    _name_images(objects, kustomization)
    for entry in kustomization.entries("replicas", {"name", "count"}):
        _set_replicas(objects, kustomization, entry)
    for entry in kustomization.entries("labels", {"pairs"}):
        for one in objects:
            one.setdefault("metadata", {}).setdefault("labels", {}).update(entry.get("pairs") or {})
    return objects


def _resources(kustomization: _Kustomization, seen: tuple[Path, ...]) -> list[Manifest]:
    objects: list[Manifest] = []
    for name in kustomization.data.get("resources") or []:
        path = kustomization.path.parent / str(name)
        objects += _folder(path, seen) if path.is_dir() else _read(path)
    known = set()
    for one in objects:
        metadata = one.get("metadata")
        if not one.get("apiVersion") or not one.get("kind") or not isinstance(metadata, dict):
            raise kustomization.error("resources", "an object has no apiVersion, kind or metadata.")
        if (identity := _identity(one)) in known:
            raise kustomization.error("resources", f"{one['kind']} {metadata.get('name')} is there twice.")
        known.add(identity)
    return objects


def _identity(one: Manifest) -> tuple[str, str, str]:
    return str(one["apiVersion"]).partition("/")[0], str(one["kind"]), str(one["metadata"].get("name"))


def _patch(objects: list[Manifest], kustomization: _Kustomization) -> None:
    for entry in kustomization.entries("patches", {"path", "patch", "target"}):
        where = kustomization.path
        if "path" in entry:
            where = kustomization.path.parent / str(entry["path"])
            patches = _read_patches(where)
        else:
            patches = [parse(str(entry.get("patch", "")), f"{where}: patches")[0]]
        for patch in patches:
            if isinstance(patch, list):
                _json_patch(objects, where, patch, entry.get("target") or {})
            elif isinstance(patch, dict):
                _merge_patch(objects, where, cast("Manifest", patch))
            else:
                raise GateInputError(f"{where}: a patch is a list of operations or a part of an object.")


def _read_patches(path: Path) -> list[Any]:
    if path.is_file() and (text := path.read_text(encoding="utf-8")).lstrip().startswith("-\n"):
        return [parse(text, str(path))[0]]
    return list(_read(path))


def _json_patch(objects: list[Manifest], where: Path, patch: list[Any], target: Manifest) -> None:
    hit = False
    for one in objects:
        if one["kind"] == target.get("kind") and target.get("name") in (None, one["metadata"].get("name")):
            hit = True
            try:
                changed = jsonpatch.apply_patch(one, patch)
            except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException) as e:
                raise GateInputError(f"{where}: a patch does not fit {one['kind']}: {e}.") from None
            one.clear()
            one.update(changed)
    if not hit:
        raise GateInputError(f"{where}: a patch's target is not among the resources. Check kind and name.")


def _merge_patch(objects: list[Manifest], where: Path, patch: Manifest) -> None:
    wanted = (str(patch.get("kind")), str((patch.get("metadata") or {}).get("name")))
    for one in objects:
        if (one["kind"], one["metadata"].get("name")) == wanted:
            body = {key: value for key, value in patch.items() if key not in ("apiVersion", "kind")}
            body["metadata"] = {k: v for k, v in body["metadata"].items() if k not in ("name", "namespace")}
            _merge(one, body, where)
            return
    raise GateInputError(f"{where}: there is no {wanted[0]} {wanted[1]} to patch. Check kind and name.")


def _merge(into: Manifest, patch: Manifest, where: Path) -> None:
    for key, value in patch.items():
        if isinstance(value, list):  # whether lists are merged or replaced differs from list to list
            raise GateInputError(f"{where}: {key}: patch a list by a JSON patch (op, path, value) instead.")
        if value is None:
            into.pop(key, None)
        elif isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value, where)
        else:
            into[key] = copy.deepcopy(value)


def _set_namespace(objects: list[Manifest], namespace: str) -> None:
    """Move everything into a namespace; a Namespace object becomes that one, accounts are found there."""
    for one in objects:
        metadata = one["metadata"]
        if one["kind"] == "Namespace":
            metadata["name"] = namespace
        elif not is_cluster_scoped(one):
            metadata["namespace"] = namespace
        if one["kind"] in ("RoleBinding", "ClusterRoleBinding"):
            for subject in one.get("subjects") or []:
                if subject.get("kind") == "ServiceAccount":
                    subject["namespace"] = namespace


def _containers(objects: list[Manifest]) -> Iterator[Manifest]:
    for one in objects:
        for spec in _pod_specs(one):
            for key in ("initContainers", "containers"):
                yield from spec.get(key) or []


def _pod_specs(one: Manifest) -> Iterator[Manifest]:
    spec = one.get("spec") or {}
    if one["kind"] == "Pod":
        yield spec
    elif one["kind"] == "CronJob":
        yield spec["jobTemplate"]["spec"]["template"]["spec"]
    elif isinstance(spec.get("template"), dict) and "spec" in spec["template"]:
        yield spec["template"]["spec"]


def _name_of(image: str) -> str:
    """Give an image's name without tag and digest: ``host:5000/a/b:1@sha256:..`` is ``host:5000/a/b``."""
    name = image.partition("@")[0]
    head, slash, last = name.rpartition("/")
    return f"{head}{slash}{last.partition(':')[0]}"


def _each_image(objects: list[Manifest], change: Any) -> None:
    for container in _containers(objects):
        if "image" in container:
            container["image"] = change(str(container["image"]))


def _name_images(objects: list[Manifest], kustomization: _Kustomization) -> None:
    for entry in kustomization.entries("images", {"name", "newName", "newTag", "digest"}):
        digest, tag = entry.get("digest"), entry.get("newTag")
        if digest is not None and not _DIGEST.fullmatch(str(digest)):
            raise kustomization.error("images", f"{digest!r} is no digest. Write sha256: and 64 hex digits.")

        def change(image: str, entry: Manifest = entry, digest: object = digest, tag: object = tag) -> str:
            name = _name_of(image)
            if name != entry.get("name"):
                return image
            ending = f"@{digest}" if digest else f":{tag}" if tag else image[len(name) :]
            return f"{entry.get('newName', name)}{ending}"

        _each_image(objects, change)


def _set_replicas(objects: list[Manifest], kustomization: _Kustomization, entry: Manifest) -> None:
    named = [
        one
        for one in objects
        if one["metadata"].get("name") == entry.get("name")
        and one["kind"] in ("Deployment", "StatefulSet", "ReplicaSet")
    ]
    if not named or not isinstance(entry.get("count"), int):
        raise kustomization.error("replicas", "a name of the resources and a whole count are wanted.")
    for one in named:
        one["spec"]["replicas"] = entry["count"]
