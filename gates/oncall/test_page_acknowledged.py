"""Check that a page wakes somebody: a test page is sent, acknowledged in time, and resolved."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Final

import pytest

from bais_gates import Evidence, Unique
from bais_gates.oncall import Oncall, OncallError, Page, Provider, Rotation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bais_gates.oncall import PageEvent

LIMIT_S: Final = 300.0
"""The longest that a rotation file may give for the acknowledgement of a P1."""
POLL_S: Final = 0.5
STRANGER: Final = "somebody who is not in the rotation"


@pytest.mark.gate("oncall.page_acknowledged")
def test_page_acknowledged(
    oncall: Oncall, unique: Unique, evidence: Evidence, progress: Callable[[str], None]
) -> None:
    """A test page notifies who is on call, who acknowledges it within the time of a P1; it is resolved."""
    progress(f"paging who is on call at {oncall.rotation.name}: acknowledge the test page")
    check_page(oncall.rotation, oncall.provider, f"Test page of a gate, {unique.word('page')}", evidence)


def check_page(
    rotation: Rotation, provider: Provider, title: str, evidence: Evidence, *, poll_s: float = POLL_S
) -> None:
    """Page the first service, and judge the log of that page. It is resolved, whatever happens.

    That the provider took the request is no page: what counts is what its log says. Source: NIST SP 800-61
    (contact mechanisms are tested), PagerDuty's documentation (log entries).
    """
    within_s = rotation.severities["P1"].acknowledge_within_s
    too_long = [f"{within_s:g} s"] if within_s > LIMIT_S else []
    name = f"time to acknowledge a P1 in the rotation file, where it is over {LIMIT_S:g} s"
    evidence.check(name, too_long, "==", [], n=1)
    first = {rotation.name_of.get(one, STRANGER) for one in provider.on_call(rotation.name).get(1, ())}
    page = provider.page(rotation.services[0].name, f"{title}: acknowledge it, nothing is wrong")
    try:
        events = await_acknowledgement(lambda: provider.events(page), min(within_s, LIMIT_S), poll_s)
    finally:
        resolve_page(provider, page)
    check_log(rotation, events, sorted(first), evidence)
    resolved = [one for one in provider.events(page) if one.kind == "resolved"]
    evidence.check("resolutions of the page", len(resolved), ">=", 1, n=1)


def resolve_page(provider: Provider, page: Page) -> None:
    """Resolve a page, unless somebody has: then it can't be resolved again."""
    try:
        over = any(one.kind == "resolved" for one in provider.events(page))
    except OncallError:
        over = False
    if not over:
        provider.resolve(page)


def await_acknowledgement(
    events: Callable[[], Sequence[PageEvent]], within_s: float, poll_s: float
) -> Sequence[PageEvent]:
    """Return the log of a page once somebody has acknowledged or resolved it, or the time is over."""
    ends_at = time.monotonic() + within_s
    while True:
        found = events()
        if any(one.kind in {"acknowledged", "resolved"} for one in found) or time.monotonic() > ends_at:
            return found
        time.sleep(poll_s)


def check_log(
    rotation: Rotation, events: Sequence[PageEvent], on_call: list[str], evidence: Evidence
) -> None:
    """Check who was notified and who acknowledged, how long after the page."""
    within_s = min(rotation.severities["P1"].acknowledge_within_s, LIMIT_S)
    by_kind = {one.kind: one for one in reversed(events)}  # the first of each kind
    triggered, notified, acknowledged = (
        by_kind.get(kind) for kind in ("triggered", "notified", "acknowledged")
    )
    for what, event in (("notification", notified), ("acknowledgement", acknowledged)):
        after_s = (event.at - triggered.at).total_seconds() if event and triggered else math.nan
        source = None if event else f"no {what} in the log of the page within {within_s:g} s"
        evidence.check(f"{what}s of the test page", int(event is not None), ">=", 1, n=1, source=source)
        if event is not None:
            evidence.check(f"time to {what}", after_s, "<=", within_s, unit="s", n=1)
    if acknowledged is not None:
        person = acknowledged.person
        who = "not a person" if person is None else rotation.name_of.get(person, "somebody else")
        evidence.check("who acknowledged", who, "in", on_call, n=len(on_call), source="who is on call first")
