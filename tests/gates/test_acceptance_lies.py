"""Test that a proxy that lies fails the gates of accounts, payments and webhooks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bais_gates.probes.http import HttpClient
from bais_gates.targets.environment import load_environment
from bais_gates.verdict.model import Outcome
from tests.gates import lies_of_accounts, lies_of_payments  # noqa: F401 - the import registers their lies
from tests.gates.lying_proxy import LIES, LyingProxy, chain

if TYPE_CHECKING:
    from tests.gates.conftest import Bench


@pytest.fixture(scope="module")
def upstream(bench: Bench) -> Iterator[HttpClient]:
    """Return the proxy's own client of the sandbox."""
    part = load_environment(bench.environment_file, gates_dir=Path()).api
    with HttpClient(part.url, ca_file=str(part.ca_file)) as client:
        yield client


RUNS = (
    ("health_from_a_cache", "readiness_unknown", "health_as_text"),
    (
        "refused_registration_reported_as_accepted",
        "same_id_for_every_user",
        "invalid_address_reported_as_conflict",
    ),
    ("registration_never_forwarded",),
    (
        *("responses_cached_by_token", "www_authenticate_missing", "lock_without_retry_after"),
        *("known_accounts_take_longer", "refresh_cached"),
    ),
    ("responses_cached_by_path",),
    ("a_cent_more", "workflows_from_a_shared_cache"),
    ("forbidden_instead_of_unknown", "ids_issued_twice"),
    (
        *("payments_taken_twice", "declined_reported_as_completed", "card_number_in_a_header"),
        *("cents_cut_off", "failures_reported_as_completed"),
    ),
    ("keys_removed", "another_amount_taken_than_reported"),
    ("every_webhook_activated", "another_secret_reported", "refused_webhooks_reported_as_configured"),
    ("payments_taken_twice_notify_twice",),
)
"""The lies of each run: about one gate, and none makes the check false that another one of them must."""
IN_EVERY_RUN = (
    "health_from_a_cache",
    "refused_registration_reported_as_accepted",
    "a_cent_more",
    "payments_taken_twice",
    "every_webhook_activated",
)
"""The first lies of the runs that are no nightly ones: each kind of lie, and most of the gates."""
TIMED = {"health_endpoint", "user_authentication", "webhook_delivery"}
"""Gates that measure times."""


def _through(bench: Bench, url: str) -> Path:
    """Write the sandbox's environment file with another address of the API, and short deadlines."""
    return bench.described(api={"url": url, "ca_file": None}, **bench.SHORT_DEADLINES)


def test_every_lie_is_told_once() -> None:
    """Each lie is in one run, with lies about the same gate and other checks."""
    assert sorted(name for run in RUNS for name in run) == sorted(LIES)
    for run in RUNS:
        lies = [LIES[name] for name in run]
        assert len({gate for gate, _check, _make in lies}) == 1
        assert len({check for _gate, check, _make in lies}) == len(lies)


def _when(gate: str) -> list[pytest.MarkDecorator]:
    """Return when a gate is tried behind a proxy that changes nothing: one that is quick in every run."""
    if gate in TIMED:
        return [pytest.mark.quiet, pytest.mark.nightly]
    return [] if gate == "user_registration" else [pytest.mark.nightly]


@pytest.mark.parametrize(
    "gate",
    [
        pytest.param(gate, marks=_when(gate))
        for gate in sorted({gate for gate, _check, _make in LIES.values()})
    ],
)
def test_a_forwarding_proxy_changes_nothing(bench: Bench, upstream: HttpClient, gate: str) -> None:
    """Every gate passes through a proxy that only forwards: it is the lie that fails it."""
    with LyingProxy(upstream, lambda exchange: exchange.forward()) as between:
        judged = bench.measure(gate, environment_file=_through(bench, between.url))

    assert (judged.outcome, judged.message, judged.false) == (Outcome.PASS, "", "")


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(run, id="+".join(run), marks=() if run[0] in IN_EVERY_RUN else (pytest.mark.nightly,))
        for run in RUNS
    ],
)
def test_each_lie_fails_its_check(bench: Bench, upstream: HttpClient, names: tuple[str, ...]) -> None:
    """With the lies between gate and API, the gate fails by the checks about them."""
    lies = [LIES[name] for name in names]
    with LyingProxy(upstream, chain([make() for _g, _c, make in lies])) as between:
        judged = bench.run(lies[0][0], environment_file=_through(bench, between.url))

    assert judged.outcome is Outcome.FAIL, judged.message
    false = {one.name for one in judged.checks if one.ok is False}
    missed = [check for _gate, check, _make in lies if false.isdisjoint(check.split("|"))]
    assert missed == [], judged.false
