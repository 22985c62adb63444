"""A payment workflow is kept exactly as it was set up, for its business alone."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from bais_gates import Evidence
from bais_gates.bais import Api, Business, differences, needed, not_answered, unknown_like, unlike
from bais_gates.probes import Response

if TYPE_CHECKING:
    from collections.abc import Callable

PATH = "/api/v1/workflows/payment"
AMOUNTS = ("0.01", "0.1", "1.15", "4.35", "19.99", "100", "1234.5", "99999.99", "999999.99")
"""Sent as these very characters: what binary floating point, rounding or cents as integers get wrong."""
AT_ONCE = 8
INVALID: dict[str, dict[str, Any]] = {
    "no amount at all": {"amount": None},
    "an amount of nothing": {"amount": 0},
    "a negative amount": {"amount": -1},
    "three decimals": {"amount": 19.999},
    "an amount as text": {"amount": "ten"},
    "a currency in small letters": {"currency": "usd"},
    "a currency of two letters": {"currency": "US"},
    "a currency of digits": {"currency": "123"},
    "a URL without a scheme": {"webhook_url": "example.com/hook"},
    "a URL of another scheme": {"webhook_url": "ftp://example.com/hook"},
    "plain http to a public host": {"webhook_url": "http://example.com/hook"},
    "a URL into a private network": {"webhook_url": "https://10.0.0.1/hook"},
    "no URL": {"webhook_url": None},
    "no name": {"name": None},
    "an unknown provider": {"payment_provider": "barter"},
}


@pytest.mark.gate("acceptance.payment_workflow_creation")
def test_payment_workflow_creation(
    api: Api, new_business: Callable[[], Business], evidence: Evidence
) -> None:
    """A workflow reads back as set up, to the cent; unsound ones are refused; no other business sees it."""
    business, other = new_business(), new_business()
    workflow_id = _reads_back_as_written(business, evidence)
    _amounts_are_exact(business, evidence)
    _many_at_once_stay_apart(business, evidence)
    _unsound_ones_are_refused(business, evidence)
    _is_seen_by_its_business_alone(api, business, other, workflow_id, evidence)


def _path(workflow_id: str) -> str:
    return f"{PATH}/{workflow_id}"


def _reads_back_as_written(business: Business, evidence: Evidence) -> str:
    sent = {
        "name": business.unique.word("Café 決済"),
        "amount": 49.99,
        "currency": "EUR",
        "description": "monthly “plan” & <more>",
        "metadata": {"order": "4711", "nested": {"list": [1, 2, 3], "none": None}},
        "webhook_url": "https://example.com/hooks/bais?tenant=7",
    }
    made = business.workflow(**sent)
    evidence.require("set-up status", made.status, "==", 201, source=made.url)
    evidence.check("set-up contract violations", business.api.conforms(made, "POST", PATH), "==", [])
    evidence.check("status of a new workflow", made.field("status") or "missing", "==", "active")
    workflow_id = needed(made, 201, "workflow_id")
    read = business.api.get(_path(workflow_id))
    evidence.check("reading status", read.status, "==", 200)
    violations = business.api.conforms(read, "GET", _path(workflow_id))
    evidence.check("reading contract violations", violations, "==", [])
    must = {
        "workflow_id": workflow_id,
        "status": "active",
        **{key: sent[key] for key in ("name", "amount", "currency")},
    }
    altered = unlike({key: read.field(key) for key in must}, must)
    evidence.check("what reads back otherwise", altered, "==", {}, n=len(must))
    # What a release may leave out of its answer, it may not get wrong.
    may = {
        key: sent[key] for key in ("description", "metadata", "webhook_url") if read.field(key) is not None
    }
    altered = unlike({key: read.field(key) for key in may}, may)
    evidence.check("what else reads back otherwise", altered, "==", {})
    again = business.api.get(_path(workflow_id))
    evidence.check("what a second reading says otherwise", differences(read, again), "==", [])
    return workflow_id


def _amounts_are_exact(business: Business, evidence: Evidence) -> None:
    """Send amounts as written characters and compare decimals, so that nothing here rounds either."""
    kept: dict[str, str] = {}
    for amount in AMOUNTS:
        made = _with_exact_amount(business, amount)
        workflow_id = made.field("workflow_id")
        read = business.api.get(_path(workflow_id)) if isinstance(workflow_id, str) else made
        kept[amount] = read.money("amount") or f"none ({read.status})"
    altered = unlike(kept, {amount: str(Decimal(amount)) for amount in AMOUNTS})
    evidence.check("amounts that read back otherwise", altered, "==", {}, n=len(AMOUNTS))


def _with_exact_amount(business: Business, amount: str) -> Response:
    body = {
        "name": business.unique.word("workflow"),
        "payment_provider": "stripe",
        "amount": 0,
        "currency": "USD",
        "webhook_url": "https://example.com/hooks/bais",
    }
    written = json.dumps(body).replace('"amount": 0', f'"amount": {amount}')
    return business.api.post(PATH, content=written.encode(), headers={"Content-Type": "application/json"})


def _many_at_once_stay_apart(business: Business, evidence: Evidence) -> None:
    amounts = [round(10.01 + i, 2) for i in range(AT_ONCE)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        made = list(pool.map(lambda amount: business.workflow(amount=amount), amounts))
        ids = [str(one.field("workflow_id")) for one in made]
        read = list(pool.map(lambda one: business.api.get(_path(one)).field("amount"), ids))
    evidence.check(f"different ids of {AT_ONCE} workflows set up at once", len(set(ids)), "==", AT_ONCE)
    keys = {str(one.field("public_key")) for one in made}
    evidence.check(f"different public keys of {AT_ONCE} workflows", len(keys), "==", AT_ONCE)
    evidence.check("amounts of workflows set up at once", read, "==", amounts)


def _unsound_ones_are_refused(business: Business, evidence: Evidence) -> None:
    answers = {name: business.workflow(**change) for name, change in INVALID.items()}
    accepted = not_answered(400, answers)
    evidence.check("unsound workflows not answered 400", accepted, "==", {}, n=len(answers))
    violations = {one for answer in answers.values() for one in business.api.conforms(answer, "POST", PATH)}
    evidence.check("refusal contract violations", sorted(violations), "==", [])


def _is_seen_by_its_business_alone(
    api: Api, business: Business, other: Business, workflow_id: str, evidence: Evidence
) -> None:
    anonymous = [api.get(_path(workflow_id)), api.post(PATH, json={"name": "no token"})]
    evidence.check("statuses without a token", [one.status for one in anonymous], "==", [401, 401])
    others = other.api.get(_path(workflow_id))
    unknown = other.api.get(_path(unknown_like(workflow_id)))
    evidence.check("another business's workflow: status", others.status, "==", 404)
    evidence.check("an unknown workflow: status", unknown.status, "==", 404)
    violations = other.api.conforms(others, "GET", _path(workflow_id))
    evidence.check("404 contract violations", violations, "==", [])
    evidence.check(
        "what tells another's workflow from an unknown one", differences(others, unknown), "==", []
    )
    own = business.api.get(_path(workflow_id))
    evidence.check("its own business right after: status", own.status, "==", 200)
