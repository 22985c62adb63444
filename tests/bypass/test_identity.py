"""Ways round the gate by another name, an older result or another target."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from bais_gates.verdict.document import document_digest
from tests.bypass.conftest import HEAD, RED, Way
from tests.launch import run_command

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tests.bypass.conftest import Project, Ran

NOW = datetime.now(UTC)
SPELLINGS = (
    "DANA  SMITH",
    "Smith, Dana",
    "D\u00e1na Smith",
    "Dana Smith (release lead)",
    "dana+release@example.com",
    "dana@mail.example.com",
    "dana.smith@example.org",
    "dana",
    "\uff24ana Smith",
    "Sir Dana Smith III",
    "D. Smith",
    "Alex Jones on behalf of Dana Smith",
)


def moment(hours: float) -> str:
    """Return a moment some hours from now, as files have it."""
    return (NOW + timedelta(hours=hours)).isoformat(timespec="seconds")


def exception(**changed: str) -> dict[str, str]:
    """Return the fields of a valid exception for gate b, with some of them changed."""
    usual = {
        "reason": "The index is being rebuilt.",
        "ticket": "BAIS-1",
        "requested_by": "Dana Smith <dana@example.com>",
        "approved_by": "alex@example.com",
        "approved_at": moment(-1),
        "expires": moment(24),
    }
    return usual | changed


def waive(project: Project, **changed: str) -> None:
    """Make gate b a red P2 gate that is waived."""
    catalog = (project.folder / "gates/catalog.yaml").read_text(encoding="utf-8")
    head, b, rest = catalog.partition("title: Gate b")
    project.write("gates/catalog.yaml", head + b + rest.replace("severity: P1", "severity: P2", 1))
    project.gate_b('evidence.check("b", 2, "==", 1)')
    waiver = {"gate": "acceptance.b", "environment": "staging", **exception(**changed)}
    project.write("gates/waivers.yaml", json.dumps({"waivers": [waiver]}))


def exempt(project: Project, declared: object) -> None:
    """Declare gate b, which is P1 and red, not applicable."""
    project.gate_b('evidence.check("b", 2, "==", 1)')
    project.write(
        "staging.yaml", json.dumps({"name": "staging", "not_applicable": {"acceptance.b": declared}})
    )


def keep(project: Project, **changed: Any) -> Path:
    """Put the decision aside, with some keys changed and a digest that fits, and return its file."""
    kept = project.folder / "kept" / "decision.json"
    shutil.copytree(project.folder / "gate-report", kept.parent, dirs_exist_ok=True)
    document: Mapping[str, Any] = {**json.loads(kept.read_text(encoding="utf-8")), **changed}
    kept.write_text(json.dumps({**document, "digest": document_digest(dict(document))}), encoding="utf-8")
    return kept


def test_a_waiver_by_two_people_and_a_dated_exemption_count(project: Project) -> None:
    """The control: a red P2 gate waived by another person, and a P1 gate exempted until tomorrow."""
    waive(project)
    ran = project.run()
    assert (ran.status, ran.verify_status) == (0, 0), ran.output
    project.write("gates/waivers.yaml", "waivers: []\n")
    project.catalog("a", "b", "c")
    exempt(project, exception())
    ran = project.run()
    assert (ran.status, ran.verify_status) == (0, 0), ran.output
    assert "declared not applicable until" in ran.verify_output


def waive_for_each(project: Project, names: Sequence[str]) -> Ran:
    """Run one red P2 gate for each name, waived by its bearer."""
    ways = {f"b{number}": name for number, name in enumerate(names)}
    project.catalog(*ways)
    catalog = (project.folder / "gates/catalog.yaml").read_text(encoding="utf-8")
    project.write("gates/catalog.yaml", catalog.replace("severity: P1", "severity: P2"))
    project.write("gates/test_gates.py", HEAD + "\n".join(Way(RED).text(way) for way in ways))
    waivers = [
        {"gate": f"acceptance.{way}", "environment": "staging", **exception(approved_by=name)}
        for way, name in ways.items()
    ]
    project.write("gates/waivers.yaml", json.dumps({"waivers": waivers}))
    return project.run()


def test_the_requester_approves_in_another_spelling(project: Project) -> None:
    """A waiver is approved by its requester: other case, order, marks, tag, domain, width, length."""
    ran = waive_for_each(project, SPELLINGS)
    for number in range(len(SPELLINGS)):
        ran.of(f"b{number}").blocks("WAIVER_SELF_APPROVED", status=22)


@pytest.mark.parametrize(
    "name", ["d\u0430na", "da\u200bna", "dana@ex\u0430mple.com", "dana(alex)@example.com", "TBD"]
)
def test_the_requester_approves_by_lookalikes(project: Project, name: str) -> None:
    """A waiver is approved by nobody, or in what hides the requester: lookalikes, unseen letters, routes."""
    waive(project, approved_by=name)
    project.run().blocks("WAIVERS_INVALID", status=22)


def test_a_critical_gate_is_exempted_by_a_sentence(project: Project) -> None:
    """A red P1 gate is declared not applicable by one sentence in the environment file."""
    exempt(project, "it is never green there")
    project.run().blocks("NOT_APPLICABLE_UNDATED", status=22)


def test_a_critical_gate_is_exempted_for_good(project: Project) -> None:
    """A red P1 gate is declared not applicable for longer than the policy allows."""
    exempt(project, exception(expires=moment(24 * 300)))
    project.run().blocks("WAIVER_TOO_LONG", status=22)


def test_an_exemption_has_expired(project: Project) -> None:
    """A red P1 gate was declared not applicable until an hour ago."""
    exempt(project, exception(approved_at=moment(-9), expires=moment(-1)))
    project.run().blocks("WAIVER_EXPIRED", status=22)


def test_a_gate_of_a_misspelt_environment(project: Project) -> None:
    """The catalog's `environments` names none that exists, so that the gate would apply nowhere."""
    project.write("gates/environments/staging.yaml", "name: staging\n")
    text = (project.folder / "gates/catalog.yaml").read_text(encoding="utf-8")
    project.write(
        "gates/catalog.yaml", text.replace("title: Gate b", "title: Gate b\n    environments: [stagign]")
    )
    project.gate_b('evidence.check("b", 2, "==", 1)')
    project.run().blocks("CATALOG_INVALID", status=22)


@pytest.mark.parametrize(
    "part",
    [
        'api: {url: "http://[::ffff:7f00:1]:9"}',
        'database: {url: "postgresql://u@192.0.2.1/x?hostaddr=127.0.0.1"}',
        'database: {url: "postgresql://u@192.0.2.1,/x"}',
        'cache: {url: "redis://0:6379"}',
    ],
)
def test_a_part_of_the_target_is_on_this_machine(project: Project, part: str) -> None:
    """A stand-in on loopback under another spelling, or as database or cache: only a rehearsal."""
    project.write("staging.yaml", f"name: staging\n{part}\n")
    ran = project.run()

    assert "REHEARSAL" in ran.verify_output
    ran.verify_refuses()


def test_no_image_is_named(project: Project) -> None:
    """Without `--gate-subject` the decision could be used for any release."""
    policy = (project.folder / "gates/policy.yaml").read_text(encoding="utf-8")
    project.write("gates/policy.yaml", policy.replace("subject: not_required", "subject: required"))
    project.run().blocks("SUBJECT_MISSING", status=21)


def test_no_image_is_named_in_a_file_written_by_hand(project: Project) -> None:
    """A decision without an image is edited to say that the policy asks for none."""
    project.run()
    policy = (project.folder / "gates/policy.yaml").read_text(encoding="utf-8")
    project.write("gates/policy.yaml", policy.replace("subject: not_required", "subject: required"))
    document = json.loads(keep(project).read_text(encoding="utf-8"))
    from bais_gates.verdict.files import digest_of  # noqa: PLC0415 - beside its one use

    raw = (project.folder / "gates/policy.yaml").read_bytes()
    kept = keep(project, digests={**document["digests"], "policy": digest_of(raw)})
    verified = project.verify(str(kept))
    assert "SUBJECT_MISSING" in verified.stdout
    assert verified.returncode != 0


def test_an_old_decision_is_imported_and_nothing_runs(project: Project) -> None:
    """`--gate-import` of an old DEPLOY with `-k nothing` would make it young again."""
    assert project.run().status == 0
    project.run("-k", "nothing", "--gate-import", str(keep(project))).blocks("ONLY_IMPORTED", status=21)


def test_imports_in_a_chain_grow_old(project: Project) -> None:
    """A result is imported again and again, each time into a new decision: it keeps its age and its end."""
    assert project.run().status == 0
    first = json.loads(keep(project).read_text(encoding="utf-8"))
    for _ in range(2):
        ran = project.run("-k", "test_a", "--gate-import", str(keep(project)))
        assert ran.status == 0, ran.output
        assert ran.document is not None
        assert ran.document["valid_until"] == first["valid_until"]

    later = (NOW + timedelta(hours=40)).isoformat().replace("+00:00", "Z")
    assert "INCONSISTENT" in project.verify(str(keep(project, valid_until=later))).stdout


def test_an_import_in_a_young_decision(project: Project) -> None:
    """An old result is imported into a new decision, which `verify --max-age` would take for young."""
    assert project.run().status == 0
    ran = project.run("-k", "test_a", "--gate-import", str(keep(project)))
    assert (ran.status, ran.verify_status) == (0, 0), ran.output
    refused = project.verify("--max-age", "0s").stdout
    assert "STALE: The oldest result that the decision imported is from" in refused


def test_an_import_of_what_has_failed_since(project: Project) -> None:
    """A gate passed, then failed, and its older result is imported: `verify --history` knows of both."""
    history = project.folder / "history"
    assert project.run().status == 0
    kept = str(keep(project))
    project.gate_b(RED)
    assert project.run().status == 20
    shutil.copytree(project.folder / "gate-report", history / "red")

    def decided(again: str) -> str:
        assert project.run("-k", again, "--gate-import", kept).status == 0
        return project.verify("--history", str(history)).stdout

    assert "OVERTAKEN: acceptance.b passed in run this-run on staging, and did not in run" in decided(
        "test_a"
    )
    project.gates()
    assert "REFUSED" not in decided("test_b")


def test_results_of_another_release_are_imported(project: Project) -> None:
    """The decision about one image is imported into a run about another."""
    assert project.run("--gate-subject", f"api@sha256:{'a' * 64}").status == 0
    kept = str(keep(project))
    project.run("-k", "test_a", "--gate-import", kept, "--gate-subject", f"api@sha256:{'b' * 64}").blocks(
        "REFUSED_OPTION", status=22
    )


def test_results_of_another_environment_are_imported(project: Project) -> None:
    """The decision about an easier target is imported, though the catalog does not admit it as evidence."""
    easy = project.write("easy.yaml", "name: easy\n")
    assert project.run("--gate-env", str(easy)).status == 0
    project.run("-k", "test_a", "--gate-import", str(keep(project))).blocks("REFUSED_OPTION", status=22)


def test_a_decision_that_is_made_elsewhere(project: Project) -> None:
    """A consistent DEPLOY of elsewhere takes the decision's place, unsigned, then signed with another key."""
    policy = project.folder / "gates" / "policy.yaml"
    policy.write_text(policy.read_text().replace("production: {required", "staging: {required"))
    forged = project.run()  # with gates that nobody reviewed, say
    assert forged.status == 0, forged.output
    forged.verify_refuses()
    codes = [line.split(":")[0] for line in forged.verify_output.splitlines()]
    assert codes == ["ATTESTATION_ABSENT", "judged", "REFUSED"]
    for words in (("keygen", "--owner=Mallory", "--out=own.key"), ("sign", "--key=own.key")):
        assert run_command("attest", *words, folder=project.folder).returncode == 0
    codes = [line.split(":")[0] for line in project.verify().stdout.splitlines()]
    assert codes[:2] == ["SIGNATURE_UNLISTED", "SIGNATURES_TOO_FEW"]
