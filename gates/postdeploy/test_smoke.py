"""Check after a deploy that the platform takes a payment."""

from __future__ import annotations

import pytest

from bais_gates import Environment, Evidence, Unique
from bais_gates.bais import Api, SmokeObjects, run_smoke_test
from bais_gates.staging import record


@pytest.mark.gate("postdeploy.smoke")
def test_smoke(api: Api, unique: Unique, environment: Environment, evidence: Evidence) -> None:
    """A business registers, signs in, takes one payment and reads it back."""
    made = SmokeObjects()
    settled_within_s = environment.settled_within_s()
    record(run_smoke_test(api, unique, settled_within_s=settled_within_s, made=made), evidence)
    evidence.check("payment (smoke test)", "taken" if made.payment_id else "not taken", "==", "taken")
