"""The values of a verdict, all frozen. Moments are aware UTC ``datetime``s, durations float seconds."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum, StrEnum

from bais_gates.verdict.criteria import CriteriaList

_SUBJECT = re.compile(r"(?P<name>[a-z0-9][A-Za-z0-9._/:-]{0,254})@(?P<digest>sha256:[0-9a-f]{64})")

Scalar = str | int | float | bool | None
"""A JSON value without parts."""
JsonValue = Scalar | list["JsonValue"] | dict[str, "JsonValue"]
"""An observed value or a limit of a check, redacted."""
MAX_VALUE_CHARACTERS = 16 * 1024
"""What a check keeps of an observed value or a limit; the comparison is made with the whole value."""


class Severity(StrEnum):
    """The severity of a failed gate: P1 critical to P4 low. The policy defines which of them block."""

    P1 = "P1"
    P2 = "P2"
    P3 = "P3"
    P4 = "P4"


class Phase(StrEnum):
    """The part of a go-live that a gate belongs to; each phase is also a scope of its own."""

    STAGING = "staging"
    ACCEPTANCE = "acceptance"
    LOAD = "load"
    MONITORING = "monitoring"
    ONCALL = "oncall"
    CHECKLIST = "checklist"
    POSTDEPLOY = "postdeploy"


GOLIVE = "golive"
"""The scope of everything that must hold before production is touched."""
SCOPES: tuple[str, ...] = (GOLIVE, *(phase.value for phase in Phase))
"""The scopes of a decision, requested by ``pytest -m <scope>``."""


class Outcome(StrEnum):
    """The outcome of one gate. Only PASS, NOT_APPLICABLE and a valid waiver allow a release."""

    PASS = "PASS"  # noqa: S105  # an outcome, not a password
    FAIL = "FAIL"
    ERROR = "ERROR"
    NO_DATA = "NO_DATA"
    SKIPPED = "SKIPPED"
    XFAIL = "XFAIL"
    XPASS = "XPASS"
    FLAKY = "FLAKY"
    NOT_RUN = "NOT_RUN"
    NOT_APPLICABLE = "NOT_APPLICABLE"
    VACUOUS = "VACUOUS"


class Verdict(StrEnum):
    """The verdict of a decision."""

    DEPLOY = "DEPLOY"
    BLOCK = "BLOCK"


class ExitStatus(IntEnum):
    """The exit status of a deciding run; clear of pytest's 0-7, k6's 99 and the shell's 124-143."""

    DEPLOY = 0
    GATE_FAILED = 20
    INCOMPLETE = 21
    INTEGRITY = 22
    BROKEN = 23


class Code(StrEnum):
    """The reasons for a BLOCK. These strings are stable: pipelines and dashboards depend on them."""

    # A gate ran and did not pass: exit status 20.
    FAILED = "FAILED"
    ERROR = "ERROR"
    NO_DATA = "NO_DATA"
    VACUOUS = "VACUOUS"
    FLAKY = "FLAKY"
    XFAIL = "XFAIL"
    XPASS = "XPASS"
    # A gate or the run is missing or not complete: exit status 21.
    NOT_RUN = "NOT_RUN"
    NEEDS_NOT_PASSED = "NEEDS_NOT_PASSED"
    ONLY_IMPORTED = "ONLY_IMPORTED"
    SUBJECT_MISSING = "SUBJECT_MISSING"
    SKIPPED = "SKIPPED"
    CASES_MISSING = "CASES_MISSING"
    NOTHING_PROVEN = "NOTHING_PROVEN"
    RUN_INCOMPLETE = "RUN_INCOMPLETE"
    RUN_ABORTED = "RUN_ABORTED"
    RUN_DEADLINE = "RUN_DEADLINE"
    # The run is not trustworthy: exit status 22.
    CATALOG_INVALID = "CATALOG_INVALID"
    POLICY_INVALID = "POLICY_INVALID"
    WAIVERS_INVALID = "WAIVERS_INVALID"
    ENVIRONMENT_INVALID = "ENVIRONMENT_INVALID"
    COLLECTION_ERROR = "COLLECTION_ERROR"
    GATE_UNKNOWN = "GATE_UNKNOWN"
    GATE_UNBOUND = "GATE_UNBOUND"
    GATE_BOUND_TWICE = "GATE_BOUND_TWICE"
    DUPLICATE_RESULT = "DUPLICATE_RESULT"
    CASES_UNEXPECTED = "CASES_UNEXPECTED"
    NOT_APPLICABLE_UNDECLARED = "NOT_APPLICABLE_UNDECLARED"
    NOT_APPLICABLE_UNDATED = "NOT_APPLICABLE_UNDATED"
    IMPORT_OTHER_TARGET = "IMPORT_OTHER_TARGET"
    IMPORT_EXPIRED = "IMPORT_EXPIRED"
    WAIVER_P1 = "WAIVER_P1"
    WAIVER_UNKNOWN_GATE = "WAIVER_UNKNOWN_GATE"
    WAIVER_EXPIRED = "WAIVER_EXPIRED"
    WAIVER_NOT_YET_VALID = "WAIVER_NOT_YET_VALID"
    WAIVER_TOO_LONG = "WAIVER_TOO_LONG"
    WAIVER_SELF_APPROVED = "WAIVER_SELF_APPROVED"
    WAIVER_UNUSED = "WAIVER_UNUSED"
    WAIVER_DUPLICATE = "WAIVER_DUPLICATE"
    REFUSED_OPTION = "REFUSED_OPTION"
    TAMPERED = "TAMPERED"
    LEDGER_MISMATCH = "LEDGER_MISMATCH"
    WORKERS_DISAGREE = "WORKERS_DISAGREE"
    TARGET_CHANGED = "TARGET_CHANGED"
    TARGET_LOST = "TARGET_LOST"
    TARGET_RUNS_ANOTHER = "TARGET_RUNS_ANOTHER"
    CLOCK_JUMPED = "CLOCK_JUMPED"
    # An internal error in bais-gates: exit status 23.
    INTERNAL_ERROR = "INTERNAL_ERROR"


class Op(StrEnum):
    """The operators of a check, read as ``observed OP limit``."""

    LE = "<="
    LT = "<"
    GE = ">="
    GT = ">"
    EQ = "=="
    NE = "!="
    IN = "in"
    NOT_IN = "not in"
    MATCHES = "matches"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One comparison inside a gate. ``ok`` is None when there was too little data to compare (NO_DATA)."""

    name: str
    observed: JsonValue
    op: Op
    limit: JsonValue
    ok: bool | None
    unit: str | None = None
    n: int | None = None
    n_min: int | None = None
    source: str | None = None
    case: str | None = None
    """The case of the gate that recorded it, for a gate with ``cases``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """Evidence other than a check, as redacted text."""

    name: str
    content_type: str
    text: str
    truncated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """A catalog entry: one thing that must be proven."""

    id: str
    title: str
    phase: Phase
    severity: Severity
    scopes: tuple[str, ...]
    requirement: str
    remedy: str
    cases: tuple[str, ...] = ()
    """Parametrize ids that must all report; empty when the gate is one plain test."""
    needs: tuple[str, ...] = ()
    exclusive: bool = False
    mutates: bool = False
    environments: tuple[str, ...] = ()
    """The environments that it belongs to: NOT_APPLICABLE in others. Empty: it belongs to all."""
    evidence_from: tuple[str, ...] = ()
    """Environments whose verified decision may prove it for another one."""
    sends: str | None = None
    """What it sends to people's receivers, such as ``synthetic_alert``: NOT_APPLICABLE where not allowed."""
    deadline_s: float | None = field(default=None, compare=False)
    """Its own deadline in seconds instead of the policy's; like rolls_up not written to a decision."""
    rolls_up: Phase | None = field(default=None, compare=False)
    """The phase whose results it judges. It only orders a run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateResult:
    """The result of one gate in this run, or imported. Two for one gate are a reason to block."""

    gate_id: str
    outcome: Outcome
    message: str = ""
    """One paragraph, redacted: the false checks, the error, or why it did not run."""
    checks: tuple[Check, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    cases: tuple[str, ...] = ()
    needs_not_passed: tuple[str, ...] = ()
    nodeid: str = ""
    summary: str = ""
    """The test's docstring: the sentence that the gate proves."""
    started_at: datetime | None = None
    duration_s: float = 0.0
    worker: str = "main"
    attempts: int = 1
    log: str = ""
    """Redacted traceback and captured output of a gate that did not pass."""
    imported_from: str | None = None
    """Run id of the verified decision that it was imported from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One reason to block, with its remedy."""

    code: Code
    message: str
    gate_id: str | None = None
    remedy: str = ""
    holds_back: tuple[str, ...] = ()
    """The gates that it holds back, where it is one cause for several; then ``gate_id`` is None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The image that a decision is about: ``NAME@sha256:<64 hex digits>``; the digest has its prefix."""

    name: str
    digest: str

    def __str__(self) -> str:
        return f"{self.name}@{self.digest}"


def parse_subject(text: str) -> Subject:
    """Read ``NAME@sha256:<64 lower-case hex digits>``; raise ValueError for anything else."""
    match = _SUBJECT.fullmatch(text)
    if match is None:
        raise ValueError(
            "the subject must be NAME@sha256: and 64 lower-case hex digits; a tag alone is not enough"
        )
    return Subject(name=match["name"], digest=match["digest"])


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetIdentity:
    """The target that was judged: its environment file and the facts that it reports."""

    name: str
    rehearsal: bool
    """True for the sandbox and any target with an address on loopback: its decision never deploys."""
    environment_digest: str
    facts: tuple[tuple[str, str], ...] = ()
    """(key, value) pairs such as ("api.url", "https://..."), redacted, in display order."""
    not_applicable: tuple[tuple[str, str], ...] = ()
    """(gate id, reason) pairs that the environment file declares."""
    exemptions: tuple[Waiver, ...] = ()
    """Those of not_applicable that are dated and approved, as a P1 gate's must be."""
    addresses: tuple[tuple[str, str], ...] = ()
    """(key, IP address) pairs: what the host names of the environment file resolved to."""
    provisioned: bool = False
    """True for the sandbox that the run itself started: each run has another one of the same kind."""
    without_tenant: bool = False
    """True for production without a test tenant: gates that write are NOT_APPLICABLE."""
    allow: tuple[str, ...] = ()
    """What gates may send to people's receivers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The run that a decision comes from."""

    run_id: str
    started_at: datetime
    finished_at: datetime | None
    command: tuple[str, ...]
    workers: int
    versions: tuple[tuple[str, str], ...] = ()
    ledger_digest: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiver:
    """A dated exception for one gate."""

    gate: str
    reason: str
    ticket: str
    requested_by: str
    approved_by: str
    approved_at: datetime
    expires: datetime
    environment: str
    subject_digest: str | None = None

    def is_active(self, now: datetime, *, environment: str, subject: Subject | None) -> bool:
        """Return whether it is in force now, in this environment, for this subject."""
        in_time = self.approved_at <= now < self.expires
        in_scope = self.environment == environment
        if self.subject_digest is not None:
            in_scope = in_scope and subject is not None and subject.digest == self.subject_digest
        return in_time and in_scope


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedGate:
    """A gate in a decision: the catalog entry, its result, and whether it blocks."""

    gate: Gate
    result: GateResult
    waiver: Waiver | None = None
    """The waiver that is applied to it; its outcome stays visible."""
    blocking: bool = False
    advisory: bool = False
    """Not passed, but of a severity that does not block."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Previous:
    """The decision before this one, for the list of changes."""

    run_id: str
    verdict: Verdict
    decided_at: datetime
    scope: str
    outcomes: tuple[tuple[str, Outcome], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Digests:
    """Digests (``sha256:...``) of the files that the decision used, by name; None for an absent file."""

    catalog: str | None
    policy: str | None
    waivers: str | None
    contract: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """An earlier, verified decision whose results count in this one; ``contract`` is a digest."""

    run_id: str
    decided_at: datetime
    valid_until: datetime
    target: TargetIdentity
    subject: Subject | None
    contract: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """DEPLOY or BLOCK with all of its evidence. Every report is made from this value."""

    verdict: Verdict
    exit_status: ExitStatus
    scope: str
    reasons: tuple[Reason, ...]
    gates: tuple[JudgedGate, ...]
    """Every catalog gate of the scope, in catalog order; one without a result is NOT_RUN."""
    run: Run
    target: TargetIdentity
    subject: Subject | None
    digests: Digests
    waivers: tuple[Waiver, ...]
    """All of the waiver file, applied or not."""
    decided_at: datetime
    valid_until: datetime
    previous: Previous | None = None
    imported: tuple[str, ...] = ()
    """Run ids of decisions whose results were imported."""
    origins: tuple[Origin, ...] = ()
    """Those decisions; each result keeps the one it was first in, also when it is imported again."""
    subject_required: bool = True
    """False where the policy says that there is no image to name."""
    inputs: tuple[tuple[str, str], ...] = ()
    """What it was made from, by :mod:`bais_gates.verdict.inputs`."""
    criteria: tuple[CriteriaList, ...] = ()
    """The success criteria of the catalog, as in the file."""
