"""Make ``schemas.json``: the published schemas of the kinds that are served, without their prose.

Run ``python -m bais_gates.sandbox.cluster.apiserver.kinds.generate`` where ``kubernetes-validate`` is
installed (it carries the OpenAPI definitions that Kubernetes publishes for each release); nothing of it is
needed when the stand-in runs. What is kept of each definition: properties, types, formats, required, and the
``x-kubernetes-`` keys that say how lists and maps merge and which kind a definition is.
"""

from __future__ import annotations

import importlib.resources
import json
from pathlib import Path
from typing import Any

from bais_gates.sandbox.cluster.apiserver.kinds.builtin import BUILT_IN, schema_of

RELEASE = "v1.36.0-local"
TARGET = Path(__file__).with_name("schemas.json")
KEPT = (
    "format",
    "required",
    "x-kubernetes-group-version-kind",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-list-type",
    "x-kubernetes-map-type",
    "x-kubernetes-patch-merge-key",
    "x-kubernetes-patch-strategy",
    "x-kubernetes-preserve-unknown-fields",
)
# The definitions that mean more than their JSON type says.
SPECIAL: dict[str, dict[str, Any]] = {
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": {"type": "string", "format": "int-or-string"},
    "io.k8s.apimachinery.pkg.api.resource.Quantity": {"type": "string", "format": "quantity"},
    "io.k8s.apimachinery.pkg.apis.meta.v1.Time": {"type": "string", "format": "date-time"},
    "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime": {"type": "string", "format": "date-time"},
}
# Keys of associative lists that have a default: an item that leaves the key out still has it.
KEY_DEFAULTS = {
    ("io.k8s.api.core.v1.ContainerPort", "protocol"): "TCP",
    ("io.k8s.api.core.v1.ServicePort", "protocol"): "TCP",
}


def slim(definition: dict[str, Any], needed: set[str]) -> dict[str, Any]:
    """Return one schema without prose and nulls; add the names of what it refers to to ``needed``."""
    if "$ref" in definition:
        name = definition["$ref"].rpartition("/")[2]
        needed.add(name)
        return {"$ref": name} | {key: definition[key] for key in KEPT if key in definition}
    kept: dict[str, Any] = {key: definition[key] for key in KEPT if key in definition}
    kinds = definition.get("type")
    if kinds is not None:
        kept["type"] = kinds if isinstance(kinds, str) else next(kind for kind in kinds if kind != "null")
    if "properties" in definition:
        kept["properties"] = {name: slim(part, needed) for name, part in definition["properties"].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(definition.get(key), dict):
            kept[key] = slim(definition[key], needed)
    return kept


def generate() -> dict[str, Any]:
    """Return every definition that the served kinds reach, by its published name."""
    source = importlib.resources.files("kubernetes_validate") / "kubernetes-json-schema" / RELEASE
    published = json.loads((source / "_definitions.json").read_text(encoding="utf-8"))["$defs"]
    needed = {schema_of(kind) for kind in BUILT_IN}
    made: dict[str, Any] = {}
    while missing := needed - made.keys():
        for name in sorted(missing):
            made[name] = SPECIAL.get(name) or slim(published[name], needed)
    for (name, field), default in KEY_DEFAULTS.items():
        made[name]["properties"][field]["default"] = default
    return dict(sorted(made.items()))


def main() -> None:
    """Write ``schemas.json`` beside this module."""
    TARGET.write_text(json.dumps(generate(), separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
