"""The staged PostgreSQL: up, reachable, its own, with the settings it was given."""

from __future__ import annotations

import pytest

from bais_gates import Evidence
from bais_gates.probes import Database
from bais_gates.rules import database as rules
from bais_gates.staging import StagedPlatform, Step, is_ready, judge, workload

NAME = "bais-postgres"
OLDEST_MAJOR = 15
"""The oldest major version that PostgreSQL's makers still mend for long enough to stage on."""
SERVER = "SELECT system_identifier::text FROM pg_control_system()"
ROLES = """
SELECT rolname, rolsuper OR rolcreaterole OR rolcreatedb AS mighty
FROM pg_roles WHERE rolcanlogin AND oid = (SELECT datdba FROM pg_database WHERE datname = current_database())
"""
WRITABLE = """
SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'public' AND c.relkind = 'r'
  AND has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE') ORDER BY 1
"""


@pytest.mark.gate("staging.database")
def test_database(staging: StagedPlatform, evidence: Evidence) -> None:
    """The staged database is up on a volume of its own, answers, and runs with the settings it was given."""
    staging.require(Step.DATABASE, evidence)
    _is_up(staging, evidence)
    with staging.database() as database:
        version = int(str(database.value("SELECT current_setting('server_version_num')"))) // 10000
        evidence.check("major version", version, ">=", OLDEST_MAJOR, source="server_version_num")
        _has_its_settings(staging, database, evidence)
        _gives_no_more_than_needed(database, evidence)
        _is_its_own(staging, database, evidence)


def _is_up(staging: StagedPlatform, evidence: Evidence) -> None:
    stateful_set = staging.named("apps/v1", "StatefulSet", NAME)
    evidence.require("StatefulSet", judge(stateful_set).state if stateful_set else "absent", "==", "ready")
    pods = staging.list("v1", "Pod", "database")
    evidence.check("pods that are ready", sum(map(is_ready, pods)), "==", len(pods), n=len(pods))
    evidence.check("restarts", workload.restarts(pods), "==", 0, n=len(pods))
    if stateful_set:
        running = workload.digests_running(pods)
        evidence.check("image running", running, "==", workload.digests_meant(stateful_set))
    claims = staging.list("v1", "PersistentVolumeClaim", "database")
    phases = sorted({str((one.get("status") or {}).get("phase")) for one in claims})
    evidence.check("volume claims", phases, "==", ["Bound"], n=len(claims))


def _has_its_settings(staging: StagedPlatform, database: Database, evidence: Evidence) -> None:
    declared = workload.declared_settings(staging.reach.configuration(NAME).get("postgresql.conf", ""))
    effective = {
        str(row["name"]).lower(): row  # PostgreSQL takes TimeZone and timezone for one
        for row in database.rows("SELECT name, setting, unit, vartype, pending_restart FROM pg_settings")
    }
    differing = rules.differing_settings(declared, effective)
    source = "ConfigMap bais-postgres against pg_settings"
    evidence.check("settings in effect otherwise", differing, "==", [], n=len(declared), source=source)
    pending = rules.settings_pending_restart(effective)
    evidence.check("settings that wait for a restart", pending, "==", [])
    most, used = database.max_connections(), database.all_connections()
    evidence.check("connections in use", used, "<", most)


def _gives_no_more_than_needed(database: Database, evidence: Evidence) -> None:
    owners = database.rows(ROLES)
    mighty = [str(row["rolname"]) for row in owners if row["mighty"]]
    evidence.check("owner of the database with more rights than it needs", mighty, "==", [], n=len(owners))
    writable = [str(row["relname"]) for row in database.rows(WRITABLE)]
    evidence.check("tables that the gates' role may write to", writable, "==", [])


def _is_its_own(staging: StagedPlatform, database: Database, evidence: Evidence) -> None:
    known = staging.environment
    if not known.describes("database") or known.kubernetes.namespace == staging.namespace:
        evidence.attach("the target's database", "The environment file describes no other database.")
        return
    with Database(known.database.url) as other:
        evidence.check("server", str(database.value(SERVER)), "!=", str(other.value(SERVER)), source=SERVER)
