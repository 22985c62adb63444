"""pytest hooks of bais-gates: options and registration, nothing else.

Where there is no catalog of gates the plugin stays inert: no markers, no fixtures, no files.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import pytest

from bais_gates.pytest_plugin.arguments import start_over
from bais_gates.pytest_plugin.keys import reseated_key, state_key
from bais_gates.pytest_plugin.settings import CATALOG_DEFAULT, add_options, catalog_path
from bais_gates.verdict.model import SCOPES

if TYPE_CHECKING:
    from bais_gates.pytest_plugin.state import RunState


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options and ini keys."""
    add_options(parser)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None, Any, Any]:
    """Put BLOCK on disk before any conftest is loaded."""
    start_over(early_config)
    state = _begin(early_config)
    try:
        return (yield)
    except BaseException as error:
        if state is not None and state.opening is not None:
            from bais_gates.pytest_plugin.assembly import tell_conftest_error  # noqa: PLC0415 - as below

            tell_conftest_error(state.opening, early_config, error)
        raise


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Register the parts of the plugin, if there is a catalog."""
    state = _begin(config)
    if state is not None:
        from bais_gates.pytest_plugin.assembly import register_parts  # noqa: PLC0415 - as below

        register_parts(config, state)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """Register again what must be innermost or outermost: conftests were loaded since."""
    manager = session.config.pluginmanager
    for part in session.config.stash.get(reseated_key, ()):
        manager.unregister(part)
        manager.register(part)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove what the run shared between its processes."""
    state = config.stash.get(state_key, None)
    if state is not None and state.directory is not None and state.worker is None:
        from bais_gates.pytest_plugin.assembly import release  # noqa: PLC0415 - as below

        release(state.directory.path)
        state.directory.remove()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, exitstatus: int) -> None:
    """Say how to start where a decision was asked for, no test bears that mark and there is no catalog."""
    config = terminalreporter.config
    asked = config.option.markexpr.strip()
    if asked in SCOPES and exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and state_key not in config.stash:
        terminalreporter.write_line(
            f"bais-gates: no decision about {asked}: there is no {CATALOG_DEFAULT} below {config.rootpath}. "
            "`bais-gates init` writes one; --gate-catalog names one that is elsewhere."
        )


def _begin(config: pytest.Config) -> RunState | None:
    """Return what is known of the run; None where there is no catalog, and so nothing to do."""
    catalog = catalog_path(config)
    if catalog is None:
        return None
    from bais_gates.pytest_plugin.assembly import begin  # noqa: PLC0415 - projects without gates pay for no import

    return begin(config, catalog)
