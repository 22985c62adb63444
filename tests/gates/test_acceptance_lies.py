"""Test that a proxy that lies fails the gates of accounts, payments and webhooks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

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


def _through(bench: Bench, url: str) -> Path:
    """Write the sandbox's environment file with another address of the API."""
    data = yaml.safe_load(bench.environment_file.read_text(encoding="utf-8"))
    data["api"] = {"url": url, "environment": data["api"]["environment"], "version": data["api"]["version"]}
    data["webhooks"]["deadline_s"] = 4
    data["payments"] = {"settled_within_s": 3}
    path = bench.directory / "proxied.yaml"
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    return path


@pytest.mark.quiet
@pytest.mark.parametrize("gate", sorted({gate for gate, _check, _make in LIES.values()}))
def test_a_forwarding_proxy_changes_nothing(bench: Bench, upstream: HttpClient, gate: str) -> None:
    """Every gate passes through a proxy that only forwards: it is the lie that fails it."""
    with LyingProxy(upstream, lambda exchange: exchange.forward()) as between:
        judged = bench.run(gate, environment_file=_through(bench, between.url))

    assert (judged.outcome, judged.message, judged.false) == (Outcome.PASS, "", "")


def _runs() -> list[tuple[str, ...]]:
    """Return the lies of each run; slow gates get those together that do not hide each other."""
    together = [
        ("responses_cached_by_token", "www_authenticate_missing", "lock_without_retry_after"),
        ("known_accounts_take_longer", "refresh_cached"),
        ("every_webhook_activated", "another_secret_reported", "refused_webhooks_reported_as_configured"),
    ]
    taken = {name for names in together for name in names}
    return [(name,) for name in LIES if name not in taken] + together


@pytest.mark.parametrize("names", _runs(), ids="+".join)
def test_each_lie_fails_its_check(bench: Bench, upstream: HttpClient, names: tuple[str, ...]) -> None:
    """With the lies between gate and API, the gate fails by the checks about them."""
    lies = [LIES[name] for name in names]
    with LyingProxy(upstream, chain([make() for _g, _c, make in lies])) as between:
        judged = bench.run(lies[0][0], environment_file=_through(bench, between.url))

    assert judged.outcome is Outcome.FAIL, judged.message
    false = {one.name for one in judged.checks if one.ok is False}
    missed = [check for _gate, check, _make in lies if false.isdisjoint(check.split("|"))]
    assert missed == [], judged.false
