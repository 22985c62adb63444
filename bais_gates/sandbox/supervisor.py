"""The supervisor of a sandbox: starts its parts, watches them, and stops them when its owner ends.

:func:`bais_gates.sandbox.start` runs ``python -m bais_gates.sandbox.supervisor <directory>`` with three file
descriptors: the lock on the folder, held as long as this process lives; a pipe for progress reports; and,
unless the sandbox stays up, a pidfd of the owner. It has one thread, as the death signal of a part follows
the thread that started it. A part that ends is recorded and not restarted, unless the cluster's node agent
requests it through the runtime's socket: a gate run must see what happened.
"""

from __future__ import annotations

import gc
import http.client
import importlib
import json
import os
import resource
import signal
import ssl
import subprocess
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bais_gates.sandbox import files, processes
from bais_gates.sandbox.errors import (
    OwnerEndedError,
    SandboxError,
    StopRequestedError,
    format_exit_status,
    start_error,
)
from bais_gates.sandbox.files import clear, database_folders, read_json, write_json, write_private
from bais_gates.sandbox.lifecycle import LOCK_FD, OWNER_FD, REPORT_FD
from bais_gates.sandbox.processes import end_together
from bais_gates.sandbox.runtime_socket import RuntimeSocket
from bais_gates.sandbox.services.postgres import Postgres
from bais_gates.sandbox.services.postgres_account import free_shared_memory
from bais_gates.sandbox.services.redis import Redis
from bais_gates.sandbox.waiting import Watch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bais_gates.sandbox.bootstrap.control_plane import ControlPlane
    from bais_gates.sandbox.configuration import Platform
    from bais_gates.sandbox.container_kinds import ContainerKinds
    from bais_gates.sandbox.monitoring.stack import Monitoring
    from bais_gates.sandbox.processes import Part
    from bais_gates.sandbox.runtime import Runtime
    from bais_gates.sandbox.services.programs import ApiProgram, Program

_PLATFORM_MODULES = (
    "bais_gates.sandbox.api.__main__",
    "bais_gates.sandbox.api.migrate",
    "bais_gates.sandbox.backup",
)
_CLUSTER_MODULES = (
    "bais_gates.sandbox.cluster.apiserver.__main__",
    "bais_gates.sandbox.cluster.node.__main__",
    "bais_gates.sandbox.monitoring.__main__",
)
"""What the parts run; imported once, before they are forked."""
_TERMINAL_EXTRAS = ("httpx._main", "mako.ext.pygmentplugin")
"""Optional modules of libraries, which do without; they would import rich, click and pygments."""
_JOBS = frozenset({"migrate", "backup"})
_KILL = ((signal.SIGKILL, 2.0),)


class Supervisor:
    """Runs one sandbox, from an empty folder to an empty folder."""

    def __init__(self, directory: Path, *, owner: int | None) -> None:
        self._directory = directory
        self._logs = directory / "logs"
        self._watch = Watch(owner)
        self._database = Postgres(directory / "pg", self._logs)
        self._cache = Redis(directory / "redis", self._logs)
        self._parts: dict[str, Part] = {}
        self._runtime: Runtime | None = None
        self._control_plane: ControlPlane | None = None
        self._monitoring: Monitoring | None = None
        self._socket: RuntimeSocket | None = None
        self._ended: dict[str, str] = {}
        self._saved: object = None
        state = read_json(directory / "state.json")
        self._state: dict[str, object] = dict(state) if isinstance(state, dict) else {}

    def run(self) -> int:
        """Start the parts, watch them, and stop them; return 1 if the start failed, else 0."""
        problem, discard = None, None
        try:
            self._start()
            self._watch_parts()
        except StopRequestedError as request:
            self._log(f"ending: {request}")
            discard = self._state.get("discard") if isinstance(request, OwnerEndedError) else None
        except SandboxError as error:
            problem = str(error)
        except (OSError, subprocess.SubprocessError) as error:
            problem = f"the sandbox could not be started in {self._directory}: {error}"
        except ModuleNotFoundError as error:
            problem = f"the sandbox needs the library {error.name}: pip install 'bais-gates[sandbox]'"
        except Exception as error:  # noqa: BLE001 - whatever it is, the parts must end and the caller must see it
            problem = f"the sandbox could not be started: {type(error).__name__}: {error}"
        self._end()
        if isinstance(discard, str):
            processes.remove(Path(discard))
        if problem is not None:
            with suppress(OSError):
                self._report(error=problem)
        return int(problem is not None)

    def _start(self) -> None:
        started_at = time.monotonic()
        self._state |= {"state": "starting", "supervisor": _identity(os.getpid())}
        self._save()
        self._progress("creating the database and starting Redis")
        self._database.initialise()
        self._parts["redis"] = self._cache.serve()
        from bais_gates.sandbox import configuration, container_kinds, releases, tls  # noqa: PLC0415 - slow to import, and initdb runs meanwhile
        from bais_gates.sandbox.services import programs  # noqa: PLC0415 - slow to import, and initdb runs meanwhile

        _import(_PLATFORM_MODULES)
        certificates = tls.issue(self._directory)
        self._database.trust(certificates)
        platform = configuration.make_platform(self._database, self._cache, certificates)
        self._bring_up("redis", self._cache)
        self._bring_up("postgres", self._database)
        kinds = container_kinds.ContainerKinds(
            self._directory, self._database, certificates, releases.by_reference(platform.images.api)
        )
        group = kinds.group(container_kinds.API_GROUP)
        port, api_url = group.port, f"https://127.0.0.1:{group.port}"
        config = configuration.write_api_configuration(self._directory, port=port, platform=platform)
        self._progress("migrating the database")
        self._migrate(config)
        self._progress("starting the API")
        place = programs.Place(directory=self._directory, log=self._logs / "api.log", config=config)
        program = programs.ApiProgram(place, files.read_object(config), group)
        api = self._bring_up("api", program)
        _import(_CLUSTER_MODULES)  # the API takes as long to be ready
        trust = ssl.create_default_context(cafile=certificates.ca)
        self._watch.until(lambda: api.status is not None or _is_ready(port, trust) or None, 30, "API")
        if api.status is not None:
            raise start_error("API", api)
        monitoring = self._serve_runtime(kinds, program, platform)
        environment = configuration.write_environment(
            self._directory,
            api_url=api_url,
            http_url=f"http://127.0.0.1:{group.http_port}",
            platform=platform,
            monitoring=monitoring.ports,
            oncall=monitoring.access,
        )
        if isinstance(copy := self._state.get("environment_copy"), str):
            write_private(Path(copy), environment.read_text(encoding="utf-8"))
        self._state |= {"state": "ready", "environment_file": str(environment), "api_url": api_url}
        self._save()
        self._log(f"ready after {time.monotonic() - started_at:.2f} s")
        self._report(ready=True)
        os.close(REPORT_FD)

    def _bring_up(self, name: str, program: Program) -> Part:
        """Start the program and wait until it accepts requests. Raises ``SandboxError``."""
        self._watch.exhaust(program.bring_up())
        if program.part is None:
            raise SandboxError(f"the sandbox's {name} was not started")
        self._parts[name] = program.part
        return program.part

    def _migrate(self, config: Path) -> None:
        migration = processes.fork_module(
            "migrate",
            "bais_gates.sandbox.api.migrate",
            [config],
            log=self._logs / "migrate.log",
            directory=self._directory,
        )
        self._watch.until(lambda: None if migration.status is None else True, 60, "migration")
        if migration.status != 0:
            raise start_error("migration", migration)

    def _serve_runtime(self, kinds: ContainerKinds, api: ApiProgram, platform: Platform) -> Monitoring:
        """Open the runtime's socket; the programs started so far are its first containers.

        Returns what starts the monitoring.
        """
        from bais_gates.sandbox import container_kinds  # noqa: PLC0415 - imported while initdb ran
        from bais_gates.sandbox.bootstrap.control_plane import ControlPlane  # noqa: PLC0415 - the same
        from bais_gates.sandbox.monitoring.stack import Monitoring  # noqa: PLC0415 - the same

        control_plane = self._control_plane = ControlPlane(self._directory, platform)
        monitoring = self._monitoring = Monitoring(self._directory, platform)
        self._runtime = container_kinds.make_runtime(
            kinds,
            database=self._database,
            cache=self._cache,
            api=api,
            operations={
                "cluster": control_plane.start,
                "node-agent": control_plane.start_node_agent,
                "monitoring": self._start_monitoring,
            },
        )
        self._socket = RuntimeSocket(self._directory / "runtime.sock", self._runtime.handle)
        return monitoring

    def _start_monitoring(self, request: dict[str, Any]) -> dict[str, Any]:
        """Start what does not run, and say so in state.json before whoever asked looks there."""
        if self._monitoring is None or self._runtime is None:
            raise OSError("the sandbox is not up yet")
        reply = self._monitoring.start(request)
        self._record_parts(self._runtime)
        with suppress(OSError):  # as below
            self._save()
        return reply

    def _watch_parts(self) -> None:
        """Serve the runtime's requests and record which parts end, until ``StopRequestedError``."""
        runtime, socket = self._runtime, self._socket
        if runtime is None or socket is None:
            return
        while True:
            pending = runtime.tick()
            self._record_parts(runtime)
            with suppress(OSError):  # a full disk must not end the parts
                self._save()
            processes.reap_orphans({part.pid for part in self._parts.values()})
            socket.serve(self._watch.pause(pending, socket.descriptors))

    def _record_parts(self, runtime: Runtime) -> None:
        """Record which parts run and which have ended; a successful job is no longer a part."""
        shown = [one for one in runtime.containers if one.exit_code != 0 or one.kind not in _JOBS]
        self._parts = {one.name: one.program.part for one in shown if one.program.part is not None}
        self._ended = {one.name: one.end_message for one in shown if not one.running}
        for group in (self._control_plane, self._monitoring):
            for name, part in group.parts.items() if group is not None else ():
                self._parts[name] = part
                if part.status is not None:
                    self._ended[name] = format_exit_status(part.status)

    def _end(self) -> None:
        """End every part and its orphans, and empty the folder. Signals are ignored meanwhile."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        self._state["state"] = "ending"
        with suppress(OSError):
            self._save()
        if self._socket is not None:
            self._socket.close()
        self._end_parts()
        processes.end_all_children()
        for database in database_folders(self._directory):
            free_shared_memory(database)
        clear(self._directory, environment_copy=self._state.get("environment_copy"))
        if self._state.get("made_directory"):
            with suppress(OSError):
                self._directory.rmdir()

    def _end_parts(self) -> None:
        """Kill all parts, as nothing of theirs is kept; PostgreSQL so that it frees its shared memory."""
        programs = [one.program for one in self._runtime.containers] if self._runtime is not None else []
        servers = [one for one in programs if isinstance(one, Postgres)] or [self._database]
        stopped = [(one.part, one.stop_signals[1:]) for one in servers if one.part is not None]
        killed = [part for part in self._parts.values() if part not in [part for part, _ in stopped]]
        end_together([*stopped, *((part, _KILL) for part in killed)])

    def _save(self) -> None:
        """Write state.json if the state has changed."""
        self._state["parts"] = {
            name: {"pid": part.pid, "started": part.started, "ended": self._ended.get(name)}
            for name, part in self._parts.items()
        }
        if (state := json.dumps(self._state)) != self._saved:
            write_json(self._directory / "state.json", self._state)
            self._saved = state

    def _progress(self, text: str) -> None:
        self._save()
        try:
            self._report(progress=text)
        except BrokenPipeError as error:
            raise StopRequestedError("the process that started it ended") from error

    def _report(self, **message: object) -> None:
        os.write(REPORT_FD, (json.dumps(message) + "\n").encode())

    def _log(self, text: str) -> None:
        with suppress(OSError):
            sys.stderr.write(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {text}\n")


def _identity(pid: int) -> dict[str, int]:
    return {"pid": pid, "started": processes.start_time(pid) or 0}


def _import(modules: Sequence[str]) -> None:
    """Import what the parts run, without what only a person at a terminal would see of it."""
    for extra in _TERMINAL_EXTRAS:
        sys.modules.setdefault(extra, None)  # type: ignore[arg-type] # as documented: importing it then fails
    gc.disable()  # nothing of it becomes garbage
    for module in modules:
        importlib.import_module(module)
    gc.enable()


def _is_ready(port: int, trust: ssl.SSLContext) -> bool:
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=3, context=trust)
    try:
        connection.request("GET", "/ready")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def main(arguments: list[str]) -> int:
    """Run the supervisor of the sandbox in ``arguments[0]``; with ``--owned`` it has an owner."""
    os.umask(0o077)
    os.closerange(OWNER_FD + 1, os.sysconf("SC_OPEN_MAX"))
    for descriptor in (LOCK_FD, REPORT_FD, OWNER_FD):
        with suppress(OSError):  # without an owner there is no descriptor of one
            os.set_inheritable(descriptor, False)  # noqa: FBT003 - the standard library's signature
    processes.become_subreaper()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # the API needs a descriptor for each connection
    directory = Path(arguments[0])
    os.chdir(directory)
    return Supervisor(directory, owner=OWNER_FD if "--owned" in arguments[1:] else None).run()


if __name__ == "__main__":
    # Everything has ended by now; taking a thousand imported modules apart would only delay who waits for it.
    os._exit(main(sys.argv[1:]))
