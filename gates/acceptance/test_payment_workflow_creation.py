"""Check payment workflows: stored exactly as created, visible to their own business only."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from bais_gates import Evidence
from bais_gates.bais import (
    Api,
    Business,
    differences,
    mismatches,
    require_field,
    unexpected_statuses,
    unknown_id,
)
from bais_gates.probes import Response

if TYPE_CHECKING:
    from collections.abc import Callable

PATH = "/api/v1/workflows/payment"
CONCURRENT = 8


@pytest.mark.gate("acceptance.payment_workflow_creation")
def test_payment_workflow_creation(
    api: Api, new_business: Callable[[], Business], evidence: Evidence
) -> None:
    """A workflow reads back as created, to the cent; invalid ones are refused; no other business sees it."""
    business, other = new_business(), new_business()
    workflow_id = check_reading_back(business, evidence)
    check_exact_amounts(business, evidence)
    check_concurrent_creation(business, evidence)
    check_invalid_workflows(business, evidence)
    check_isolation(api, business, other, workflow_id, evidence)


def path_of(workflow_id: str) -> str:
    """Return the path of a workflow."""
    return f"{PATH}/{workflow_id}"


def check_reading_back(business: Business, evidence: Evidence) -> str:
    """Check that a workflow reads back as it was created; return its id."""
    sent = {
        "name": business.unique.word("Café 決済"),
        "amount": 49.99,
        "currency": "EUR",
        "description": "monthly “plan” & <more>",
        "metadata": {"order": "4711", "nested": {"list": [1, 2, 3], "none": None}},
        "webhook_url": "https://example.com/hooks/bais?tenant=7",
    }
    made = business.workflow(**sent)
    evidence.require("status (workflow creation)", made.status, "==", 201, source=made.url)
    violations = business.api.conforms(made, "POST", PATH)
    evidence.check("contract violations (workflow creation)", violations, "==", [])
    evidence.check("reported status of a new workflow", made.field("status") or "missing", "==", "active")
    workflow_id = require_field(made, 201, "workflow_id")
    read = business.api.get(path_of(workflow_id))
    evidence.check("status (GET workflow)", read.status, "==", 200)
    violations = business.api.conforms(read, "GET", path_of(workflow_id))
    evidence.check("contract violations (GET workflow)", violations, "==", [])
    must: dict[str, object] = {"workflow_id": workflow_id, "status": "active"}
    must |= {key: sent[key] for key in ("name", "amount", "currency")}
    altered = mismatches({key: read.field(key) for key in must}, must)
    evidence.check("required fields that do not read back as sent", altered, "==", {}, n=len(must))
    # A release may leave these out of its response, but must not alter them.
    names = ("description", "metadata", "webhook_url")
    may = {key: sent[key] for key in names if read.field(key) is not None}
    altered = mismatches({key: read.field(key) for key in may}, may)
    evidence.check("optional fields that do not read back as sent", altered, "==", {})
    again = business.api.get(path_of(workflow_id))
    evidence.check("response differences (two reads of a workflow)", differences(read, again), "==", [])
    return workflow_id


def check_exact_amounts(business: Business, evidence: Evidence) -> None:
    """Send amounts as written characters and compare decimals, so that nothing here rounds either."""
    read_back = {}
    for amount in AMOUNTS:
        made = create_with_exact_amount(business, amount)
        workflow_id = made.field("workflow_id")
        read = business.api.get(path_of(workflow_id)) if isinstance(workflow_id, str) else made
        read_back[amount] = read.money("amount") or f"none (status {read.status})"
    altered = mismatches(read_back, {amount: str(Decimal(amount)) for amount in AMOUNTS})
    evidence.check("amounts that do not read back as sent", altered, "==", {}, n=len(AMOUNTS))


def create_with_exact_amount(business: Business, amount: str) -> Response:
    """Create a workflow whose amount is sent as these very characters."""
    body = {
        "name": business.unique.word("workflow"),
        "payment_provider": "stripe",
        "amount": 0,
        "currency": "USD",
        "webhook_url": "https://example.com/hooks/bais",
    }
    written = json.dumps(body).replace('"amount": 0', f'"amount": {amount}')
    return business.api.post(PATH, content=written.encode(), headers={"Content-Type": "application/json"})


def check_concurrent_creation(business: Business, evidence: Evidence) -> None:
    """Check that workflows created at the same time get ids, keys and amounts of their own."""
    amounts = [round(10.01 + i, 2) for i in range(CONCURRENT)]
    with ThreadPoolExecutor(CONCURRENT) as pool:
        made = list(pool.map(lambda amount: business.workflow(amount=amount), amounts))
        ids = [str(one.field("workflow_id")) for one in made]
        read = list(pool.map(lambda one: business.api.get(path_of(one)).field("amount"), ids))
    keys, group = {str(one.field("public_key")) for one in made}, f"({CONCURRENT} concurrent creations)"
    evidence.check(f"distinct workflow ids {group}", len(set(ids)), "==", CONCURRENT)
    evidence.check(f"distinct public keys {group}", len(keys), "==", CONCURRENT)
    evidence.check(f"amounts {group}", read, "==", amounts)


def check_invalid_workflows(business: Business, evidence: Evidence) -> None:
    """Check that invalid workflows are refused with 400."""
    answers = {name: business.workflow(**change) for name, change in INVALID.items()}
    accepted = unexpected_statuses(400, answers)
    evidence.check("invalid workflows not refused with 400", accepted, "==", {}, n=len(answers))
    violations = {one for answer in answers.values() for one in business.api.conforms(answer, "POST", PATH)}
    evidence.check("contract violations (invalid workflows)", sorted(violations), "==", [])


def check_isolation(
    api: Api, business: Business, other: Business, workflow_id: str, evidence: Evidence
) -> None:
    """Check that another business can't tell a workflow from one that does not exist."""
    anonymous = [api.get(path_of(workflow_id)), api.post(PATH, json={"name": "no token"})]
    evidence.check("statuses (no token)", [one.status for one in anonymous], "==", [401, 401])
    foreign = other.api.get(path_of(workflow_id))
    unknown = other.api.get(path_of(unknown_id(workflow_id)))
    evidence.check("status (another business's workflow)", foreign.status, "==", 404)
    evidence.check("status (unknown workflow)", unknown.status, "==", 404)
    violations = other.api.conforms(foreign, "GET", path_of(workflow_id))
    evidence.check("contract violations (another business's workflow)", violations, "==", [])
    distinguishing = differences(foreign, unknown)
    evidence.check("response differences (another's, unknown workflow)", distinguishing, "==", [])
    status = business.api.get(path_of(workflow_id)).status
    evidence.check("status (own workflow afterwards)", status, "==", 200)


AMOUNTS = ("0.01", "0.1", "1.15", "4.35", "19.99", "100", "1234.5", "99999.99", "999999.99")
"""Amounts that binary floating point, rounding or whole cents get wrong."""
INVALID: dict[str, dict[str, Any]] = {
    "no amount": {"amount": None},
    "amount 0": {"amount": 0},
    "a negative amount": {"amount": -1},
    "three decimals": {"amount": 19.999},
    "an amount as text": {"amount": "ten"},
    "a lower-case currency": {"currency": "usd"},
    "a currency of two letters": {"currency": "US"},
    "a currency of digits": {"currency": "123"},
    "a URL without a scheme": {"webhook_url": "example.com/hook"},
    "an ftp URL": {"webhook_url": "ftp://example.com/hook"},
    "plain http to a public host": {"webhook_url": "http://example.com/hook"},
    "a URL in a private network": {"webhook_url": "https://10.0.0.1/hook"},
    "no URL": {"webhook_url": None},
    "no name": {"name": None},
    "an unknown provider": {"payment_provider": "barter"},
}
