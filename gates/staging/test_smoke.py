"""Check that the staged platform takes one payment, in its own database."""

from __future__ import annotations

import pytest

from bais_gates import Evidence, Target, Unique
from bais_gates.bais import SmokeObjects, open_api, run_smoke_test
from bais_gates.probes import Database
from bais_gates.staging import StagedPlatform, Step, record

ROWS = "SELECT count(*) FROM payments WHERE id::text = %(payment_id)s"


@pytest.mark.gate("staging.smoke")
def test_smoke(staging: StagedPlatform, target: Target, unique: Unique, evidence: Evidence) -> None:
    """Through the staged API a business registers, signs in and takes a payment, stored in staging only."""
    staging.require(Step.APPLICATION, evidence)
    api = open_api(target, staging.reach.http_client())
    made = SmokeObjects()
    with api.http:
        settled = staging.environment.settled_within_s()
        record(run_smoke_test(api, unique, settled_within_s=settled, made=made), evidence)
    evidence.require("payment (smoke test)", "taken" if made.payment_id else "not taken", "==", "taken")
    with staging.database() as database:
        staged = int(str(database.value(ROWS, {"payment_id": made.payment_id})))
        evidence.check("payment rows (staged database)", staged, "==", 1, source=ROWS)
    described = staging.environment
    if not described.describes("database") or described.kubernetes.namespace == staging.namespace:
        evidence.attach("the target's database", "The environment file describes no other database.")
        return
    with Database(described.database.url) as other:
        foreign = int(str(other.value(ROWS, {"payment_id": made.payment_id})))
        evidence.check("payment rows (target's database)", foreign, "==", 0, source=ROWS)
