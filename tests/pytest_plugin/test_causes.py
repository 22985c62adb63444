"""What several gates fail for is one reason, found before the first gate where that is possible."""

from __future__ import annotations

import socket
import time
from typing import Any

import pytest

from tests.pytest_plugin.conftest import Project

GATES = """
@pytest.mark.gate("acceptance.api")
def test_api(target, evidence):
    raise AssertionError("it must not run")

@pytest.mark.gate("acceptance.stores")
def test_stores(target, database, cache, evidence):
    raise AssertionError("it must not run")

@pytest.mark.gate("acceptance.platform")
def test_platform(cluster, webhook_listener, evidence):
    raise AssertionError("it must not run")

@pytest.mark.gate("acceptance.file")
def test_file(evidence):
    evidence.check("one", 1, "==", 1)
"""
ENVIRONMENT = """
name: stub
api: {{url: "http://127.0.0.1:{closed}"}}
database: {{url: "postgresql://gates:{canary}@127.0.0.1:{closed}/bais"}}
cache: {{url: "redis://:{canary}@127.0.0.1:{closed}/0"}}
kubernetes: {{kubeconfig: kube/config, context: c}}
webhooks: {{listen_host: 127.0.0.1, listen_port: {taken}}}
"""
CANARY = "canary-of-a-password"
LINES_MAX = 24 + 4 * 6
"""Lines of a terminal of 80 columns for one cause, and six for each of the four others."""


@pytest.mark.parametrize(
    "options", [(), pytest.param(("-n", "2"), marks=pytest.mark.nightly)], ids=["serial", "xdist"]
)
def test_every_cause_is_found_before_the_first_gate(project: Project, options: tuple[str, ...]) -> None:
    """Each part that can't be judged is one reason, with its place and the gates it holds back; none runs."""
    project.catalog(api={}, stores={}, platform={}, file={})
    project.tests(GATES)
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # bound and not listening: connections to it are refused
        text = ENVIRONMENT.format(closed=free.getsockname()[1], taken=server.getsockname()[1], canary=CANARY)
        project.write("gates/environments/stub.yaml", text)
        began = time.monotonic()
        ran = project.run("-m", "golive", *options)

    assert time.monotonic() - began < 20
    assert ran.decision is not None, ran.output
    held: dict[str, Any] = {reason["message"]: reason["holds_back"] for reason in ran.decision["reasons"]}
    expected = {
        "stub.yaml:3: api.url: ": ["acceptance.api", "acceptance.stores", "acceptance.platform"],
        "stub.yaml:4: database.url: ": ["acceptance.stores"],
        "stub.yaml:5: cache.url: ": ["acceptance.stores"],
        "stub.yaml:6: kubernetes.kubeconfig: ": ["acceptance.platform"],
        "stub.yaml:7: webhooks.listen_host: ": ["acceptance.platform"],
    }
    assert {words: [gates for text, gates in held.items() if words in text] for words in expected} == {
        words: [gates] for words, gates in expected.items()
    }
    assert (len(held), ran.status, ran.outcomes) == (len(expected), 20, {})
    assert len(ran.output.splitlines()) < LINES_MAX, ran.output
    assert "Traceback" not in ran.output
    assert CANARY not in ran.output
    junit = (project.folder / "gate-report" / "junit.xml").read_text(encoding="utf-8")
    assert "Holds back 3 gates: acceptance.api, acceptance.stores, acceptance.platform" in junit
    page = (project.folder / "gate-report" / "signoff.html").read_text(encoding="utf-8")
    assert "Holds back 3 gates:" in page


def test_a_part_that_is_not_described_is_found_before_the_first_gate(project: Project) -> None:
    """A fixture of ours whose part is not described ends the run; a project's own only if built on ours."""
    project.catalog(api={}, stores={})
    project.write("gates/environments/stub.yaml", "name: stub\n")
    gates = """
@pytest.mark.gate("acceptance.api")
def test_api(limits, evidence):
    evidence.check("limit", limits, "==", 3)

@pytest.mark.gate("acceptance.stores")
def test_stores(cache, limits, evidence):
    evidence.check("limit", limits, "==", 3)
"""
    project.tests(gates)
    ran = project.run("-m", "golive")
    assert ran.decision is not None, ran.output
    assert {
        reason["message"].partition(" and ")[0]: len(reason["holds_back"])
        for reason in ran.decision["reasons"]
    } == {f"{project.folder / 'gates/environments/stub.yaml'}: limits, cache are missing,": 2}

    own = "import pytest\n@pytest.fixture(name='limits')\ndef {}:\n    return 3\n"
    project.write("conftest.py", own.format("of_project()"))
    project.tests("@pytest.fixture\ndef cache():\n    return {}\n" + gates)
    assert project.run("-m", "golive").status == 0

    project.write("conftest.py", own.format("of_project(limits)"))
    assert "Holds back 2 gates: acceptance.api, acceptance.stores" in project.run("-m", "golive").output


def test_what_gates_meet_in_the_middle_of_a_run_is_one_reason(project: Project) -> None:
    """Gates that end in the same error share a reason without the remedy of any of them, and no traceback."""
    project.catalog(one={"remedy": "Mend one."}, two={"remedy": "Mend two."}, own={"remedy": "Mend own."})
    project.tests(
        """
from bais_gates.probes import Unreachable

@pytest.fixture
def service():
    raise Unreachable("GET https://api.example.com: connection refused")

@pytest.mark.gate("acceptance.one")
def test_one(service, evidence):
    evidence.check("one", 1, "==", 1)

@pytest.mark.gate("acceptance.two")
def test_two(evidence):
    raise Unreachable("GET https://api.example.com: connection refused")

@pytest.mark.gate("acceptance.own")
def test_own(evidence):
    evidence.check("one", 2, "==", 1)
"""
    )
    ran = project.run("-m", "golive")

    assert ran.decision is not None, ran.output
    reasons = {reason["code"]: reason for reason in ran.decision["reasons"]}
    assert reasons["ERROR"]["message"] == "GET https://api.example.com: connection refused"
    assert reasons["ERROR"]["holds_back"] == ["acceptance.one", "acceptance.two"]
    assert reasons["FAILED"]["gate"] == "acceptance.own"
    assert "Mend own." in ran.output
    assert "Mend one." not in ran.output
    assert "Mend two." not in ran.output
    assert "in service" not in ran.output  # the frame of a traceback


def test_a_bug_in_a_gate_keeps_its_traceback(project: Project) -> None:
    """An exception that this package does not raise shows where it came from."""
    project.catalog(one={})
    project.tests(
        """
@pytest.mark.gate("acceptance.one")
def test_one(evidence):
    {}["absent"]
"""
    )
    ran = project.run("-m", "golive")

    assert "KeyError: 'absent'" in ran.gate("one")["message"]
    assert '{}["absent"]' in ran.output


def test_gates_that_did_not_run_alike_are_one_reason(project: Project) -> None:
    """Deselected gates share one reason, which lists them."""
    project.catalog(**{name: {} for name in "abcdefg"})
    project.passing(*"abcdefg")
    ran = project.run("-m", "golive", "-k", "nothing")

    assert ran.decision is not None
    (reason,) = ran.decision["reasons"]
    assert (reason["code"], len(reason["holds_back"])) == ("NOT_RUN", 7)
    assert "Holds back 7 gates: 7 of acceptance" in ran.output


def test_a_scope_without_gates_is_refused_at_once(project: Project) -> None:
    """A scope that has no gates in the catalog is one reason, which names those that have."""
    project.catalog(one={})
    project.passing("one")
    ran = project.run("-m", "load")

    assert ran.decision is not None
    (reason,) = ran.decision["reasons"]
    assert (ran.status, reason["code"]) == (21, "NOTHING_PROVEN")
    assert reason["remedy"] == "Choose one that has: golive, acceptance."
    assert "collected" not in ran.output
