"""Check rate limiting: refusals begin at the limit, Retry-After is true, other callers are unaffected."""

from __future__ import annotations

import math
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import pytest

from bais_gates import Environment, Evidence, Limits, RateLimit
from bais_gates.bais import Api, Business, require_field
from bais_gates.probes import (
    Lane,
    Measured,
    Response,
    Unreachable,
    callers_for,
    measure,
    measure_again_if_slow,
    wrong_responses,
)

if TYPE_CHECKING:
    from collections.abc import Callable

PATH: Final = "/api/v1/analytics/dashboard"
BEYOND: Final = 15
"""Requests sent beyond the limit."""
SENDERS: Final = 8
BYSTANDER_N: Final = 24
BYSTANDER_PER_S: Final = 60.0
PERSISTENT_PER_S: Final = 90.0
CLOCK_SLACK_S: Final = 0.15
"""Seconds by which the round trip to the target may shift a moment."""


@pytest.mark.gate("acceptance.rate_limiting")
def test_rate_limiting(
    api: Api,
    new_business: Callable[[], Business],
    environment: Environment,
    limits: Limits,
    evidence: Evidence,
) -> None:
    """A caller over its limit gets 429 with Retry-After, others are not slowed, and waiting ends the 429s."""
    rate = environment.rate_limit
    other = new_business()
    before = measure_bystander(other, limits)

    business, patient = check_limit(lambda: with_key(new_business()), rate, "API key", evidence)
    returned = patient.come_back(rate)
    status = business.api.get(PATH).status
    evidence.check("status (access token while the API key is over its limit)", status, "==", 200)
    _, persistent = check_limit(lambda: with_token(new_business()), rate, "access token", evidence)

    check_bystander(before, lambda: measure_bystander(other, limits, persistent), limits, evidence)
    check_refusals(api, [patient, persistent], rate, evidence)
    check_unlimited_paths(api, persistent.caller, rate, evidence)
    check_retry_after(returned, persistent, evidence)


@dataclass
class Offender:
    """A caller that exceeds its limit, and the responses it got."""

    caller: Api
    accepted: int = 0
    seconds: float = 0.0
    refused: list[tuple[float, float, Response]] = field(default_factory=list)
    """Moments of sending and receiving, and the response."""
    early_s: list[float] = field(default_factory=list)
    """Seconds by which requests were accepted before the end of a refusal's Retry-After."""
    unexpected: list[str] = field(default_factory=list)
    """Responses other than 200 and 429."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def send(self) -> int:
        """Send one request and return its status."""
        sent = time.monotonic()
        not_before = self.not_before()
        answer = self.caller.get(PATH)
        received = time.monotonic()
        with self.lock:
            if answer.status == 429:
                self.refused.append((sent, received, answer))
            elif answer.status == 200:
                self.accepted += 1
                if not_before - received > CLOCK_SLACK_S:
                    self.early_s.append(round(not_before - received, 2))
            else:
                self.unexpected.append(answer.describe(120))
        return answer.status

    def exceed(self, limit: int) -> None:
        """Send more than ``limit`` requests as fast as possible."""
        began = time.monotonic()
        with ThreadPoolExecutor(SENDERS) as pool:
            list(pool.map(lambda _: self.send(), range(limit + BEYOND)))
        self.seconds = time.monotonic() - began

    def most_accepted(self, rate: RateLimit) -> int:
        """Return the most that a correct limiter accepts: the limit, and what refills during the burst."""
        return rate.per_token + math.floor(self.seconds * rate.per_token / rate.window_s)

    def come_back(self, rate: RateLimit) -> Future[tuple[int, str]]:
        """Wait in the background for the end of the last Retry-After, and send one request then.

        The result is its status, and when it was sent. There is none for a Retry-After beyond the window.
        """
        sent, received, refusal = self.refused[-1]
        wait = retry_after_s(refusal)
        returned: Future[tuple[int, str]] = Future()

        def send_in_time() -> None:
            time.sleep(max(0.0, received + wait + CLOCK_SLACK_S - time.monotonic()))
            text = f"Retry-After {wait:.0f} s, next request after {time.monotonic() - sent:.1f} s"
            try:
                returned.set_result((self.send(), text))
            except Unreachable as e:
                returned.set_exception(e)

        if wait <= math.ceil(rate.window_s):
            threading.Thread(target=send_in_time, daemon=True).start()
        return returned

    def not_before(self) -> float:
        """Return the earliest end of the last Retry-After, whose whole seconds are rounded up."""
        with self.lock:
            ends = [sent + retry_after_s(answer) - 1 for sent, _, answer in self.refused]
        return max((moment for moment in ends if math.isfinite(moment)), default=-math.inf)


def retry_after_s(answer: Response) -> float:
    """Return a response's Retry-After; infinity if it is not a whole number of seconds."""
    text = answer.headers.get("retry-after", "")
    return int(text) if text.isascii() and text.isdigit() else math.inf


def with_token(business: Business) -> tuple[Business, Api]:
    """Return a business and an unused client with its access token."""
    return business, business.api


def with_key(business: Business) -> tuple[Business, Api]:
    """Return a business and an unused client with an API key of its own."""
    return business, business.api.with_token(require_field(business.api_key(), 201, "api_key"))


def check_limit(
    fresh: Callable[[], tuple[Business, Api]], rate: RateLimit, what: str, evidence: Evidence
) -> tuple[Business, Offender]:
    """Let an unused caller exceed its limit, and check that exactly the limit was accepted.

    A limiter with fixed windows rightly accepts more if a window ends within the burst: then once more.
    """
    business, caller = fresh()
    offender = Offender(caller)
    offender.exceed(rate.per_token)
    source = None
    if offender.accepted > offender.most_accepted(rate):
        source = f"second burst; {offender.accepted} accepted in the first, as if a window had ended in it"
        business, caller = fresh()
        offender = Offender(caller)
        offender.exceed(rate.per_token)
    sent = rate.per_token + BEYOND
    name = "requests accepted before the first 429"
    evidence.check(
        f"{name} ({what})",
        offender.accepted,
        ">=",
        rate.per_token,
        unit="requests",
        n=sent,
        source=source,
    )
    evidence.check(
        f"{name} ({what}, upper bound)",
        offender.accepted,
        "<=",
        offender.most_accepted(rate),
        unit="requests",
        n=sent,
        source=source or f"limit {rate.per_token} and what refills in {offender.seconds:.2f} s",
    )
    evidence.check(f"responses other than 200 and 429 ({what})", offender.unexpected, "==", [])
    evidence.require(
        f"requests refused with 429 ({what})", len(offender.refused), ">=", 1, unit="requests", n=sent
    )
    return business, offender


def measure_bystander(other: Business, limits: Limits, persistent: Offender | None = None) -> Measured:
    """Measure another caller's latency while ``persistent`` keeps sending beyond its limit."""

    def bystander() -> str | None:
        answer = other.api.get(PATH)
        return None if answer.status == 200 else answer.describe(120)

    def exceed() -> str | None:
        return "accepted" if persistent is not None and persistent.send() == 200 else None

    callers = callers_for(BYSTANDER_PER_S, limits.api_p95_ms)
    lane = Lane(
        name="other", ask=bystander, rate_per_s=BYSTANDER_PER_S, count=BYSTANDER_N, warm_up=2, callers=callers
    )
    if persistent is None:
        return measure([lane])
    beyond = Lane(
        name="persistent",
        ask=exceed,
        rate_per_s=PERSISTENT_PER_S,
        count=round(BYSTANDER_N * PERSISTENT_PER_S / BYSTANDER_PER_S),
        callers=callers,
        offset_s=0.005,
    )
    return measure([lane, beyond])


def check_bystander(
    before: Measured, measure_again: Callable[[], Measured], limits: Limits, evidence: Evidence
) -> None:
    """Check that a caller within its limit is neither refused nor slowed while another exceeds its own."""
    early, allowed = before.lanes["other"], limits.api_p95_ms / 4

    def too_slow(meanwhile: Measured) -> bool:
        late = meanwhile.lanes["other"].latency
        return not (late.p95 <= limits.api_p95_ms and late.p50 - early.latency.p50 <= allowed)

    def why_starved(meanwhile: Measured) -> str | None:
        return meanwhile.starved("other", limits.api_p95_ms) or meanwhile.starved(
            "other", early.latency.p50 + allowed, p=50
        )

    meanwhile, note = measure_again_if_slow(measure_again, too_slow, why_starved)
    late, starved = meanwhile.lanes["other"], why_starved(meanwhile)
    wrong = wrong_responses(early, late)
    evidence.check("responses other than 200 (caller within its limit)", wrong, "==", [])
    unprovable = too_slow(meanwhile) and starved is not None
    increase = late.latency.p50 - early.latency.p50
    figures = {
        "p95 latency (caller within its limit)": (late.latency.p95, limits.api_p95_ms),
        "median latency increase (caller within its limit)": (increase, allowed),
    }
    for name, (value, limit) in figures.items():
        evidence.check(
            name,
            math.nan if unprovable and not value <= limit else value,
            "<=",
            limit,
            unit="ms",
            n=late.latency.n,
            n_min=BYSTANDER_N,
            source="; ".join(filter(None, (starved if unprovable else None, note))) or None,
        )


def check_refusals(api: Api, offenders: list[Offender], rate: RateLimit, evidence: Evidence) -> None:
    """Check that every refusal conforms to the contract and has a valid Retry-After."""
    refusals = [answer for offender in offenders for _, _, answer in offender.refused]
    violations = sorted({one for answer in refusals for one in api.conforms(answer, "GET", PATH)})
    evidence.check("contract violations (429 responses)", violations, "==", [], n=len(refusals))
    values = sorted({answer.headers.get("retry-after", "missing") for answer in refusals})
    invalid = [text for text in values if not (text.isascii() and text.isdigit() and int(text) >= 1)]
    evidence.check("Retry-After values that are not whole seconds", invalid, "==", [], n=len(refusals))
    longest = max(retry_after_s(answer) for answer in refusals)
    evidence.require(
        "longest Retry-After", longest, "<=", math.ceil(rate.window_s), unit="s", n=len(refusals)
    )


def check_unlimited_paths(api: Api, refused: Api, rate: RateLimit, evidence: Evidence) -> None:
    """Check that /health and /ready are not limited, with or without a token that is over its limit."""
    for path in ("/health", "/ready"):
        callers = [api] * (rate.per_token + BEYOND) + [refused] * BEYOND
        with ThreadPoolExecutor(SENDERS) as pool:
            statuses = list(pool.map(lambda caller: caller.get(path).status, callers))  # noqa: B023 - consumed in the same iteration
        evidence.check(f"statuses (GET {path})", sorted(set(statuses)), "==", [200], n=len(statuses))


def check_retry_after(returned: Future[tuple[int, str]], persistent: Offender, evidence: Evidence) -> None:
    """Check that a caller who waits is accepted, and one who keeps sending not before its Retry-After ends.

    Whole seconds are rounded up, so the true end may be up to a second before the announced one.
    """
    status, source = returned.result()
    _, received, refusal = persistent.refused[0]
    while (left := received + retry_after_s(refusal) + CLOCK_SLACK_S - time.monotonic()) > 0:
        persistent.send()
        time.sleep(min(0.5, left))
    evidence.check("status after waiting for Retry-After", status, "==", 200, source=source)
    n = len(persistent.refused) + persistent.accepted
    name = "requests accepted over 1 s before Retry-After ended"
    evidence.check(name, persistent.early_s, "==", [], unit="s", n=n)
