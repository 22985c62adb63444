"""pytest hooks of bais-gates: which part of the plugin is loaded when.

Where there is no catalog of gates the plugin stays inert: no markers, no fixtures, no files, and next to no
imports.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import pytest

from bais_gates.pytest_plugin.options import (
    CATALOG_DEFAULT,
    add_options,
    catalog_path,
    finds_older_decision,
    resolve,
    restart_with_joined_options,
    void_older,
)
from bais_gates.streams import open_closed
from bais_gates.verdict.model import GOLIVE, SCOPES, Phase, Severity

if TYPE_CHECKING:
    from pathlib import Path

    from bais_gates.pytest_plugin.collection import Collection
    from bais_gates.pytest_plugin.provisioning import Provisioning
    from bais_gates.pytest_plugin.run_state import RunState

_SEVERITIES = {
    Severity.P1: "critical",
    Severity.P2: "high",
    Severity.P3: "medium",
    Severity.P4: "low: advisory, never blocks",
}


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Declare the options and ini keys; as this is the first hook of all, take an older decision away."""
    add_options(parser)
    config = pluginmanager.get_plugin("pytestconfig")
    if isinstance(config, pytest.Config) and finds_older_decision(config):
        from bais_gates.pytest_plugin import workers  # noqa: PLC0415 - projects without gates pay for no import

        if not workers.is_worker(config):
            void_older(config)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None, Any, Any]:
    """Put BLOCK on disk before any conftest is loaded."""
    restart_with_joined_options(early_config)
    state = _begin(early_config)
    try:
        return (yield)
    except BaseException as error:
        if state is not None:
            from bais_gates.pytest_plugin import preflight  # noqa: PLC0415 - as in _begin

            preflight.block_on_conftest_error(early_config, error)
        raise


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Register the parts of the plugin, if there is a catalog."""
    state = _begin(config)
    if state is not None:
        _register_markers(config)
        _register_parts(config, state)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, exitstatus: int) -> None:
    """Print how to start where a decision was asked for, no test bears that mark and there is no catalog."""
    config = terminalreporter.config
    scope = config.option.markexpr.strip()
    if scope in SCOPES and exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and catalog_path(config) is None:
        terminalreporter.write_line(
            f"bais-gates: no decision about {scope}: there is no {CATALOG_DEFAULT} below {config.rootpath}, "
            "or none of gates. `bais-gates init` writes one; --gate-catalog names one that is elsewhere."
        )


class _Run:
    """The hooks that only a project with a catalog needs from the first to the last."""

    def __init__(self, state: RunState) -> None:
        self._state = state
        self.innermost_or_outermost: list[object] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> None:
        """Register again what must be innermost or outermost: conftests were loaded since."""
        manager = session.config.pluginmanager
        for part in self.innermost_or_outermost:
            manager.unregister(part)
            manager.register(part)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_unconfigure(self) -> Generator[None, None, None]:
        """End what the run started, and remove what its processes shared, whatever others raise."""
        try:
            return (yield)
        finally:
            if self._state.directory is not None and self._state.worker is None:
                from bais_gates.targets.provision import release  # noqa: PLC0415 - for runs that shared something

                release(self._state.directory.path)
                self._state.directory.remove()


def _begin(config: pytest.Config) -> RunState | None:
    """Return what is known of the run, started if it decides; None where there is no catalog."""
    catalog = catalog_path(config)
    if catalog is None:
        return None
    from bais_gates.pytest_plugin import run_state  # noqa: PLC0415 - projects without gates pay for no import

    return config.stash.get(run_state.state_key, None) or _start(config, catalog)


def _start(config: pytest.Config, catalog: Path) -> RunState:
    """Resolve, once, what the run was asked for, and put BLOCK on disk if it decides."""
    from bais_gates.pytest_plugin import run_directory, run_state, workers  # noqa: PLC0415 - as above

    settings = resolve(config, catalog)
    place = os.environ.pop(run_directory.RUN_DIRECTORY, None)  # no process that a gate starts shall take it
    state = config.stash[run_state.state_key] = run_state.RunState(settings, place=place)
    if settings.problems and not settings.deciding:
        raise pytest.UsageError(*settings.problems)
    if settings.deciding and not workers.is_worker(config):
        from bais_gates.pytest_plugin import finish, preflight  # noqa: PLC0415 - only a decision needs them

        workers.remember_controller()
        open_closed()
        run = config.stash[preflight.deciding_run_key] = preflight.prepare(config, state)
        config.pluginmanager.register(finish.ExitCode(run))
        if run.fatal:
            config.pluginmanager.register(finish.Refusal(run))
    return state


def _register_markers(config: pytest.Config) -> None:
    """Document ``gate`` and the marks that the catalog puts on the tests of gates."""
    lines = [
        "gate(id): this test proves that gate of the catalog; its phase, severity and scopes become marks",
        f"{GOLIVE}: what must hold before production is touched; -m {GOLIVE} asks for that decision",
        *(f"{phase}: the gates of the phase {phase}; -m {phase} asks for that decision" for phase in Phase),
        *(f"{severity}: the gates of severity {severity}, {text}" for severity, text in _SEVERITIES.items()),
    ]
    for line in lines:
        config.addinivalue_line("markers", line)


def _register_parts(config: pytest.Config, state: RunState) -> None:
    """Register what this process needs: to run tests, to lead workers, to decide."""
    from bais_gates.pytest_plugin import (  # noqa: PLC0415 - projects without gates pay for no import
        collection,
        execution,
        fixtures,
        observer,
        provisioning,
        workers,
    )

    workers.join(config, state)
    manager = config.pluginmanager
    run, collected, seen = _Run(state), collection.Collection(state), observer.Observer(state)
    run.innermost_or_outermost.append(seen)
    provider = provisioning.Provisioning(state, config, collected)
    executed = execution.Execution(state, config, settle=provider.wait, show=provider.show)
    run.innermost_or_outermost.append(executed)
    parts: list[object] = [run, fixtures, collected, seen, executed, provider]
    if state.worker is None and hasattr(manager.hook, "pytest_configure_node"):  # xdist, by whatever name
        parts.append(workers.Controller(state))
    if state.settings.deciding:
        # An assert of a tuple, which is always true; after the project's own filters, so that it wins.
        config.addinivalue_line("filterwarnings", "error::pytest.PytestAssertRewriteWarning")
        parts += _deciding_parts(config, state, collected, run, provider)
    for part in parts:
        manager.register(part)


def _deciding_parts(
    config: pytest.Config, state: RunState, collected: Collection, run: _Run, provider: Provisioning
) -> list[object]:
    """Return what the process that decides needs besides; nothing in a worker."""
    from bais_gates.pytest_plugin import (  # noqa: PLC0415 - only a decision needs them
        finish,
        html_columns,
        preflight,
        recorder,
        termination,
    )

    deciding = config.stash.get(preflight.deciding_run_key, None)
    if deciding is None or state.worker is not None:
        return []
    config.option.markexpr = config.option.markexpr or deciding.scope
    recording = recorder.Recorder(state, config, collected)
    finishing = finish.Finish(deciding, recording, config)
    run.innermost_or_outermost.append(finishing)
    html_columns.set_up_html(config, state)
    looks = preflight.Preflight(deciding, recording, config, provider.look)
    return [recording, finishing, looks, termination.Termination(state, recording, finishing)]
