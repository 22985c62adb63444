"""Check that the staged database's schema has the head revision of this release's migrations."""

from __future__ import annotations

import pytest

from bais_gates import Evidence
from bais_gates.staging import REVISION_QUERY, StagedPlatform, Step, condition, judge, workload

NAME = "bais-migrate"
TABLES = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version'"
LOG_LINES = 1000


@pytest.mark.gate("staging.migrations_at_head")
def test_migrations_at_head(staging: StagedPlatform, evidence: Evidence) -> None:
    """The release's own migration Job completed, and the schema has the revision at which it ended."""
    staging.require(Step.MIGRATIONS, evidence)
    job = staging.named("batch/v1", "Job", NAME)
    evidence.require(f"state (Job {NAME})", judge(job).state if job else "absent", "==", "ready")
    job = job or {}
    evidence.check("Job condition Complete", condition(job, "Complete").get("status", "absent"), "==", "True")
    evidence.check("Job condition Failed", condition(job, "Failed").get("status", "absent"), "!=", "True")
    evidence.check("succeeded pods", int((job.get("status") or {}).get("succeeded") or 0), ">=", 1)
    deployment = staging.named("apps/v1", "Deployment", "bais-api")
    if deployment is not None:
        digests, api_digests = workload.declared_digests(job), workload.declared_digests(deployment)
        evidence.check("migration image digests (as the API's)", digests, "==", api_digests)
    check_revision(staging, evidence)


def check_revision(staging: StagedPlatform, evidence: Evidence) -> None:
    """Check that the schema has one revision, the one at which the migration Job ended."""
    with staging.database() as database:
        revisions = [str(row["version_num"]) for row in database.rows(REVISION_QUERY)]
        tables = int(str(database.value(TABLES)))
    evidence.check("rows in alembic_version", len(revisions), "==", 1, source=REVISION_QUERY)
    evidence.check("tables in the schema public", tables, ">=", 1)
    provisioned = staging.result.revision or "unknown"
    evidence.check("schema revision (as when the Job completed)", revisions, "==", [provisioned])
    last = last_upgrade(staging)
    if last is None:
        evidence.attach("the Job's log", "It reports no upgrade: the schema was at the head before it ran.")
    else:
        evidence.check("schema revision (as in the Job's log)", revisions, "==", [last])


def last_upgrade(staging: StagedPlatform) -> str | None:
    """Return the revision of the last upgrade in the logs of the Job's pods, None without any."""
    for pod in staging.list("v1", "Pod", "migration"):
        log = staging.server.logs(staging.namespace, str(pod["metadata"]["name"]), tail=LOG_LINES)
        revision = workload.last_revision(log)
        if revision is not None:
            return revision
    return None
