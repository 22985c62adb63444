"""A PostgreSQL server on loopback, with authentication, TLS, roles and statistics."""

from __future__ import annotations

import os
import secrets
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from bais_gates.sandbox.errors import SandboxError, start_error
from bais_gates.sandbox.files import write_private
from bais_gates.sandbox.processes import Part, free_port, log_tail, remove, spawn, unshare_user_namespace
from bais_gates.sandbox.services import postgres_roles
from bais_gates.sandbox.services.postgres_account import (
    Account,
    choose_account,
    find_binaries,
    free_shared_memory,
)
from bais_gates.sandbox.services.postgres_roles import APP_ROLE, DATABASE, GATES_ROLE, SCRATCH_ROLE, Roles

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bais_gates.sandbox.tls import Certificates

__all__ = ["APP_ROLE", "DATABASE", "GATES_ROLE", "SCRATCH_ROLE", "SETTINGS", "Postgres"]

SETTINGS = {
    "max_connections": "100",
    "shared_buffers": "32MB",
    "password_encryption": "scram-sha-256",
    "shared_preload_libraries": "pg_stat_statements",
    "pg_stat_statements.track_utility": "off",  # statistics must not contain a role's password
    "track_io_timing": "on",
    "timezone": "GMT",  # the one name that needs no time-zone files
    "log_timezone": "GMT",
    "log_parameter_max_length_on_error": "0",
    "log_connections": "on",
    "log_disconnections": "on",
    "log_replication_commands": "on",
    "log_statement": "ddl",
    "log_line_prefix": "%m [%p] %q%u@%d %a %r ",
    "idle_in_transaction_session_timeout": "60s",
    "jit": "off",
    "max_wal_size": "256MB",
    "client_connection_check_interval": "2s",  # a worker ends with its client
}
"""The settings of the platform's own PostgreSQL; other servers bring theirs."""
_FIXED = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "dynamic_shared_memory_type": "mmap",  # in the data folder, so that a kill -9 leaves nothing in /dev/shm
}
"""Settings of every sandbox, which override a configuration."""
_IGNORED = frozenset(
    {
        "port",
        "data_directory",
        "hba_file",
        "ident_file",
        "ssl_ca_file",
        "ssl_cert_file",
        "ssl_key_file",
        "ssl",
    }
    | {"external_pid_file", "log_directory", "logging_collector", "log_destination", "archive_command"}
    | {"archive_mode", "include", "include_dir", "include_if_exists", "huge_pages", "config_file"}
)
"""Settings of a configuration that name files, ports or memory of a container."""
_MARKER = "bais-gates-made"
"""The file in the data folder that marks a complete database with roles."""
_INITDB_WITHIN_S, _UP_WITHIN_S, _TRIES = 60, 30, 5


class Postgres:
    """One server: ``bring_up`` creates its data if there is none, and starts it."""

    stop_signals = ((signal.SIGINT, 4.0), (signal.SIGQUIT, 3.0), (signal.SIGKILL, 2.0))
    """The signals that stop it, each with the seconds until the next: fast, immediate, kill."""

    def __init__(
        self,
        directory: Path,
        logs: Path,
        certificates: Certificates | None = None,
        *,
        log: str = "postgres.log",
        roles: Roles | None = None,
        database: str = DATABASE,
        settings: Mapping[str, str] | None = None,
        like: Postgres | None = None,
    ) -> None:
        """``like`` is another server of the sandbox, whose account and binaries this one uses."""
        self._directory, self._log, self._certificates = directory, logs / log, certificates
        self.super_password = secrets.token_urlsafe(24)
        self._roles, self._database = roles or Roles.generate(), database
        self._settings = {
            name: value
            for name, value in (SETTINGS if settings is None else settings).items()
            if name not in _IGNORED
        }
        self._account: Account | None = None
        self._like = like
        self.port = 0
        self.part: Part | None = None

    @property
    def log(self) -> Path:
        """The server's log file."""
        return self._log

    @property
    def binaries(self) -> Path:
        """The folder of ``pg_dump`` and the other programs of the running version."""
        return self._home.binaries

    def trust(self, certificates: Certificates) -> None:
        """Set the certificate, and refuse unencrypted connections; call this before the server starts."""
        self._certificates = certificates

    def password(self, role: str) -> str:
        """Return the password of a role. Raises ``KeyError``."""
        return self._roles.password(role)

    def url(self, role: str, database: str | None = None) -> str:
        """Return the URL of the database for ``role``, with its password."""
        address = (
            f"postgresql://{role}:{self.password(role)}@127.0.0.1:{self.port}/{database or self._database}"
        )
        if self._certificates is not None:
            address += f"?sslmode=verify-full&sslrootcert={self._certificates.ca}"
        return address

    def initialise(self) -> Part:
        """Start initdb in the background; ``bring_up`` waits for it."""
        password_file = self._home.home / "superuser"
        self._write(password_file, self.super_password)
        self.part = self._spawn(
            "initdb",
            *("-D", self._data, "-U", postgres_roles.SUPERUSER, f"--pwfile={password_file}"),
            *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync", "--data-checksums"),
        )
        return self.part

    def bring_up(self) -> Iterator[None]:
        """Start the server in small steps, one for each value. Raises ``SandboxError``.

        Keeps existing data, and the port of an earlier start.
        """
        marker = self._data / _MARKER
        initdb = self.part if self.part is not None and self.part.name == "initdb" else None
        if initdb is None and not marker.exists():
            remove(self._data)  # of an interrupted start
            initdb = self.initialise()
        if initdb is not None:
            yield from _until_ended(initdb, _INITDB_WITHIN_S)
            (self._home.home / "superuser").unlink()
        self._configure()
        yield from self._start_server()
        if initdb is not None:
            self._create_roles()
            self._write(marker, "")

    def wipe(self) -> None:
        """Delete the data, as with a deleted volume; the server must have ended."""
        if self._account is not None:
            free_shared_memory(self._account.home)
            remove(self._data)
            self.part = None

    @property
    def _home(self) -> Account:
        if self._account is None:
            like = None if self._like is None else self._like._home  # noqa: SLF001 - of the same class
            self._account = choose_account(
                find_binaries() if like is None else like.binaries, self._directory, like
            )
        return self._account

    @property
    def _data(self) -> Path:
        return self._home.home / "data"

    def _start_server(self) -> Iterator[None]:
        fixed_port = self.port
        for _ in range(_TRIES):
            self.port = fixed_port or free_port()
            self.part = postgres = self._spawn("postgres", "-D", self._data, "-p", str(self.port))
            deadline = time.monotonic() + _UP_WITHIN_S
            while not (ready := self._is_ready(postgres)) and postgres.status is None:
                if time.monotonic() > deadline:
                    raise SandboxError(f"the sandbox's PostgreSQL was not ready within {_UP_WITHIN_S} s")
                yield
            if ready and postgres.status is None:
                return
            tail = log_tail(self._log)
            if "Address already in use" not in tail and "still in use" not in tail:
                break
            if fixed_port:  # workers of a killed server end shortly after it
                retry_at = time.monotonic() + 0.5
                while time.monotonic() < retry_at:
                    yield
        raise start_error("PostgreSQL", postgres)

    def _spawn(self, program: str, *arguments: str | Path) -> Part:
        account = self._home
        return spawn(
            program,
            [account.binaries / program, *arguments],
            log=self._log,
            directory=account.home,
            user=account.user,
            before_exec=unshare_user_namespace if account.namespace else None,
            # On SIGQUIT the server ends at once and frees its shared memory, which it can't on SIGKILL.
            death_signal=signal.SIGQUIT if program == "postgres" else signal.SIGKILL,
        )

    def _write(self, path: Path, text: str) -> None:
        write_private(path, text)
        if (user := self._home.user) is not None:
            os.chown(path, user, user)

    def _configure(self) -> None:
        settings, connections, home = self._settings | _FIXED, "host", self._home.home
        if "pg_stat_statements" not in settings.get("shared_preload_libraries", ""):
            loaded = settings.get("shared_preload_libraries", "")
            settings["shared_preload_libraries"] = f"{loaded},pg_stat_statements".lstrip(",")
        if self._certificates is not None:
            for name in ("certificate", "key"):
                self._write(home / name, getattr(self._certificates, name).read_text())
            settings |= {
                "ssl": "on",
                "ssl_cert_file": f"{home}/certificate",
                "ssl_key_file": f"{home}/key",
            }
            connections = "hostssl"
        lines = "".join(f"{name} = '{_quoted(value)}'\n" for name, value in settings.items())
        self._write(self._data / "postgresql.conf", lines)
        self._write(self._data / "pg_hba.conf", f"{connections} all all 127.0.0.1/32 scram-sha-256\n")

    def _is_ready(self, server: Part) -> bool:
        """Return whether this server, not an earlier one, has written ``ready`` to its pid file (line 8)."""
        with suppress(OSError):
            lines = (self._data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
            return len(lines) >= 8 and lines[0] == str(server.pid) and lines[7].strip() == "ready"
        return False

    def _create_roles(self) -> None:
        """Create the database and its roles; no log contains their passwords."""
        postgres_roles.create(
            self.port, self.super_password, self._roles, database=self._database, log=self._log
        )


def _until_ended(initdb: Part, within: float) -> Iterator[None]:
    deadline = time.monotonic() + within
    while (status := initdb.status) is None:
        if time.monotonic() > deadline:
            raise SandboxError(f"the sandbox's initdb was not ready within {within:.0f} s")
        yield
    if status != 0:
        raise start_error("initdb", initdb)


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "''")
