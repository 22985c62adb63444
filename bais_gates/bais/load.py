"""A load run on BAIS: its accounts, the webhooks that arrive meanwhile, and what else is tried under load."""

from __future__ import annotations

import json
import math
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bais_gates import redaction
from bais_gates.bais.api import ACCEPTED, Api, Unreachable, card_method, register_business, require_field
from bais_gates.errors import GateInputError
from bais_gates.load.drive import Aim, remove_older, run_load
from bais_gates.load.plan import Plan
from bais_gates.load.report import prometheus_text
from bais_gates.load.result import Result, read_result
from bais_gates.probes.listener import Delivery, Inbox, Listener
from bais_gates.targets.parts import CapacityPart

if TYPE_CHECKING:
    from bais_gates.targets.environment import Environment
    from bais_gates.targets.target import Unique

LOCUSTFILE: Final = Path("load", "locustfile.py")
"""In the folder of the gates."""
BUSINESSES: Final = 20
HEALTH_N: Final = 160
"""Requests of GET /health that a run expects at least: 100 are needed, and their number is by chance."""
HOOKED: Final = 2
"""Businesses whose webhooks are received; the others have none."""
OVER_LIMIT: Final = 20
"""Requests beyond its limit that one caller sends while the target is under load."""
_FACTS: Final = "facts.json"
_PROMETHEUS: Final = "load.prom"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A business that was prepared, with the API keys of its users."""

    email: str
    password: str
    workflow_id: str
    api_keys: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadRun:
    """A load run, and what was tried and received beside it."""

    result: Result
    directory: Path
    """With the record, Locust's page and the figures as Prometheus text."""
    hooked_workflows: tuple[str, ...]
    delivered: tuple[str, ...]
    """Ids of the accepted payments of the hooked workflows whose webhooks arrived."""
    accepted_at_once: int
    """Of :attr:`sent_at_once` requests of one caller as fast as it could, those that were accepted."""
    refused_at_once: int
    """Those that were answered 429."""
    sent_at_once: int
    sent_at_once_s: float
    """Seconds that they took."""


def read_accounts(path: Path) -> tuple[Account, ...]:
    """Read the file of accounts. Raises GateInputError."""
    try:
        entries: Any = json.loads(path.read_text(encoding="utf-8"))["businesses"]
        accounts = tuple(
            Account(
                email=one["email"],
                password=one["password"],
                workflow_id=one["workflow_id"],
                api_keys=tuple(one["api_keys"]),
            )
            for one in entries
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise GateInputError(
            f"{path}: no accounts for a load run ({type(error).__name__}). Run `bais-gates load prepare`."
        ) from None
    if not any(one.api_keys for one in accounts):
        raise GateInputError(f"{path}: no account has an API key. Write it anew: `bais-gates load prepare`.")
    return accounts


def prepare_accounts(
    api: Api, unique: Unique, path: Path, *, keys: int, progress: Callable[[str], None] = lambda _text: None
) -> None:
    """Make businesses with ``keys`` API keys through the API, and write them to a file of mode 0600.

    Raises TargetRefused, Unreachable and GateInputError.
    """
    entries: list[dict[str, Any]] = []
    count = min(BUSINESSES, keys)
    for number in range(count):
        business = register_business(api, unique)
        mine = keys // count + (number < keys % count)
        made = [require_field(business.api_key(), 201, "api_key") for _ in range(mine)]
        account = Account(
            email=business.email,
            password=business.password,
            workflow_id=business.workflow_id(),
            api_keys=tuple(made),
        )
        entries.append(asdict(account))
        progress(f"load: {number + 1} of {count} businesses are prepared")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.touch(mode=0o600)
        temporary.write_text(json.dumps({"businesses": entries}), encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise GateInputError(f"{path}: {error.strerror}. Name another file under load.accounts.") from None


def plan_for(environment: Environment, **given: Any) -> Plan:
    """Return the plan of a run that judges what ``capacity`` promises; ``load`` may lower a sandbox's.

    ``given`` are fields of the plan that a caller sets; None leaves one as it is.
    """
    capacity = environment.capacity if environment.describes("capacity") else CapacityPart()
    part = environment.load if environment.describes("load") else None
    plan = Plan(rate_per_s=capacity.requests_per_s, users=capacity.users)
    if part is not None:
        plan = replace(
            plan, rate_per_s=part.rate_per_s or plan.rate_per_s, mix={**plan.mix, **dict(part.mix)}
        )
    plan = replace(plan, **{name: value for name, value in given.items() if value is not None})
    share = min(0.5, HEALTH_N / (plan.asked_per_s * plan.measured_s))
    others = sum(plan.mix.values()) - plan.mix["health"]
    mix = {**plan.mix, "health": max(plan.mix["health"], math.ceil(others * share / (1 - share)))}
    # Each user has sent before it counts, and the percentile of GET /health has enough samples.
    return replace(plan, mix=mix, warm_up_s=max(plan.warm_up_s, plan.period_s))


def read_run(directory: Path) -> LoadRun:
    """Read what :func:`carry_out` left. Raises GateInputError."""
    try:
        facts: Any = json.loads((directory / _FACTS).read_text(encoding="utf-8"))
        facts |= {name: tuple(facts[name]) for name in ("hooked_workflows", "delivered")}
        return LoadRun(result=read_result(directory), directory=directory, **facts)
    except (OSError, ValueError, KeyError, TypeError):
        raise GateInputError(f"{directory}: not the folder of a load run.") from None


def carry_out(
    environment: Environment,
    api: Api,
    plan: Plan,
    directory: Path,
    *,
    gates_dir: Path,
    accounts_file: Path,
    workers: int = 1,
    progress: Callable[[str], None] = lambda _text: None,
) -> LoadRun:
    """Load the target by a plan, with webhooks received and one caller over its limit meanwhile.

    What an older run left in the directory is removed first: it is none of a run that fails now.
    Raises LoadError, GateInputError, Unreachable and TargetRefused.
    """
    remove_older(directory, _FACTS, _PROMETHEUS)
    accounts = read_accounts(accounts_file)
    for one in accounts:
        for secret in (one.password, *one.api_keys):
            redaction.register(secret)
    part = environment.load if environment.describes("load") else None
    aim = Aim(
        url=environment.api.url,
        ca_file=environment.api.ca_file,
        locustfile=gates_dir / LOCUSTFILE,
        accounts=accounts_file,
        platform_pids=() if part is None else part.platform_pids,
    )
    hooked = accounts[:HOOKED] if environment.describes("webhooks") else ()
    with _listening(environment, api, hooked) as inboxes:
        burst = _Burst(
            api.with_token(accounts[-1].api_keys[-1]), environment.rate_limit.per_token + OVER_LIMIT
        )
        timer = threading.Timer(plan.ramp_s + plan.warm_up_s / 2, burst.send)
        timer.start()
        try:
            result = run_load(plan, aim, directory, workers=workers, progress=progress)
        finally:
            timer.cancel()
            timer.join()
        paid = paid_ids(result, {one.workflow_id for one in hooked})
        delivered = _delivered(inboxes, paid, environment.webhooks.deadline_s) if inboxes else set()
    facts: dict[str, Any] = {
        "hooked_workflows": tuple(one.workflow_id for one in hooked),
        "delivered": tuple(sorted(delivered)),
        "accepted_at_once": burst.statuses.count(200),
        "refused_at_once": burst.statuses.count(429),
        "sent_at_once": len(burst.statuses),
        "sent_at_once_s": burst.seconds,
    }
    try:
        (directory / _PROMETHEUS).write_text(prometheus_text(result), encoding="utf-8")
        (directory / _FACTS).write_text(json.dumps(facts), encoding="utf-8")
    except OSError as error:
        raise GateInputError(f"{directory}: {error.strerror}. The load run can't be kept there.") from None
    return LoadRun(result=result, directory=directory, **facts)


def paid_ids(result: Result, workflows: set[str] | None = None) -> set[str]:
    """Return the ids of the payments that the target accepted in a run, in some workflows or all."""
    pairs = (one.detail.split(" ", 1) for one in result.requests if one.detail)
    return {payment for workflow, payment in pairs if workflows is None or workflow in workflows}


class _Burst:
    """Sends requests of one caller one after another, as fast as it can."""

    def __init__(self, api: Api, count: int) -> None:
        self._api, self._count = api, count
        self.statuses: list[int] = []
        self.seconds = 0.0

    def send(self) -> None:
        """Send them all; one without a response is left out."""
        began = time.monotonic()
        for _ in range(self._count):
            with suppress(Unreachable):
                self.statuses.append(self._api.get("/api/v1/system/status").status)
        self.seconds = time.monotonic() - began


@contextmanager
def _listening(environment: Environment, api: Api, hooked: Sequence[Account]) -> Iterator[list[Inbox]]:
    """Receive the webhooks of some businesses until the end; then have each webhook disabled by a 410."""
    if not hooked:
        yield []
        return
    part = environment.webhooks
    with Listener(part.listen_host, part.listen_port, part.advertise_url) as listener:
        inboxes = [listener.inbox(200) for _ in hooked]
        for one, inbox in zip(hooked, inboxes, strict=True):
            body = {"url": inbox.url, "events": ["payment.completed"]}
            caller = api.with_token(one.api_keys[0])
            require_field(caller.post("/api/v1/webhooks/configure", json=body), 201, "webhook_id")
        yield inboxes
        for one, inbox in zip(hooked, inboxes, strict=True):
            seen = len(inbox.received)
            inbox.answer(410)
            with suppress(Unreachable):
                api.with_token(one.api_keys[0]).post("/api/v1/payments/process", json=_payment(one))
                inbox.wait_for(lambda got, seen=seen: len(got) > seen, part.deadline_s)  # type: ignore[misc]


def _payment(account: Account) -> dict[str, object]:
    return {
        "workflow_id": account.workflow_id,
        "amount": 1.0,
        "currency": "USD",
        "payment_method": card_method(ACCEPTED),
    }


def _delivered(inboxes: Sequence[Inbox], paid: set[str], within_s: float) -> set[str]:
    """Wait until the webhooks of these payments have arrived, and return the payments' ids."""
    ends_at = time.monotonic() + within_s
    while True:
        arrived = {value for inbox in inboxes for one in inbox.received for value in _values_of(one)}
        if paid <= arrived or time.monotonic() > ends_at:
            return paid & arrived
        time.sleep(0.1)


def _values_of(delivery: Delivery) -> set[str]:
    """Return the values in an event's data, the payment's id among them."""
    event = delivery.json if isinstance(delivery.json, dict) else {}
    data = event.get("data")
    return {str(value) for value in data.values()} if isinstance(data, dict) else set()
