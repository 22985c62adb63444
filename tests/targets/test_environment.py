"""Environment files: which are accepted, and the error message for each that is not."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from bais_gates.errors import AbsentFileError, GateInputError
from bais_gates.redaction import redact
from bais_gates.reports import wording
from bais_gates.targets.environment import load_environment

Write = Callable[[str, str], Path]

FULL = """\
name: staging
api:
  url: https://api.example.com/
  environment: staging
rate_limit: {per_token: 100, per_address: 6000, window_s: 60}
database:
  url: postgresql://reader:${DB_PASSWORD}@db.example.com/bais
  payment_query: SELECT 1
cache: {url: "rediss://:s3cret-word@cache.example.com:6380/0"}
webhooks: {listen_host: 0.0.0.0, listen_port: 8443, advertise_url: "https://hooks.example.com"}
limits: {health_p95_ms: 50, concurrency: 100}
test_tenant: {email: gates@example.com, password: "Tenant-Pass-1!"}
not_applicable:
  acceptance.cache_functionality: this target has no cache endpoint
"""


DATED = """\
name: staging
not_applicable:
  acceptance.a:
    reason: The provider has no staging.
    ticket: BAIS-1
    requested_by: dana
    approved_by: alex
    approved_at: 2026-03-02T09:00:00Z
    expires: 2026-03-06T18:00:00Z
"""


def test_a_declaration_may_be_dated_and_approved(write: Write, gates_dir: Path) -> None:
    """Gates that do not apply are read with who says so until when, and held to the rules of a waiver."""
    write("staging", DATED)
    environment = load_environment("staging", gates_dir=gates_dir)

    assert environment.not_applicable == (("acceptance.a", "The provider has no staging."),)
    (exemption,) = environment.exemptions
    assert (exemption.gate, exemption.environment, exemption.approved_by) == (
        "acceptance.a",
        "staging",
        "alex",
    )
    for old, new, words in (
        ("    ticket: BAIS-1\n", "", "ticket is missing"),
        ("alex", "al\u200bex", ":7: not_applicable.acceptance.a.approved_by: has a character"),
        ("2026-03-06", "2026-03-01", "expires: must be after approved_at"),
        ("ticket", "color", "color: unknown key"),
    ):
        write("staging", DATED.replace(old, new))
        with pytest.raises(GateInputError, match=words.replace(".", r"\.")):
            load_environment("staging", gates_dir=gates_dir)


class TestValidFile:
    """Loading a valid file."""

    def test_name_alone_is_enough(self, write: Write, gates_dir: Path) -> None:
        """A file needs only its name."""
        write("bare", "name: bare\n")
        environment = load_environment("bare", gates_dir=gates_dir)
        assert (environment.name, environment.provision, environment.parts) == ("bare", "none", {})
        assert environment.rehearsal is False

    def test_every_part_becomes_a_value(self, write: Write, gates_dir: Path) -> None:
        """All parts are read, variables filled in, and the address loses its end slash."""
        path = write("staging", FULL)
        environment = load_environment("staging", gates_dir=gates_dir, variables={"DB_PASSWORD": "hunter22"})
        assert environment.api.url == "https://api.example.com"
        assert environment.database.url == "postgresql://reader:hunter22@db.example.com/bais"
        assert environment.rate_limit.per_token == 100
        assert environment.webhooks.listen_port == 8443
        assert environment.limits.health_p95_ms == 50
        assert environment.limits.concurrency == 100
        assert environment.exemptions == ()
        assert environment.not_applicable == (
            ("acceptance.cache_functionality", "this target has no cache endpoint"),
        )
        assert environment.digest == "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()

    def test_its_secrets_are_redacted_from_then_on(self, write: Write, gates_dir: Path) -> None:
        """Passwords in addresses and of the test tenant never reach a report."""
        write("staging", FULL)
        load_environment("staging", gates_dir=gates_dir, variables={"DB_PASSWORD": "hunter22-word"})
        redacted = redact("a hunter22-word b s3cret-word c Tenant-Pass-1! d")
        assert "hunter22-word" not in redacted
        assert "s3cret-word" not in redacted
        assert "Tenant-Pass-1!" not in redacted

    def test_a_dollar_can_be_written(self, write: Write, gates_dir: Path) -> None:
        """``$${`` stands for a literal ``${`` and names no variable."""
        write("bare", "name: bare\nnot_applicable: {acceptance.x: 'costs $${MONEY} a month'}\n")
        environment = load_environment("bare", gates_dir=gates_dir, variables={})
        assert environment.not_applicable == (("acceptance.x", "costs ${MONEY} a month"),)

    def test_a_path_is_read_from_anywhere(self, tmp_path: Path) -> None:
        """A path names a file outside the gates folder, whose name may differ from the file's."""
        path = tmp_path / "elsewhere.yaml"
        path.write_text("name: staging\n")
        assert load_environment(str(path), gates_dir=tmp_path).name == "staging"

    def test_it_is_a_frozen_value(self, write: Write, gates_dir: Path) -> None:
        """An environment cannot be changed during a run."""
        write("bare", "name: bare\n")
        environment = load_environment("bare", gates_dir=gates_dir)
        with pytest.raises(dataclasses.FrozenInstanceError):
            environment.name = "other"  # type: ignore[misc]  # what is tested

    def test_completed_by_keeps_own_parts(self, write: Write, gates_dir: Path) -> None:
        """A provisioned target fills gaps only; name, digest and own parts stay."""
        write("small", "name: small\nprovision: sandbox\nlimits: {health_p95_ms: 5}\n")
        write("found", "name: found\napi: {url: 'https://127.0.0.1:1'}\nlimits: {health_p95_ms: 50}\n")
        small = load_environment("small", gates_dir=gates_dir)
        whole = small.completed_by(load_environment("found", gates_dir=gates_dir))
        assert (whole.name, whole.digest, whole.rehearsal) == ("small", small.digest, True)
        assert whole.api.url == "https://127.0.0.1:1"
        assert whole.limits.health_p95_ms == 5


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        pytest.param("name: x\nspeed: 3\n", 2, "speed", id="unknown-key"),
        pytest.param("name: x\ncache: {url: 'redis://h/main'}\n", 2, "as /0", id="cache-database"),
        pytest.param("name: x\nname: y\n", 2, "name", id="double-key"),
        pytest.param("name: x\napi:\n  url: 'https://a'\n  prot: 1\n", 4, "prot", id="unknown-inner-key"),
        pytest.param("api: {url: 'https://a'}\n", 1, "name", id="no-name"),
        pytest.param("name: x\napi:\n  url: api.example.com\n", 3, "api.url", id="no-scheme"),
        pytest.param("name: x\napi:\n  url: https://a:99999\n", 3, "api.url", id="bad-port"),
        pytest.param("name: x\napi:\n  url: https://u:pass-word@a\n", 3, "credentials", id="credentials"),
        pytest.param("name: x\napi:\n  url: https://${HOST}\n", 3, "HOST is not set", id="variable"),
        pytest.param("name: x\napi:\n  url: https://${EMPTY}\n", 3, "EMPTY is not set", id="empty-variable"),
        pytest.param("name: x\napi:\n  url: https://${not a name}\n", 3, "api.url", id="bad-variable"),
        pytest.param(
            "name: x\napi:\n  url: https://a\n  ca_file: no.pem\n", 4, "no.pem", id="absent-ca-file"
        ),
        pytest.param("name: x\ncache:\n  url: http://a\n", 3, "redis://", id="wrong-kind-of-address"),
        pytest.param(
            "name: x\nrate_limit: {per_token: 0, per_address: 1, window_s: 1}\n", 2, "per_token", id="zero"
        ),
        pytest.param("name: x\nnot_applicable: {acceptance.x: no}\n", 2, "not_applicable", id="no-reason"),
        pytest.param("name: x\nlimits: {helth_p95_ms: 5}\n", 2, "helth_p95_ms", id="misspelt-limit"),
    ],
)
def test_error_names_file_line_and_key(
    write: Write, gates_dir: Path, text: str, line: int, words: str
) -> None:
    """The message for every mistake has the file, the line and the key."""
    path = write("x", text)
    with pytest.raises(GateInputError) as caught:
        load_environment("x", gates_dir=gates_dir, variables={"EMPTY": ""})
    assert f"{path}:{line}:" in str(caught.value)
    assert words in str(caught.value)


def test_every_variable_that_is_not_set_is_named_at_once(write: Write, gates_dir: Path) -> None:
    """One message lists them all, each with the first line that uses it."""
    write("x", "name: x\napi:\n  url: https://${HOST}\ncache:\n  url: redis://${CACHE}:${PORT}\n")
    with pytest.raises(GateInputError, match=r"3 variables are not set, .* By line: 3 HOST; 5 CACHE, PORT$"):
        load_environment("x", gates_dir=gates_dir, variables={"PORT": ""})


def test_no_report_cuts_the_list_of_unset_variables(write: Write, gates_dir: Path) -> None:
    """A hundred variables come in lines that a report shows in full, each name whole and in its place."""
    names = [f"A_RATHER_LONG_NAME_OF_A_VARIABLE_{number}" for number in range(100)]
    values = "".join(f"  {name}: ${{{name}}}\n" for name in names)
    write("x", f"name: x\nvariables:\n{values}")
    with pytest.raises(GateInputError) as caught:
        load_environment("x", gates_dir=gates_dir, variables={})
    shown = " ".join(wording.paragraphs(str(caught.value)))
    assert shown.endswith(f"By line: 3-102 {', '.join(names)}")


def test_all_that_is_wrong_with_the_values_is_one_error(
    write: Write, gates_dir: Path, tmp_path: Path
) -> None:
    """Bad addresses, files and values of variables each have a line in it, with their place."""
    (tmp_path / "ca.pem").write_text("no certificate")
    write(
        "x",
        f"name: x\napi: {{url: 'ftp://h', ca_file: {tmp_path}/ca.pem}}\ncache: {{url: 'http://h'}}\n"
        "database: {url: 'postgresql://u:half@sesame-open@h/d'}\nrelease: {image: '${IMAGE}'}\n",
    )
    with pytest.raises(GateInputError) as caught:
        load_environment("x", gates_dir=gates_dir, variables={"IMAGE": f"n@sha256:{'a' * 64}"})
    places = [line.partition("x.yaml:")[2].partition(": ")[::2] for line in str(caught.value).splitlines()]
    assert [(line, text.partition(":")[0]) for line, text in places] == [
        ("2", "api.url"),
        ("2", "api.ca_file"),
        ("4", "database.url"),
        ("3", "cache.url"),
    ]
    assert "Write it as %40" in str(caught.value)
    assert "sesame-open" not in str(caught.value)
    with pytest.raises(GateInputError, match=r"x\.yaml:5: release\.image: must match"):
        load_environment("x", gates_dir=gates_dir, variables={"IMAGE": "latest"})


def test_an_address_with_a_password_is_never_quoted(write: Write, gates_dir: Path) -> None:
    """The error about a bad address leaves out its value."""
    write("x", "name: x\ndatabase:\n  url: mysql://u:sesame-open@h/d\n")
    with pytest.raises(GateInputError) as caught:
        load_environment("x", gates_dir=gates_dir)
    assert "sesame-open" not in str(caught.value)


def test_unknown_environment_lists_known_ones(write: Write, gates_dir: Path) -> None:
    """The error for an environment that does not exist lists those that do."""
    write("staging", "name: staging\n")
    with pytest.raises(AbsentFileError, match="known: staging"):
        load_environment("stagin", gates_dir=gates_dir)


def test_file_and_name_must_agree(write: Write, gates_dir: Path) -> None:
    """A file production.yaml with the name staging is refused: decisions carry the name."""
    write("production", "name: staging\n")
    with pytest.raises(GateInputError, match="same name"):
        load_environment("production", gates_dir=gates_dir)


def test_a_missing_part_names_file_and_key(write: Write, gates_dir: Path) -> None:
    """Reading a part that is not described raises an error that names the key."""
    path = write("bare", "name: bare\nlimits: {health_p95_ms: 5}\n")
    environment = load_environment("bare", gates_dir=gates_dir)
    with pytest.raises(GateInputError, match=f"{path}: database is missing"):
        _ = environment.database
    with pytest.raises(GateInputError, match=r"limits\.api_p95_ms is missing"):
        _ = environment.limits.api_p95_ms


def test_unknown_part_is_an_error(write: Write, gates_dir: Path) -> None:
    """A misspelt part is an error, not a part that the file lacks."""
    write("bare", "name: bare\nlimits: {health_p95_ms: 5}\n")
    environment = load_environment("bare", gates_dir=gates_dir)
    assert environment.describes("limits")
    assert not environment.describes("database")
    with pytest.raises(ValueError, match="'databse' is not a part"):
        environment.describes("databse")


def test_the_projects_environments_load() -> None:
    """Every environment file of the project loads once its variables are set."""
    gates_dir = Path(__file__).parents[2] / "gates"
    for path in (gates_dir / "environments").glob("*.yaml"):
        text = path.read_text(encoding="utf-8")
        names = {part.partition("}")[0] for part in text.split("${")[1:]}
        variables = dict.fromkeys(names, "example") | {
            "BACKUP_SCRATCH_URL": "postgresql://scratch@db.example.com/postgres",
            "ROLLOUT_SCRATCH_URL": "postgresql://scratch@db.example.com/postgres",
            **{name: f"{name}@sha256:{'a' * 64}" for name in names if name.endswith("_IMAGE")},
            **{name: "https://hooks.example.com/" for name in names if name.endswith("_WEBHOOK")},
            "PAGERDUTY_SENDER_EMAIL": "gates@example.com",
        }
        assert load_environment(path.stem, gates_dir=gates_dir, variables=variables).name == path.stem
