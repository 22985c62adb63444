"""A PostgreSQL cluster of its own, on loopback: real authentication, TLS, roles and statistics."""

from __future__ import annotations

import os
import secrets
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from bais_gates.sandbox.errors import SandboxError, part_ended
from bais_gates.sandbox.files import write_private
from bais_gates.sandbox.processes import Part, end, free_port, log_tail, remove, spawn, unshare_user_namespace
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
    from bais_gates.sandbox.waiting import Watch

__all__ = ["APP_ROLE", "DATABASE", "GATES_ROLE", "SCRATCH_ROLE", "SETTINGS", "Postgres"]

SETTINGS = {
    "max_connections": "100",
    "shared_buffers": "32MB",
    "password_encryption": "scram-sha-256",
    "shared_preload_libraries": "pg_stat_statements",
    "pg_stat_statements.track_utility": "off",  # a role's password must not end up among the statistics
    "track_io_timing": "on",
    "timezone": "GMT",  # the one name that needs no time-zone files
    "log_timezone": "GMT",
    "log_parameter_max_length_on_error": "0",
    "idle_in_transaction_session_timeout": "60s",
    "jit": "off",
    "max_wal_size": "256MB",
    "client_connection_check_interval": "2s",  # no worker goes on counting for a caller that is gone
}
"""What the platform's own PostgreSQL is set to; other clusters bring their settings along."""
_OURS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    # The data lives as long as the sandbox: only a power cut, no killed process, would lose any.
    "fsync": "off",
    "full_page_writes": "off",
    "dynamic_shared_memory_type": "mmap",  # in the data folder, so that a kill -9 leaves nothing in /dev/shm
}
"""What follows from being a sandbox, whatever a configuration says."""
_NOT_FROM_A_CONFIGURATION = frozenset(
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
"""Settings that name files, ports or memory of a container; here they are the sandbox's own."""
_MADE = "bais-gates-made"
"""A file in the data folder of a cluster whose roles and database were made."""
_INITDB_WITHIN_S, _UP_WITHIN_S, _TRIES = 60, 30, 5


class Postgres:
    """One cluster: ``bring_up`` makes it where there is none and starts the server, ``end`` takes it down."""

    stop_signals = ((signal.SIGINT, 4.0), (signal.SIGQUIT, 3.0), (signal.SIGKILL, 2.0))
    """A fast shutdown, then insisting: each signal with the seconds until the next."""

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
        """``like`` is another cluster of the sandbox, whose account and binaries this one uses."""
        self._directory, self._log, self._certificates = directory, logs / log, certificates
        self.super_password = secrets.token_urlsafe(24)
        self._roles, self._database = roles or Roles.of_the_platform(), database
        self._settings = {
            name: value
            for name, value in (SETTINGS if settings is None else settings).items()
            if name not in _NOT_FROM_A_CONFIGURATION
        }
        self._account: Account | None = None
        self._like = like
        self.port = 0
        self.part: Part | None = None

    @property
    def log(self) -> Path:
        """The file that the server's messages go to."""
        return self._log

    @property
    def binaries(self) -> Path:
        """The folder that holds ``pg_dump`` and the other programs of the version that runs."""
        return self._home.binaries

    def trust(self, certificates: Certificates) -> None:
        """Have the server, which must not be up yet, show this certificate and refuse plain connections."""
        self._certificates = certificates

    def password(self, role: str) -> str:
        """Give a role's password."""
        return self._roles.password(role)

    def url(self, role: str, database: str | None = None) -> str:
        """Give the address, password included, that ``role`` reaches the database under."""
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
            *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"),
        )
        return self.part

    def bring_up(self) -> Iterator[None]:
        """Bring it up in small steps, one each time the next value is asked for; raises ``SandboxError``.

        Data that is there is kept, and so is the port of an earlier start.
        """
        made = self._data / _MADE
        initdb = self.part if self.part is not None and self.part.name == "initdb" else None
        if initdb is None and not made.exists():
            remove(self._data)  # of a start that was cut short
            initdb = self.initialise()
        if initdb is not None:
            yield from _until_ended(initdb, _INITDB_WITHIN_S)
            (self._home.home / "superuser").unlink()
        self._configure()
        yield from self._start_server()
        if initdb is not None:
            self._create_roles()
            self._write(made, "")

    def serve(self, watch: Watch) -> Part:
        """Bring it up, waiting in the supervisor's one thread; or ``SandboxError``."""
        watch.through(self.bring_up())
        return self._running()

    def end(self) -> None:
        """Ask for a fast shutdown, then insist."""
        if self.part is not None:
            for number, within in self.stop_signals:
                if end(self.part, number, within):
                    return

    def wipe(self) -> None:
        """Lose the data, as a volume does that is deleted; the server must have ended."""
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

    def _running(self) -> Part:
        if self.part is None:
            raise SandboxError("the sandbox's PostgreSQL was not started")
        return self.part

    def _start_server(self) -> Iterator[None]:
        wanted = self.port
        for _ in range(_TRIES):
            self.port = wanted or free_port()
            self.part = postgres = self._spawn("postgres", "-D", self._data, "-p", str(self.port))
            deadline = time.monotonic() + _UP_WITHIN_S
            while not (ready := self._is_ready(postgres)) and postgres.status is None:
                if time.monotonic() > deadline:
                    raise SandboxError(f"the sandbox's PostgreSQL was not ready within {_UP_WITHIN_S} s")
                yield
            if ready and postgres.status is None:
                return
            said = log_tail(self._log)
            if "Address already in use" not in said and "still in use" not in said:
                break
            if wanted:  # workers of a server that was killed notice it within a moment
                again_at = time.monotonic() + 0.5
                while time.monotonic() < again_at:
                    yield
        raise part_ended("PostgreSQL", postgres)

    def _spawn(self, program: str, *arguments: str | Path) -> Part:
        account = self._home
        return spawn(
            program,
            [account.binaries / program, *arguments],
            log=self._log,
            directory=account.home,
            user=account.user,
            before_exec=unshare_user_namespace if account.namespace else None,
            # On SIGQUIT the server ends at once, but gives its shared memory back, which it can't on SIGKILL.
            death_signal=signal.SIGQUIT if program == "postgres" else signal.SIGKILL,
        )

    def _write(self, path: Path, text: str) -> None:
        write_private(path, text)
        if (user := self._home.user) is not None:
            os.chown(path, user, user)

    def _configure(self) -> None:
        settings, connections, home = self._settings | _OURS, "host", self._home.home
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
        """Whether this server, not one before it, has written ``ready`` into its pid file (line 8)."""
        with suppress(OSError):
            lines = (self._data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
            return len(lines) >= 8 and lines[0] == str(server.pid) and lines[7].strip() == "ready"
        return False

    def _create_roles(self) -> None:
        """Make the database and its roles, and none of their passwords readable in a log."""
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
        raise part_ended("initdb", initdb)


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "''")
