"""Results of an earlier decision count where it was verified and is about the same thing."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from bais_gates.attest.verify import verify
from bais_gates.pytest_plugin.imports import read_imports
from bais_gates.verdict.catalog import load_catalog
from bais_gates.verdict.document import document_digest, load_decision
from bais_gates.verdict.model import TargetIdentity, parse_subject
from bais_gates.verdict.policy import load_policy

if TYPE_CHECKING:
    from pathlib import Path

    from tests.pytest_plugin.conftest import Project, Ran

SUBJECT = "api@sha256:" + "a" * 64


def test_an_imported_gate_counts_and_satisfies_needs(project: Project) -> None:
    """A verified decision stands in for gates that are not selected here; one of another subject does not."""
    project.catalog(
        one={}, two={"id": "load.two", "phase": "load", "needs": ["acceptance.one"]}, three={"scopes": []}
    )
    project.passing("one", "three")
    project.tests(
        """
        @pytest.mark.gate("load.two")
        def test_two(evidence):
            evidence.check("one", 1, "==", 1)
        """,
        "test_load.py",
    )
    earlier = project.run("-m", "acceptance", "--gate-subject", SUBJECT, "--gate-run-id", "earlier")
    shutil.copytree(project.out, project.folder / "earlier")
    imported = ("-m", "golive and load", "--gate-scope", "golive", "--gate-import", "earlier/decision.json")

    without = project.run(*imported[:4], "--gate-subject", SUBJECT)
    ran = project.run(*imported, "--gate-subject", SUBJECT)
    parallel = project.run(*imported, "--gate-subject", SUBJECT, "-n", "1")
    other = project.run(*imported, "--gate-subject", SUBJECT.replace("a" * 64, "b" * 64))

    assert earlier.status == 0, earlier.output
    assert without.status == 21, without.output
    assert ran.status == parallel.status == 0, ran.output
    assert ran.outcomes == parallel.outcomes == {"one": "PASS", "two": "PASS"}
    assert ran.gate("one")["imported_from"] == "earlier"
    assert ran.decision is not None
    assert ran.decision["imported"] == ["earlier"]
    own = project.run(*imported[:4], "--gate-import", "gate-report/decision.json")
    assert (own.status, own.codes) == (22, {"REFUSED_OPTION"})
    assert own.decision is not None
    assert "--gate-out DIR" in own.decision["reasons"][0]["remedy"]
    assert other.status == 22
    assert "another" in other.output or "subject" in other.output


class Api(ThreadingHTTPServer):
    """An API that reports its version."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Health)
        self.version = "1.0.0"


class _Health(BaseHTTPRequestHandler):
    server: Api

    def do_GET(self) -> None:
        """Answer with the version."""
        body = json.dumps({"version": self.server.version}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        """Log nothing."""


GATES = """
@pytest.mark.gate("acceptance.one")
def test_one(target, evidence):
    evidence.check("requests that were answered", 1, "==", 1)

@pytest.mark.gate("checklist.own")
def test_own(environment, evidence):
    evidence.check("environment", environment.name, "in", ["staging", "production"])
"""


class Platform:
    """A staging and a production API on two ports, and a project that judges both."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.apis = {name: Api() for name in ("staging", "production")}
        for name, api in self.apis.items():
            threading.Thread(target=api.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
            project.write(
                f"gates/environments/{name}.yaml",
                f"name: {name}\napi: {{url: 'http://127.0.0.1:{api.server_port}'}}\n",
            )
        self.catalog(evidence_from=["staging"])
        project.write("gates/contract.yaml", "openapi: 3.1.0\n")
        project.tests(GATES)

    def catalog(self, **more: object) -> None:
        """Write a catalog of a gate that staging may prove, and one that it may not."""
        own = {"id": "checklist.own", "phase": "checklist"}
        self.project.catalog(one=more, own=own)
        path = self.project.folder / "gates" / "catalog.yaml"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"contract": "contract.yaml"}))

    def run(self, name: str, scope: str, *arguments: str, subject: str = SUBJECT) -> Ran:
        """Decide about one of the two."""
        return self.project.run("-m", scope, "--gate-env", name, "--gate-subject", subject, *arguments)

    def keep(self, name: str) -> Path:
        """Put the decision aside, and return its file."""
        shutil.copytree(self.project.out, self.project.folder / name, dirs_exist_ok=True)
        return self.project.folder / name / "decision.json"


@pytest.fixture
def platform(project: Project) -> Iterator[Platform]:
    """Start the two."""
    platform = Platform(project)
    yield platform
    for api in platform.apis.values():
        api.shutdown()
        api.server_close()


def test_acceptance_is_proven_on_staging_for_production(platform: Platform) -> None:
    """DEPLOY with both targets named, no run of the gate on production; valid as long as its evidence."""
    accepted = platform.run("staging", "acceptance", "--gate-run-id", "on-staging")
    assert accepted.status == 0, accepted.output
    assert accepted.decision is not None
    kept = platform.keep("staging")
    imported = ("--gate-import", str(kept))

    ran = platform.run("production", "golive", *imported)
    assert ran.status == 0, ran.output
    assert ran.outcomes == {"one": "PASS", "own": "PASS"}
    assert (ran.gate("one")["imported_from"], ran.gate("own")["imported_from"]) == ("on-staging", None)
    assert ran.decision is not None
    assert ran.decision["target"]["name"] == "production"
    assert [origin["target"]["name"] for origin in ran.decision["origins"]] == ["staging"]
    assert "run on-staging on staging" in ran.output
    assert ran.decision["valid_until"] <= accepted.decision["valid_until"]
    page = (platform.project.out / "signoff.html").read_text(encoding="utf-8")
    assert "run on-staging on staging" in page
    assert verify(platform.project.out / "decision.json", env="production").problems[0].code == "REHEARSAL"
    again = platform.run("production", "golive", "--gate-import", str(platform.keep("production")))
    assert again.decision is not None
    assert again.decision["origins"][0]["decided_at"] == accepted.decision["decided_at"]

    only = platform.run("production", "acceptance", *imported)
    assert (only.status, only.codes) == (21, {"ONLY_IMPORTED"}), only.output


def test_the_jobs_of_one_pipeline_share_a_run_id(platform: Platform) -> None:
    """Imports of one run id, of staging and of production itself, count each for what it was seen on."""
    imported: list[str] = []
    for name, scope in (("staging", "acceptance"), ("production", "checklist")):
        assert platform.run(name, scope, "--gate-run-id", "pipeline-1").status == 0
        imported += ["--gate-import", str(platform.keep(name))]

    ran = platform.run("production", "golive", "-k", "nothing", *imported, "--gate-run-id", "pipeline-1")

    assert ran.outcomes == {"one": "PASS", "own": "PASS"}
    assert ran.codes == {"ONLY_IMPORTED"}, ran.output


def test_evidence_of_another_image_version_or_contract_is_refused(platform: Platform) -> None:
    """What differs is named; versions are compared at the end, when the target has told its own."""
    assert platform.run("staging", "acceptance", "--gate-run-id", "on-staging").status == 0
    imported = ("--gate-import", str(platform.keep("staging")))

    other = platform.run("production", "golive", *imported, subject=SUBJECT.replace("a" * 64, "b" * 64))
    assert (other.status, other.codes) == (22, {"REFUSED_OPTION"}), other.output
    assert other.decision is not None
    assert "image api@sha256:aaa" in other.decision["reasons"][0]["message"]
    platform.apis["production"].version = "2.0.0"
    newer = platform.run("production", "golive", *imported)
    assert (newer.status, newer.codes) == (22, {"IMPORT_OTHER_TARGET"}), newer.output
    assert newer.decision is not None
    assert "API version 1.0.0, here 2.0.0" in newer.decision["reasons"][0]["message"]
    platform.apis["production"].version = "1.0.0"
    platform.project.write("gates/contract.yaml", "openapi: 3.1.1\n")
    changed = platform.run("production", "golive", *imported)
    assert (changed.status, changed.codes) == (22, {"REFUSED_OPTION"}), changed.output
    assert changed.decision is not None
    messages = " ".join(reason["message"] for reason in changed.decision["reasons"])
    assert "contract sha256:" in messages
    assert ", here sha256:" in messages


def test_without_evidence_from_another_environment_proves_nothing(platform: Platform) -> None:
    """A decision about staging whose gates the catalog does not admit is refused."""
    platform.catalog()
    assert platform.run("staging", "acceptance").status == 0

    ran = platform.run("production", "golive", "--gate-import", str(platform.keep("staging")))

    assert (ran.status, ran.codes) == (22, {"REFUSED_OPTION"}), ran.output
    assert "evidence_from" in ran.output


def test_an_import_of_the_same_environment_is_about_the_same_version(platform: Platform) -> None:
    """Results for version 1 do not count when the target says version 2, which is asked if no gate did."""
    assert platform.run("production", "acceptance").status == 0
    kept = platform.keep("earlier")
    selected = ("-k", "own", "--gate-import", str(kept))
    assert platform.run("production", "golive", *selected).status == 0

    platform.apis["production"].version = "2.0.0"
    ran = platform.run("production", "golive", *selected)

    assert (ran.status, ran.codes) == (22, {"IMPORT_OTHER_TARGET"}), ran.output
    nothing = platform.run("production", "golive", "-k", "nothing", "--gate-import", str(kept))
    assert "ONLY_IMPORTED" in nothing.codes, nothing.output


def test_a_rehearsal_proves_nothing_for_a_target_that_is_none(platform: Platform) -> None:
    """Outside a rehearsal the same import counts only if staging was not on loopback either."""
    assert platform.run("staging", "acceptance", "--gate-run-id", "on-staging").status == 0
    path = platform.keep("staging")
    gates = platform.project.folder / "gates"
    production = TargetIdentity(name="production", rehearsal=False, environment_digest="sha256:" + "e" * 64)

    def imported(document: Mapping[str, Any]) -> Any:
        path.write_text(json.dumps({**document, "digest": document_digest(dict(document))}))
        return read_imports(
            (path,),
            target=production,
            subject=parse_subject(SUBJECT),
            catalog=load_catalog(gates / "catalog.yaml"),
            policy=load_policy(gates / "policy.yaml"),
        )

    document = json.loads(path.read_text())
    refused = imported(document)
    elsewhere = {
        **document["target"],
        "rehearsal": False,
        "addresses": [{"name": "api.url", "value": "192.0.2.1"}],
        "facts": [{"name": "api.url", "value": "https://staging.example.com"}],
    }
    counted = imported({**document, "target": elsewhere})

    assert any("rehearsal" in reason.message for reason in refused.reasons)
    assert counted.reasons == ()
    assert counted.proven_elsewhere == {"acceptance.one"}
    assert counted.origins[0].target == load_decision(path).target
