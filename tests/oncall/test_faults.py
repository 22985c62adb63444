"""The sandbox's faults of on-call: each fails its gates and no other, over the wire, and undone they pass."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import pytest

from bais_gates.oncall.readiness import read_coverage
from bais_gates.oncall.rotation import Rotation
from bais_gates.oncall.status_page import StatusPage
from bais_gates.pytest_plugin.evidence import Evidence, GateFailure
from bais_gates.sandbox.errors import SandboxError
from bais_gates.sandbox.oncall import PAGE
from bais_gates.sandbox.oncall.records import write_records
from bais_gates.sandbox.platform_faults import PLATFORM_FAULTS
from tests.oncall.account import Served, served
from tests.oncall.desk import gate, unheld

CHANNELS: Final = ["#bais-incidents", "#bais-oncall"]
LINK, CONTACT = "runbooks.bais.example/ApiDown", "bank.example/help"
REASONS: Final = {
    "oncall_hour_without_anybody": "times without anybody on call.*manager: .*3,600 s",
    "oncall_person_on_two_tiers": "people on two tiers at once.*(primary and manager|manager and primary)",
    "oncall_turns_of_a_day": r"turn length \(manager\)",
    "oncall_override_by_hand": "differences from the rotation file.*manager",
    "oncall_policy_with_two_tiers": "tiers: 2",
    "oncall_policy_never_repeated": "repetitions: 0",
    "oncall_maintenance_over_golive": "bais-api: in maintenance",
    "oncall_person_without_phone": "no phone or push contact that is known to be enabled",
    "oncall_phone_disabled": "no phone or push contact that is known to be enabled",
    "oncall_person_notified_late": "no immediate rule for high urgency",
    "oncall_page_not_acknowledged": "acknowledgements of the test page: 0",
    "oncall_channel_gone": "#bais-incidents: .*channel_not_found",
    "oncall_webhook_revoked": "#bais-oncall: ",
    "oncall_status_page_down": "rate limit",
    "oncall_component_missing": "components missing from the status page.*API",
    "oncall_runbook_link_dead": "runbook links that do not open.*ApiDown: status 404",
    "oncall_contact_gone": "emergency contacts whose address does not open.*status 404",
    "oncall_record_expired": "incident_drill.json: expired on 2020-03-31",
    "oncall_record_missing": r"records that count \(training\): 0",
    "oncall_record_malformed": "runbook_review.json:.*owner",
}
"""What the first gate of each fault names."""


class Desk:
    """The stand-ins with the tests' rotation applied, and the gates over them."""

    def __init__(self, it: Served) -> None:
        self.it, self.rotation = it, it.rotation()
        it.now = datetime.now(UTC)
        it.apply(self.rotation)
        it.account.now = lambda: datetime.now(UTC)
        it.stand_ins._pages.update({LINK: 200, CONTACT: 200})
        it.stand_ins._page.state["components"].append({"id": "c1", "name": "API", "status": "operational"})
        self.records = it.folder / "records"
        write_records(self.records, list(self.rotation.email_of))

    def value(self, part: str, key: str) -> str:
        """Return what faults read of the environment file."""
        assert (part, key) == ("oncall", "api_url")
        return f"{self.it.url}/pagerduty"

    def file(self, name: str) -> Path:
        """Return the path of a file, as the platform of a sandbox does."""
        return self.records / name.removeprefix("oncall.records/")

    def judge(self, wanted: str) -> list[str]:
        """Return the checks of a gate that do not hold."""
        evidence = Evidence()
        with contextlib.closing(self.it.provider()) as provider, contextlib.suppress(GateFailure):
            self._run(wanted, self.rotation, provider, evidence)
        assert evidence.recorded().checks
        return unheld(evidence)

    def _run(self, wanted: str, rotation: Rotation, provider: Any, evidence: Evidence) -> None:
        now, module = datetime.now(UTC), gate(wanted)
        urls = {one: f"{self.it.url}/slack/services/{path}" for one, path in self.it.access.webhooks.items()}
        pages_url = f"{self.it.url}/pages"
        if wanted == "rotation_applied":
            module.check_rotation_applied(read_coverage(rotation, provider, now), evidence)
        elif wanted == "coverage":
            module.check_coverage(read_coverage(rotation, provider, now), evidence)
        elif wanted == "escalation":
            part = SimpleNamespace(golive_window_h=4.0)
            module.test_escalation(SimpleNamespace(rotation=rotation, provider=provider, part=part), evidence)
        elif wanted == "reachable":
            module.check_people(rotation, provider.people(list(rotation.email_of.values())), evidence)
        elif wanted == "page_acknowledged":
            module.check_page(rotation, provider, "Test page", evidence, poll_s=0.1)
        elif wanted == "chat_delivers":
            module.check_channels(CHANNELS, urls, "Test message", evidence)
        elif wanted == "status_page":
            url, token = f"{self.it.url}/statuspage/v1", self.it.access.status_token
            with StatusPage(PAGE, token, api_url=url, pace_s=0.0, sleep=lambda _: None) as page:
                module.check_page(page, ["API"], "golive", evidence)
        elif wanted == "runbooks":
            module.check_addresses("runbook links that do not open", [f"https://{LINK}"], pages_url, evidence)
            name = "emergency contacts whose address does not open"
            module.check_addresses(name, [f"https://{CONTACT}"], pages_url, evidence)
        else:
            people = list(rotation.email_of)
            module.check_records(self.records, people, now.date(), evidence, rehearsal=True)


GATES: Final = (
    *("rotation_applied", "coverage", "escalation", "reachable", "page_acknowledged"),
    *("chat_delivers", "status_page", "runbooks", "records_fresh"),
)
FAULTS: Final = {name: fault for name, fault in PLATFORM_FAULTS.items() if name.startswith("oncall_")}


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Yield the stand-ins behind a server, which all faults of this module are made in and undone."""
    patch = pytest.MonkeyPatch()
    wait = gate("page_acknowledged").await_acknowledgement
    patch.setattr(
        gate("page_acknowledged"),
        "await_acknowledgement",
        lambda events, within_s, poll_s: wait(events, min(within_s, 1.5), poll_s),
    )
    with served(tmp_path_factory.mktemp("faults")) as it:
        yield Desk(it)
    patch.undo()


def failing(desk: Desk, name: str, gates: Iterable[str]) -> dict[str, list[str]]:
    """Return which of the gates fail with a fault made, and how; the fault is undone."""
    platform: Any = desk
    changes = FAULTS[name].changes
    former = [change.make(platform) for change in changes]
    try:
        return {one: found for one in gates if (found := desk.judge(one))}
    finally:
        for change, before in zip(changes, former, strict=True):
            change.undo(platform, before)


def gates_of(name: str) -> list[str]:
    """Return the gates that a fault names, without their phase."""
    return [one.removeprefix("oncall.") for one in FAULTS[name].gates]


def _cases() -> list[Any]:
    """Return the faults, all but the first of a gate nightly."""
    first = {gates_of(name)[0]: name for name in sorted(FAULTS, reverse=True)}.values()
    return [pytest.param(name, marks=() if name in first else pytest.mark.nightly) for name in sorted(FAULTS)]


@pytest.mark.parametrize("name", _cases())
def test_a_fault_fails_its_gates(desk: Desk, name: str) -> None:
    """Each gate that the fault names fails, the first for the fault's own reason."""
    found = failing(desk, name, gates_of(name))

    assert found.keys() == set(gates_of(name))
    assert re.search(REASONS[name], "\n".join(found[gates_of(name)[0]]), re.DOTALL), found


@pytest.mark.nightly
@pytest.mark.parametrize("name", sorted(FAULTS))
def test_a_fault_fails_no_other_gate(desk: Desk, name: str) -> None:
    """Only the gates that the fault names fail."""
    assert failing(desk, name, GATES).keys() == set(gates_of(name))


def test_once_every_fault_is_undone_all_gates_pass(desk: Desk) -> None:
    """The stand-ins with the rotation applied are what the gates ask for; no fault leaves a trace."""
    assert {name: found for name in GATES if (found := desk.judge(name))} == {}


def test_every_gate_of_what_runs_has_a_fault_with_a_reason() -> None:
    """The two tables have the same names; each gate over the stand-ins is failed by a fault."""
    assert FAULTS.keys() == REASONS.keys()
    assert {one for fault in FAULTS.values() for one in fault.gates} == {f"oncall.{name}" for name in GATES}


def test_a_fault_without_stand_ins_is_an_error_with_the_remedy(tmp_path: Path) -> None:
    """Where nothing listens, or no rotation is applied, the fault says so."""
    (change,) = FAULTS["oncall_policy_with_two_tiers"].changes
    nobody: Any = SimpleNamespace(value=lambda *_: "http://127.0.0.1:9/pagerduty")
    with pytest.raises(SandboxError, match="monitoring up"):
        change.make(nobody)
    with served(tmp_path) as it:
        empty: Any = SimpleNamespace(value=lambda *_: f"{it.url}/pagerduty")
        with pytest.raises(SandboxError, match="oncall apply"):
            change.make(empty)
