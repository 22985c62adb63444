"""pytest hooks of bais-gates: options and registration, nothing else.

Where there is no catalog of gates the plugin stays inert: no markers, no fixtures, no files.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from bais_gates.pytest_plugin import fixtures
from bais_gates.pytest_plugin.closing import Closing
from bais_gates.pytest_plugin.collection import Collection
from bais_gates.pytest_plugin.ending import Ending
from bais_gates.pytest_plugin.guard import Guard
from bais_gates.pytest_plugin.html_report import set_up_html
from bais_gates.pytest_plugin.keys import reseated_key, state_key
from bais_gates.pytest_plugin.last_word import LastWord, Refusal
from bais_gates.pytest_plugin.markers import register_markers
from bais_gates.pytest_plugin.observer import Observer
from bais_gates.pytest_plugin.opening import open_run, tell_conftest_error
from bais_gates.pytest_plugin.recorder import Recorder, XdistRecorder
from bais_gates.pytest_plugin.settings import add_options, catalog_path, resolve
from bais_gates.pytest_plugin.state import RunState
from bais_gates.pytest_plugin.warning_filters import make_warnings_errors
from bais_gates.pytest_plugin.workers import Controller, is_worker, join, remember_controller
from bais_gates.targets.provision import release


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options and ini keys."""
    add_options(parser)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None, Any, Any]:
    """Put BLOCK on disk before any conftest is loaded."""
    state = _begin(early_config)
    try:
        return (yield)
    except BaseException as error:
        if state is not None and state.opening is not None:
            tell_conftest_error(state.opening, early_config, error)
        raise


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Register the parts of the plugin, if there is a catalog."""
    state = _begin(config)
    if state is None:
        return
    join(config, state)
    register_markers(config)
    manager = config.pluginmanager
    collection = Collection(state)
    observer = Observer(state)
    parts: tuple[object, ...] = (fixtures, collection, observer, Guard(state, config))
    reseated: list[object] = [observer]
    config.stash[reseated_key] = reseated
    for part in parts:
        manager.register(part)
    with_xdist = manager.hasplugin("xdist")
    if state.worker is None and with_xdist:
        manager.register(Controller(state))
    if state.settings.deciding:
        make_warnings_errors(config)
    if state.opening is None or state.worker is not None:
        return
    if not config.option.markexpr:
        config.option.markexpr = state.opening.scope
    recorder = Recorder(state, config, collection)
    closing = Closing(state.opening, recorder, config)
    reseated.append(closing)
    parts = (recorder, closing, Ending(state, recorder, closing))
    for part in parts:
        manager.register(part)
    if with_xdist:
        manager.register(XdistRecorder(recorder))
    set_up_html(config, state.settings.out)


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
        release(state.directory.path)
        state.directory.remove()


def _begin(config: pytest.Config) -> RunState | None:
    """Find out, once, what the run was asked for, and open it if it decides; None without a catalog."""
    known = config.stash.get(state_key, None)
    if known is not None:
        return known
    catalog = catalog_path(config)
    if catalog is None:
        return None
    state = config.stash[state_key] = RunState(resolve(config, catalog))
    if state.settings.deciding and not is_worker(config):
        remember_controller()
        state.opening = open_run(config, state)
        config.pluginmanager.register(LastWord(state.opening))
        if state.opening.fatal:
            config.pluginmanager.register(Refusal(state.opening))
    return state
