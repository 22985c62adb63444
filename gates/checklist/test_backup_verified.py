"""Check the backups: made on time, encrypted, and restored and compared with the live database."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Final

import pytest

from bais_gates import BackupPart, Environment, Evidence
from bais_gates.probes import Backup, Cluster, Database, restore
from bais_gates.probes import backup as backups
from bais_gates.rules.kubernetes import cron_job_findings, schedule_status

MAX_DIFFERENCES: Final = 20


@pytest.mark.gate("checklist.backup_verified")
def test_backup_verified(
    cluster: Cluster, database: Database, environment: Environment, evidence: Evidence
) -> None:
    """Backups are made on time and encrypted; the newest restores with the live schema and all its rows."""
    part = environment.backup
    check_schedule(cluster, environment, evidence)
    newest = check_age(part, evidence)
    check_dump(newest, part, environment, evidence)
    check_restore(newest, part, database, environment, evidence)


def check_schedule(cluster: Cluster, environment: Environment, evidence: Evidence) -> None:
    """Check that the CronJob is active, and that its last success is no older than its schedule allows."""
    part = environment.kubernetes
    name = part.names.backup
    cron_job = cluster.named("batch/v1", "CronJob", name, part.namespace)
    if cron_job is None:
        evidence.require(f"CronJob {name}", "absent", "==", "present", source=f"namespace {part.namespace}")
        return
    status = schedule_status(cron_job, datetime.now(UTC))
    source = f"CronJob {name}, schedule {cron_job['spec']['schedule']}"
    state = "suspended" if status.suspended else "active"
    evidence.check("backup schedule", state, "==", "active", source=source)
    faults = [finding.detail for finding in cron_job_findings([cron_job])]
    evidence.check("CronJob faults", faults, "==", [], source="kube-score CronJob")
    source = f"{source}, lastSuccessfulTime"
    if status.last_success is None:
        evidence.check("last successful backup", "never", "!=", "never", source=source)
        return
    age_s, due = status.age_s, f"{status.due:%Y-%m-%d %H:%M} UTC"
    source = f"{source}; the run of {due} must have ended"
    name = "age of the last successful backup"
    evidence.check(name, age_s, "<=", status.max_age_s, unit="s", source=source)


def check_age(part: BackupPart, evidence: Evidence) -> Backup:
    """Check the age of the newest backup and return it; end the gate if there is none."""
    found = backups.list_backups(part.directory)
    evidence.require("backups in the directory", len(found), ">=", 1, source=str(part.directory))
    newest = found[-1]
    age_h, source = newest.age_s(datetime.now(UTC)) / 3600, f"{newest.path.name}, taken_at"
    evidence.check("age of the newest backup", age_h, "<=", part.max_age_h, unit="h", source=source)
    return newest


def check_dump(newest: Backup, part: BackupPart, environment: Environment, evidence: Evidence) -> None:
    """Check that the dump is complete, and that only the environment file's key decrypts it."""
    if part.identity is None:
        raise environment.missing("backup.identity")
    source = newest.path.name
    present = "present" if newest.path.is_file() else "absent"
    evidence.require("dump of the newest backup", present, "==", "present", source=source)
    dump = backups.inspect_dump(newest)
    described = f"{source}, description of the backup"
    evidence.check("dump size", dump.size, "==", newest.size, unit="bytes", source=described)
    evidence.check("dump checksum", dump.sha256, "==", newest.sha256, source=described)
    recorded, file = dump.recorded_sha256, f"{source}.sha256"
    evidence.check("dump checksum (.sha256 file)", recorded, "==", dump.sha256, source=file)
    encryption = "encrypted" if dump.encrypted else "not encrypted"
    evidence.check("dump encryption", encryption, "==", "encrypted", source=f"{source}, first bytes")
    own, other = (
        "succeeds" if backups.can_decrypt(newest, key) else "fails"
        for key in (part.identity, backups.generate_identity())
    )
    evidence.check("decryption with backup.identity", own, "==", "succeeds", source=source)
    evidence.check("decryption with another key", other, "==", "fails", source="a generated key")


def check_restore(
    newest: Backup, part: BackupPart, database: Database, environment: Environment, evidence: Evidence
) -> None:
    """Restore into a scratch database, compare the content, and check that the scratch database is gone."""
    if part.identity is None or part.scratch_url is None:
        raise environment.missing("backup.identity" if part.identity is None else "backup.scratch_url")
    if environment.kubernetes.read_only:
        restore.require_other_server(part.scratch_url, environment.database.url)
    restore.find_pg_restore()  # its absence is an ERROR, as it says nothing about the backup
    began = time.monotonic()
    with restore.scratch_database(part.scratch_url) as url:
        try:
            took = restore.restore(newest, part.identity, url, within_s=part.restore_within_s)
        except backups.BackupError as e:
            evidence.require("restore of the newest backup", str(e), "==", "restored", source="pg_restore")
            return
        source = f"{newest.path.name} in a scratch database"
        evidence.check("restore time", took, "<=", part.restore_within_s, unit="s", source=source)
        with Database(url) as scratch:
            check_content(newest, scratch, database, evidence)
    left = [name for name in restore.list_scratch_databases(part.scratch_url) if name in url]
    evidence.check("scratch databases left behind", left, "==", [], source="pg_database")
    times = {"restore_s": took, "with_comparison_s": time.monotonic() - began}
    evidence.attach("restore times", times, "application/json")


def check_content(newest: Backup, scratch: Database, live: Database, evidence: Evidence) -> None:
    """Compare the restored rows with the counts of the backup, and the restored schema with the live one."""
    counts, described = restore.count_rows(scratch), dict(newest.tables)
    differing = [
        f"{name}: {counts.get(name, 'no table')} restored, {described.get(name, 'no table')} in the backup"
        for name in sorted({*counts, *described})
        if counts.get(name) != described.get(name)
    ]
    source = "count(*) in the scratch database, counts in the backup's description"
    name = "tables with a different row count"
    evidence.check(name, differing, "==", [], n=len(described), source=source)
    evidence.check("restored rows", sum(counts.values()), ">=", 1, source="count(*) in the scratch database")
    revision, live_revision = restore.schema_revision(scratch), restore.schema_revision(live)
    source = "alembic_version"
    evidence.check("schema revision (restored)", revision, "==", newest.schema_revision, source=source)
    evidence.check("schema revision (live)", live_revision, "==", revision, source=source)
    expected, restored = set(restore.describe_schema(live)), set(restore.describe_schema(scratch))
    differences = [f"missing: {line}" for line in sorted(expected - restored)]
    differences += [f"additional: {line}" for line in sorted(restored - expected)]
    evidence.check(
        "schema differences (restored, live)",
        differences[:MAX_DIFFERENCES],
        "==",
        [],
        n=len(expected),
        source="pg_catalog: columns, constraints, indexes, triggers, functions, views",
    )
