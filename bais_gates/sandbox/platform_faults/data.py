"""Faults of what the platform keeps: its database, cache, backups and records."""

from __future__ import annotations

from typing import Final

from bais_gates.sandbox.platform_faults.changes import Configuration, Delete, File, Patch, Sql
from bais_gates.sandbox.platform_faults.model import fault

_BACKUP = "batch/v1 CronJob bais/bais-backup"
_REDIS = ("v1 ConfigMap bais/bais-redis", "redis.conf")
_RELOAD = "SELECT pg_reload_conf()"
_UNUSED_KEY = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"
_SINCE_2020 = "2020-01-01T00:00:00+00:00"

FAULTS: Final = (
    # -- database --
    fault(
        "database_duplicate_index",
        "Two indexes of payments have the same columns; the second is not in the backup.",
        "checklist.database_optimized checklist.backup_verified",
        Sql(
            ("CREATE INDEX payments_of_workflow ON payments (workflow_id)",),
            ("DROP INDEX payments_of_workflow",),
        ),
    ),
    fault(
        "database_foreign_key_without_index",
        "The index of a foreign key of payments is dropped.",
        "checklist.database_optimized checklist.backup_verified",
        Sql(
            ("DROP INDEX payments_by_workflow",),
            ("CREATE INDEX payments_by_workflow ON payments (workflow_id)",),
        ),
    ),
    fault(
        "database_table_without_autovacuum",
        "Autovacuum is disabled for payments.",
        "checklist.database_optimized",
        Sql(
            ("ALTER TABLE payments SET (autovacuum_enabled = off)",),
            ("ALTER TABLE payments RESET (autovacuum_enabled)",),
        ),
    ),
    fault(
        "database_replication_slot_unused",
        "The slot of a replica that no longer exists keeps all WAL.",
        "checklist.database_optimized",
        Sql(
            ("SELECT pg_create_physical_replication_slot('former_replica', true)",),
            ("SELECT pg_drop_replication_slot('former_replica')",),
        ),
    ),
    fault(
        "database_passwords_hashed_by_md5",
        "New passwords of roles are hashed by MD5.",
        "checklist.database_optimized checklist.compliance_verified",
        Sql(
            ("ALTER SYSTEM SET password_encryption = 'md5'", _RELOAD),
            ("ALTER SYSTEM RESET password_encryption", _RELOAD),
        ),
    ),
    fault(
        "database_setting_pending_restart",
        "max_connections is changed, and waits for a restart.",
        "checklist.database_optimized",
        Sql(
            ("ALTER SYSTEM SET max_connections = 300", _RELOAD),
            ("ALTER SYSTEM RESET max_connections", _RELOAD),
        ),
    ),
    # -- cache --
    fault(
        "database_second_superuser",
        "A role for support is a superuser of PostgreSQL.",
        "checklist.compliance_verified",
        Sql(("CREATE ROLE support LOGIN SUPERUSER",), ("DROP ROLE support",)),
    ),
    fault(
        "database_readable_by_everybody",
        "Every role of PostgreSQL may read payments.",
        "checklist.compliance_verified",
        Sql(("GRANT SELECT ON payments TO PUBLIC",), ("REVOKE SELECT ON payments FROM PUBLIC",)),
    ),
    fault(
        "database_audit_log_changeable",
        "The trigger that keeps the audit log unchanged is disabled.",
        "checklist.compliance_verified checklist.database_optimized checklist.backup_verified",
        Sql(
            ("ALTER TABLE audit_log DISABLE TRIGGER audit_log_append_only",),
            ("ALTER TABLE audit_log ENABLE TRIGGER audit_log_append_only",),
        ),
    ),
    fault(
        "cache_evicts_nothing",
        "Redis refuses writes when its memory is full, instead of evicting keys.",
        "checklist.cache_configured",
        Configuration(*_REDIS, "allkeys-lru", "noeviction", restart="bais/bais-redis-0"),
    ),
    fault(
        "cache_memory_changed",
        "Redis may use half of the memory that it is meant to have.",
        "checklist.cache_configured",
        Configuration(*_REDIS, "maxmemory 64mb", "maxmemory 32mb", restart="bais/bais-redis-0"),
    ),
    fault(
        "cache_persistent",
        "Redis writes customers' data to an append-only file.",
        "checklist.cache_configured",
        Configuration(*_REDIS, "appendonly no", "appendonly yes", restart="bais/bais-redis-0"),
    ),
    fault(
        "cache_user_may_do_everything",
        "The API's Redis user may run every command.",
        "checklist.cache_configured",
        Configuration(
            "v1 Secret bais/bais-redis",
            "users.acl",
            r"^(user bais_app on >\S+).*",
            r"\1 ~* &* +@all",
            restart="bais/bais-redis-0",
        ),
    ),
    # -- backup and recovery --
    fault(
        "backup_suspended",
        "The CronJob of the backups is suspended.",
        "checklist.backup_verified",
        Patch(_BACKUP, {"spec": {"suspend": True}}),
    ),
    fault(
        "backup_truncated",
        "The newest backup's dump is cut off.",
        "checklist.backup_verified checklist.compliance_verified",
        File(name="backup.directory/*.dump.age", text=""),
    ),
    fault(
        "backup_checksum_wrong",
        "The recorded checksum of the newest backup is another file's.",
        "checklist.backup_verified",
        File(name="backup.directory/*.sha256", replace=("^[0-9a-f]{64}", "0" * 64)),
    ),
    fault(
        "backup_counts_wrong",
        "The newest backup has fewer rows than its record says.",
        "checklist.backup_verified",
        File(name="backup.directory/*.json", merge={"tables": {"public.payments": 1_000_000}}),
    ),
    fault(
        "backup_in_plain_text",
        "Beside the encrypted backups is a dump in plain text.",
        "checklist.compliance_verified checklist.backup_verified",
        File(name="backup.directory/manual.sql", text="CREATE TABLE payments (id uuid);\n"),
    ),
    fault(
        "backup_schedule_deleted",
        "Nothing makes backups: the CronJob is deleted.",
        "checklist.backup_verified checklist.disaster_recovery",
        Delete(_BACKUP),
    ),
    fault(
        "backup_encrypted_for_another_key",
        "New backups are encrypted for a key that nobody has.",
        "checklist.disaster_recovery checklist.backup_verified",
        Configuration("v1 Secret bais/bais-backup", "AGE_RECIPIENT", "^.*$", _UNUSED_KEY),
    ),
    fault(
        "backup_job_fails",
        "Every backup fails: its encryption key is no key.",
        "checklist.disaster_recovery",
        Configuration("v1 Secret bais/bais-backup", "AGE_RECIPIENT", "^age1", "no-age1"),
        Patch(_BACKUP, {"spec": {"jobTemplate": {"spec": {"backoffLimit": 0}}}}),
    ),
    # -- audit and records --
    fault(
        "audit_outdated",
        "The security audit is years old.",
        "checklist.security_audit",
        File(name="security.audit_record", merge={"taken_at": _SINCE_2020}),
    ),
    fault(
        "audit_approved_by_auditor",
        "The auditor approved the security audit.",
        "checklist.security_audit",
        File(name="security.audit_record", merge={"approved_by": "the sandbox"}),
    ),
    fault(
        "audit_incomplete",
        "The security audit left out authorization and cryptography.",
        "checklist.security_audit",
        File(name="security.audit_record", merge={"scope": ["authentication", "logging"]}),
    ),
    fault(
        "audit_of_another_build",
        "The security audit is of another image than the one that runs.",
        "checklist.security_audit",
        File(
            name="security.audit_record",
            merge={"subject": f"registry.bais.example/bais-api@sha256:{'1' * 64}"},
        ),
    ),
    fault(
        "audit_leaves_finding_open",
        "The security audit left a critical finding open.",
        "checklist.security_audit",
        File(name="security.audit_record", merge={"findings": {"critical": 1}}),
    ),
    fault(
        "scan_changed_after_audit",
        "The scanner's report was edited after the audit.",
        "checklist.security_audit",
        File(name="security.scans", replace=(r"\Z", "\n")),
    ),
    fault(
        "incident_procedure_outdated",
        "Nobody has reviewed the incident procedure for years.",
        "checklist.compliance_verified",
        File(name="security.incident_procedures", replace=("reviewed: .*", "reviewed: 2020-01-01")),
    ),
)
"""The faults, by what they change."""
