"""Check the backups: made on time, encrypted, and restored and compared with the live database."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any, Final

import pytest

from bais_gates import BackupPart, Environment, Evidence
from bais_gates.probes import Backup, Cluster, Database, DatabaseError, content, restore
from bais_gates.probes import backup as backups
from bais_gates.rules import backup_job
from bais_gates.rules import backups as rules
from bais_gates.rules.kubernetes import cron_job_findings, cronjobs, schedule_status

MAX_DIFFERENCES: Final = 20


@pytest.mark.gate("checklist.backup_verified")
def test_backup_verified(
    cluster: Cluster, database: Database, environment: Environment, evidence: Evidence
) -> None:
    """Backups are made on time and encrypted; the newest restores with the live schema and all its rows."""
    part = environment.backup
    check_schedule(cluster, environment, evidence)
    newest = check_folder(part, evidence)
    check_dump(newest, part, environment, evidence)
    listing = check_listing(newest, part, database, environment, evidence)
    check_restore(newest, listing, database, environment, evidence)


def check_schedule(cluster: Cluster, environment: Environment, evidence: Evidence) -> None:
    """Check that the CronJob is active and frequent enough, and that it succeeds as it is now."""
    part, max_age_h = environment.kubernetes, environment.backup.max_age_h
    name = part.names.backup
    cron_job = cluster.named("batch/v1", "CronJob", name, part.namespace)
    if cron_job is None:
        evidence.require(f"CronJob {name}", "absent", "==", "present", source=f"namespace {part.namespace}")
        return
    now, spec = datetime.now(UTC), cron_job["spec"]
    faults = [finding.detail for finding in cron_job_findings([cron_job])]
    faults += backup_job.volume_faults(cron_job)
    source = "kube-score; Kubernetes documentation, CronJob and Jobs"
    evidence.check(f"faults of CronJob {name}", faults, "==", [], source=source)
    failed = cronjobs.run_faults(cron_job, cluster.list("batch/v1", "Job", part.namespace))
    evidence.check(f"faults of the Jobs of CronJob {name}", failed, "==", [], source="batch/v1, Job")
    check_recipients(cron_job, environment, evidence)
    source = f"CronJob {name}, schedule {spec['schedule']}"
    try:
        gap = cronjobs.largest_gap(str(spec["schedule"]), now, zone=spec.get("timeZone"))
        status = schedule_status(cron_job, now)
    except cronjobs.ScheduleError as e:
        evidence.check(f"schedule of CronJob {name}", str(e), "==", "active", source=source)
        return
    state = "suspended" if status.suspended else "active"
    evidence.check(f"schedule of CronJob {name}", state, "==", "active", source=source)
    gap_h = gap.total_seconds() / 3600
    limited = f"{source}; backup.max_age_h of the environment file"
    longest = f"longest time between two runs of CronJob {name}, {spec['schedule']}"
    evidence.check(longest, gap_h, "<=", max_age_h, unit="h", source=limited)
    source = f"{source}, lastSuccessfulTime"
    if status.last_success is None:
        evidence.check(f"last success of CronJob {name}", "never", "!=", "never", source=source)
        return
    age_s, due = status.age_s, f"{status.due:%Y-%m-%d %H:%M} UTC"
    source = f"{source}; the run of {due} must have ended"
    evidence.check(
        f"age of the last success of CronJob {name}", age_s, "<=", status.max_age_s, unit="s", source=source
    )


def check_recipients(cron_job: dict[str, Any], environment: Environment, evidence: Evidence) -> None:
    """Check that the next backups are encrypted for the environment file's key, where the CronJob says so."""
    part, backup = environment.kubernetes, environment.backup
    if backup.identity is None:
        raise environment.missing("backup.identity")
    secrets: list[Any] = []
    if wanted := backup_job.secret_references(cron_job):
        with Cluster(part.secrets_access()) as reader:
            if not reader.may("list", "secrets", part.namespace):
                source = f"context {reader.access.context} may not list the Secrets of {part.namespace}"
                evidence.check("recipients of the next backups", None, "==", [], source=source)
                return
            listed = reader.list("v1", "Secret", part.namespace)
        secrets = [one for one in listed if one["metadata"]["name"] in wanted]
    found = backup_job.recipient_faults(cron_job, secrets, backups.public_key(backup.identity))
    source = f"CronJob {cron_job['metadata']['name']} and its Secrets; backup.identity"
    evidence.check("recipients of the next backups", found, "==", [], source=source)


def check_folder(part: BackupPart, evidence: Evidence) -> Backup:
    """Check the files in the folder and the newest backup's age; return it, or end the gate without one."""
    now = datetime.now(UTC)
    files = backups.list_files(part.directory, now)
    while rules.undescribed(files):  # until it is described, or too old
        time.sleep(0.5)
        now = datetime.now(UTC)
        files = backups.list_files(part.directory, now)
    found, faults = backups.read_backups(part.directory)
    faults += rules.folder_faults(files)
    faults += rules.record_faults(((one.path.name, one.size, one.sha256) for one in found), files)
    source = f"{part.directory}: modes, first bytes and descriptions"
    evidence.check("faults of the backups' files", faults[:MAX_DIFFERENCES], "==", [], source=source)
    evidence.require("backups in the directory", len(found), ">=", 1, source=str(part.directory))
    newest = found[-1]
    age_h, source = newest.age_s(now) / 3600, f"{newest.path.name}, taken_at"
    evidence.check(
        f"age of the newest backup, {newest.path.name}", age_h, "<=", part.max_age_h, unit="h", source=source
    )
    ahead_s, allowed_s = -newest.age_s(now), rules.CLOCK_TOLERANCE.total_seconds()
    name = f"time in the future of the newest backup, {newest.path.name}"
    evidence.check(name, max(ahead_s, 0.0), "<=", allowed_s, unit="s", source=source)
    return newest


def check_dump(newest: Backup, part: BackupPart, environment: Environment, evidence: Evidence) -> None:
    """Check that the dump is complete, and that only the environment file's key decrypts it."""
    if part.identity is None:
        raise environment.missing("backup.identity")
    source, dumped = newest.path.name, f"dump {newest.path.name}"
    present = "present" if newest.path.is_file() else "absent"
    evidence.require(dumped, present, "==", "present", source=source)
    dump = backups.inspect_dump(newest)
    described = f"{source}, description of the backup"
    evidence.check(f"{dumped}: size", dump.size, "==", newest.size, unit="bytes", source=described)
    evidence.check(f"{dumped}: checksum", dump.sha256, "==", newest.sha256, source=described)
    recorded, file = dump.recorded_sha256 or "absent", f"{source}.sha256"
    evidence.check(f"{dumped}: checksum in the .sha256 file", recorded, "==", dump.sha256, source=file)
    encryption = "encrypted" if dump.encrypted else "not encrypted"
    evidence.check(f"{dumped}: encryption", encryption, "==", "encrypted", source=f"{source}, first bytes")
    own, other = (
        "succeeds" if backups.can_decrypt(newest, key) else "fails"
        for key in (part.identity, backups.generate_identity())
    )
    evidence.check(f"{dumped}: decryption with backup.identity", own, "==", "succeeds", source=source)
    evidence.check(f"{dumped}: decryption with another key", other, "==", "fails", source="a generated key")


def check_listing(
    newest: Backup, part: BackupPart, database: Database, environment: Environment, evidence: Evidence
) -> str | None:
    """Check the dump's own header and table of contents, and return the listing; None if there is none."""
    if part.identity is None:
        raise environment.missing("backup.identity")
    restore.find_pg_restore()  # its absence is an ERROR, as it says nothing about the backup
    source = f"{newest.path.name}, pg_restore --list"
    try:
        text = restore.list_dump(newest, part.identity, within_s=part.restore_within_s)
    except backups.BackupError as e:
        evidence.check(f"header of {newest.path.name}", str(e), "==", "readable", source=source)
        return None
    listing = rules.parse_listing(text)
    live, version = (str(database.value(sql)) for sql in ("SELECT current_database()", "SHOW server_version"))
    faults = rules.header_faults(
        listing, taken_at=newest.taken_at, recorded=newest.database, live=live, live_version=version
    )
    evidence.check(f"header of {newest.path.name}", faults, "==", [], n=listing.count, source=source)
    described = [name for name, _ in newest.tables]
    missing = rules.missing_content(listing, content.read_catalog(database), described)
    name, source = f"content missing from {newest.path.name}", f"{source}; the live database's pg_catalog"
    evidence.check(name, missing[:MAX_DIFFERENCES], "==", [], source=source)
    return text


def check_restore(
    newest: Backup, listing: str | None, database: Database, environment: Environment, evidence: Evidence
) -> None:
    """Restore into a scratch database, compare the content, and check that the scratch database is gone."""
    part = environment.backup
    if part.identity is None or part.scratch_url is None:
        raise environment.missing("backup.identity" if part.identity is None else "backup.scratch_url")
    if environment.kubernetes.read_only:
        restore.require_other_server(part.scratch_url, environment.database.url)
    began = time.monotonic()
    with restore.scratch_database(part.scratch_url) as url:
        try:
            took = restore.restore(
                newest, part.identity, url, within_s=part.restore_within_s, listing=listing
            )
        except backups.BackupError as e:
            evidence.require(f"restore of {newest.path.name}", str(e), "==", "restored", source="pg_restore")
            return
        source = f"{newest.path.name} in a scratch database"
        evidence.check("restore time", took, "<=", part.restore_within_s, unit="s", source=source)
        with (
            Database(url, statement_timeout_s=part.restore_within_s, options=content.AS_TEXT) as scratch,
            Database(environment.database.url, options=content.AS_TEXT) as live,
        ):
            check_content(newest, scratch, database, evidence)
            check_rows(newest, scratch, live, evidence)
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
    source = f"{newest.path.name}: count(*) after the restore, counts in its description"
    name = f"tables of {newest.path.name} with a different row count"
    evidence.check(name, differing, "==", [], n=len({*counts, *described}), source=source)
    evidence.check("restored rows", sum(counts.values()), ">=", 1, source="count(*) in the scratch database")
    revision, live_revision = restore.schema_revision(scratch), restore.schema_revision(live)
    source = f"{newest.path.name}; alembic_version"
    evidence.check("schema revision (restored)", revision, "==", newest.schema_revision, source=source)
    evidence.check("schema revision (live)", live_revision, "==", revision, source=source)
    expected = restore.describe_schema(live)
    differences = rules.schema_differences(expected, restore.describe_schema(scratch))
    evidence.check(
        "schema differences (restored, live)",
        differences[:MAX_DIFFERENCES],
        "==",
        [],
        n=len(expected),
        source=f"{newest.path.name}; pg_catalog: tables, columns, indexes, triggers, policies, ...",
    )
    behind = rules.sequence_faults(content.read_positions(scratch, live))
    source = f"{newest.path.name}; pg_sequence_last_value"
    evidence.check("restored sequences that lag behind their rows", behind, "==", [], source=source)


def check_rows(newest: Backup, scratch: Database, live: Database, evidence: Evidence) -> None:
    """Compare the restored rows with the live rows of the backup's time, whatever was written since."""
    whole = content.is_same_cluster(newest, live)
    restored = {str(table) for table in content.list_tables(scratch)}
    tables = [table for table in content.list_tables(live) if str(table) in restored]
    compared = [
        content.compare(table, newest, live, scratch, whole=whole) for table in tables if table.readable
    ]
    sampled = sum(one.sampled for one in compared)
    how = (
        "live rows last written before its snapshot (xmin), whole"
        if whole
        else "live rows created before it, by key and creation time"
    )
    source = f"{newest.path.name}; {how}: {sampled} rows of {len(compared)} tables by md5, and counts"
    missing, differing = rules.missing_rows(compared), rules.differing_rows(compared)
    evidence.check("rows missing from the restored database", missing, "==", [], source=source)
    evidence.check("rows with other values in the restored database", differing, "==", [], source=source)
    foreign = rules.foreign_rows(compared, taken_at=newest.taken_at)
    source = f"{newest.path.name}; creation times, and primary keys looked up in the live database"
    evidence.check("restored rows that this backup cannot contain", foreign, "==", [], source=source)
    if refused := [str(table) for table in tables if not table.readable]:
        role = live.value("SELECT current_user")
        grant = f"GRANT SELECT ON {', '.join(refused)} TO {role}"
        raise DatabaseError(f"the database {live.name}: the gates' role cannot read all tables. Run: {grant}")
