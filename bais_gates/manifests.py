"""Render Kubernetes manifests in kustomize's layout: a base of plain YAML and an overlay per environment.

``render`` returns the objects of ``kubectl kustomize``, without kubectl. Supported keys are resources,
namespace, images (newName, newTag, digest), replicas, labels (pairs) and patches (strategic merge of maps, or
RFC 6902 with a target). Any other key is an error, so that nothing is silently ignored.
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
"""One Kubernetes object."""

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
    """Return the objects of a kustomization folder, in the order of its resources.

    ``namespace`` replaces the overlay's; ``images`` maps image names without tag and digest to the references
    that replace them. Raises GateInputError with file, key and remedy.
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
    """Return the images of all pods of the objects."""
    return frozenset(str(container["image"]) for container in _containers(objects) if "image" in container)


def is_cluster_scoped(manifest: Manifest) -> bool:
    """Return whether an object's kind is cluster-scoped."""
    return manifest.get("kind") in _CLUSTER_KINDS


@dataclass(frozen=True, slots=True)
class _Kustomization:
    path: Path
    data: Manifest

    def error(self, key: str, text: str) -> GateInputError:
        return GateInputError(f"{self.path}: {key}: {text}")

    def entries(self, key: str, allowed: set[str]) -> Iterator[Manifest]:
        """Yield the mappings in the list of a key; raise GateInputError for keys that are not ``allowed``."""
        entries = self.data.get(key) or []
        if not isinstance(entries, list):
            raise self.error(key, "must be a list.")
        for entry in entries:
            if not isinstance(entry, dict) or set(entry) - allowed:
                raise self.error(key, f"an entry may only have the keys {', '.join(sorted(allowed))}.")
            yield entry


def _read(path: Path) -> list[Manifest]:
    """Read the objects of one YAML file with the strict parser."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as e:
        raise GateInputError(f"{path}: cannot be read ({e}). Check the name in `resources`.") from None
    objects, line = [], 0
    for part in _SEPARATOR.split(text):
        value, _ = parse("\n" * line + part, str(path))
        line += part.count("\n")
        if value is None:
            continue
        if not isinstance(value, dict):
            raise GateInputError(f"{path}: must be an object with apiVersion and kind, not a list or text.")
        objects.append(cast("Manifest", value))
    return objects


def _folder(directory: Path, seen: tuple[Path, ...]) -> list[Manifest]:
    directory = directory.resolve()
    path = next((directory / name for name in _FILES if (directory / name).is_file()), None)
    if path is None:
        raise GateInputError(f"{directory}: no kustomization.yaml. Pass the folder of an overlay.")
    if directory in seen:
        raise GateInputError(f"{path}: resources: the folder includes itself. Remove the entry.")
    documents = _read(path)
    if len(documents) != 1:
        raise GateInputError(f"{path}: must have one kustomization, not {len(documents)}.")
    kustomization = _Kustomization(path, documents[0])
    if unknown := sorted(set(kustomization.data) - _KEYS):
        raise kustomization.error(
            unknown[0], f"unsupported key. Use {', '.join(sorted(_KEYS))}, or remove it."
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
            raise kustomization.error("resources", "an object lacks apiVersion, kind or metadata.")
        if (identity := _identity(one)) in known:
            raise kustomization.error("resources", f"{one['kind']} {metadata.get('name')} is a duplicate.")
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
                raise GateInputError(f"{where}: a patch must be a list of operations or a partial object.")


def _read_patches(path: Path) -> list[Any]:
    if path.is_file() and (text := path.read_text(encoding="utf-8")).lstrip().startswith("-\n"):
        return [parse(text, str(path))[0]]
    return list(_read(path))


def _json_patch(objects: list[Manifest], where: Path, patch: list[Any], target: Manifest) -> None:
    applied = False
    for one in objects:
        if one["kind"] == target.get("kind") and target.get("name") in (None, one["metadata"].get("name")):
            applied = True
            try:
                changed = jsonpatch.apply_patch(one, patch)
            except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException) as e:
                raise GateInputError(f"{where}: a patch cannot be applied to {one['kind']}: {e}.") from None
            one.clear()
            one.update(changed)
    if not applied:
        raise GateInputError(f"{where}: the target of a patch is not in resources. Check kind and name.")


def _merge_patch(objects: list[Manifest], where: Path, patch: Manifest) -> None:
    target = (str(patch.get("kind")), str((patch.get("metadata") or {}).get("name")))
    for one in objects:
        if (one["kind"], one["metadata"].get("name")) == target:
            body = {key: value for key, value in patch.items() if key not in ("apiVersion", "kind")}
            body["metadata"] = {k: v for k, v in body["metadata"].items() if k not in ("name", "namespace")}
            _merge(one, body, where)
            return
    raise GateInputError(f"{where}: there is no {target[0]} {target[1]} to patch. Check kind and name.")


def _merge(into: Manifest, patch: Manifest, where: Path) -> None:
    for key, value in patch.items():
        if isinstance(value, list):  # Kubernetes merges some lists and replaces others
            raise GateInputError(f"{where}: {key}: use a JSON patch (op, path, value) to patch a list.")
        if value is None:
            into.pop(key, None)
        elif isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value, where)
        else:
            into[key] = copy.deepcopy(value)


def _set_namespace(objects: list[Manifest], namespace: str) -> None:
    """Set the namespace of all objects, and of service accounts in bindings; rename Namespace objects."""
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
    """Return an image's name without tag and digest: ``host:5000/a/b:1@sha256:..`` is ``host:5000/a/b``."""
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
            raise kustomization.error("images", f"{digest!r} is not a digest (sha256: and 64 hex digits).")

        def change(image: str, entry: Manifest = entry, digest: object = digest, tag: object = tag) -> str:
            name = _name_of(image)
            if name != entry.get("name"):
                return image
            ending = f"@{digest}" if digest else f":{tag}" if tag else image[len(name) :]
            return f"{entry.get('newName', name)}{ending}"

        _each_image(objects, change)


def _set_replicas(objects: list[Manifest], kustomization: _Kustomization, entry: Manifest) -> None:
    workloads = [
        one
        for one in objects
        if one["metadata"].get("name") == entry.get("name")
        and one["kind"] in ("Deployment", "StatefulSet", "ReplicaSet")
    ]
    if not workloads or not isinstance(entry.get("count"), int):
        raise kustomization.error("replicas", "must have the name of a resource and an integer count.")
    for one in workloads:
        one["spec"]["replicas"] = entry["count"]
