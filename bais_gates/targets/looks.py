"""Look at what the gates of a run need of their target, all at once, before the first of them runs.

What can't be reached then is one cause for many gates: it is reported once, together with every other such
cause, and no gate is run only to find it again.
"""

from __future__ import annotations

import re
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bais_gates.errors import GateInputError, is_finding
from bais_gates.probes.deadline import TookTooLong, within
from bais_gates.probes.http import HttpClient, Unreachable
from bais_gates.probes.kubernetes.access import check_contexts
from bais_gates.targets import identity, target
from bais_gates.targets.environment import PARTS
from bais_gates.targets.provision import find_programs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from bais_gates.targets.environment import Environment
    from bais_gates.targets.provision import RunContext

DEADLINE_S: Final = 3.5
"""Seconds within which a part of a target must respond; the platform that a run starts itself has its own."""
_FEW: Final = 200
"""Characters of an answer in a message."""


_CHECK_ADDRESS: Final = "Check its address, and that this machine may reach it (VPN, firewall, DNS)."
_REMEDIES: Final = (
    (re.compile(r"timeout|no answer|no response"), _CHECK_ADDRESS),
    (
        re.compile(r'password|authenticat|(?:role|user) "[^"]*" does not exist|NOAUTH', re.IGNORECASE),
        "Correct its user and password.",
    ),
    (re.compile(r'database "[^"]*" does not exist|DB index'), "Correct the name of the database."),
    (re.compile(r"permission denied|no pg_hba"), "Give its user the right to connect."),
    (re.compile(r"ssl|certificate|connection string", re.IGNORECASE), "Correct the options of the URL."),
)
"""What to do about what a store answers, by its words."""
_Look = tuple[str, tuple[str, ...], "Callable[[], object]"]
"""The part that a gate asks for, the key of the environment file that it stands or falls with, the look."""


class Unusable(Exception):  # noqa: N818 - a finding about the target, not a fault of this program
    """A part of the target does not answer a first question as it must. The message has the remedy."""


def look(
    run: RunContext,
    environment: Environment,
    parts: Iterable[str],
    *,
    gates_dir: Path,
) -> list[tuple[str, str]]:
    """Return, of ``parts``, those that can't be judged: each with a paragraph of place, cause and remedy.

    A part that the environment file does not describe can't be. Of a platform that the run starts itself
    only ``target`` is looked at, whether it has come up, and whether what it will need is installed.
    """
    own = environment.provision != "none"

    def attempt(one: _Look) -> str | None:
        _, key, call = one
        try:
            if own:
                call()
            else:
                within(DEADLINE_S, call)
        except TookTooLong:
            program = " Run the kubeconfig's credential program by hand." if key[0] == "kubernetes" else ""
            text = f"no response within {DEADLINE_S:g} s. {_CHECK_ADDRESS}{program}"
        except Exception as e:  # noqa: BLE001 - whatever it is, it is reported and no gate can do better
            text = str(e) if is_finding(e) else f"{type(e).__name__}: {e}"
        else:
            return None
        return (
            text if own or text.startswith(f"{environment.path}:") else f"{environment.place(*key)}: {text}"
        )

    asked = set(parts)
    wanted = [one for one in (_own_looks if own else _looks)(run, environment, gates_dir) if one[0] in asked]
    absent = [part for part, _, _ in wanted if not own and part in PARTS and not environment.describes(part)]
    wanted = [one for one in wanted if one[0] not in absent]
    with ThreadPoolExecutor(len(wanted) or 1) as pool:
        found = zip(wanted, pool.map(attempt, wanted), strict=True)
        problems = [(part, problem) for (part, _, _), problem in found if problem is not None]
    return problems + [(part, str(environment.missing(*absent))) for part in absent]


@dataclass(frozen=True, kw_only=True)
class _Alone:
    """The run that looks at a target and runs no gate."""

    environment: str
    directory: Path
    run_id: str = "look"
    owner_pid: int = 0
    faults: tuple[str, ...] = ()


def require(environment: Environment, *parts: str, gates_dir: Path) -> None:
    """Raise GateInputError with each thing that keeps parts of a target from being judged, a line each.

    A platform that a run starts itself is not looked at.
    """
    if environment.provision != "none":
        return
    with tempfile.TemporaryDirectory(prefix="bais-gates-") as directory:
        run = _Alone(environment=str(environment.path), directory=Path(directory))
        problems = look(run, environment, parts, gates_dir=gates_dir)
    if problems:
        raise GateInputError("\n".join(dict.fromkeys(text for _, text in problems)))


def _own_looks(run: RunContext, environment: Environment, gates_dir: Path) -> list[_Look]:
    looks: list[_Look] = [("target", (), lambda: target.open_target(run, gates_dir=gates_dir))]
    if not environment.describes("monitoring"):
        looks += [(part, (), find_programs) for part in ("monitoring", "oncall")]
    return looks


def _looks(run: RunContext, environment: Environment, gates_dir: Path) -> list[_Look]:
    looks: list[_Look] = [
        ("target", ("api", "url"), lambda: _reach_api(run, environment, gates_dir)),
        ("limits", ("limits",), lambda: environment.limits),
        (
            "kubernetes",
            ("kubernetes", "kubeconfig"),
            lambda: _reach_cluster(run, environment, gates_dir),
        ),
        ("database", ("database", "url"), lambda: _query(environment)),
        ("cache", ("cache", "url"), lambda: _ping(environment)),
        ("webhooks", ("webhooks", "listen_host"), lambda: _listen(environment)),
        ("monitoring", ("monitoring", "prometheus_url"), lambda: _ask_prometheus(environment)),
        ("oncall", ("oncall",), lambda: _ask_pagerduty(environment)),
    ]
    if environment.describes("monitoring") and environment.monitoring.alertmanager_url is not None:
        at = ("monitoring", "alertmanager_url")
        looks.append(("monitoring", at, lambda: _ask_alertmanager(environment)))
    return looks


def _reach_api(run: RunContext, environment: Environment, gates_dir: Path) -> None:
    """Reach the API; where the file names what ``/health`` must report, it must be that API."""
    target.reach_api(run, gates_dir=gates_dir)
    if not environment.describes("api"):
        return
    part = environment.api
    facts = dict(identity.read_facts(identity.API, run.directory) or ())
    reported = facts.get("api.environment")
    if part.environment is not None and reported not in {None, part.environment}:
        raise Unusable(
            f"its /health reports environment {reported}, and api.environment is {part.environment}. "
            "Correct the one that is wrong."
        )
    if (part.environment or part.version) and not facts.keys() & {"api.environment", "api.version"}:
        with HttpClient(part.url, ca_file=part.ca_file) as http:
            answer = http.request("GET", "/health").describe(_FEW)
        raise Unusable(f"{answer}. That has no version and no environment. Write the address of the API.")


def _reach_cluster(run: RunContext, environment: Environment, gates_dir: Path) -> None:
    part = environment.kubernetes
    named = {key: getattr(part, key) for key in ("context", "admin_context", "secrets_context")}
    check_contexts(part.access(), {f"kubernetes.{key}": name for key, name in named.items() if name})
    target.reach_cluster(run, environment, gates_dir=gates_dir)


def _ask_prometheus(environment: Environment) -> None:
    with target.open_prometheus(environment) as prometheus:
        prometheus.query("1")


def _ask_alertmanager(environment: Environment) -> None:
    with target.open_alertmanager(environment) as alertmanager:
        alertmanager.configuration()


def _ask_pagerduty(environment: Environment) -> None:
    part = environment.oncall
    if part.rotation is not None and not part.rotation.is_file():
        raise Unusable(f"{part.rotation}: no such file. Create it, or correct oncall.rotation.")
    headers = {
        "Accept": "application/vnd.pagerduty+json;version=2",
        "Authorization": f"Token token={part.token}",
    }
    try:
        with HttpClient(part.api_url) as http:
            answer = http.request("GET", "/users", params={"limit": "1"}, headers=headers)
    except Unreachable as e:
        raise Unusable(f"{e}. Check oncall.api_url, and that this machine may reach it.") from None
    if answer.status == 403:
        raise Unusable(
            "the token has no right to read at PagerDuty (HTTP 403). Make a REST API key with full access, "
            "and give it as oncall.token."
        )
    if answer.status == 401:
        raise Unusable(
            "PagerDuty does not accept the token (HTTP 401). Make a REST API key, and give it as "
            "oncall.token."
        )
    # Too many requests of others: the gates wait as it asks.
    if answer.status != 429 and not isinstance(answer.field("users"), list):
        raise Unusable(
            f"{answer.describe(_FEW)} and no list of users. Check that oncall.api_url is the address of "
            "PagerDuty's REST API."
        )


def _query(environment: Environment) -> None:
    from bais_gates.probes.postgres import Database, DatabaseError  # noqa: PLC0415 - only where it is judged

    try:
        with Database(environment.database.url, connect_timeout_s=DEADLINE_S) as database:
            database.value("SELECT 1")
    except DatabaseError as e:
        raise unusable(e) from None


def _ping(environment: Environment) -> None:
    from bais_gates.probes.redis import Cache, CacheError  # noqa: PLC0415 - only where it is judged

    try:
        with Cache(environment.cache.url) as cache:
            cache.ping_ms()
    except CacheError as e:
        raise unusable(e) from None


def unusable(error: Exception) -> Unusable:
    """Return the finding about a database or cache, with the remedy that its words ask for."""
    cause = str(error).rstrip(".?")
    remedy = next((text for words, text in _REMEDIES if words.search(cause)), _CHECK_ADDRESS)
    return Unusable(f"{cause}. {remedy}")


def _listen(environment: Environment) -> None:
    from bais_gates.probes.listener import Listener  # noqa: PLC0415 - only where it is judged

    part = environment.webhooks
    Listener(part.listen_host, part.listen_port, part.advertise_url).close()
