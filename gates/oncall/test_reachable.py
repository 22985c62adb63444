"""Check that whoever is on call can be woken: an account, a phone, and a rule that rings it at once."""

from __future__ import annotations

import pytest

from bais_gates import Evidence
from bais_gates.oncall import Oncall, Person, Rotation, readiness


@pytest.mark.gate("oncall.reachable")
def test_reachable(oncall: Oncall, evidence: Evidence) -> None:
    """Everybody who takes turns has an enabled phone or push contact and a rule that notifies it at once."""
    emails = [oncall.rotation.email_of[name] for name in readiness.names_of(oncall.rotation)]
    check_people(oncall.rotation, list(oncall.provider.people(emails)), evidence)


def check_people(rotation: Rotation, people: list[Person], evidence: Evidence) -> None:
    """Check accounts, roles, contacts and rules; the rules are those of readiness.judge_people."""
    found = readiness.judge_people(rotation, people)
    count = len(readiness.names_of(rotation))
    source = "contact methods and notification rules at the provider"
    for name, faults in (
        ("people without an account", found.without_account),
        ("people who may not be on call", found.not_on_call),
        ("people without an enabled phone or push contact", found.without_contact),
        ("people without an immediate high-urgency rule", found.without_rule),
    ):
        evidence.check(name, list(faults), "==", [], n=count, source=source)
