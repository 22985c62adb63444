"""Makes the containers of the runtime: the program of each kind, and its configuration."""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from bais_gates.sandbox.files import read_json, remove_database
from bais_gates.sandbox.processes import remove
from bais_gates.sandbox.runtime import Container, Operation, RefusedError, Runtime
from bais_gates.sandbox.services.postgres import Postgres
from bais_gates.sandbox.services.postgres_account import free_shared_memory
from bais_gates.sandbox.services.postgres_roles import DATABASE, Role, Roles
from bais_gates.sandbox.services.programs import ApiProgram, Group, Place, PythonProgram
from bais_gates.sandbox.services.redis import CONFIGURATION, Redis

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from bais_gates.sandbox.releases import Release
    from bais_gates.sandbox.tls import Certificates

NAMESPACE = "bais"
"""The namespace of the platform that the sandbox started itself."""
DATABASE_VOLUME = f"{NAMESPACE}.data-bais-postgres-0"
DATABASE_ID = f"{NAMESPACE}/bais-postgres-0/postgres"
CACHE_ID = f"{NAMESPACE}/bais-redis-0/redis"
API_ID, API_GROUP = f"{NAMESPACE}/bais-api-0/api", f"{NAMESPACE}/bais-api"
_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,62}(/[a-z0-9][a-z0-9.-]{0,252}){2}")
_ROOT_CERTIFICATE = re.compile(r"([?&]sslrootcert=)[^&]*")
_VOLUME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}\.[a-z0-9][a-z0-9.-]{0,252}")
_REPLICA_SETTINGS = frozenset({"host", "port", "tls_cert", "tls_key", "logs", "combined_log"})


class ContainerKinds:
    """Makes containers, and keeps the ports of each API and cache as long as the sandbox is up."""

    def __init__(
        self,
        directory: Path,
        database: Postgres,
        certificates: Certificates,
        releases: Mapping[str, Release] = MappingProxyType({}),
    ) -> None:
        """``releases`` are by image: what differs in the containers of each."""
        self._directory, self._database, self._certificates = directory, database, certificates
        self._releases = releases
        self._groups: dict[str, Group] = {}
        self._caches: dict[str, Redis] = {}

    def remember_cache(self, name: str, cache: Redis) -> None:
        """Keep the port of a cache for the next container with this id."""
        self._caches[name] = cache

    def group(self, name: str) -> Group:
        """Return the ports of an API; they stay the same while the sandbox is up."""
        if name not in self._groups:
            self._groups[name] = Group()
        return self._groups[name]

    def make(self, name: str, kind: str, config: Mapping[str, Any], previous: Container | None) -> Container:
        """Return a new container; it takes over the port and data of ``previous``, an ended one with this id.

        Raises ``RefusedError`` for an invalid id, kind or configuration.
        """
        if not _ID.fullmatch(name):
            raise RefusedError("an id is <namespace>/<pod>/<container>")
        makers = {
            "postgres": self._postgres,
            "redis": self._redis,
            "api": self._api,
            "migrate": self._migrate,
            "backup": self._backup,
        }
        if kind not in makers:
            raise RefusedError(f"unknown kind {kind!r}; the kinds are {', '.join(makers)}")
        return makers[kind](name, config, previous)

    def wipe(self, volume: str) -> None:
        """Delete the data of an unused volume. Raises ``RefusedError`` for an invalid name."""
        if volume == DATABASE_VOLUME:
            self._database.wipe()
            return
        folder = self._volume(volume)
        free_shared_memory(folder / "pg")
        remove_database(folder / "pg")
        remove(folder)

    def _volume(self, volume: object) -> Path:
        if not isinstance(volume, str) or not _VOLUME.fullmatch(volume):
            raise RefusedError("a volume is <namespace>.<claim>")
        return self._directory / "volumes" / volume

    def _postgres(self, name: str, config: Mapping[str, Any], previous: Container | None) -> Container:
        """Make a PostgreSQL server; the platform's own and a previous one keep their data."""
        if name == DATABASE_ID:
            self._database.part = None
            return _container(name, "postgres", self._database, volume=DATABASE_VOLUME)
        if previous is not None:
            previous.program.part = None
            return _container(name, "postgres", previous.program, volume=previous.volume)
        volume = str(config.get("volume") or name.rpartition("/")[0].replace("/", "."))
        roles = {
            purpose: Role(name=str(role["name"]), password=str(role["password"]))
            for purpose, role in dict(config.get("roles") or {}).items()
            if role is not None
        }
        program = Postgres(
            self._volume(volume) / "pg",
            self._directory / "logs",
            self._certificates,
            log=_log_name(name),
            roles=Roles.generate(roles),
            database=str(config.get("database") or DATABASE),
            settings={str(key): str(value) for key, value in dict(config.get("settings") or {}).items()},
            like=self._database,
        )
        return _container(name, "postgres", program, volume=volume)

    def _redis(self, name: str, config: Mapping[str, Any], previous: Container | None) -> Container:
        """Make a cache; one with an earlier one's id keeps its port, and has its own configuration."""
        del previous
        program = self._caches.get(name)
        if program is None:
            program = Redis(
                self._directory / "containers" / _log_name(name).removesuffix(".log"),
                self._directory / "logs",
                log=_log_name(name),
            )
            self.remember_cache(name, program)
        if "configuration" in config or "users" in config:
            users = config.get("users")
            program.configure(
                str(config.get("configuration") or CONFIGURATION),
                program.users if users is None else str(users),
            )
        return _container(name, "redis", program)

    def _api(self, name: str, config: Mapping[str, Any], previous: Container | None) -> Container:
        del previous
        namespace, pod, _ = name.split("/")
        overrides = {
            key: value for key, value in dict(config.get("settings") or {}).items() if value is not None
        }
        main = read_json(self._directory / "api.json")
        settings = dict(main) if isinstance(main, dict) else {}
        if namespace != NAMESPACE:
            for key in ("database_url", "redis_url", "secret_key", "faults_file"):
                settings.pop(key, None)
        settings |= {key: value for key, value in overrides.items() if key not in _REPLICA_SETTINGS}
        logs = self._directory / "logs" / f"{namespace}.{pod}"
        settings |= {"logs": str(logs), "combined_log": str(logs / "api.log")}
        if (release := self._releases.get(str(config.get("image")))) is not None:
            settings["version"], settings["defects"] = release.version, release.defects
            settings["replaced_sql"] = release.replaced_sql
        if isinstance(url := settings.get("database_url"), str):
            settings["database_url"] = self._with_local_ca(url)
        group = str(config.get("group") or f"{namespace}/bais-api")
        place = self._place(name, log=logs / "api.log")
        return _container(name, "api", ApiProgram(place, settings, self.group(group)), group=group)

    def _migrate(self, name: str, config: Mapping[str, Any], previous: Container | None) -> Container:
        del previous
        release = self._releases.get(str(config.get("image")))
        content = {
            "database_url": self._with_local_ca(str(config["database_url"])),
            "migrations": [str(folder) for folder in release.migration_folders] if release else [],
        }
        program = PythonProgram("migrate", "bais_gates.sandbox.api.migrate", self._place(name), content)
        return _container(name, "migrate", program)

    def _backup(self, name: str, config: Mapping[str, Any], previous: Container | None) -> Container:
        del previous
        content = {key: str(config[key]) for key in ("database_url", "recipient", "directory")}
        content["database_url"] = self._with_local_ca(content["database_url"])
        content["programs"] = str(self._database.binaries)
        program = PythonProgram("backup", "bais_gates.sandbox.backup", self._place(name), content)
        return _container(name, "backup", program)

    def _with_local_ca(self, url: str) -> str:
        """Return the URL with the path of the sandbox's authority instead of that in a container."""
        return _ROOT_CERTIFICATE.sub(rf"\g<1>{self._certificates.ca}", url)

    def _place(self, name: str, *, log: Path | None = None) -> Place:
        log_name = _log_name(name)
        return Place(
            directory=self._directory,
            log=log or self._directory / "logs" / log_name,
            config=self._directory / "containers" / log_name.replace(".log", ".json"),
        )


def make_runtime(
    kinds: ContainerKinds,
    *,
    database: Postgres,
    cache: Redis,
    api: ApiProgram,
    operations: Mapping[str, Operation],
) -> Runtime:
    """Return the runtime, with the programs that run already as its first containers."""
    runtime = Runtime(kinds.make, kinds.wipe, operations)
    runtime.adopt(_container(DATABASE_ID, "postgres", database, volume=DATABASE_VOLUME))
    runtime.adopt(_container(CACHE_ID, "redis", cache))
    kinds.remember_cache(CACHE_ID, cache)
    runtime.adopt(Container(id=API_ID, kind="api", program=api, name="api", log=api.log, group=API_GROUP))
    return runtime


def _container(name: str, kind: str, program: Any, *, volume: str = "", group: str = "") -> Container:
    shown = {DATABASE_ID: "postgres", CACHE_ID: "redis"}.get(name, name)
    return Container(
        id=name, kind=kind, program=program, name=shown, log=program.log, volume=volume, group=group
    )


def _log_name(name: str) -> str:
    namespace, pod, container = name.split("/")
    return f"{namespace}.{pod}.{container}.log"
