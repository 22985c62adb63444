"""Puts the plugin's parts together for a run that has a catalog; imported only then."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bais_gates.pytest_plugin import fixtures
from bais_gates.pytest_plugin.arguments import join_for_workers
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
from bais_gates.pytest_plugin.settings import resolve
from bais_gates.pytest_plugin.state import RunState
from bais_gates.pytest_plugin.warning_filters import make_warnings_errors
from bais_gates.pytest_plugin.workers import Controller, is_worker, join, remember_controller
from bais_gates.targets.provision import release

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["begin", "register_parts", "release", "tell_conftest_error"]


def begin(config: pytest.Config, catalog: Path) -> RunState:
    """Find out, once, what the run was asked for, and open it if it decides."""
    known = config.stash.get(state_key, None)
    if known is not None:
        return known
    state = config.stash[state_key] = RunState(resolve(config, catalog))
    if state.settings.problems and not state.settings.deciding:
        raise pytest.UsageError(*state.settings.problems)
    if state.settings.deciding and not is_worker(config):
        remember_controller()
        state.opening = open_run(config, state)
        config.pluginmanager.register(LastWord(state.opening))
        if state.opening.fatal:
            config.pluginmanager.register(Refusal(state.opening))
    return state


def register_parts(config: pytest.Config, state: RunState) -> None:
    """Register what this process needs: to run tests, to lead workers, to decide."""
    join(config, state)
    register_markers(config)
    manager = config.pluginmanager
    collection, observer = Collection(state), Observer(state)
    reseated: list[object] = [observer]
    config.stash[reseated_key] = reseated
    parts: list[object] = [fixtures, collection, observer, Guard(state, config)]
    with_xdist = hasattr(manager.hook, "pytest_configure_node")  # under whatever name it was loaded
    if state.worker is None and with_xdist:
        parts.append(Controller(state))
        join_for_workers(config)
    if state.settings.deciding:
        make_warnings_errors(config)
    if state.opening is not None and state.worker is None:
        if not config.option.markexpr:
            config.option.markexpr = state.opening.scope
        recorder = Recorder(state, config, collection)
        closing = Closing(state.opening, recorder, config)
        reseated.append(closing)
        parts += [recorder, closing, Ending(state, recorder, closing)]
        if with_xdist:
            parts.append(XdistRecorder(recorder))
        set_up_html(config, state.settings.out)
    for part in parts:
        manager.register(part)
