"""What gates judge, opened once a run; the run's own platform is brought up ahead of them.

What is ``provision: sandbox`` is brought up by threads, ahead of the gates that ask for it: the platform
while gates are collected, its cluster and staging while the first of them run. On any other target nothing is
touched before a gate asks.
"""

from __future__ import annotations

import queue
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import pytest

from bais_gates.errors import GateInputError
from bais_gates.pytest_plugin.execution import turn
from bais_gates.verdict.model import Phase

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from bais_gates.probes.kubernetes.writer import ClusterWriter
    from bais_gates.pytest_plugin.collection import Collection
    from bais_gates.pytest_plugin.run_directory import GateRun
    from bais_gates.pytest_plugin.run_state import RunState
    from bais_gates.staging.staged import StagedPlatform
    from bais_gates.targets.environment import Environment
    from bais_gates.targets.target import Target

    Progress = Callable[[str], None]

_CANCEL_WITHIN_S: Final = 15.0
_SHOW_EVERY_S: Final = 0.1
_COMPLETE: Final = frozenset({pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED})
provisioning_key: pytest.StashKey[Provisioning] = pytest.StashKey()


class _CancelledError(BaseException):
    """The session ends. Not an Exception, so that no step takes it for a failure of its own."""


class Provisioning:
    """Opens the target and its staging for the fixtures, and brings up the run's own ahead of them."""

    def __init__(self, state: RunState, config: pytest.Config, collection: Collection) -> None:
        config.stash[provisioning_key] = self
        self._state = state
        self._collection = collection
        self.show = _writer(config)
        """Writes a line of progress; for the main thread."""
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        """Progress of the threads; only the main thread can write past pytest's capture."""
        self._cancelled = threading.Event()
        self._ahead: dict[str, threading.Event] = {}
        """Set once that step has ended, by the name of its fixture."""
        self._threads: list[threading.Thread] = []
        self._ending: threading.Thread | None = None

    # -- hooks --

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Begin with the platform itself while gates are collected: a decision about it is asked for."""
        if self._state.settings.deciding and self._state.worker is None and self._is_own():
            self._begin(session, ("target",))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> None:
        """Begin to bring up what the selected gates will ask for."""
        if (wanted := self._wanted()) and not session.testsfailed:
            self._begin(session, wanted)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Have the threads end; then, as the run is decided, its platform while reports are written."""
        self._cancelled.set()
        for thread in self._threads:
            thread.join(_CANCEL_WITHIN_S)
        stopped = exitstatus not in _COMPLETE or session.shouldstop or session.shouldfail
        if stopped or self._state.worker is not None or self._state.directory is None or not self._is_own():
            return  # fixtures of a run that was stopped are still to be torn down
        arguments = (self._state.directory.path,)
        self._ending = threading.Thread(target=_end_platform, args=arguments, daemon=True)
        self._ending.start()

    @pytest.hookimpl(tryfirst=True)
    def pytest_unconfigure(self) -> None:
        """Tear down what was staged; in the run's own sandbox it ends with that."""
        state = self._state
        if self._ending is not None:
            self._ending.join()
        if state.worker is not None or state.directory is None or self._is_own():
            return
        if (state.directory.path / "staging.claim").exists():
            from bais_gates.staging.run import release  # noqa: PLC0415 - loaded by runs that stage something

            release(state.gate_run(), gates_dir=state.gates_dir, progress=self.show)

    # -- for the fixtures --

    def target(self, run: GateRun) -> Target:
        """Open the run's target. Raises what ``open_target`` does."""
        self.wait("target")
        return self._open_target(run, self.show)

    def staging(self, run: GateRun, server: ClusterWriter, environment: Environment) -> StagedPlatform:
        """Provision staging, once for the whole run; it is torn down at the run's end."""
        self.wait("staging")
        return self._open_staging(run, server, environment, self.show)

    def look(self, parts: Iterable[str]) -> list[tuple[str, str]]:
        """Return what is wrong with these parts of the target: pairs of part and one paragraph."""
        from bais_gates.targets.looks import look  # noqa: PLC0415 - loaded by runs that reach a target

        state = self._state
        self.wait("target")
        return look(state.gate_run(), state.environment(), parts, gates_dir=state.gates_dir)

    def wait(self, step: str | None = None) -> None:
        """Wait until that step has ended, or all have; show progress to whoever has to wait."""
        for name, ended in self._ahead.items():
            while not ended.wait(_SHOW_EVERY_S):
                while not self._lines.empty():
                    self.show(self._lines.get())
            if name == step:
                break

    # -- the steps --

    def _wanted(self) -> tuple[str, ...]:
        """Return the steps that the selected gates need, in order."""
        needing = self._collection.collected.needing
        if "target" not in needing or not self._is_own():
            return ()
        steps = {
            "target": "target",
            "kubernetes": "cluster",
            "monitoring": "monitoring",
            "oncall": "monitoring",
            "staging": "staging",
        }
        return tuple(dict.fromkeys(step for part, step in steps.items() if part in needing))

    def _is_own(self) -> bool:
        """Return whether the target is a platform that the run itself starts, and stops at its end."""
        try:
            return self._state.environment().provision == "sandbox"
        except GateInputError:
            return False  # each gate reports it

    def _begin(self, session: pytest.Session, steps: tuple[str, ...]) -> None:
        """Start a thread that takes these steps."""
        if session.config.option.collectonly:
            return
        try:
            run = self._state.gate_run()
        except GateInputError:
            return  # each gate reports the unusable file
        self._ahead = {step: threading.Event() for step in steps}
        arguments = (run, self._ahead)
        thread = threading.Thread(target=self._bring_up, args=arguments, name="provisioning", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _bring_up(self, run: GateRun, ahead: dict[str, threading.Event]) -> None:
        """Take the steps; a failure is recorded for the run, or found again by the fixture that needs it."""
        try:
            with suppress(Exception, _CancelledError), turn(self._state.shared().lock_file, exclusive=False):
                target = self._open_target(run, self._report)
                ahead["target"].set()
                if "cluster" in ahead:
                    self._open_cluster(run, target, ahead)
                elif "monitoring" in ahead:
                    self._open_monitoring(run, target, ahead)
        finally:
            for ended in ahead.values():
                ended.set()

    def _open_target(self, run: GateRun, progress: Progress) -> Target:
        from bais_gates.targets.target import open_target  # noqa: PLC0415 - loaded by runs that reach a target

        return open_target(run, gates_dir=self._state.gates_dir, progress=progress)

    def _open_cluster(self, run: GateRun, target: Target, ahead: dict[str, threading.Event]) -> None:
        from bais_gates.targets.target import open_cluster_writer  # noqa: PLC0415 - as above

        environment, gates_dir = target.environment, target.gates_dir
        with open_cluster_writer(run, environment, gates_dir=gates_dir, progress=self._report) as server:
            ahead["cluster"].set()
            if "monitoring" in ahead:
                self._open_monitoring(run, target, ahead)
            if "staging" in ahead:
                self._open_staging(run, server, environment, self._report)

    def _open_monitoring(self, run: GateRun, target: Target, ahead: dict[str, threading.Event]) -> None:
        from bais_gates.targets.target import reach_monitoring  # noqa: PLC0415 - as above

        with suppress(Exception):  # found again by the fixture; staging goes on without it
            reach_monitoring(run, target.environment, gates_dir=target.gates_dir, progress=self._report)
        ahead["monitoring"].set()

    def _open_staging(
        self, run: GateRun, server: ClusterWriter, environment: Environment, progress: Progress
    ) -> StagedPlatform:
        from bais_gates.staging.run import open_staging  # noqa: PLC0415 - loaded by runs that stage something

        policy = run.policy
        staged = [gate for gate in run.catalog.gates if gate.phase is Phase.STAGING]
        return open_staging(
            run,
            server,
            environment,
            gates_dir=self._state.gates_dir,
            gate_deadline_s=min(map(policy.deadline_of, staged), default=policy.gate_deadline_s),
            progress=progress,
        )

    # -- progress --

    def _report(self, text: str) -> None:
        if self._cancelled.is_set():
            raise _CancelledError
        self._lines.put(text)


def _end_platform(directory: Path) -> None:
    """Stop what the run started; a failure is found again, and reported, when the run is unconfigured."""
    from bais_gates.targets.provision import release  # noqa: PLC0415 - loaded by runs that reach a target

    with suppress(Exception):
        release(directory)


def _writer(config: pytest.Config) -> Progress:
    """Return a function that writes a line of progress past pytest's capture."""
    manager = config.pluginmanager

    def write(text: str) -> None:
        capture, terminal = manager.get_plugin("capturemanager"), manager.get_plugin("terminalreporter")
        if capture is not None and terminal is not None:
            with capture.global_and_fixture_disabled():
                terminal.write_line(text)

    return write
