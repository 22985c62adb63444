"""A deploy without a decision: who answers for it, and what is owed until when."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from bais_gates.errors import GateInputError
from bais_gates.rollout.decision import decision_in_record
from bais_gates.rollout.emergency import owed_after, read_emergency, reminders, settled, with_emergency
from bais_gates.rollout.record import Folder, Phase
from bais_gates.rollout.revocation import carried
from bais_gates.verdict.document import load_decision
from bais_gates.verdict.model import parse_subject
from tests.rollout.decisions import Suite
from tests.rollout.fake_cluster import NEW, OLD, record_of

if TYPE_CHECKING:
    from pathlib import Path

EMERGENCY = {"approved_by": "Alex Kim", "reason": "Cards are declined."}
PLAIN = record_of()
RECORD = with_emergency(PLAIN, EMERGENCY).then(Phase.RECORDED)


@pytest.mark.parametrize(
    ("person", "reason", "message"),
    [
        (None, "Cards are declined.", "needs --approved-by PERSON"),
        ("  ", "Cards are declined.", "needs --approved-by PERSON"),
        ("TBD", "Cards are declined.", "needs --approved-by PERSON"),
        ("Alex Kim", None, "needs a --reason TEXT"),
        ("Alex Kim", " ", "needs a --reason TEXT"),
        ("Alex Kim", "n/a", "needs a --reason TEXT"),
        ("Al\u200bex Kim", "Cards are declined.", "has a character that is not shown"),
        ("dana", "Cards are declined.", "is approved by another person"),
        ("Dana <DANA@bais.example>", "Cards are declined.", "is approved by another person"),
    ],
)
def test_another_person_and_a_reason(person: str | None, reason: str | None, message: str) -> None:
    """Identities are compared as those of waivers are."""
    with pytest.raises(GateInputError, match=message):
        read_emergency(person, reason, by="dana@build-7")


def test_who_approved_is_recorded() -> None:
    """A secret in the reason is not."""
    found = read_emergency(" Alex Kim ", "postgresql://app:canary-5b1e@db/bais is slow", by="dana@build-7")

    assert found["approved_by"] == "Alex Kim"
    assert "canary-5b1e" not in found["reason"]


def test_a_decision_is_owed_until_it_is_given(tmp_path: Path) -> None:
    """Through later deploys; a decision about another image does not count, and the file only grows."""
    suite, folder = Suite(tmp_path / "suite"), Folder(tmp_path / "records")
    suite.write()
    decision = load_decision(suite.decide(NEW))
    deployed = RECORD.then(Phase.DEPLOYED)
    later = replace(PLAIN, id="2", images={"api": OLD}, **carried(deployed)).then(Phase.DEPLOYED)
    for last in (deployed, later):
        (reminder,) = reminders(last)
        assert reminder == f"EMERGENCY: the deploy {PLAIN.id} of 2026-03-02 ({NEW}) has no decision yet"
        assert settled(last, parse_subject(OLD), decision) is None
        folder.write(last)
        done = settled(last, parse_subject(NEW), decision)
        assert done is not None
        assert (reminders(done), done.phase, done.emergency) == ((), Phase.DEPLOYED, last.emergency)
        assert decision_in_record(decision)["digest"] in done.steps[-1].note
        folder.write(done)
        assert settled(done, parse_subject(NEW), decision) is None
    assert settled(None, parse_subject(NEW), decision) is None


def test_an_emergency_that_was_rolled_back_owes_nothing() -> None:
    """Its image runs no more, so that no gate can judge it there."""
    rolled_back = RECORD.then(Phase.ROLLING_BACK).then(Phase.ROLLED_BACK)

    assert owed_after(rolled_back) == ()
    assert owed_after(RECORD.then(Phase.DEPLOYED)) == RECORD.owed
    assert owed_after(None) == ()
