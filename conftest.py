"""Fixtures that hand a gate its target. Thin: what they hand out is made in bais_gates."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from bais_gates.bais.api import Api, Business, open_api, register_business
from bais_gates.pytest_plugin.run_state import state_key
from bais_gates.targets.target import Target, Unique, open_target

if TYPE_CHECKING:
    from bais_gates.probes.kubernetes.cluster import Cluster
    from bais_gates.probes.kubernetes.writer import ClusterWriter
    from bais_gates.probes.listener import Listener
    from bais_gates.probes.postgres import Database
    from bais_gates.probes.redis import Cache
    from bais_gates.pytest_plugin.run_directory import GateRun
    from bais_gates.targets.environment import Environment
    from bais_gates.targets.parts import Limits


@pytest.hookimpl(tryfirst=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Take away what the run staged, before the sandbox that it stands in is stopped."""
    state = config.stash.get(state_key, None)
    if state is None or state.worker is not None or state.directory is None:
        return
    if (state.directory.path / "staging.claim").exists():
        from bais_gates.staging.run import release  # noqa: PLC0415 - loaded by runs that staged something

        terminal = config.pluginmanager.get_plugin("terminalreporter")
        say = terminal.write_line if terminal is not None else print
        release(state.gate_run(), gates_dir=state.gates_dir, progress=say)


@pytest.fixture(scope="session")
def tell(pytestconfig: pytest.Config) -> Callable[[str], None]:
    """Write a line of progress past pytest's capture."""
    capture = pytestconfig.pluginmanager.get_plugin("capturemanager")
    terminal = pytestconfig.pluginmanager.get_plugin("terminalreporter")

    def progress(text: str) -> None:
        if capture is not None and terminal is not None:
            with capture.global_and_fixture_disabled():
                terminal.write_line(text)

    return progress


@pytest.fixture(scope="session")
def target(gate_run: GateRun, tell: Callable[[str], None]) -> Target:
    """Open the environment of this run, started if it is the run's to start."""
    return open_target(gate_run, gates_dir=gate_run.catalog.path.parent, progress=tell)


@pytest.fixture(scope="session")
def environment(target: Target) -> Environment:
    """Hand out what the environment file describes, completed by what the run started."""
    return target.environment


@pytest.fixture(scope="session")
def limits(environment: Environment) -> Limits:
    """Hand out the figures that this target is held to."""
    return environment.limits


@pytest.fixture(scope="session")
def api(target: Target) -> Iterator[Api]:
    """Hand out an anonymous client of the target's API."""
    client = open_api(target)
    yield client
    client.http.close()


@pytest.fixture(scope="session")
def unique(gate_run: GateRun) -> Unique:
    """Make test data that no other run, worker or gate makes."""
    return Unique(gate_run.run_id)


@pytest.fixture(scope="session")
def new_business(api: Api, unique: Unique) -> Callable[[], Business]:
    """Make a business of its own: registered and signed in through the API."""
    return lambda: register_business(api, unique)


@pytest.fixture
def database(environment: Environment) -> Iterator[Database]:
    """Open the target's PostgreSQL, read only; an error that names the missing key without."""
    from bais_gates.probes.postgres import Database  # noqa: PLC0415 - drivers are loaded by gates that use them

    with Database(environment.database.url) as opened:
        yield opened


@pytest.fixture
def cache(environment: Environment) -> Iterator[Cache]:
    """Open the target's Redis; an error that names the missing key without."""
    from bais_gates.probes.redis import Cache  # noqa: PLC0415 - drivers are loaded by gates that use them

    with Cache(environment.cache.url) as opened:
        yield opened


@pytest.fixture(scope="session")
def cluster(target: Target, gate_run: GateRun, tell: Callable[[str], None]) -> Iterator[Cluster]:
    """Hand out the target's cluster, for reading; the sandbox's is started for the first that asks."""
    from bais_gates.targets.clusters import open_cluster  # noqa: PLC0415 - loaded by gates that ask a cluster

    opened = open_cluster(gate_run, target.environment, gates_dir=target.gates_dir, progress=tell)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def cluster_writer(target: Target, gate_run: GateRun, tell: Callable[[str], None]) -> Iterator[ClusterWriter]:
    """Hand out the target's cluster for writing: to staging and the recovery drill; never a read-only one."""
    from bais_gates.targets.clusters import open_cluster_writer  # noqa: PLC0415 - as above

    opened = open_cluster_writer(gate_run, target.environment, gates_dir=target.gates_dir, progress=tell)
    yield opened
    opened.close()


@pytest.fixture
def webhook_listener(environment: Environment) -> Iterator[Listener]:
    """Open a listener that the platform can reach, gone with the gate."""
    from bais_gates.probes.listener import Listener  # noqa: PLC0415 - a server is made by gates that use it

    part = environment.webhooks
    with Listener(part.listen_host, part.listen_port, part.advertise_url) as listener:
        yield listener
