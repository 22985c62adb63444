"""A project folder with a catalog, policy, waivers and environments, and decisions that were made by it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bais_gates.attest.keys import SigningKey, generate, public_pem, signing_key
from bais_gates.attest.signing import STATEMENTS_FILE, signed
from bais_gates.attest.verify import VerifyReport, verify
from bais_gates.verdict.catalog import load_catalog
from bais_gates.verdict.decide import decide
from bais_gates.verdict.document import document_digest, load_with_digest, to_document
from bais_gates.verdict.files import digest_of, load_document
from bais_gates.verdict.inputs import key_digests
from bais_gates.verdict.model import Check, GateResult, Op, Outcome, Run, Subject, TargetIdentity
from bais_gates.verdict.policy import load_policy
from bais_gates.verdict.strict_yaml import KeyPath
from bais_gates.verdict.waivers import load_waivers

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
ENTRY = """\
  - id: acceptance.{name}
    title: Gate {name}
    phase: acceptance
    severity: {severity}
    scopes: [golive]
    requirement: It holds.
    remedy: Mend it.
"""
CRITERIA = """\
criteria:
  - title: Readiness
    lines:
      - {criterion: It is ready., gates: [acceptance.a, acceptance.c]}
"""
WAIVERS = """\
waivers:
  - gate: acceptance.c
    reason: The index is being rebuilt.
    ticket: BAIS-1
    requested_by: dana
    approved_by: alex
    approved_at: 2026-03-01T12:00:00Z
    expires: 2026-03-02T14:00:00Z
    environment: production
"""
POLICY = """\
blocking: [P1, P2, P3]
gate_deadline_s: 60
run_deadline_s: 600
validity_s: 3600
waiver_max_days: {P2: 7, P3: 30}
"""
Leaves = Callable[[Any], list[KeyPath]]
SUBJECT = Subject(name="bais-api", digest="sha256:" + "a" * 64)


@dataclass
class Project:
    """A release judged for production; gate c fails and is waived, gate d is advisory."""

    folder: Path
    outcomes: dict[str, str] = field(
        default_factory=lambda: {"a": "PASS", "b": "NOT_APPLICABLE", "c": "FAIL", "d": "FAIL"}
    )

    @property
    def catalog(self) -> Path:
        """The catalog file."""
        return self.folder / "gates" / "catalog.yaml"

    @property
    def decision(self) -> Path:
        """The decision file."""
        return self.folder / "decision.json"

    def write(self) -> None:
        """Write the files that decide."""
        gates = self.catalog.parent
        (gates / "environments").mkdir(parents=True)
        entries = zip("abcd", ("P1", "P2", "P3", "P4"), strict=True)
        self.catalog.write_text(
            CRITERIA
            + "gates:\n"
            + "".join(ENTRY.format(name=name, severity=severity) for name, severity in entries)
        )
        (gates / "policy.yaml").write_text(POLICY)
        (gates / "waivers.yaml").write_text(WAIVERS)
        (gates / "environments" / "production.yaml").write_text("name: production\n")

    def judge(self, *, target: str = "production", rehearsal: bool = False, **fields: Any) -> dict[str, Any]:
        """Judge, write the decision and its ledger, and return the document."""
        gates = self.catalog.parent
        ledger = self.folder / "ledger.jsonl"
        ledger.write_text('{"event": "start"}\n')
        check = Check(name="p95", observed=10, op=Op.LE, limit=20, ok=True, n=5, n_min=5)
        # Any: each keyword of decide has a type of its own
        given: dict[str, Any] = {"scope": "golive", "subject": SUBJECT, "now": NOW}
        decision = decide(
            catalog=load_catalog(self.catalog),
            policy=load_policy(gates / "policy.yaml"),
            waivers=load_waivers(gates / "waivers.yaml"),
            results=[
                GateResult(
                    gate_id=f"acceptance.{name}",
                    outcome=Outcome(outcome),
                    checks=() if outcome == "NOT_APPLICABLE" else (check,),
                )
                for name, outcome in self.outcomes.items()
            ],
            run=Run(
                run_id="run-1",
                started_at=NOW - timedelta(minutes=1),
                finished_at=NOW,
                command=("pytest", "-m", "golive"),
                workers=0,
                ledger_digest=digest_of(ledger.read_bytes()),
            ),
            target=TargetIdentity(
                name=target,
                rehearsal=rehearsal,
                environment_digest=digest_of((gates / "environments" / "production.yaml").read_bytes()),
                not_applicable=(("acceptance.b", "No such part here."),),
            ),
            environment=key_digests(
                load_document(gates / "environments" / "production.yaml", "environment").data
            ),
            **(given | fields),
        )
        document = to_document(decision)
        self.write_document(document)
        return document

    def write_document(self, document: object) -> None:
        """Write the decision file as it is."""
        self.decision.write_text(json.dumps(document))

    def forge(self, document: dict[str, Any]) -> None:
        """Write the decision file with a digest that fits what was put into it."""
        self.write_document({**document, "digest": document_digest(document)})

    def key(self, name: str) -> SigningKey:
        """Return the private key ``name``, made at its first use; ``<name>.pub`` holds its public half."""
        path = self.folder / name
        if not path.exists():
            generate(path, None)
        key = signing_key(path, {})
        assert key is not None
        return key

    def list_keys(self, **keys: Mapping[str, str]) -> None:
        """Write keys.yaml with these keys; each may have an owner and other moments."""
        entries = [
            {
                "name": name,
                "owner": name.title(),
                "public_key": public_pem(self.key(name).public().key),
                "not_before": "2026-01-01T00:00:00Z",
                "not_after": "2027-01-01T00:00:00Z",
                **more,
            }
            for name, more in keys.items()
        ]
        (self.catalog.parent / "keys.yaml").write_text(json.dumps({"keys": entries}))

    def require(self, required: int = 1, keys: str = "") -> None:
        """Have the policy require signatures for production, and judge anew."""
        rule = f"required: {required}" + (f", keys: [{keys}]" if keys else "")
        (self.catalog.parent / "policy.yaml").write_text(f"{POLICY}signatures: {{production: {{{rule}}}}}\n")
        self.judge()

    def sign(self, *names: str) -> None:
        """Have these keys sign the decision, one after the other, a minute later."""
        for minutes, name in enumerate(names, 1):
            moment = NOW + timedelta(seconds=20 * minutes)
            decision, digest = load_with_digest(self.decision)
            content = signed(self.decision, decision, digest, self.key(name), moment)
            self.statements.write_text(content)

    @property
    def statements(self) -> Path:
        """The signed statements."""
        return self.folder / STATEMENTS_FILE

    def verify(self, **fields: Any) -> VerifyReport:
        """Verify as a pipeline would: this run, this subject, this catalog, a minute later."""
        given: dict[str, Any] = {  # Any: each keyword of verify has a type of its own
            "run_id": "run-1",
            "subject": SUBJECT,
            "catalog": self.catalog,
            "now": NOW + timedelta(minutes=1),
        }
        return verify(self.decision, **(given | fields))

    def codes(self, **fields: Any) -> list[str]:
        """Verify and list the codes of the problems."""
        report = self.verify(**fields)
        assert report.ok is (report.problems == ())
        assert all(problem.message and "\n" not in problem.message for problem in report.problems)
        return [problem.code for problem in report.problems]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Return a project whose decision is DEPLOY."""
    project = Project(tmp_path)
    project.write()
    project.judge()
    return project


@pytest.fixture(scope="session")
def leaves() -> Leaves:
    """Return a function that lists the path of every single value in a document."""

    def list_leaves(value: Any, path: KeyPath = ()) -> list[KeyPath]:
        if isinstance(value, dict) and value:
            return [leaf for key, item in value.items() for leaf in list_leaves(item, (*path, key))]
        if isinstance(value, list) and value:
            return [leaf for index, item in enumerate(value) for leaf in list_leaves(item, (*path, index))]
        return [path]

    return list_leaves
