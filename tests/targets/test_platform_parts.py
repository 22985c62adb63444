"""The parts about the cluster: those of the project's files, and what production's may never hold."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bais_gates.errors import GateInputError
from bais_gates.redaction import redact
from bais_gates.targets.environment import load_environment, unset_variables
from bais_gates.verdict import exemptions
from bais_gates.verdict.catalog import load_catalog

GATES = Path(__file__).parents[2] / "gates"
KUBERNETES = "kubernetes: {kubeconfig: kc, context: c, read_only: true}\n"
Write = Callable[[str, str], Path]


def filled(name: str, **changed: str) -> dict[str, str]:
    """Return a value for every variable in a file of the project."""
    values = {
        one: f"value-of-{one.lower()}" for one in unset_variables(GATES / f"environments/{name}.yaml", {})
    }
    images = {one: f"registry.example/{one.lower()}@sha256:{'a' * 64}" for one in values if "IMAGE" in one}
    hosts = {one: f"{one.lower().replace('_', '-')}.example.com" for one in values if one.endswith("HOST")}
    urls = {
        "BACKUP_SCRATCH_URL": "postgresql://scratch:scratch-secret@db.example.com/postgres",
        "ROLLOUT_SCRATCH_URL": "postgresql://scratch:scratch-secret@db.example.com/postgres",
        "DATABASE_URL": "postgresql://app:app-db-secret@db.example.com/bais",
        "PAGERDUTY_SENDER_EMAIL": "gates@example.com",
        **{one: f"https://hooks.example.com/{one}" for one in values if one.endswith("_WEBHOOK")},
    }
    return {**values, **images, **hosts, **urls, **changed}


@pytest.mark.parametrize("name", ["staging", "production"])
def test_the_projects_files_name_every_variable_of_the_platform(name: str) -> None:
    """The files are whole once their variables are set; the secrets among them are redacted from then on."""
    environment = load_environment(name, gates_dir=GATES, variables=filled(name))
    assert {"DB_USER", "DB_PASSWORD", "DATABASE_URL", "REDIS_URL", "SECRET_KEY"} <= set(environment.variables)
    assert {"PAGERDUTY_API_KEY", "SLACK_WEBHOOK_URL", "CERT_MANAGER_EMAIL"} <= set(environment.variables)
    assert not environment.rehearsal
    assert "value-of-secret_key" not in redact("the key is value-of-secret_key")
    assert "app-db-secret" not in redact("tried app-db-secret")
    assert redact("mail value-of-cert_manager_email") == "mail value-of-cert_manager_email"
    for part in ("kubernetes", "release", "tls", "backup", "security", "recovery", "capacity"):
        assert environment.describes(part)


def test_production_is_read_only_and_stages_nothing() -> None:
    """Production's file leaves no way to write to its cluster."""
    production = load_environment("production", gates_dir=GATES, variables=filled("production"))
    part = production.kubernetes
    assert part.read_only
    assert part.access().read_only
    assert part.access().verified
    assert part.secrets_access().context == "value-of-production_secrets_context"
    assert ("ServiceAccount cert-manager/*" in dict(part.trusted_subjects), part.admin_context) == (
        True,
        None,
    )
    assert not production.describes("staging")
    assert production.not_applicable == ()
    staged = load_catalog(GATES / "catalog.yaml").by_id["staging.database"]
    assert (exemptions.not_applicable(staged, production) or "").startswith("it belongs to sandbox, staging")
    with pytest.raises(GateInputError, match="read_only"):
        part.write_access()


def test_staging_passes_its_variables_on() -> None:
    """The staging part has the platform's variables."""
    staging = load_environment("staging", gates_dir=GATES, variables=filled("staging"))
    assert staging.staging.variables["DB_USER"] == "value-of-db_user"
    assert staging.kubernetes.secrets_access().context == "value-of-staging_admin_context"
    assert staging.kubernetes.write_access().context == "value-of-staging_admin_context"


def test_production_without_a_context_is_refused() -> None:
    """The error for an empty context names the variable that is not set."""
    values = filled("production") | {"PRODUCTION_CONTEXT": ""}
    with pytest.raises(
        GateInputError, match=r"kubernetes\.context: the variable PRODUCTION_CONTEXT is not set"
    ):
        load_environment("production", gates_dir=GATES, variables=values)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kubernetes: {kubeconfig: kc, context: c}\n", "read_only: gates only read production"),
        ("kubernetes: {kubeconfig: kc, read_only: true}\n", "context is missing"),
        ("kubernetes: {kubeconfig: kc, context: ' ', read_only: true}\n", "context: the context is empty"),
        ("kubernetes: {kubeconfig: kc, context: c, read_only: true, admin_context: a}\n", "admin_context"),
        (
            "kubernetes: {kubeconfig: kc, context: c, read_only: true, secrets_context: ' '}\n",
            "secrets_context",
        ),
        (
            "kubernetes: {kubeconfig: kc, context: c, read_only: true, trusted_subjects: {jane: x}}\n",
            "trusted_subjects",
        ),
        (KUBERNETES + "staging: {overlay: staging}\n", "nothing is staged"),
        (KUBERNETES + "recovery: {drill: true}\n", "no drill runs"),
        (KUBERNETES + "release: {image: 'bais-api:latest'}\n", "release.image"),
        ("kubernetes: {kubeconfig: kc, context: c, request_timeout_s: 60}\n", "at most 10"),
    ],
)
def test_unsafe_production_file_is_refused(write: Write, gates_dir: Path, text: str, message: str) -> None:
    """Each mistake that would let a gate write to production is refused, with file and key."""
    path = write("production", "name: production\n" + text)
    with pytest.raises(GateInputError) as error:
        load_environment("production", gates_dir=gates_dir)
    assert message in str(error.value)
    assert str(path) in str(error.value)


def test_an_api_of_production_makes_the_file_productions(write: Write, gates_dir: Path) -> None:
    """The same rules hold for a file of another name whose API is production's."""
    api = "api: {url: 'https://api.example.com', environment: production}\n"
    write("eu", f"name: eu\n{api}kubernetes: {{kubeconfig: kc, context: c}}\n")
    with pytest.raises(GateInputError, match="read_only"):
        load_environment("eu", gates_dir=gates_dir)


def test_paths_are_beside_the_file_and_settings_as_postgres_shows_them(write: Write, gates_dir: Path) -> None:
    """A relative path starts at the file's folder; true becomes on; a list becomes a tuple."""
    path = write(
        "mine",
        "name: mine\nkubernetes: {kubeconfig: kc.yaml, context: c, helm_releases: [a/b]}\n"
        "database_settings: {ssl: true, max_connections: 200}\nsecurity: {scans: [one.sarif]}\n",
    )
    mine = load_environment("mine", gates_dir=gates_dir)
    assert mine.kubernetes.kubeconfig == path.parent / "kc.yaml"
    assert mine.kubernetes.helm_releases == ("a/b",)
    assert mine.database_settings == {"ssl": "on", "max_connections": "200"}
    assert mine.security.scans == (path.parent / "one.sarif",)
    with pytest.raises(GateInputError, match="backup is missing"):
        _ = mine.backup


def test_unset_variables_are_those_in_values(tmp_path: Path) -> None:
    """A variable in a comment or after ``$$`` is not one that must be set."""
    path = tmp_path / "mine.yaml"
    path.write_text(
        "# ${IN_COMMENT}\nname: mine\napi: {url: 'https://${HOST}:${PORT}'}  # ${TOO}\n"
        "not_applicable: {acceptance.x: 'costs $${MONEY} a month'}\nkubernetes:\n"
        "  kubeconfig: ${KUBE}\n  context: c\n  helm_releases: ['${LISTED}']\n"
    )
    assert unset_variables(path, {"PORT": "443", "KUBE": ""}) == ("HOST", "KUBE", "LISTED")
