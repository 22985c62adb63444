"""Check that the staged PostgreSQL is ready, a server of its own, and configured as declared."""

from __future__ import annotations

import pytest

from bais_gates import Evidence
from bais_gates.probes import Database
from bais_gates.rules import database_settings as rules
from bais_gates.staging import StagedPlatform, Step, judge, workload

NAME = "bais-postgres"
OLDEST_MAJOR = 15
"""The oldest major version that PostgreSQL still supports for long enough."""
SERVER = "SELECT system_identifier::text FROM pg_control_system()"
ROLES = """
SELECT rolname, rolsuper OR rolcreaterole OR rolcreatedb AS privileged
FROM pg_roles WHERE rolcanlogin AND oid = (SELECT datdba FROM pg_database WHERE datname = current_database())
"""
WRITABLE = """
SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'public' AND c.relkind = 'r'
  AND has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE') ORDER BY 1
"""


@pytest.mark.gate("staging.database")
def test_database(staging: StagedPlatform, evidence: Evidence) -> None:
    """The staged database is ready on its own volume, responds, and runs with its ConfigMap's settings."""
    staging.require(Step.DATABASE, evidence)
    check_workload(staging, evidence)
    with staging.database() as database:
        version = int(str(database.value("SELECT current_setting('server_version_num')"))) // 10000
        evidence.check("PostgreSQL major version", version, ">=", OLDEST_MAJOR, source="server_version_num")
        check_settings(staging, database, evidence)
        check_rights(database, evidence)
        check_server(staging, database, evidence)


def check_workload(staging: StagedPlatform, evidence: Evidence) -> None:
    """Check the StatefulSet, its pods and its volume claims."""
    stateful_set = staging.named("apps/v1", "StatefulSet", NAME)
    state = judge(stateful_set).state if stateful_set else "absent"
    evidence.require(f"state (StatefulSet {NAME})", state, "==", "ready")
    pods = staging.list("v1", "Pod", "database")
    evidence.check("ready pods", sum(map(workload.is_ready, pods)), "==", len(pods), n=len(pods))
    evidence.check("container restarts", workload.restarts(pods), "==", 0, n=len(pods))
    if stateful_set:
        running, declared = workload.running_digests(pods), workload.declared_digests(stateful_set)
        evidence.check("running image digests", running, "==", declared)
    claims = staging.list("v1", "PersistentVolumeClaim", "database")
    phases = sorted({str((one.get("status") or {}).get("phase")) for one in claims})
    evidence.check("volume claim phases", phases, "==", ["Bound"], n=len(claims))


def check_settings(staging: StagedPlatform, database: Database, evidence: Evidence) -> None:
    """Check that every setting of the ConfigMap is in effect, and that connections are left."""
    declared = workload.postgres_settings(staging.reach.configuration(NAME).get("postgresql.conf", ""))
    effective = {
        str(row["name"]).lower(): row  # TimeZone and timezone are one setting
        for row in database.rows("SELECT name, setting, unit, vartype, pending_restart FROM pg_settings")
    }
    differing = rules.differing_settings(declared, effective)
    source = f"pg_settings; ConfigMap {NAME}"
    evidence.check(
        "settings that differ from the ConfigMap", differing, "==", [], n=len(declared), source=source
    )
    pending = rules.settings_pending_restart(effective)
    evidence.check("settings pending a restart", pending, "==", [])
    most, used = database.max_connections(), database.all_connections()
    evidence.check("connections in use", used, "<", most)


def check_rights(database: Database, evidence: Evidence) -> None:
    """Check that neither the database's owner nor the gates' role has rights that it does not need."""
    owners = database.rows(ROLES)
    privileged = [str(row["rolname"]) for row in owners if row["privileged"]]
    evidence.check("database owners with excess rights", privileged, "==", [], n=len(owners))
    writable = [str(row["relname"]) for row in database.rows(WRITABLE)]
    evidence.check("tables writable by the gates' role", writable, "==", [])


def check_server(staging: StagedPlatform, database: Database, evidence: Evidence) -> None:
    """Check that it is another server than the target's."""
    target = staging.environment
    if not target.describes("database") or target.kubernetes.namespace == staging.namespace:
        evidence.attach("the target's database", "The environment file describes no other database.")
        return
    with Database(target.database.url) as other:
        staged_id, other_id = (str(one.value(SERVER)) for one in (database, other))
        name = "system_identifier (differs from the target's database)"
        evidence.check(name, staged_id, "!=", other_id, source=SERVER)
