"""The on-call gates over a provider made by hand: each thing that is wrong fails its check, and no other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bais_gates.oncall import shifts
from bais_gates.oncall.plan import policy_of
from bais_gates.oncall.provider import (
    Contact,
    NotificationRule,
    OncallError,
    Page,
    PageEvent,
    Person,
    Policy,
    Service,
    Shift,
    Step,
)
from bais_gates.oncall.readiness import judge_people
from bais_gates.oncall.rotation import Rotation
from bais_gates.pytest_plugin.evidence import Evidence
from tests.oncall.desk import DAY, HOUR, NEXT, NOW, PHONE, Desk, email, gate, person, unheld
from tests.oncall.rotations import rotation

Change = Callable[[Desk], object]
AWAY = {"absences": [{"person": "Ada", "from": "2026-12-07", "until": "2026-12-14", "covered_by": "Gus"}]}
WEEK = 7 * DAY


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """Return a provider that pages by the tests' rotation."""
    return Desk(rotation(tmp_path))


@pytest.fixture(scope="module")
def a_rotation(tmp_path_factory: pytest.TempPathFactory) -> Rotation:
    """Return the tests' rotation, for tests of many examples."""
    return rotation(tmp_path_factory.mktemp("rotation"))


def judged(check: Callable[..., None], *arguments: Any, **options: Any) -> list[str]:
    """Return the checks of a gate's function that do not hold."""
    evidence = Evidence()
    check(*arguments, evidence, **options)
    assert evidence.recorded().checks
    return unheld(evidence)


def applied(desk: Desk) -> list[str]:
    """Return what oncall.rotation_applied finds."""
    return judged(gate("rotation_applied").check_rotation_applied, desk.coverage())


def covered(desk: Desk) -> list[str]:
    """Return what oncall.coverage finds."""
    return judged(gate("coverage").check_coverage, desk.coverage())


def test_a_provider_that_pages_by_the_file_passes(tmp_path: Path) -> None:
    """Nothing is found, with an absence and its cover, either."""
    desk = Desk(rotation(tmp_path, **AWAY))

    assert (applied(desk), covered(desk)) == ([], [])
    assert any(email("Gus") == one.person for one in desk.schedule["primary"].shifts)


def test_a_gap_of_an_hour_is_the_finding_of_coverage_alone(desk: Desk) -> None:
    """Its seconds and its time are said; who is on call otherwise is as in the file."""
    desk.override("secondary", None, NEXT + HOUR, NEXT + 2 * HOUR)

    (found,) = covered(desk)
    assert found.startswith("times without anybody on call")
    assert "secondary: Mon 2026-12-07 10:00 to 11:00 (3,600 s)" in found
    assert applied(desk) == []


@pytest.mark.parametrize("absent", [True, False])
def test_a_tier_without_anybody_has_a_gap_of_the_whole_window(desk: Desk, *, absent: bool) -> None:
    """A schedule without entries, and no schedule at all, are 90 days without anybody; never no data."""
    if absent:
        del desk.schedule["manager"]
    else:
        desk.change("manager", shifts=(), regular=())

    found = covered(desk)
    assert any(
        "manager: Mon 2026-11-30 13:01 to Sun 2027-02-28 13:01 (7,776,000 s)" in one for one in found
    ), found
    assert any("people on call (manager): 0" in one for one in found), found
    assert bool(applied(desk)) is absent


def test_one_person_on_two_tiers_is_found(desk: Desk) -> None:
    """Both tiers and the time are named; the rest of the tiers' checks hold."""
    primary = shifts.person_at(desk.schedule["primary"].shifts, NEXT + DAY)
    assert primary is not None
    name = desk.rotation.name_of[primary]
    desk.override("secondary", name, NEXT + DAY, NEXT + DAY + HOUR)

    (found,) = covered(desk)
    assert found.startswith("people on two tiers at once")
    assert f"{name}: primary and secondary, Tue 2026-12-08 09:00 to 10:00" in found


def test_somebody_on_call_on_holiday_is_found(tmp_path: Path) -> None:
    """A provider that knows of no absence pages who is away: coverage says so, and so does the comparison."""
    desk = Desk(rotation(tmp_path))
    desk.rotation = rotation(tmp_path, **AWAY)

    (found,) = covered(desk)
    assert found.startswith("people on call while absent")
    assert "Ada" in found
    assert any("Ada, not Gus" in one for one in applied(desk))


def test_too_few_people_or_turns_that_are_not_shared_are_found(desk: Desk) -> None:
    """Two people who take all turns are too few; one with most of the turns is named with the count."""
    only = desk.schedule["manager"].shifts
    two = tuple(Shift(one.start, one.end, email(("Dan", "Eva")[n % 2])) for n, one in enumerate(only))
    desk.change("manager", shifts=two, regular=two)
    mostly = tuple(Shift(one.start, one.end, email("Ada")) for one in desk.schedule["primary"].shifts[:8])
    desk.change("primary", regular=(*mostly, *desk.schedule["primary"].regular[8:]))

    found = covered(desk)
    assert any("people on call (manager): 2" in one for one in found)
    assert any("turns are not shared" in one and "primary: Ada " in one for one in found)


def test_turns_of_another_length_and_other_people_are_found(desk: Desk) -> None:
    """Turns of a day, and a stranger who is on call now, fail the comparison; the address is not shown."""
    desk.change("primary", turn_s=(86_400.0,))
    desk.override("secondary", "mallory", NOW - HOUR, NOW + HOUR)

    found = applied(desk)
    assert len(found) == 2
    assert "turn length (primary)" in found[0]
    assert "secondary: somebody who is not in the rotation" in found[1]
    assert "@" not in "".join(found)


def test_who_began_the_turn_may_end_it(desk: Desk) -> None:
    """Another person of the tier until the hand-over is no finding; from the hand-over on it is."""
    desk.override("manager", "Eva", NOW - HOUR, NEXT)
    assert applied(desk) == []

    desk.override("manager", "Eva", NOW - HOUR, NEXT + WEEK + HOUR)
    (found,) = applied(desk)
    assert "manager: " in found
    assert "Eva, not " in found


# -- escalation --


def escalated(policy: Policy, desk: Desk) -> list[str]:
    """Return what the gate finds about a policy."""
    return judged(gate("escalation").check_policy, desk.rotation, policy)


def test_a_policy_as_in_the_file_passes_and_two_tiers_do_not(desk: Desk) -> None:
    """With two tiers the count, the third step and its time are false; nothing passes for want of a step."""
    good = policy_of(desk.rotation)
    assert escalated(good, desk) == []

    found = escalated(replace(good, steps=good.steps[:2]), desk)
    assert [one.partition(":")[0] for one in found] == [
        "tiers",
        "steps that page others than the tier's schedule",
        "time until tier 3 is paged",
    ]


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"loops": 1}, "repetitions"),
        ({"steps": (Step(360.0, ("BAIS primary",)), Step(240.0, ("BAIS secondary",)),
                    Step(300.0, ("BAIS manager",)))}, "time until tier 2 is paged"),
        ({"steps": (Step(300.0, ("BAIS primary",)), Step(300.0, ("BAIS primary",)),
                    Step(300.0, ("BAIS manager",)))}, "steps that page others"),
        ({"steps": (Step(300.0, ("BAIS primary",)), Step(300.0, ("BAIS secondary",)),
                    Step(300.0, ("BAIS manager",), (email("Ada"),)))}, "steps that page others"),
    ],
)  # fmt: skip
def test_a_policy_that_is_late_or_pages_others_fails_one_check(
    desk: Desk, changes: dict[str, Any], name: str
) -> None:
    """Too few repetitions, a late second tier, a wrong schedule and a person of a step's own are found."""
    (found,) = escalated(replace(policy_of(desk.rotation), **changes), desk)

    assert found.startswith(name)
    assert "@" not in found


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"policy": None}, "escalation policy none, not BAIS"),
        ({"policy": "Default"}, "escalation policy Default, not BAIS"),
        ({"status": "disabled"}, "disabled"),
        ({"status": ""}, "bais-api: "),
        ({"maintenance": ((NOW + HOUR, NOW + 2 * HOUR),)}, "in maintenance 2026-11-30 14:00 to"),
        ({"maintenance": ((NOW - HOUR, NOW + HOUR),)}, "in maintenance"),
    ],
)
def test_a_service_that_pages_nobody_is_found(desk: Desk, changes: dict[str, Any], said: str) -> None:
    """No policy, another, disabled, an unknown status, maintenance now or within the go-live window."""
    good = Service(name="bais-api", policy="BAIS", status="active")
    check = gate("escalation").check_services
    late = replace(good, maintenance=((NOW + 5 * HOUR, NOW + 6 * HOUR), (NOW - 2 * HOUR, NOW)))

    assert judged(check, desk.rotation, [good], NOW, 4.0) == []
    assert judged(check, desk.rotation, [late], NOW, 4.0) == []
    (found,) = judged(check, desk.rotation, [replace(good, **changes)], NOW, 4.0)
    assert said in found
    (found,) = judged(check, desk.rotation, [], NOW, 4.0)
    assert "bais-api: absent" in found


# -- people --

MAIL = Contact("email", enabled=True)
CASES = (
    (person("Ada", MAIL), "without an enabled phone or push contact", "Ada: no phone or push contact"),
    (person("Ada", Contact("phone", enabled=False)), "without an enabled", "that is enabled"),
    (person("Ada", Contact("push", enabled=None)), "without an enabled", "that is known to be enabled"),
    (person("Ada", rules=()), "without an immediate high-urgency rule", "Ada: no immediate rule"),
    (person("Ada", rules=(NotificationRule("low", 0.0, PHONE),)), "without an immediate", "Ada"),
    (person("Ada", rules=(NotificationRule("high", 60.0, PHONE),)), "without an immediate", "Ada"),
    (person("Ada", active=False), "may not be on call", "Ada: a role that can't be on call"),
    (person("Ada", active=None), "may not be on call", "Ada: unknown whether"),
    (None, "without an account", "Ada: no account"),
)


@pytest.mark.parametrize(("account", "name", "said"), CASES)
def test_somebody_who_can_not_be_woken_is_named(
    desk: Desk, account: Person | None, name: str, said: str
) -> None:
    """A contact or rule that is missing, off, late, or of which the provider does not say it, is no yes."""
    others = [
        one for one in desk.people([email(name) for name in desk.rotation.email_of]) if one.name != "Ada"
    ]
    people = [*others, *([account] if account else [])]

    assert judged(gate("reachable").check_people, desk.rotation, [*others, person("Ada")]) == []
    found = judged(gate("reachable").check_people, desk.rotation, people)
    assert any(name in one and said in one for one in found), found
    assert not any("Ben" in one or "@" in one for one in found)
    assert judge_people(desk.rotation, people).unreachable == {"Ada"}


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["phone", "sms", "push", "email", "other"]), st.sampled_from([True, False, None])
        )
    )
)
def test_nobody_passes_without_a_contact_that_rings_for_certain(
    a_rotation: Rotation,
    contacts: list[tuple[Any, bool | None]],
) -> None:
    """Whatever else there is: reachable is who has a phone or push contact that is said to be enabled."""
    found = [Contact(kind, enabled) for kind, enabled in contacts]
    account = person("Ada", MAIL, contacts=tuple(found))
    rings = any(kind in {"phone", "push"} and enabled is True for kind, enabled in contacts)

    faults = judge_people(a_rotation, [account]).without_contact
    assert any(one.startswith("Ada") for one in faults) is not rings


# -- a page --


def paged(desk: Desk) -> list[str]:
    """Return what the gate finds about a page."""
    desk.acknowledges = desk.acknowledges and desk.rotation.name_of[desk.on_call("")[1][0]]
    return judged_page(desk)


def judged_page(desk: Desk) -> list[str]:
    """As :func:`paged`, with whoever the desk says."""
    evidence = Evidence()
    gate("page_acknowledged").check_page(desk.rotation, desk, "Test page", evidence, poll_s=0.0)
    return unheld(evidence)


def test_a_page_that_is_acknowledged_in_time_passes_and_is_resolved(desk: Desk) -> None:
    """The person on call first acknowledged, and the page is resolved."""
    assert paged(desk) == []
    assert desk.resolved == ["bais-api"]


def test_a_page_that_nobody_acknowledges_fails_and_is_resolved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It fails for want of an acknowledgement, not of data; the page does not stay open."""
    desk = Desk(rotation(tmp_path), acknowledges=None)
    monkeypatch.setattr(gate("page_acknowledged"), "LIMIT_S", 300.0)
    monkeypatch.setattr(gate("page_acknowledged").time, "monotonic", iter(range(0, 10_000, 200)).__next__)

    (found,) = paged(desk)
    assert found.startswith("acknowledgements of the test page: 0")
    assert desk.resolved == ["bais-api"]


def test_a_late_acknowledgement_or_another_person_fails(desk: Desk) -> None:
    """An acknowledgement after the time of a P1, or by who is not on call first, is none."""
    desk.after = timedelta(seconds=301)
    (found,) = paged(desk)
    assert "time to acknowledgement: 301 s" in found

    desk.after, desk.acknowledges = timedelta(seconds=90), "Hal"
    (found,) = judged_page(desk)
    assert found.startswith("who acknowledged: Hal")


def test_a_page_is_resolved_when_its_log_can_not_be_read(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error is the gate's, and nobody goes on being paged."""

    def fail(_page: object) -> None:
        raise OncallError("no log")

    monkeypatch.setattr(desk, "events", fail)
    with pytest.raises(OncallError, match="no log"):
        judged_page(desk)
    assert desk.resolved == ["bais-api"]


def test_who_resolves_the_page_has_not_acknowledged_it(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing waits for an acknowledgement any more, and the page is not resolved again."""
    monkeypatch.setattr(desk, "acknowledges", None)
    send = desk.page

    def page(service: str, title: str) -> Page:
        sent = send(service, title)
        desk.log.append(PageEvent("resolved", NOW + timedelta(seconds=20)))
        return sent

    monkeypatch.setattr(desk, "page", page)
    (found,) = judged_page(desk)
    assert found.startswith("acknowledgements of the test page: 0")
    assert desk.resolved == []
