"""Whether who asks too much is refused exactly at the limit, told the truth about Retry-After, and alone."""

from __future__ import annotations

import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import pytest

from bais_gates import Environment, Evidence, Limits, RateLimit
from bais_gates.bais import Api, Business, needed
from bais_gates.probes import Lane, Measured, Response, callers_for, measure

if TYPE_CHECKING:
    from collections.abc import Callable

PATH: Final = "/api/v1/analytics/dashboard"
BEYOND: Final = 15
"""Requests that are sent beyond the limit."""
SENDERS: Final = 8
BYSTANDER_N: Final = 24
BYSTANDER_PER_S: Final = 30.0
HASTY_PER_S: Final = 45.0
CLOCK_SLACK_S: Final = 0.15
"""What the way to the target and back may shift a moment by."""


@dataclass
class Offender:
    """A caller that goes over its limit, and what came of it."""

    caller: Api
    let_in: int = 0
    seconds: float = 0.0
    refused: list[tuple[float, float, Response]] = field(default_factory=list)
    """Moments of sending and of receiving, and the answer."""
    early_s: list[float] = field(default_factory=list)
    """By how many seconds it was let in before a refusal's Retry-After allows it."""
    strange: list[str] = field(default_factory=list)
    """Answers that are neither 200 nor 429."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def ask(self) -> int:
        """Send one request and give its status."""
        sent = time.monotonic()
        not_before = self.not_before()
        answer = self.caller.get(PATH)
        received = time.monotonic()
        with self.lock:
            if answer.status == 429:
                self.refused.append((sent, received, answer))
            elif answer.status == 200:
                self.let_in += 1
                if not_before - received > CLOCK_SLACK_S:
                    self.early_s.append(round(not_before - received, 2))
            else:
                self.strange.append(answer.describe(120))
        return answer.status

    def exceed(self, limit: int) -> None:
        """Send ``limit`` and some more requests as fast as possible."""
        began = time.monotonic()
        with ThreadPoolExecutor(SENDERS) as pool:
            list(pool.map(lambda _: self.ask(), range(limit + BEYOND)))
        self.seconds = time.monotonic() - began

    def most_let_in(self, rate: RateLimit) -> int:
        """Give the most that an honest limiter lets in: a bucket may fill up a little while it is emptied."""
        return rate.per_token + math.floor(self.seconds * rate.per_token / rate.window_s)

    def not_before(self) -> float:
        """Give the moment before which no refusal allows a return; whole seconds are rounded up."""
        with self.lock:
            told = [sent + seconds(answer) - 1 for sent, _, answer in self.refused]
        return max((moment for moment in told if math.isfinite(moment)), default=-math.inf)


def seconds(answer: Response) -> float:
    """Give an answer's Retry-After; infinite when there is no whole number of seconds."""
    text = answer.headers.get("retry-after", "")
    return int(text) if text.isascii() and text.isdigit() else math.inf


@pytest.mark.gate("acceptance.rate_limiting")
def test_rate_limiting(
    api: Api,
    new_business: Callable[[], Business],
    environment: Environment,
    limits: Limits,
    evidence: Evidence,
) -> None:
    """A caller over its limit gets 429 with Retry-After, others are not slowed, waiting lets it in again."""
    rate = environment.rate_limit
    other = new_business()
    before = watch_bystander(other, limits)

    keyed, patient = over_the_limit(lambda: with_key(new_business()), rate, "API key", evidence)
    evidence.check("status for the access token beside the exhausted API key", ask(keyed.api), "==", 200)
    _, hasty = over_the_limit(lambda: with_token(new_business()), rate, "access token", evidence)

    judge_bystander(before, lambda: watch_bystander(other, limits, hasty), limits, evidence)
    judge_refusals(api, [patient, hasty], rate, evidence)
    judge_unlimited(api, hasty.caller, rate, evidence)
    judge_return(patient, hasty, evidence)


def ask(caller: Api) -> int:
    """Give the status of one request."""
    return caller.get(PATH).status


def with_token(business: Business) -> tuple[Business, Api]:
    """Give a business and its access token's client, not used yet."""
    return business, business.api


def with_key(business: Business) -> tuple[Business, Api]:
    """Give a business and the client of an API key of its own, not used yet."""
    return business, business.api.with_token(needed(business.api_key(), 201, "api_key"))


def over_the_limit(
    fresh: Callable[[], tuple[Business, Api]], rate: RateLimit, what: str, evidence: Evidence
) -> tuple[Business, Offender]:
    """Let a fresh caller exceed its limit, and check that exactly the limit was let in.

    A limiter with fixed windows honestly lets more in when a window ends within the burst: then once more.
    """
    business, caller = fresh()
    offender = Offender(caller)
    offender.exceed(rate.per_token)
    source = None
    if offender.let_in > offender.most_let_in(rate):
        source = f"second burst; the first let {offender.let_in} in, as if a window had ended in it"
        business, caller = fresh()
        offender = Offender(caller)
        offender.exceed(rate.per_token)
    sent = rate.per_token + BEYOND
    evidence.check(
        f"let in at once, {what}",
        offender.let_in,
        ">=",
        rate.per_token,
        unit="requests",
        n=sent,
        source=source,
    )
    evidence.check(
        f"let in at once, {what}, at most",
        offender.let_in,
        "<=",
        offender.most_let_in(rate),
        unit="requests",
        n=sent,
        source=source or f"limit {rate.per_token} and what {offender.seconds:.2f} s give back",
    )
    evidence.check(f"answers that are neither 200 nor 429, {what}", offender.strange, "==", [])
    evidence.require(f"refused, {what}", len(offender.refused), ">=", 1, unit="requests", n=sent)
    return business, offender


def watch_bystander(other: Business, limits: Limits, hasty: Offender | None = None) -> Measured:
    """Measure what another caller waits; ``hasty`` goes on asking beyond its limit meanwhile."""

    def bystander() -> str | None:
        answer = other.api.get(PATH)
        return None if answer.status == 200 else answer.describe(120)

    def over() -> str | None:
        return "let in" if hasty is not None and hasty.ask() == 200 else None

    callers = callers_for(BYSTANDER_PER_S, limits.api_p95_ms)
    lane = Lane(
        name="other", ask=bystander, rate_per_s=BYSTANDER_PER_S, count=BYSTANDER_N, warm_up=2, callers=callers
    )
    if hasty is None:
        return measure([lane])
    again = Lane(
        name="hasty",
        ask=over,
        rate_per_s=HASTY_PER_S,
        count=round(BYSTANDER_N * HASTY_PER_S / BYSTANDER_PER_S),
        callers=callers,
        offset_s=0.005,
    )
    return measure([lane, again])


def judge_bystander(
    before: Measured, watch: Callable[[], Measured], limits: Limits, evidence: Evidence
) -> None:
    """Check that the other caller is neither refused nor slowed while one is over its limit."""
    allowed, note = limits.api_p95_ms / 4, None

    def too_slow(meanwhile: Measured) -> bool:
        late = meanwhile.lanes["other"].latency
        return not (late.p95 <= limits.api_p95_ms and late.p50 - early.latency.p50 <= allowed)

    early, meanwhile = before.lanes["other"], watch()
    starved = meanwhile.starved("other", limits.api_p95_ms)
    if too_slow(meanwhile) and starved is not None:
        note = f"measured a second time, because the first time {starved}"
        meanwhile = watch()
        starved = meanwhile.starved("other", limits.api_p95_ms)
    late = meanwhile.lanes["other"]
    evidence.check("another caller's answers that were not 200", [*early.wrong, *late.wrong], "==", [])
    unprovable = too_slow(meanwhile) and starved is not None
    figures = {
        "another caller's latency meanwhile, p95": (late.latency.p95, limits.api_p95_ms),
        "another caller's median latency, added meanwhile": (late.latency.p50 - early.latency.p50, allowed),
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


def judge_refusals(api: Api, offenders: list[Offender], rate: RateLimit, evidence: Evidence) -> None:
    """Check that every single refusal has the error shape and a usable Retry-After."""
    refusals = [answer for offender in offenders for _, _, answer in offender.refused]
    violations = sorted({one for answer in refusals for one in api.conforms(answer, "GET", PATH)})
    evidence.check("contract violations of refusals", violations, "==", [], n=len(refusals))
    told = sorted({answer.headers.get("retry-after", "(missing)") for answer in refusals})
    unusable = [text for text in told if not (text.isascii() and text.isdigit() and int(text) >= 1)]
    evidence.check("Retry-After that is no whole number of seconds", unusable, "==", [], n=len(refusals))
    longest = max(seconds(answer) for answer in refusals)
    evidence.require(
        "longest Retry-After", longest, "<=", math.ceil(rate.window_s), unit="s", n=len(refusals)
    )


def judge_unlimited(api: Api, exhausted: Api, rate: RateLimit, evidence: Evidence) -> None:
    """Check that /health and /ready know no limit, whoever asks and with whatever token."""
    for path in ("/health", "/ready"):
        callers = [api] * (rate.per_token + BEYOND) + [exhausted] * BEYOND
        with ThreadPoolExecutor(SENDERS) as pool:
            statuses = list(pool.map(lambda caller: caller.get(path).status, callers))  # noqa: B023 - used up at once
        evidence.check(f"statuses of {path}", sorted(set(statuses)), "==", [200], n=len(statuses))


def judge_return(patient: Offender, hasty: Offender, evidence: Evidence) -> None:
    """Wait out one Retry-After in silence; the one that keeps asking must not get in before its own.

    Whole seconds are rounded up, so a return is honest from a second before the told moment on.
    """
    sent, received, refusal = patient.refused[-1]
    wait = seconds(refusal)
    back_at = received + wait + CLOCK_SLACK_S
    while (left := back_at - time.monotonic()) > 0:
        hasty.ask()
        time.sleep(min(0.5, left))
    evidence.check(
        "status after waiting Retry-After in silence",
        patient.ask(),
        "==",
        200,
        source=f"Retry-After {wait:.0f} s, asked again after {time.monotonic() - sent:.1f} s",
    )
    asked = len(hasty.refused) + hasty.let_in
    evidence.check(
        "let in more than a second before Retry-After was over", hasty.early_s, "==", [], unit="s", n=asked
    )
