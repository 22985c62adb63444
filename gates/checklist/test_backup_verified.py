"""Whether there is a backup, made on time, unreadable for others, and good: it is restored and compared."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Final

import pytest

from bais_gates import BackupPart, Environment, Evidence
from bais_gates.probes import Backup, Cluster, Database, restore
from bais_gates.probes import backup as backups
from bais_gates.rules import cron_job_findings, schedule_status

DIFFERENCES_SHOWN: Final = 20


@pytest.mark.gate("checklist.backup_verified")
def test_backup_verified(
    cluster: Cluster, database: Database, environment: Environment, evidence: Evidence
) -> None:
    """Backups are made on time and encrypted; the newest, restored, has the live schema and all its rows."""
    part = environment.backup
    schedule(cluster, environment, evidence)
    newest = fresh(part, evidence)
    sealed(newest, part, environment, evidence)
    restored(newest, part, database, environment, evidence)


def schedule(cluster: Cluster, environment: Environment, evidence: Evidence) -> None:
    """Check that the CronJob runs, and that its last success is no older than its schedule allows."""
    part = environment.kubernetes
    name = part.names.backup
    cron_job = cluster.named("batch/v1", "CronJob", name, part.namespace)
    if cron_job is None:
        evidence.require(f"CronJob {name}", "absent", "==", "there", source=f"namespace {part.namespace}")
        return
    seen = schedule_status(cron_job, datetime.now(UTC))
    source = f"CronJob {name}, schedule {cron_job['spec']['schedule']!r}"
    suspended = "suspended" if seen.suspended else "active"
    evidence.check("backup schedule", suspended, "==", "active", source=source)
    faults = [finding.detail for finding in cron_job_findings([cron_job])]
    evidence.check("runs that may be late, doubled or endless", faults, "==", [], source="kube-score CronJob")
    if seen.last_success is None:
        evidence.check(
            "last successful backup", "never", "!=", "never", source=f"{source}, lastSuccessfulTime"
        )
        return
    evidence.check(
        "last successful backup, age",
        seen.age_s,
        "<=",
        seen.max_age_s,
        unit="s",
        source=f"{source}, lastSuccessfulTime; the run of {seen.due:%Y-%m-%d %H:%M} UTC must have ended",
    )


def fresh(part: BackupPart, evidence: Evidence) -> Backup:
    """Give the newest backup; stop when there is none."""
    found = backups.list_backups(part.directory)
    evidence.require("backups in the folder", len(found), ">=", 1, source=str(part.directory))
    newest = found[-1]
    evidence.check(
        "newest backup, age",
        newest.age_s(datetime.now(UTC)) / 3600,
        "<=",
        part.max_age_h,
        unit="h",
        source=f"{newest.path.name}, taken_at",
    )
    return newest


def sealed(newest: Backup, part: BackupPart, environment: Environment, evidence: Evidence) -> None:
    """Check that the dump is whole and that nobody but the holder of the key can read it."""
    if part.identity is None:
        raise environment.missing("backup.identity")
    source = newest.path.name
    there = "there" if newest.path.is_file() else "absent"
    evidence.require("dump of the newest backup", there, "==", "there", source=source)
    seen = backups.inspect_dump(newest)
    evidence.check(
        "size of the dump", seen.size, "==", newest.size, unit="bytes", source=f"{source}, as described"
    )
    evidence.check("checksum", seen.sha256, "==", newest.sha256, source=f"{source}, as described")
    evidence.check("checksum beside it", seen.recorded_sha256, "==", seen.sha256, source=f"{source}.sha256")
    encrypted = "encrypted" if seen.encrypted else "readable for anybody"
    evidence.check("the dump is", encrypted, "==", "encrypted", source=f"{source}, its first bytes")
    own, other = (
        "opens it" if backups.can_decrypt(newest, key) else "does not open it"
        for key in (part.identity, backups.generate_identity())
    )
    evidence.check("our key", own, "==", "opens it", source="backup.identity")
    evidence.check("another key", other, "==", "does not open it", source="a key made for this check")


def restored(
    newest: Backup, part: BackupPart, database: Database, environment: Environment, evidence: Evidence
) -> None:
    """Restore into a scratch database, compare, and see that the scratch database is gone."""
    if part.identity is None or part.scratch_url is None:
        raise environment.missing("backup.identity" if part.identity is None else "backup.scratch_url")
    if environment.kubernetes.read_only:
        restore.require_other_server(part.scratch_url, environment.database.url)
    restore.find_pg_restore()  # without it nothing was found out about the backup
    began = time.monotonic()
    with restore.scratch_database(part.scratch_url) as url:
        try:
            took = restore.restore(newest, part.identity, url, within_s=part.restore_within_s)
        except backups.BackupError as e:
            evidence.require("restoring the newest backup", str(e), "==", "restored", source="pg_restore")
            return
        source = f"{newest.path.name} in a scratch database"
        evidence.check("restoring took", took, "<=", part.restore_within_s, unit="s", source=source)
        with Database(url) as scratch:
            compare(newest, scratch, database, evidence)
    left = [name for name in restore.list_scratch_databases(part.scratch_url) if name in url]
    evidence.check("scratch databases left", left, "==", [], source="pg_database")
    times = {"restore_s": took, "with_comparison_s": time.monotonic() - began}
    evidence.attach("times", times, "application/json")


def compare(newest: Backup, scratch: Database, live: Database, evidence: Evidence) -> None:
    """Hold what came back to what was counted when the backup was made, and to the live schema."""
    counts, described = restore.count_rows(scratch), dict(newest.tables)
    differing = [
        f"{name}: {counts.get(name)} restored, {described.get(name)} backed up"
        for name in sorted({*counts, *described})
        if counts.get(name) != described.get(name)
    ]
    source = "count(*) in the scratch database; the counts in the backup's own description"
    evidence.check("tables whose rows differ", differing, "==", [], n=len(described), source=source)
    evidence.check("rows restored", sum(counts.values()), ">=", 1, source="count(*) in the scratch database")
    revision = restore.schema_revision(scratch)
    evidence.check(
        "schema revision restored", revision, "==", newest.schema_revision, source="alembic_version"
    )
    evidence.check(
        "schema revision, live",
        restore.schema_revision(live),
        "==",
        revision,
        source="alembic_version of both",
    )
    there, here = set(restore.describe_schema(live)), set(restore.describe_schema(scratch))
    missing = [f"- {line}" for line in sorted(there - here)] + [f"+ {line}" for line in sorted(here - there)]
    evidence.check(
        "differences of the schema, restored and live",
        missing[:DIFFERENCES_SHOWN],
        "==",
        [],
        n=len(there),
        source="pg_catalog: columns, constraints, indexes, triggers, functions, views",
    )
