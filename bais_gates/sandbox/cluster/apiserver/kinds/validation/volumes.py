"""What holds for the volumes of a pod."""

from __future__ import annotations

from typing import Any

from bais_gates.sandbox.cluster.apiserver.kinds.errors import Cause, duplicate, forbidden, invalid, required
from bais_gates.sandbox.cluster.apiserver.kinds.kind import Obj
from bais_gates.sandbox.cluster.apiserver.kinds.quantity import value_of
from bais_gates.sandbox.cluster.apiserver.kinds.validation import meta, names

MODE_TEXT = "must be a number between 0 and 0777 (octal), both inclusive"
SOURCES_WITH_NAME = {"secret": "secretName", "configMap": "name", "persistentVolumeClaim": "claimName"}
HOST_PATHS = (
    "",
    "BlockDevice",
    "CharDevice",
    "Directory",
    "DirectoryOrCreate",
    "File",
    "FileOrCreate",
    "Socket",
)
SHORTEST_TOKEN_S = 600


def volumes(given: list[Obj], field: str) -> tuple[dict[str, Obj], list[Cause]]:
    """Return the volumes by name, and what is wrong with them."""
    known: dict[str, Obj] = {}
    found: list[Cause] = []
    for index, volume in enumerate(given):
        here = f"{field}[{index}]"
        sources = [key for key, value in volume.items() if key != "name" and value is not None]
        said = "may not specify more than 1 volume type"
        found += [forbidden(f"{here}.{extra}", said) for extra in sources[1:]]
        found += _source(volume, here)
        name = volume.get("name", "")
        if not name:
            found.append(required(f"{here}.name"))
        else:
            found += [invalid(f"{here}.name", name, said) for said in names.dns_label(name)]
        if name and name in known:
            found.append(duplicate(f"{here}.name", name))
        known[name] = volume
    return known, found


def _source(volume: Obj, here: str) -> list[Cause]:
    found: list[Cause] = []
    for source, key in SOURCES_WITH_NAME.items():
        given = volume.get(source)
        if given is None:
            continue
        if not given.get(key):
            found.append(required(f"{here}.{source}.{key}"))
        found += _mode(given.get("defaultMode"), f"{here}.{source}.defaultMode")
        found += _items(given.get("items"), f"{here}.{source}.items")
    if (host := volume.get("hostPath")) is not None:
        found += _host_path(host, f"{here}.hostPath")
    size = (volume.get("emptyDir") or {}).get("sizeLimit")
    if size is not None and (value_of(str(size)) or 0) < 0:
        said = "SizeLimit field must be a valid resource quantity"
        found.append(forbidden(f"{here}.emptyDir.sizeLimit", said))
    for index, item in enumerate((volume.get("downwardAPI") or {}).get("items") or ()):
        if item.get("fieldRef") is None and item.get("resourceFieldRef") is None:
            said = "one of fieldRef and resourceFieldRef is required"
            found.append(required(f"{here}.downwardAPI", said))
        elif not item.get("path"):
            found.append(required(f"{here}.downwardAPI.items[{index}].path"))
    for index, source in enumerate((volume.get("projected") or {}).get("sources") or ()):
        found += _projection(source, f"{here}.projected.sources[{index}]")
    return found


def _mode(mode: Any, field: str) -> list[Cause]:
    return [invalid(field, mode, MODE_TEXT)] if mode is not None and not 0 <= mode <= 0o777 else []


def _items(items: Any, field: str) -> list[Cause]:
    found: list[Cause] = []
    for index, item in enumerate(items or ()):
        here = f"{field}[{index}]"
        found += [required(f"{here}.{part}") for part in ("key", "path") if not item.get(part)]
        path = item.get("path") or ""
        if path.startswith("/"):
            found.append(invalid(f"{here}.path", path, "must be a relative path"))
        found += _no_way_up(path, f"{here}.path")
        found += _mode(item.get("mode"), f"{here}.mode")
    return found


def _no_way_up(path: str, field: str) -> list[Cause]:
    return [invalid(field, path, "must not contain '..'")] if ".." in path.split("/") else []


def _host_path(given: Obj, here: str) -> list[Cause]:
    path = given.get("path") or ""
    if not path:
        return [required(f"{here}.path")]
    return _no_way_up(path, f"{here}.path") + meta.one_of(given.get("type"), HOST_PATHS, f"{here}.type")


def _projection(source: Obj, here: str) -> list[Cause]:
    found: list[Cause] = []
    for kind in ("secret", "configMap"):
        given = source.get(kind)
        if given is not None:
            found += [] if given.get("name") else [required(f"{here}.{kind}.name")]
            found += _items(given.get("items"), f"{here}.{kind}.items")
    token = source.get("serviceAccountToken")
    if token is not None:
        seconds = token.get("expirationSeconds", SHORTEST_TOKEN_S)
        if seconds < SHORTEST_TOKEN_S:
            said = "may not specify a duration less than 10 minutes"
            found.append(invalid(f"{here}.serviceAccountToken.expirationSeconds", seconds, said))
        if not token.get("path"):
            found.append(required(f"{here.rpartition('.')[0]}.path"))
    return found
