"""What verify accepts, and everything it refuses."""

from __future__ import annotations

import copy
import json
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from bais_gates.attest.verify import verify
from bais_gates.verdict.files import digest_of
from bais_gates.verdict.model import Subject
from tests.launch import run_command

if TYPE_CHECKING:
    from pathlib import Path

    from bais_gates.verdict.model import JsonValue
    from bais_gates.verdict.strict_yaml import KeyPath
    from tests.attest.conftest import Leaves, Project

HOUR = timedelta(hours=1)
# Fields that nothing else in the document or beside it confirms. The digest detects a careless edit of them;
# a forger who recomputes the digest is a matter for a signature.
UNBOUND = {
    *("nodeid", "worker", "summary", "message", "log", "attachments", "title", "requirement", "remedy"),
    *("provisioned", "without_tenant", "allow", "sends", "criterion"),
    "inputs",  # they word what a refusal says has changed; the digests decide
    *("duration_s", "unit", "source", "name", "command", "workers", "versions", "facts", "ticket", "reason"),
    *("previous", "started_at", "environment_digest", "requested_by", "approved_by", "schema_version"),
}
GUARDED = {
    *(
        "verdict",
        "exit_status",
        "scope",
        "reasons",
        "decided_at",
        "valid_until",
        "finished_at",
        "run_id",
        "subject",
    ),
    *("id", "phase", "severity", "outcome", "blocking", "advisory", "waived_by", "scopes", "cases", "needs"),
    *("cases_reported", "mutates", "exclusive", "imported_from", "catalog", "policy", "rehearsal"),
    *("ledger_digest", "expires", "environment"),
}


def test_a_right_decision_is_accepted(project: Project) -> None:
    """A DEPLOY that agrees with itself and with everything beside it is accepted, waiver and all."""
    report = project.verify()

    assert report.problems == ()
    assert report.ok
    assert report.decision is not None
    assert report.decision.run.run_id == "run-1"
    assert project.codes(catalog=None, run_id=None, subject=None) == []


def test_absent_and_unreadable(project: Project, tmp_path: Path) -> None:
    """A file that is absent or is no decision is refused, and nothing is raised."""
    assert [problem.code for problem in verify(tmp_path / "no.json").problems] == ["DECISION_ABSENT"]
    for content in ("", "{}", '{"verdict": "DEPLOY"}', "[" * 99_999, "\0", "null"):
        project.decision.write_text(content)
        assert project.codes() == ["DECISION_UNPARSABLE"]
    project.decision.unlink()
    project.decision.mkdir()
    assert project.codes() == ["DECISION_UNPARSABLE"]


@pytest.mark.parametrize("name", ["policy", "waivers", "catalog"])
def test_a_link_to_a_file_that_is_gone(project: Project, name: str) -> None:
    """A file that was meant to be there, and may demand more than none, can't be compared."""
    path = project.catalog.with_name(f"{name}.yaml")
    path.unlink(missing_ok=True)
    path.symlink_to("gone.yaml")

    assert f"{name.upper()}_OTHER" in project.codes()


@pytest.mark.parametrize("outcomes", [{"a": "FAIL"}, {"a": "SKIPPED"}, {"c": "NOT_RUN"}, {}])
def test_block_is_refused(project: Project, outcomes: dict[str, str]) -> None:
    """A BLOCK is refused, with its reasons, however else right the file is."""
    project.outcomes = project.outcomes | outcomes if outcomes else {}
    project.judge()
    assert project.codes() == ["DECISION_BLOCK"]


def test_block_turned_into_deploy_is_refused(project: Project) -> None:
    """A BLOCK in which verdict, status and reasons were edited contradicts itself."""
    project.outcomes["a"] = "FAIL"
    document = project.judge()
    document.update(verdict="DEPLOY", exit_status=0, reasons=[])

    project.write_document(document)
    assert project.codes() == ["DECISION_UNPARSABLE"]
    project.write_document(document | {"verdict": "MAYBE", "exit_status": "none"})
    assert re.search(r"verdict: [^\ufffd]+ exit_status: ", project.verify().problems[0].message)
    project.forge(document)
    assert project.codes() == ["INCONSISTENT"]
    assert "FAILED" in project.verify().problems[0].message


def test_every_single_value_is_guarded_by_the_digest(project: Project, leaves: Leaves) -> None:
    """Whatever single value of the document is edited, it is refused."""
    document = project.judge()
    for path in leaves(document):
        project.write_document(mutate(document, path))
        assert not project.verify().ok, path


def test_every_single_value_that_matters_is_guarded_by_another(project: Project, leaves: Leaves) -> None:
    """With a recomputed digest, every changed value that the verdict depends on is still refused.

    What stays open is prose, and evidence that still supports the outcome: a looser limit that still holds, a
    larger sample, and the checks of a gate that was waived or advisory.
    """
    document = project.judge()
    accepted = []
    for path in leaves(document):
        project.forge(mutate(document, path))
        if project.verify().ok:
            accepted.append(path)
    evidence = {("checks", "limit"), ("checks", "n"), ("checks", "case"), ("imported",), ("digest",)}
    proven = [path for path in accepted if path[:2] == ("gates", 0) or path[0] != "gates"]
    assert [path for path in proven if not UNBOUND & set(path) and shape(path) not in evidence] == []
    assert [path for path in accepted if GUARDED & set(path)] == []


def shape(path: KeyPath) -> tuple[str, ...]:
    """Leave positions and the list of gates out of a path."""
    return tuple(part for part in path if isinstance(part, str) and part != "gates")


def mutate(document: dict[str, Any], path: KeyPath) -> dict[str, Any]:
    """Change one value of a document into another of its kind."""
    changed = copy.deepcopy(document)
    place: Any = changed  # goes down from lists to objects and back
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = other(place[path[-1]])
    return changed


OTHERS = {"DEPLOY": "BLOCK", "PASS": "FAIL", "FAIL": "PASS", "NOT_APPLICABLE": "PASS", "<=": ">="} | {
    "P1": "P4",
    "P2": "P1",
    "P3": "P2",
    "P4": "P1",
    "golive": "acceptance",
    "acceptance": "load",
}


def other(value: JsonValue) -> JsonValue:
    """Return another value of the same kind, one that the schema mostly allows."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 20
    if not isinstance(value, str):  # null or an empty list
        return "sha256:" + "b" * 64 if value is None else ["x"]
    if value in OTHERS:
        return OTHERS[value]
    if value.startswith("2026"):
        return value.replace("2026", "2027")
    return value.replace("a", "b").replace("c", "d") + ("" if value.startswith("sha256:") else "x")


def test_gates_left_out_or_doubled_are_refused(project: Project) -> None:
    """A document from which a gate is missing, or in which one is twice, contradicts the catalog."""
    document = project.judge()
    for gates in (
        document["gates"][:-1],
        document["gates"][1:],
        [],
        [*document["gates"], document["gates"][0]],
    ):
        project.forge({**document, "gates": gates})
        assert project.codes() == ["INCONSISTENT"]


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"scope": "acceptance"}, "SCOPE_OTHER"),
        ({"env": "staging"}, "ENVIRONMENT_OTHER"),
        ({"env": "sandbox"}, "ENVIRONMENT_OTHER"),
        ({"env": "../production"}, "ENVIRONMENT_OTHER"),
        ({"run_id": "run-2"}, "RUN_ID_OTHER"),
        ({"run_id": ""}, "RUN_ID_OTHER"),
        ({"subject": Subject(name="bais-api", digest="sha256:" + "b" * 64)}, "SUBJECT_OTHER"),
        ({"subject": Subject(name="other", digest="sha256:" + "a" * 64)}, "SUBJECT_OTHER"),
        ({"max_age": timedelta(seconds=59)}, "STALE"),
    ],
)
def test_what_is_asked_for_must_be_there(project: Project, asked: dict[str, Any], code: str) -> None:
    """A decision about something else than what is asked for is refused."""
    assert project.codes(**asked) == [code]


def test_subject_asked_for_and_none_in_the_file(project: Project) -> None:
    """A decision that names no image is refused when one is asked for, and where the policy asks for one."""
    policy = project.catalog.parent / "policy.yaml"
    policy.write_text(policy.read_text() + "subject: not_required\n")
    document = project.judge(subject=None)
    assert project.codes() == ["SUBJECT_OTHER"]
    assert project.codes(subject=None) == []
    policy.write_text(policy.read_text().replace("subject: not_required\n", ""))
    assert project.codes(subject=None) == ["POLICY_OTHER"]
    forged = {**document, "digests": {**document["digests"], "policy": digest_of(policy.read_bytes())}}
    for required in (False, True):
        project.forge({**forged, "subject_required": required})
        assert project.codes(subject=None) == ["INCONSISTENT"]
        assert "SUBJECT_MISSING" in project.verify(subject=None).problems[0].message


def test_rehearsal_is_refused_unless_asked_for(project: Project) -> None:
    """A decision about the sandbox deploys nothing; it is accepted only as one about the sandbox."""
    (project.catalog.parent / "waivers.yaml").write_text("waivers: []\n")
    project.outcomes["c"] = "PASS"
    project.judge(rehearsal=True)
    assert project.codes() == ["REHEARSAL"]
    project.judge(target="sandbox", rehearsal=True)
    assert project.codes() == ["ENVIRONMENT_OTHER", "REHEARSAL"]
    assert project.codes(env="sandbox") == []


@pytest.mark.parametrize(
    ("file", "code"),
    [
        ("catalog.yaml", "CATALOG_OTHER"),
        ("policy.yaml", "POLICY_OTHER"),
        ("waivers.yaml", "WAIVERS_OTHER"),
        ("environments/production.yaml", "ENVIRONMENT_OTHER"),
    ],
)
def test_files_must_be_those_it_was_decided_by(project: Project, file: str, code: str) -> None:
    """A file that decides and has changed since, is absent or unreadable is refused."""
    path = project.catalog.parent / file
    path.write_text(path.read_text() + "# later\n")
    assert project.codes() == [code]
    path.write_text("\t")
    assert code in project.codes()
    path.write_text("one: 1\ntwo: 2\n")  # two errors, which are told apart in one line
    (message,) = {one.message for one in project.verify().problems if one.code == code}
    assert re.fullmatch(r"[^\ufffd]*\bone\b[^\ufffd]*\btwo\b[^\ufffd]*", message)
    path.unlink()
    if file != "environments/production.yaml":
        assert code in project.codes()


def test_ledger_must_be_the_one_it_names(project: Project) -> None:
    """A ledger beside the decision that is another is refused; one that is not there is not missed."""
    ledger = project.folder / "ledger.jsonl"
    ledger.write_text("{}\n")
    assert project.codes() == ["LEDGER_OTHER"]
    ledger.unlink()
    assert project.codes() == []
    ledger.mkdir()
    assert project.codes() == ["LEDGER_OTHER"]


@pytest.mark.parametrize("name", ["\ud800", "x\nDEPLOY golive on production: run x", "\x1b[2JDEPLOY"])
def test_what_a_file_says_is_one_line(project: Project, name: str) -> None:
    """Text of the decision neither forges a line of the answer nor moves the cursor, and is no traceback."""
    document = project.judge()
    document["target"]["name"] = document["run"]["run_id"] = name
    project.forge(document)
    done = run_command("verify", str(project.decision), "--run-id", "mine", folder=project.folder)

    assert done.returncode == 1
    assert done.stdout.encode()
    lines = done.stdout.splitlines()
    assert all(line.isprintable() and not line.startswith("DEPLOY") for line in lines), done.stdout
    assert lines[-1].startswith("REFUSED")


def test_age_is_that_of_the_oldest_evidence(project: Project) -> None:
    """The maximum age is held against what was imported, too, which is not younger for that."""
    document = project.judge()
    assert project.codes(max_age=timedelta(minutes=5)) == []
    earlier = {
        **{key: document[key] for key in ("target", "subject")},
        "run_id": "earlier",
        "decided_at": "2026-03-02T11:50:00Z",
        "valid_until": "2026-03-02T12:50:00Z",
        "contract": None,
    }
    project.forge({**document, "origins": [earlier]})
    problem = next(
        one for one in project.verify(max_age=timedelta(minutes=5)).problems if one.code == "STALE"
    )
    assert "imported is from 2026-03-02 11:50:00" in problem.message


def test_times(project: Project) -> None:
    """A decision is refused from its end on, and when it is from the future."""
    from datetime import UTC, datetime  # noqa: PLC0415  # beside its one use

    decided = datetime(2026, 3, 2, 12, tzinfo=UTC)
    assert project.codes(now=decided + HOUR - timedelta(seconds=1)) == []
    assert project.codes(now=decided + HOUR) == ["STALE"]
    assert project.codes(now=decided - timedelta(minutes=5)) == []
    assert project.codes(now=decided - timedelta(minutes=6)) == ["FROM_THE_FUTURE"]
    assert project.codes(now=decided + 3 * HOUR) == ["STALE", "WAIVER_EXPIRED"]


@pytest.mark.parametrize(
    "moment",
    [
        "0001-01-01T00:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59.999999Z",
        "9999-12-31T23:59:59-12:00",
    ],
)
@pytest.mark.parametrize("keys", [("decided_at",), ("valid_until",), ("decided_at", "valid_until")])
def test_moments_at_the_ends_of_the_calendar(project: Project, keys: tuple[str, ...], moment: str) -> None:
    """A moment that arithmetic leads out of the calendar is refused, and nothing is raised."""
    project.forge({**project.judge(), **dict.fromkeys(keys, moment)})
    assert project.codes(max_age=timedelta.max)
    assert project.codes(catalog=None)


def test_an_address_on_loopback_is_a_rehearsal_whatever_the_file_says(project: Project) -> None:
    """What the names resolved to is in the file, and judged again without resolving anything."""
    document = project.judge()
    for target in (
        {"addresses": [{"name": "database.url", "value": "::ffff:127.0.0.1"}]},
        {"facts": [{"name": "api.url", "value": "https://[::1]:8443"}]},
        {"provisioned": True},
    ):
        project.forge({**document, "target": {**document["target"], **target}})
        assert project.codes() == ["REHEARSAL"]


def test_longer_validity_is_refused(project: Project) -> None:
    """A decision that is valid for longer than the policy allows contradicts itself."""
    document = project.judge()
    project.forge({**document, "valid_until": "2026-03-02T13:30:00Z"})
    assert project.codes() == ["INCONSISTENT"]


def test_criteria_proven_by_other_gates_are_refused(project: Project) -> None:
    """The page shows what the catalog says of a criterion: a gate that is left out contradicts it."""
    document = json.loads(json.dumps(project.judge()))
    document["criteria"][0]["lines"][0]["gates"].remove("acceptance.c")
    project.forge(document)

    assert "judged again its criteria differs" in project.verify().problems[0].message


def test_redacted_prose_of_the_catalog_is_no_contradiction(project: Project) -> None:
    """The catalog's prose may have been redacted in the file; the verdict does not rest on it."""
    document = json.loads(json.dumps(project.judge()))
    for gate in document["gates"]:
        gate.update(requirement="***", title="***", remedy="***")
    document["criteria"][0].update(title="***")
    project.forge(document)
    assert project.codes() == []
