"""The staged database's schema is the one that this release's migrations end at."""

from __future__ import annotations

import pytest

from bais_gates import Evidence
from bais_gates.staging import REVISION, StagedPlatform, Step, condition, judge, workload

NAME = "bais-migrate"
TABLES = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version'"
LOG_LINES = 1000


@pytest.mark.gate("staging.migrations_at_head")
def test_migrations_at_head(staging: StagedPlatform, evidence: Evidence) -> None:
    """The release's own migration Job completed, and the schema stands where it ended: at the head."""
    staging.require(Step.MIGRATIONS, evidence)
    job = staging.named("batch/v1", "Job", NAME)
    evidence.require("Job", judge(job).state if job else "absent", "==", "ready")
    job = job or {}
    evidence.check("condition Complete", condition(job, "Complete").get("status", "absent"), "==", "True")
    evidence.check("condition Failed", condition(job, "Failed").get("status", "absent"), "!=", "True")
    evidence.check("pods that succeeded", int((job.get("status") or {}).get("succeeded") or 0), ">=", 1)
    deployment = staging.named("apps/v1", "Deployment", "bais-api")
    if deployment is not None:
        meant = workload.digests_meant(deployment)
        evidence.check(
            "image of the migrations", workload.digests_meant(job), "==", meant, source="the API's"
        )
    _stands_where_they_ended(staging, evidence)


def _stands_where_they_ended(staging: StagedPlatform, evidence: Evidence) -> None:
    with staging.database() as database:
        revisions = [str(row["version_num"]) for row in database.rows(REVISION)]
        tables = int(str(database.value(TABLES)))
    evidence.check("rows of alembic_version", len(revisions), "==", 1, source=REVISION)
    evidence.check("tables of the platform", tables, ">=", 1)
    evidence.check(
        "revision, against that when the Job had completed",
        revisions,
        "==",
        [staging.outcome.revision or "not known"],
    )
    ended = _upgraded_to(staging)
    if ended is None:
        evidence.attach("the Job's log", "It names no upgrade: the schema stood at the head before it ran.")
    else:
        evidence.check("revision, against the last that the Job ran", revisions, "==", [ended])


def _upgraded_to(staging: StagedPlatform) -> str | None:
    """Find the last upgrade in the logs of the Job's pods."""
    for pod in staging.list("v1", "Pod", "migration"):
        log = staging.server.logs(staging.namespace, str(pod["metadata"]["name"]), tail=LOG_LINES)
        revision = workload.last_revision(log)
        if revision is not None:
            return revision
    return None
