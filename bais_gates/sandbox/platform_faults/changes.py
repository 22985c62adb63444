"""The changes that platform faults consist of: each is made on a running sandbox, and undone.

A change is one of a closed set: SQL statements, a merge patch to an object of the cluster, an object that is
created or deleted, a text in a ConfigMap or Secret, an edit of a file that the environment names, and those
of the monitoring (in ``monitoring``).
``make`` returns, as JSON, what ``undo`` needs to restore the former state.
"""

from __future__ import annotations

import base64
import json
import re
import time
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from bais_gates.sandbox.bootstrap.client import ClusterClient
from bais_gates.sandbox.errors import SandboxError
from bais_gates.sandbox.files import read_object
from bais_gates.sandbox.services.postgres_roles import DATABASE, SUPERUSER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import psycopg

PLATFORM, STAGING = "bais", "bais-staging"
"""The namespaces that a change can be made in: that of the platform, and the one that staging provisions."""
_ADDRESS = "sandbox.bais-gates/address"
_GIVEN = ("uid", "resourceVersion", "creationTimestamp", "generation", "managedFields")
"""What the server adds to an object's metadata."""
_IN_EFFECT_WITHIN_S, _POLL_S = 30.0, 0.05
_QUIET_S, _QUIET_WITHIN_S = 0.2, 3.0


class Change(Protocol):
    """One change of the platform."""

    def make(self, platform: Platform) -> Any:
        """Make it, wait until it is in effect, and return what ``undo`` needs. Raises ``SandboxError``."""

    def undo(self, platform: Platform, former: Any) -> None:
        """Restore the former state; nothing is done where the changed object no longer exists."""


@dataclass(frozen=True, slots=True)
class Sql:
    """Statements for PostgreSQL: as superuser, in staging as the database's owner."""

    statements: tuple[str, ...]
    undoing: tuple[str, ...]
    namespace: str = PLATFORM

    def make(self, platform: Platform) -> None:  # noqa: D102 - see Change
        self._execute(platform, self.statements)

    def undo(self, platform: Platform, former: None) -> None:  # noqa: ARG002, D102 - see Change
        self._execute(platform, self.undoing)

    def _execute(self, platform: Platform, statements: tuple[str, ...]) -> None:
        with platform.database(self.namespace) as connection:
            before = _loaded(connection)
            for statement in statements:
                connection.execute(statement.encode())
        if not any("pg_reload_conf" in statement for statement in statements):
            return

        def reloaded() -> bool:
            with platform.database(self.namespace) as connection:
                return _loaded(connection) != before

        await_that(reloaded, "PostgreSQL has not read its configuration again")


@dataclass(frozen=True, slots=True)
class Patch:
    """A JSON merge patch to an object, named as ``apps/v1 Deployment bais/bais-api``.

    ``settles`` is false for a workload that can't be rolled out with it.
    """

    ref: str
    patch: Mapping[str, Any]
    settles: bool = True

    def make(self, platform: Platform) -> Any:  # noqa: D102 - see Change
        former = platform.get(self.ref)
        platform.client.merge(manifest(self.ref), self.patch)
        platform.settle(self.ref if self.settles else "")
        return _inverse(self.patch, former)

    def undo(self, platform: Platform, former: Any) -> None:  # noqa: D102 - see Change
        platform.client.merge(manifest(self.ref), former)
        platform.settle(self.ref)


@dataclass(frozen=True, slots=True)
class Create:
    """A new object."""

    obj: Mapping[str, Any]

    def make(self, platform: Platform) -> None:  # noqa: D102 - see Change
        if platform.client.get(self.obj) is not None:
            raise SandboxError(f"{_described(self.obj)} exists already")
        platform.client.create(dict(self.obj))
        platform.settle()

    def undo(self, platform: Platform, former: None) -> None:  # noqa: ARG002, D102 - see Change
        platform.delete(self.obj)


@dataclass(frozen=True, slots=True)
class Delete:
    """The deletion of an object, named as in :class:`Patch`."""

    ref: str

    def make(self, platform: Platform) -> Any:  # noqa: D102 - see Change
        former = platform.get(self.ref)
        platform.delete(former)
        return former

    def undo(self, platform: Platform, former: Any) -> None:  # noqa: D102 - see Change
        metadata = {key: value for key, value in former["metadata"].items() if key not in _GIVEN}
        status = former.get("status")
        platform.client.create({**former, "metadata": metadata})
        if status:
            platform.client.set_status(former, status)
        platform.settle()


@dataclass(frozen=True, slots=True)
class Configuration:
    """A text in a ConfigMap or Secret: the first match of a regular expression is replaced.

    ``restart`` is the pod that reads it when it starts, and is then replaced by a new one.
    """

    ref: str
    key: str
    pattern: str
    replacement: str
    restart: str = ""

    def make(self, platform: Platform) -> str:  # noqa: D102 - see Change
        text = platform.texts(self.ref)[self.key]
        self._write(platform, replaced(text, self.pattern, self.replacement, f"{self.ref}, {self.key}"))
        return text

    def undo(self, platform: Platform, former: str) -> None:  # noqa: D102 - see Change
        self._write(platform, former)

    def _write(self, platform: Platform, text: str) -> None:
        encoded = base64.b64encode(text.encode()).decode() if " Secret " in self.ref else text
        platform.client.merge(manifest(self.ref), {"data": {self.key: encoded}})
        if self.restart:
            platform.restart(self.restart)
        platform.settle()


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """An edit of a file that a key of the environment file names.

    ``name`` is the key, with a pattern for the newest file of a folder: ``backup.directory/*.json``.
    ``merge`` is a JSON merge patch, ``replace`` a regular expression and its replacement, ``text`` the new
    content; without any of them the file is removed.
    """

    name: str
    merge: Mapping[str, Any] | None = None
    replace: tuple[str, str] | None = None
    text: str | None = None

    def make(self, platform: Platform) -> dict[str, str | None]:  # noqa: D102 - see Change
        path = platform.file(self.name)
        former = path.read_bytes() if path.exists() else None
        content = self._edited(former, path)
        if content is None:
            path.unlink()
        else:
            path.write_bytes(content)
        encoded = None if former is None else base64.b64encode(former).decode()
        return {"path": str(path), "content": encoded}

    def undo(self, platform: Platform, former: dict[str, str | None]) -> None:  # noqa: ARG002, D102 - see Change
        path, content = Path(str(former["path"])), former["content"]
        if content is None:
            path.unlink(missing_ok=True)
        else:
            path.write_bytes(base64.b64decode(content))

    def _edited(self, former: bytes | None, path: Path) -> bytes | None:
        if self.text is not None:
            return self.text.encode()
        if former is None:
            raise SandboxError(f"{path} does not exist")
        if self.merge is not None:
            from bais_gates.sandbox.cluster.apiserver.kinds.patches import (  # noqa: PLC0415 - takes 0.1 s
                merge_patch,
            )

            return json.dumps(merge_patch(json.loads(former), self.merge), indent=2).encode()
        if self.replace is not None:
            return replaced(former.decode(), *self.replace, str(path)).encode()
        return None


class Platform:
    """The running platform of a sandbox, as its administrators reach it. Raises ``SandboxError``."""

    def __init__(self, directory: Path) -> None:
        try:
            kubeconfig = read_object(directory / "cluster" / "kubeconfig")
        except OSError:
            raise SandboxError("the sandbox's cluster is not up: `bais-gates sandbox up` starts it") from None
        self.directory = directory
        url = kubeconfig["clusters"][0]["cluster"]["server"]
        admin = next(one for one in kubeconfig["users"] if one["name"].endswith("-admin"))
        self.client = ClusterClient(url, ca=directory / "ca.pem", token=admin["user"]["token"])

    def close(self) -> None:
        """Close the connection to the API server."""
        self.client.close()

    @cached_property
    def _environment(self) -> dict[str, Any]:
        import yaml  # noqa: PLC0415 - only changes of files need it

        found: dict[str, Any] = yaml.safe_load(
            (self.directory / "environment.yaml").read_text(encoding="utf-8")
        )
        return found

    def is_staged(self) -> bool:
        """Return whether the namespace of staging exists."""
        return self.client.get(manifest(f"v1 Namespace {STAGING}")) is not None

    def require_staging(self) -> None:
        """Raise ``SandboxError`` without the namespace of staging."""
        if not self.is_staged():
            raise SandboxError(
                f"there is no namespace {STAGING}: provision it with `bais-gates stage --keep` first"
            )

    def get(self, ref: str) -> dict[str, Any]:
        """Return an object. Raises ``SandboxError`` if it does not exist."""
        found = self.client.get(manifest(ref))
        if found is None:
            raise SandboxError(f"the cluster has no {_described(manifest(ref))}")
        return found

    def texts(self, ref: str) -> dict[str, str]:
        """Return the texts of a ConfigMap or Secret by key."""
        obj = self.get(ref)
        data: dict[str, str] = obj.get("data") or {}
        secret = obj["kind"] == "Secret"
        return {key: base64.b64decode(text).decode() if secret else text for key, text in data.items()}

    def delete(self, obj: Mapping[str, Any]) -> None:
        """Delete an object, if it exists, and wait until it is gone."""
        self.client.delete(obj)
        await_that(lambda: self.client.get(obj) is None, f"{_described(obj)} is still being deleted")
        self.settle()

    def restart(self, pod: str) -> None:
        """Delete a pod, and wait until the one that replaces it is ready."""
        ref = f"v1 Pod {pod}"
        former = self.get(ref)["metadata"]["uid"]
        self.client.delete(manifest(ref), grace_s=1)

        def ready() -> bool:
            new = self.client.get(manifest(ref)) or {"metadata": {"uid": former}}
            conditions = (new.get("status") or {}).get("conditions") or ()
            is_ready = any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
            return bool(new["metadata"]["uid"] != former and is_ready)

        await_that(ready, f"the pod {pod} is not ready again")

    def settle(self, changed: str = "") -> None:
        """Wait until a changed workload is rolled out, and until the controllers have nothing left to do."""
        if changed.split()[1:2] in (["Deployment"], ["StatefulSet"]):
            await_that(lambda: _is_rolled_out(self.get(changed)), f"{changed} is not rolled out")
        version, since, until = "", time.monotonic(), time.monotonic() + _QUIET_WITHIN_S
        while time.monotonic() - since < _QUIET_S and time.monotonic() < until:
            if (current := self.client.version()) != version:
                version, since = current, time.monotonic()
            time.sleep(_POLL_S)

    @contextmanager
    def database(self, namespace: str) -> Iterator[psycopg.Connection[Any]]:
        """Connect to the PostgreSQL of a namespace. Raises ``SandboxError``, also for a failed statement."""
        import psycopg  # noqa: PLC0415 - slow to import, and only changes of the database need it

        values = self.texts(f"v1 Secret {namespace}/bais-postgres")
        user, password = SUPERUSER, values["POSTGRES_PASSWORD"]
        if namespace == STAGING:  # the superuser of the sandbox's other servers is nobody's
            user, password = values["DB_USER"], values["DB_PASSWORD"]
        pod = self.get(f"v1 Pod {namespace}/bais-postgres-0")
        host, _, port = str((pod["metadata"].get("annotations") or {}).get(_ADDRESS)).rpartition(":")
        try:
            with psycopg.connect(
                host=host,
                port=port,
                user=user,
                password=password,
                dbname=DATABASE,
                sslmode="require",
                connect_timeout=10,
                autocommit=True,
            ) as connection:
                yield connection
        except psycopg.Error as error:
            raise SandboxError(f"PostgreSQL of {namespace}: {' '.join(str(error).split())}") from error

    def value(self, part: str, key: str) -> Any:
        """Return a value of the environment file. Raises ``SandboxError`` without one."""
        value = (self._environment.get(part) or {}).get(key)
        if not value:
            raise SandboxError(f"the sandbox's environment file has no {part}.{key}")
        return value

    def file(self, name: str) -> Path:
        """Return the path of a file by the key of the environment file that names it."""
        key, _, pattern = name.partition("/")
        part, _, field = key.partition(".")
        value = self.value(part, field)
        path = Path(value[0] if isinstance(value, list) else value)
        if not pattern:
            return path
        found = sorted(path.glob(pattern))
        if not found and "*" in pattern:
            raise SandboxError(f"{path} has no file {pattern}")
        return found[-1] if found else path / pattern


def manifest(ref: str, **rest: Any) -> dict[str, Any]:
    """Return an object named as in :class:`Patch`, with the rest of its fields."""
    version, kind, where = ref.split()
    namespace, _, name = where.rpartition("/")
    metadata = {"name": name, "namespace": namespace} if namespace else {"name": name}
    return {"apiVersion": version, "kind": kind, "metadata": metadata} | rest


def _described(obj: Mapping[str, Any]) -> str:
    metadata = obj["metadata"]
    where = f"{metadata['namespace']}/" if metadata.get("namespace") else ""
    return f"{obj['kind']} {where}{metadata['name']}"


def _is_rolled_out(workload: Mapping[str, Any]) -> bool:
    """Return whether all pods of a Deployment or StatefulSet are of its newest template, and ready."""
    status, replicas = workload.get("status") or {}, workload["spec"].get("replicas", 1)
    counts = (status.get(name, 0) for name in ("replicas", "updatedReplicas", "readyReplicas"))
    current = status.get("observedGeneration", 0) >= workload["metadata"].get("generation", 1)
    return current and all(count == replicas for count in counts)


def _loaded(connection: psycopg.Connection[Any]) -> object:
    row = connection.execute("SELECT pg_conf_load_time()").fetchone()
    return row and row[0]


def await_that(condition: Callable[[], bool], otherwise: str) -> None:
    """Wait until the condition holds. Raises ``SandboxError`` with ``otherwise`` if it does not."""
    deadline = time.monotonic() + _IN_EFFECT_WITHIN_S
    while not condition():
        if time.monotonic() > deadline:
            raise SandboxError(f"{otherwise} after {_IN_EFFECT_WITHIN_S:.0f} s")
        time.sleep(_POLL_S)


def replaced(text: str, pattern: str, replacement: str, where: str) -> str:
    """Return the text with the first match replaced. Raises ``SandboxError`` without one."""
    changed, count = re.subn(pattern, replacement, text, count=1, flags=re.MULTILINE)
    if not count:
        raise SandboxError(f"{where}: nothing in it matches {pattern!r}")
    return changed


def _inverse(patch: Any, former: Any) -> Any:
    """Return the merge patch that restores ``former`` after ``patch``."""
    return {
        key: _inverse(part, former[key])
        if isinstance(part, dict) and isinstance(former.get(key), dict)
        else former.get(key)
        for key, part in patch.items()
    }
