"""The process that a sandbox hangs on: starts the parts, looks after them, takes them down with its owner.

Started by :func:`bais_gates.sandbox.start` as ``python -m bais_gates.sandbox.supervisor <directory>`` with
three file descriptors: the lock on the folder (held for as long as this process lives), a pipe to tell the
starter of progress, and, unless it was started to stay, a pidfd of the owner. It runs one thread, as a part's
death signal follows the thread that started it. A part that ends is written down, and never started again
unless the cluster's node agent asks for it through the runtime's socket: a gate run must see what happened.
"""

from __future__ import annotations

import http.client
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
from typing import TYPE_CHECKING

from bais_gates.sandbox import files, processes
from bais_gates.sandbox.errors import SandboxError, ToldToEndError, how_it_ended, part_ended
from bais_gates.sandbox.files import clear, clusters, read_json, write_json, write_private
from bais_gates.sandbox.lifecycle import LOCK_FD, OWNER_FD, REPORT_FD
from bais_gates.sandbox.processes import end_together
from bais_gates.sandbox.runtime_socket import RuntimeSocket
from bais_gates.sandbox.services.postgres import Postgres
from bais_gates.sandbox.services.postgres_account import free_shared_memory
from bais_gates.sandbox.services.redis import Redis
from bais_gates.sandbox.waiting import Watch

if TYPE_CHECKING:
    from bais_gates.sandbox.bootstrap.control_plane import ControlPlane
    from bais_gates.sandbox.configuration import Shared
    from bais_gates.sandbox.container_kinds import Kinds
    from bais_gates.sandbox.processes import Part
    from bais_gates.sandbox.runtime import Runtime
    from bais_gates.sandbox.services.programs import ApiProgram

_JOBS = frozenset({"migrate", "backup"})
_QUIETLY = ((signal.SIGTERM, 3.0), (signal.SIGKILL, 2.0))


class Supervisor:
    """One sandbox, from an empty folder to an empty folder."""

    def __init__(self, directory: Path, *, owner: int | None) -> None:
        self._directory = directory
        self._logs = directory / "logs"
        self._watch = Watch(owner)
        self._database = Postgres(directory / "pg", self._logs)
        self._cache = Redis(directory / "redis", self._logs)
        self._parts: dict[str, Part] = {}
        self._runtime: Runtime | None = None
        self._control_plane: ControlPlane | None = None
        self._socket: RuntimeSocket | None = None
        self._ended: dict[str, str] = {}
        self._saved: object = None
        given = read_json(directory / "state.json")
        self._state: dict[str, object] = dict(given) if isinstance(given, dict) else {}

    def run(self) -> int:
        """Start, look after, end; the exit status is 1 if the start failed."""
        problem, discard = None, None
        try:
            self._start()
            self._look_after()
        except ToldToEndError as told:
            self._log(f"ending: {told}")
            discard = self._state.get("discard") if told.owner_is_gone else None
        except SandboxError as error:
            problem = str(error)
        except (OSError, subprocess.SubprocessError) as error:
            problem = f"the sandbox could not be started in {self._directory}: {error}"
        except Exception as error:  # noqa: BLE001 - whatever it is, the parts must end and the starter must hear of it
            problem = f"the sandbox could not be started: {type(error).__name__}: {error}"
        self._end()
        if isinstance(discard, str):
            processes.remove(Path(discard))
        if problem is not None:
            with suppress(OSError):
                self._report(error=problem)
        return int(problem is not None)

    def _start(self) -> None:
        began = time.monotonic()
        self._state |= {"state": "starting", "supervisor": _identity(os.getpid())}
        self._save()
        self._progress("making a PostgreSQL cluster and starting Redis")
        self._database.initialise()
        self._parts["redis"] = self._cache.serve()
        from bais_gates.sandbox import configuration, container_kinds, tls  # noqa: PLC0415 - slow to import, and initdb runs meanwhile
        from bais_gates.sandbox.services import programs  # noqa: PLC0415 - slow to import, and initdb runs meanwhile

        certificates = tls.issue(self._directory)
        self._database.trust(certificates)
        shared = configuration.share(self._database, self._cache, certificates)
        self._parts["redis"] = self._cache.wait(self._watch)
        self._parts["postgres"] = self._database.serve(self._watch)
        kinds = container_kinds.Kinds(self._directory, self._database, certificates)
        group = kinds.group(container_kinds.API_GROUP)
        port, api_url = group.port, f"https://127.0.0.1:{group.port}"
        config = configuration.write_api_configuration(self._directory, port=port, shared=shared)
        self._progress("migrating the database")
        self._migrate(config)
        self._progress("starting the API")
        place = programs.Place(directory=self._directory, log=self._logs / "api.log", config=config)
        program = programs.ApiProgram(place, files.read_object(config), group)
        program.bring_up()
        api = self._parts["api"] = program.running()
        trust = ssl.create_default_context(cafile=certificates.ca)
        self._watch.until(lambda: api.status is not None or _is_ready(port, trust) or None, 30, "API")
        if api.status is not None:
            raise part_ended("API", api)
        self._serve_runtime(kinds, program, shared)
        environment = configuration.write_environment(
            self._directory, api_url=api_url, http_url=f"http://127.0.0.1:{group.http_port}", shared=shared
        )
        if isinstance(copy := self._state.get("environment_copy"), str):
            write_private(Path(copy), environment.read_text(encoding="utf-8"))
        self._state |= {"state": "ready", "environment_file": str(environment), "api_url": api_url}
        self._save()
        self._log(f"ready after {time.monotonic() - began:.2f} s")
        self._report(ready=True)
        os.close(REPORT_FD)

    def _migrate(self, config: Path) -> None:
        migration = self._python("migrate", "bais_gates.sandbox.api.migrate", str(config))
        self._watch.until(lambda: None if migration.status is None else True, 60, "migration")
        if migration.status != 0:
            raise part_ended("migration", migration)

    def _python(self, name: str, module: str, *arguments: str, pass_fds: tuple[int, ...] = ()) -> Part:
        return processes.spawn(
            name,
            [sys.executable, "-m", module, *arguments],
            log=self._logs / f"{name}.log",
            directory=self._directory,
            pass_fds=pass_fds,
        )

    def _serve_runtime(self, kinds: Kinds, api: ApiProgram, shared: Shared) -> None:
        """Open the runtime's socket; what was started so far are its first containers."""
        from bais_gates.sandbox import container_kinds  # noqa: PLC0415 - imported while initdb ran
        from bais_gates.sandbox.bootstrap.control_plane import ControlPlane  # noqa: PLC0415 - the same

        control_plane = self._control_plane = ControlPlane(self._directory, shared)
        self._runtime = container_kinds.runtime_with(
            kinds,
            database=self._database,
            cache=self._cache,
            api=api,
            more={"cluster": control_plane.start, "node-agent": control_plane.start_node_agent},
        )
        self._socket = RuntimeSocket(self._directory / "runtime.sock", self._runtime.answer)

    def _look_after(self) -> None:
        """Do what the runtime is asked for, and write down which part ended and how, until told to end."""
        runtime, socket = self._runtime, self._socket
        if runtime is None or socket is None:
            return
        while True:
            pending = runtime.tick()
            self._look_at_parts(runtime)
            with suppress(OSError):  # a full disk must not take the other parts down
                self._save()
            processes.reap_strangers({part.pid for part in self._parts.values()})
            socket.serve(self._watch.pause(pending, socket.descriptors))

    def _look_at_parts(self, runtime: Runtime) -> None:
        """Note what runs and what has ended; a job that has ended well is no part any more."""
        shown = [one for one in runtime.containers if one.exit_code != 0 or one.kind not in _JOBS]
        self._parts = {one.name: one.program.part for one in shown if one.program.part is not None}
        self._ended = {one.name: one.how_it_ended for one in shown if not one.running}
        for name, part in self._control_plane.parts.items() if self._control_plane is not None else ():
            self._parts[name] = part
            if part.status is not None:
                self._ended[name] = how_it_ended(part.status)

    def _end(self) -> None:
        """End every part and whatever they left running, and empty the folder. Not to be interrupted."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        self._state["state"] = "ending"
        with suppress(OSError):
            self._save()
        if self._socket is not None:
            self._socket.close()
        self._end_parts()
        processes.end_all_children()
        for cluster in clusters(self._directory):
            free_shared_memory(cluster)
        clear(self._directory, environment_copy=self._state.get("environment_copy"))
        if self._state.get("made_directory"):
            with suppress(OSError):
                self._directory.rmdir()

    def _end_parts(self) -> None:
        """End all of them at once: first who asks, then who is asked, so that nothing ends in errors."""
        programs = [one.program for one in self._runtime.containers] if self._runtime is not None else []
        servers = [one for one in programs if isinstance(one, Postgres)] or [self._database]
        others = [part for part in self._parts.values() if part not in [one.part for one in servers]]
        end_together([(part, _QUIETLY) for part in others])
        end_together([(one.part, one.stop_signals) for one in servers if one.part is not None])

    def _save(self) -> None:
        """Write the state down, if it is not what was written last."""
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
            raise ToldToEndError("whoever started it is gone") from error

    def _report(self, **message: object) -> None:
        os.write(REPORT_FD, (json.dumps(message) + "\n").encode())

    def _log(self, text: str) -> None:
        with suppress(OSError):
            sys.stderr.write(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {text}\n")


def _identity(pid: int) -> dict[str, int]:
    return {"pid": pid, "started": processes.start_time(pid) or 0}


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
    """Run the supervisor of the sandbox in ``arguments[0]``; ``--owned`` says that there is an owner."""
    os.umask(0o077)
    os.closerange(OWNER_FD + 1, os.sysconf("SC_OPEN_MAX"))
    for descriptor in (LOCK_FD, REPORT_FD, OWNER_FD):
        with suppress(OSError):  # there is no owner's descriptor without an owner
            os.set_inheritable(descriptor, False)  # noqa: FBT003 - the standard library's signature
    processes.become_subreaper()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # the API has a descriptor for each caller
    directory = Path(arguments[0])
    os.chdir(directory)
    return Supervisor(directory, owner=OWNER_FD if "--owned" in arguments[1:] else None).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
