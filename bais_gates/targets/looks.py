"""Look at what the gates of a run need of their target, all at once, before the first of them runs.

What can't be reached then is one cause for many gates: it is reported once, together with every other such
cause, and no gate is run only to find it again.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from bais_gates.errors import is_finding
from bais_gates.probes.deadline import TookTooLong, within
from bais_gates.targets import target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from bais_gates.targets.environment import Environment
    from bais_gates.targets.provision import RunContext

DEADLINE_S: Final = 3.5
"""Seconds within which a part of a target must respond; the platform that a run starts itself has its own."""


def look(
    run: RunContext,
    environment: Environment,
    parts: Iterable[str],
    *,
    gates_dir: Path,
) -> dict[str, str]:
    """Return, by part, one paragraph with the remedy for each of ``parts`` that can't be judged.

    A part that the environment file does not describe can't be. Of a platform that the run starts itself
    only ``target`` is looked at: whether it has come up.
    """
    own = environment.provision != "none"
    looks: dict[str, Callable[[], object]] = {
        "target": lambda: target.open_target(run, gates_dir=gates_dir),
        "limits": lambda: environment.limits,
        "kubernetes": lambda: target.reach_cluster(run, environment, gates_dir=gates_dir),
        "database": lambda: _query(environment),
        "cache": lambda: _ping(environment),
        "webhooks": lambda: _listen(environment),
        "monitoring": lambda: _ask_prometheus(environment),
        "oncall": lambda: environment.oncall,
    }

    def attempt(part: str) -> str | None:
        try:
            if own:
                looks[part]()
            else:
                within(DEADLINE_S, looks[part])
        except TookTooLong:
            return f"{environment.path}: {part}: no response within {DEADLINE_S:g} s. {_CHECK_ADDRESS}"
        except Exception as e:  # noqa: BLE001 - whatever it is, it is reported and no gate can do better
            return str(e) if is_finding(e) else f"{environment.path}: {part}: {type(e).__name__}: {e}"
        return None

    asked = set(parts)
    wanted = [part for part in looks if part in asked and (part == "target" or not own)]
    with ThreadPoolExecutor(len(looks)) as pool:
        found = dict(zip(wanted, pool.map(attempt, wanted), strict=True))
    return {part: problem for part, problem in found.items() if problem is not None}


_CHECK_ADDRESS: Final = "Check its address, and that this machine may reach it (VPN, firewall, DNS)."


def _ask_prometheus(environment: Environment) -> None:
    with target.open_prometheus(environment) as prometheus:
        prometheus.query("1")


def _query(environment: Environment) -> None:
    from bais_gates.probes.postgres import Database, DatabaseError  # noqa: PLC0415 - only where it is judged

    with Database(environment.database.url, connect_timeout_s=DEADLINE_S) as database:
        try:
            database.value("SELECT 1")
        except DatabaseError as e:
            raise DatabaseError(
                f"{environment.path}: database.url: {str(e).rstrip('.?')}. {_CHECK_ADDRESS}"
            ) from None


def _ping(environment: Environment) -> None:
    from bais_gates.probes.redis import Cache, CacheError  # noqa: PLC0415 - only where it is judged

    with Cache(environment.cache.url) as cache:
        try:
            cache.ping_ms()
        except CacheError as e:
            raise CacheError(
                f"{environment.path}: cache.url: {str(e).rstrip('.')}. {_CHECK_ADDRESS}"
            ) from None


def _listen(environment: Environment) -> None:
    from bais_gates.probes.listener import Listener  # noqa: PLC0415 - only where it is judged

    part = environment.webhooks
    Listener(part.listen_host, part.listen_port, part.advertise_url).close()
