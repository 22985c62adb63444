"""A webhook arrives at the listener of this gate: signed, once it was taken, again and again until then."""

from __future__ import annotations

import base64
import secrets
import time
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from bais_gates import Environment, Evidence
from bais_gates.bais import ACCEPTED, FAILS_LATER, Business, needed, not_answered
from bais_gates.probes import Delivery, Inbox, Listener, Response, signature_problem

if TYPE_CHECKING:
    from collections.abc import Callable

CONFIGURE = "/api/v1/webhooks/configure"
FRESH_S = 60.0
"""How far the timestamp of an attempt may be from its arrival; Standard Webhooks' receivers allow 300 s."""
GROWTH = 1.3
"""How many times longer the next delay must be: more than noise makes of equal ones."""
BOTH = ("payment.completed", "payment.failed")
REFUSED = {
    "a private address (10/8)": "https://10.0.0.1/hook",
    "a private address (172.16/12)": "https://172.16.31.4/hook",
    "a private address (192.168/16)": "https://192.168.1.1:8443/hook",
    "the cloud's metadata address": "https://169.254.169.254/latest/meta-data/",
    "a private IPv6 address": "https://[fd00::1]/hook",
    "a link-local IPv6 address": "https://[fe80::1]/hook",
    "a private address inside IPv6": "https://[::ffff:10.0.0.1]/hook",
    "a private address as one number": "https://167772161/hook",
    "the unspecified address": "https://0.0.0.0/hook",
    "plain http to a public host": "http://example.com/hook",
    "another scheme": "ftp://example.com/hook",
    "no URL": "example.com",
}


@pytest.mark.gate("acceptance.webhook_delivery")
def test_webhook_delivery(
    new_business: Callable[[], Business],
    webhook_listener: Listener,
    environment: Environment,
    evidence: Evidence,
) -> None:
    """A webhook arrives signed, is retried with growing delay until taken, and reaches nobody else."""
    patience = environment.webhooks.deadline_s
    business, other = new_business(), new_business()
    stubborn, gone = webhook_listener.inbox(500, 503, 200), webhook_listener.inbox(410)
    inactive, failures, strangers = (webhook_listener.inbox() for _ in range(3))
    own_secret = "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()
    secret = _configured(business, stubborn, evidence)
    _configured(business, gone, evidence)
    _configured(business, inactive, evidence, active=False)
    second_secret = _configured(business, failures, evidence, events=("payment.failed",), secret=own_secret)
    _configured(other, strangers, evidence)
    whose = "the caller's" if second_secret == own_secret else "another"
    evidence.check("secret of a webhook configured with one", whose, "==", "the caller's")

    completed = _paid(business, ACCEPTED, 19.99)
    stubborn.wait_for(lambda got: any(one.answered == 200 for one in got), patience)
    _is_retried_until_taken(stubborn.received, secret, evidence)
    _tells_the_payment(stubborn.received, completed, 19.99, "payment.completed", evidence)

    failed = _paid(business, FAILS_LATER, 7.77)
    failures.wait_for(bool, patience)
    stubborn.wait_for(lambda got: any(one.type == "payment.failed" for one in got), patience)
    _tells_the_payment(failures.received, failed, 7.77, "payment.failed", evidence)
    _tells_the_payment(stubborn.received, failed, 7.77, "payment.failed", evidence)
    _unfit_addresses_are_refused(business, evidence)
    _nothing_more_came(stubborn, failures, (secret, second_secret), evidence)
    _nothing_came_that_should_not(gone, inactive, strangers, evidence)


def _configured(
    business: Business, inbox: Inbox, evidence: Evidence, *, events: tuple[str, ...] = BOTH, **fields: object
) -> str:
    """Configure a webhook to an inbox and give its signature secret."""
    made = business.hook(inbox.url, events=events, **fields)
    evidence.require("status of configuring a webhook", made.status, "==", 201, source=made.url)
    violations = business.api.conforms(made, "POST", CONFIGURE)
    evidence.check("configuration contract violations", violations, "==", [])
    return needed(made, 201, "signature_secret")


def _paid(business: Business, card: str, amount: float) -> str:
    workflow_id = business.workflow_id(amount=amount)
    return needed(business.pay(workflow_id, amount=amount, card=card), 201, "payment_id")


def _of(deliveries: tuple[Delivery, ...], kind: str) -> list[Delivery]:
    return [one for one in deliveries if one.type == kind]


def _is_retried_until_taken(deliveries: tuple[Delivery, ...], secret: str, evidence: Evidence) -> None:
    attempts = _of(deliveries, "payment.completed")
    statuses = [one.answered for one in attempts]
    evidence.require("answers given to payment.completed", statuses, "==", [500, 503, 200])
    evidence.check(
        "different webhook-ids of one event", len({one.id for one in attempts}), "==", 1, n=len(attempts)
    )
    evidence.check(
        "different bodies of one event", len({one.body for one in attempts}), "==", 1, n=len(attempts)
    )
    delays = [after.at - before.at for before, after in pairwise(attempts)]
    evidence.attach("delays between attempts, s", [round(delay, 3) for delay in delays])
    growth = delays[1] / delays[0]
    evidence.check("second delay against the first", growth, ">=", GROWTH, unit="times", n=len(delays))
    _is_signed(deliveries, secret, "the retried webhook", evidence)


def _is_signed(deliveries: tuple[Delivery, ...], secret: str, whose: str, evidence: Evidence) -> None:
    problems = sorted({problem for one in deliveries if (problem := signature_problem(one, secret))})
    evidence.check(f"signature problems of {whose}", problems, "==", [], n=len(deliveries))
    ages = [one.age_s() for one in deliveries]
    known = [abs(age) for age in ages if age is not None]
    evidence.check(f"deliveries with a timestamp to {whose}", len(known), "==", len(deliveries))
    oldest = max(known, default=None)
    evidence.check(f"timestamp against arrival of {whose}", oldest, "<=", FRESH_S, unit="s", n=len(known))
    kinds = sorted(
        {f"{one.method} {one.headers.get('content-type', 'none').partition(';')[0]}" for one in deliveries}
    )
    evidence.check(f"method and content type of {whose}", kinds, "==", ["POST application/json"])


def _tells_the_payment(
    deliveries: tuple[Delivery, ...], payment_id: str, amount: float, kind: str, evidence: Evidence
) -> None:
    events = _of(deliveries, kind)
    evidence.require(f"{kind} arrived", len(events), ">=", 1, unit="deliveries")
    body = events[-1].json
    data = body.get("data")
    evidence.check(
        f"{kind}: members of the body", sorted({"type", "timestamp", "data"} - body.keys()), "==", []
    )
    told = sorted({str(value) for value in data.values()} & {payment_id}) if isinstance(data, dict) else []
    evidence.check(f"{kind}: the payment it tells of", told, "==", [payment_id])
    if isinstance(data, dict) and "amount" in data:
        evidence.check(f"{kind}: amount", data["amount"], "==", amount)
    cards = sum(card.encode() in one.body for one in events for card in (ACCEPTED, FAILS_LATER))
    evidence.check(f"{kind}: deliveries that hold a card number", cards, "==", 0, n=len(events))


def _unfit_addresses_are_refused(business: Business, evidence: Evidence) -> None:
    answers: dict[str, Response] = {name: business.hook(url) for name, url in REFUSED.items()}
    answers["an unknown event"] = business.hook("https://example.com/hook", events=("payment.imagined",))
    answers["events of another type"] = business.hook("https://example.com/hook", events="payment.completed")
    accepted = not_answered(400, answers)
    evidence.check("unfit webhooks not answered 400", accepted, "==", {}, n=len(answers))
    violations = {
        one for answer in answers.values() for one in business.api.conforms(answer, "POST", CONFIGURE)
    }
    evidence.check("refusal contract violations", sorted(violations), "==", [])


def _nothing_more_came(stubborn: Inbox, failures: Inbox, keys: tuple[str, str], evidence: Evidence) -> None:
    """See that what was taken is not sent again, and each webhook gets the events that it asked for."""
    time.sleep(0.5)
    for whose, inbox, secret in (
        ("the retried webhook", stubborn, keys[0]),
        ("the second webhook", failures, keys[1]),
    ):
        _is_signed(inbox.received, secret, f"{whose}, all in all", evidence)
        taken = [one.id for one in inbox.received if one.answered == 200]
        evidence.check(
            f"deliveries again after they were taken by {whose}", len(taken) - len(set(taken)), "==", 0
        )
    ids = {kind: {one.id for one in _of(stubborn.received, kind)} for kind in BOTH}
    evidence.check(
        "events that the retried webhook got",
        {k: len(v) for k, v in ids.items()},
        "==",
        dict.fromkeys(BOTH, 1),
    )
    evidence.check("webhook-ids that two events share", len(ids[BOTH[0]] & ids[BOTH[1]]), "==", 0)
    kinds = sorted({one.type for one in failures.received})
    evidence.check("events that a webhook for failures alone got", kinds, "==", ["payment.failed"])


def _nothing_came_that_should_not(gone: Inbox, inactive: Inbox, strangers: Inbox, evidence: Evidence) -> None:
    got = {
        "after answering 410": len(gone.received),
        "while inactive": len(inactive.received),
        "of another business": len(strangers.received),
    }
    wanted = {"after answering 410": 1, "while inactive": 0, "of another business": 0}
    evidence.check("deliveries to webhooks that want none", got, "==", wanted)
