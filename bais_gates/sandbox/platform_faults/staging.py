"""Faults of the platform that staging provisions."""

from __future__ import annotations

from typing import Final

from bais_gates.sandbox.platform_faults.changes import (
    STAGING,
    Configuration,
    Create,
    Delete,
    Patch,
    Sql,
    manifest,
)
from bais_gates.sandbox.platform_faults.model import fault, pod_spec

_REDIS = (f"v1 ConfigMap {STAGING}/bais-redis", "redis.conf")


def _trigger(body: str) -> Sql:
    """Return a trigger on payments of staging that runs this PL/pgSQL for each new one."""
    return Sql(
        (
            f"CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN {body}; END$$",
            "CREATE TRIGGER meddle BEFORE INSERT ON payments FOR EACH ROW EXECUTE FUNCTION meddle()",
        ),
        ("DROP TRIGGER meddle ON payments", "DROP FUNCTION meddle()"),
        namespace=STAGING,
    )


FAULTS: Final = (
    # -- namespace --
    fault(
        "staging_open_to_everybody",
        "A NetworkPolicy lets everybody reach every pod of staging.",
        "staging.namespace_isolated",
        Create(
            manifest(
                f"networking.k8s.io/v1 NetworkPolicy {STAGING}/allow-all",
                spec={"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{}]},
            )
        ),
    ),
    fault(
        "staging_admits_privileged_pods",
        "The namespace of staging does not enforce a Pod Security Standard.",
        "staging.namespace_isolated",
        Patch(
            f"v1 Namespace {STAGING}",
            {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "privileged"}}},
        ),
    ),
    fault(
        "staging_without_quota",
        "Staging may use all capacity of the cluster: its ResourceQuota is deleted.",
        "staging.namespace_isolated",
        Delete(f"v1 ResourceQuota {STAGING}/bais"),
    ),
    fault(
        "staging_writable_by_another_namespace",
        "A service account of another namespace has rights in staging.",
        "staging.namespace_isolated",
        Create(
            manifest(
                f"rbac.authorization.k8s.io/v1 RoleBinding {STAGING}/deployer",
                roleRef={"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
                subjects=[{"kind": "ServiceAccount", "name": "deployer", "namespace": "ci"}],
            )
        ),
    ),
    # -- database --
    fault(
        "staging_database_writable_by_gates",
        "The gates' role may write to payments of staging.",
        "staging.database",
        Sql(
            ("GRANT INSERT ON payments TO gates_ro",),
            ("REVOKE INSERT ON payments FROM gates_ro",),
            namespace=STAGING,
        ),
    ),
    fault(
        "staging_database_setting_overridden",
        "A setting of the database of staging overrides that of its ConfigMap.",
        "staging.database",
        Sql(
            ("ALTER DATABASE bais SET idle_in_transaction_session_timeout = 0",),
            ("ALTER DATABASE bais RESET idle_in_transaction_session_timeout",),
            namespace=STAGING,
        ),
    ),
    fault(
        "staging_database_configuration_not_in_effect",
        "The ConfigMap of PostgreSQL in staging was changed, and the server not restarted.",
        "staging.database",
        Configuration(
            f"v1 ConfigMap {STAGING}/bais-postgres",
            "postgresql.conf",
            "max_connections = 100",
            "max_connections = 250",
        ),
    ),
    # -- cache --
    fault(
        "staging_cache_configuration_not_in_effect",
        "The ConfigMap of Redis in staging was changed, and the server not restarted.",
        "staging.cache",
        Configuration(*_REDIS, "maxmemory 64mb", "maxmemory 128mb"),
    ),
    fault(
        "staging_cache_without_memory_limit",
        "Redis in staging has no memory limit.",
        "staging.cache",
        Configuration(*_REDIS, "maxmemory 64mb", "maxmemory 0", restart=f"{STAGING}/bais-redis-0"),
    ),
    fault(
        "staging_cache_user_may_do_everything",
        "The API's Redis user may run every command in staging.",
        "staging.cache",
        Configuration(
            f"v1 Secret {STAGING}/bais-redis",
            "users.acl",
            r"^(user bais_app on >\S+).*",
            r"\1 ~* &* +@all",
            restart=f"{STAGING}/bais-redis-0",
        ),
    ),
    # -- application --
    fault(
        "staging_without_disruption_budget",
        "The API of staging has no PodDisruptionBudget.",
        "staging.application",
        Delete(f"policy/v1 PodDisruptionBudget {STAGING}/bais-api"),
    ),
    fault(
        "staging_without_autoscaler",
        "The API of staging has no autoscaler.",
        "staging.application",
        Delete(f"autoscaling/v2 HorizontalPodAutoscaler {STAGING}/bais-api"),
    ),
    fault(
        "staging_rollout_paused",
        "A rollout of the API in staging was begun and paused.",
        "staging.application",
        Patch(
            f"apps/v1 Deployment {STAGING}/bais-api",
            {"spec": {"paused": True, "template": {"metadata": {"annotations": {"restarted": "yes"}}}}},
            settles=False,
        ),
    ),
    # -- migrations --
    fault(
        "staging_schema_at_another_revision",
        "The schema of staging has another revision than the one that its migrations reached.",
        "staging.migrations_at_head",
        Sql(
            ("UPDATE alembic_version SET version_num = '0001'",),
            ("UPDATE alembic_version SET version_num = '0002'",),
            namespace=STAGING,
        ),
    ),
    fault(
        "staging_schema_with_two_revisions",
        "The migrations of staging have two heads.",
        "staging.migrations_at_head",
        Sql(
            ("INSERT INTO alembic_version VALUES ('0001')",),
            ("DELETE FROM alembic_version WHERE version_num = '0001'",),
            namespace=STAGING,
        ),
    ),
    fault(
        "staging_schema_without_revision",
        "The schema of staging has no revision.",
        "staging.migrations_at_head",
        Sql(
            ("DELETE FROM alembic_version",),
            ("INSERT INTO alembic_version VALUES ('0002')",),
            namespace=STAGING,
        ),
    ),
    # -- health --
    fault(
        "staging_environment_not_in_effect",
        "The ConfigMap of the API in staging was changed, and its pods not restarted.",
        "staging.health",
        Patch(f"v1 ConfigMap {STAGING}/bais-api", {"data": {"ENVIRONMENT": "production"}}),
    ),
    fault(
        "staging_pod_fails",
        "A pod of staging can't start: its image does not exist.",
        "staging.health",
        Create(manifest(f"v1 Pod {STAGING}/report", spec=pod_spec("64Mi"))),
    ),
    fault(
        "staging_of_another_version",
        "The API of staging reports another version than the release's.",
        "staging.health",
        Patch(f"v1 ConfigMap {STAGING}/bais-api", {"data": {"VERSION": "0.9.0"}}),
        Patch(
            f"apps/v1 Deployment {STAGING}/bais-api",
            {"spec": {"template": {"metadata": {"annotations": {"restarted": "yes"}}}}},
        ),
    ),
    # -- smoke test --
    fault(
        "staging_payments_changed",
        "PostgreSQL of staging stores other amounts than the API sends.",
        "staging.smoke",
        _trigger("NEW.amount = NEW.amount + 0.01; RETURN NEW"),
    ),
    fault(
        "staging_payments_lost",
        "PostgreSQL of staging discards payments without an error.",
        "staging.smoke",
        _trigger("RETURN NULL"),
    ),
    fault(
        "staging_payments_refused",
        "The API may not write payments in staging.",
        "staging.smoke",
        Sql(
            ("REVOKE INSERT ON payments FROM CURRENT_USER",),
            ("GRANT INSERT ON payments TO CURRENT_USER",),
            namespace=STAGING,
        ),
    ),
)
"""The faults, by what they change."""
