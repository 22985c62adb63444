"""The staged platform does its work once, from end to end, in its own database."""

from __future__ import annotations

import pytest

from bais_gates import Evidence, Target, Unique
from bais_gates.bais import SmokeObjects, open_api, run_smoke_test
from bais_gates.probes import Database
from bais_gates.staging import StagedPlatform, Step, record

ROWS = "SELECT count(*) FROM payments WHERE id::text = %(payment_id)s"


@pytest.mark.gate("staging.smoke")
def test_smoke(staging: StagedPlatform, target: Target, unique: Unique, evidence: Evidence) -> None:
    """Through the staged API a business registers, signs in and takes a payment, which is kept in staging."""
    staging.require(Step.APPLICATION, evidence)
    api = open_api(target, staging.reach.http())
    made = SmokeObjects()
    with api.http:
        settled = staging.environment.settled_within_s()
        record(run_smoke_test(api, unique, settled_within_s=settled, made=made), evidence)
    evidence.require("payment", "taken" if made.payment_id else "not taken", "==", "taken")
    with staging.database() as database:
        here = int(str(database.value(ROWS, {"payment_id": made.payment_id})))
        evidence.check("rows of the payment in the staged database", here, "==", 1, source=ROWS)
    known = staging.environment
    if not known.describes("database") or known.kubernetes.namespace == staging.namespace:
        evidence.attach("the target's database", "The environment file describes no other database.")
        return
    with Database(known.database.url) as other:
        there = int(str(other.value(ROWS, {"payment_id": made.payment_id})))
        evidence.check("rows of it in the target's own database", there, "==", 0, source=ROWS)
