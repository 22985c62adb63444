"""pytest hooks of bais-gates: options and registration, nothing else.

Where there is no catalog of gates the plugin stays inert: no markers, no fixtures, no files.
"""

from __future__ import annotations

import pytest

from bais_gates.pytest_plugin import fixtures
from bais_gates.pytest_plugin.collection import Collection
from bais_gates.pytest_plugin.keys import state_key
from bais_gates.pytest_plugin.markers import register_markers
from bais_gates.pytest_plugin.observer import Observer
from bais_gates.pytest_plugin.settings import add_options, catalog_path, resolve
from bais_gates.pytest_plugin.state import RunState
from bais_gates.pytest_plugin.workers import Controller, join
from bais_gates.targets.provision import release


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options and ini keys."""
    add_options(parser)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Register the parts of the plugin, if there is a catalog."""
    catalog = catalog_path(config)
    if catalog is None:
        return
    state = config.stash[state_key] = RunState(resolve(config, catalog))
    join(config, state)
    register_markers(config)
    config.pluginmanager.register(fixtures, "bais-gates-fixtures")
    config.pluginmanager.register(Collection(state), "bais-gates-collection")
    config.pluginmanager.register(Observer(state), "bais-gates-observer")
    if state.worker is None and config.pluginmanager.hasplugin("xdist"):
        config.pluginmanager.register(Controller(state), "bais-gates-controller")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove what the run shared between its processes."""
    state = config.stash.get(state_key, None)
    if state is not None and state.directory is not None and state.worker is None:
        release(state.directory.path)
        state.directory.remove()
