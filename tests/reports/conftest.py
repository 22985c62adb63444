"""Decisions to render: a realistic one, big ones, and random and hostile ones."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import strategies as st

from bais_gates.verdict.criteria import CriteriaList, Criterion
from bais_gates.verdict.model import (
    Attachment,
    Check,
    Code,
    Decision,
    Digests,
    ExitStatus,
    Gate,
    GateResult,
    JudgedGate,
    Op,
    Outcome,
    Phase,
    Previous,
    Reason,
    Run,
    Severity,
    Subject,
    TargetIdentity,
    Verdict,
    Waiver,
)
from tests.reports import strategies

NOW = datetime(2026, 11, 20, 14, 3, 11, tzinfo=UTC)


def _gate(gate_id: str, title: str, severity: Severity = Severity.P1, **more: object) -> Gate:
    phase = Phase(gate_id.partition(".")[0])
    fields: dict[str, object] = {
        "scopes": ("golive", phase.value),
        "requirement": f"{title} must hold before the release meets a customer.",
        "remedy": "Look at the API's log for this run, then at the last change of this part.",
    }
    return Gate(id=gate_id, title=title, phase=phase, severity=severity, **(fields | more))  # type: ignore[arg-type]  # built from a table


def _check(name: str, observed: object, op: Op, limit: object, ok: bool | None, **more: object) -> Check:
    return Check(name=name, observed=observed, op=op, limit=limit, ok=ok, **more)  # type: ignore[arg-type]  # built from a table


def _passed(gate: Gate, *checks: Check, seconds: float = 0.4) -> JudgedGate:
    result = GateResult(
        gate_id=gate.id,
        outcome=Outcome.PASS,
        checks=checks,
        nodeid=f"gates/{gate.phase.value}/test_{gate.id.partition('.')[2]}.py::test",
        summary=f"{gate.title} holds.",
        started_at=NOW - timedelta(seconds=40),
        duration_s=seconds,
    )
    return JudgedGate(gate=gate, result=result)


def _red(gate: Gate, outcome: Outcome, message: str, *checks: Check, **more: object) -> JudgedGate:
    flags = {name: more.pop(name) for name in ("waiver", "advisory") if name in more}
    result = GateResult(
        gate_id=gate.id,
        outcome=outcome,
        message=message,
        checks=checks,
        summary=f"{gate.title} holds.",
        started_at=None if outcome is Outcome.NOT_RUN else NOW - timedelta(seconds=30),
        duration_s=0.0 if outcome is Outcome.NOT_RUN else 2.3,
        **more,  # type: ignore[arg-type]  # built from a table
    )
    return JudgedGate(gate=gate, result=result, blocking=not flags, **flags)  # type: ignore[arg-type]  # as above


def _waiver(gate_id: str) -> Waiver:
    return Waiver(
        gate=gate_id,
        reason="Locale fallback is fixed in 2.4.1; no customer outside the EU before December.",
        ticket="BAIS-4127",
        requested_by="Jonas Weber",
        approved_by="Maria Lindqvist",
        approved_at=NOW - timedelta(days=2),
        expires=NOW + timedelta(days=5),
        environment="staging",
    )


def _base(verdict: Verdict, gates: tuple[JudgedGate, ...], reasons: tuple[Reason, ...]) -> Decision:
    run = Run(
        run_id="20261120-140140-5f3a9c",
        started_at=NOW - timedelta(seconds=74),
        finished_at=NOW,
        command=("pytest", "-m", "golive", "-n", "2", "--gate-env", "staging"),
        workers=2,
        versions=(("bais-gates", "0.1.0"), ("python", "3.11.7"), ("pytest", "9.2.0")),
        ledger_digest="sha256:" + "3c" * 32,
    )
    target = TargetIdentity(
        name="staging",
        rehearsal=False,
        environment_digest="sha256:" + "7f" * 32,
        facts=(
            ("api.url", "https://api.staging.bais.example"),
            ("api.version", "2.4.0-rc3"),
            ("kubernetes.cluster", "0d1c3c2a-3b7c-4e0e-9a55-70f6f3f4ab1e"),
        ),
        not_applicable=(("checklist.tax_export", "No tax export before 2027."),),
    )
    return Decision(
        verdict=verdict,
        exit_status=ExitStatus.DEPLOY if verdict is Verdict.DEPLOY else ExitStatus.GATE_FAILED,
        scope="golive",
        reasons=reasons,
        gates=gates,
        run=run,
        target=target,
        subject=Subject(name="registry.bais.example/api", digest="sha256:" + "9b" * 32),
        digests=Digests(
            catalog="sha256:" + "a1" * 32, policy="sha256:" + "b2" * 32, waivers="sha256:" + "c3" * 32
        ),
        waivers=tuple(judged.waiver for judged in gates if judged.waiver is not None),
        decided_at=NOW,
        valid_until=NOW + timedelta(hours=24),
        previous=Previous(
            run_id="20261119-173002-0c11d2",
            verdict=Verdict.BLOCK,
            decided_at=NOW - timedelta(hours=20),
            scope="golive",
            outcomes=(
                ("acceptance.health_endpoint", Outcome.FAIL),
                ("acceptance.rate_limiting", Outcome.PASS),
                ("acceptance.payment_processing", Outcome.FAIL),
                ("load.sustained_500_rps", Outcome.PASS),
            ),
        ),
        criteria=(
            CriteriaList(
                title="Business readiness",
                criteria=(
                    Criterion(text="The API is healthy", gate_ids=("acceptance.health_endpoint",)),
                    Criterion(
                        text="Payments are taken",
                        gate_ids=("acceptance.payment_processing", "acceptance.health_endpoint"),
                    ),
                    Criterion(text="Receipts are in every language", gate_ids=("checklist.locales",)),
                    Criterion(text="The release runs", gate_ids=("postdeploy.version",)),
                ),
            ),
        ),
    )


def _block() -> Decision:
    health = _gate("acceptance.health_endpoint", "Health endpoint")
    limiting = _gate("acceptance.rate_limiting", "Rate limiting", Severity.P2)
    payment = _gate("acceptance.payment_processing", "Payment processing")
    webhook = _gate("acceptance.webhook_delivery", "Webhook delivery", Severity.P2)
    load = _gate("load.sustained_500_rps", "500 requests a second for ten minutes", needs=(payment.id,))
    alert = _gate("monitoring.alerts_fire", "Every alert fires when it should", Severity.P2)
    page = _gate("oncall.test_page", "A test page reaches the person on call")
    locale = _gate("checklist.locales", "Locales of the receipts", Severity.P3)
    tax = _gate("checklist.tax_export", "Tax export", Severity.P3)
    colour = _gate("monitoring.dashboard_polish", "Dashboards have descriptions", Severity.P4)
    gates = (
        _passed(
            health,
            _check("status", 200, Op.EQ, 200, True),
            _check("p95 of GET /health", 12.41, Op.LE, 50, True, unit="ms", n=300, n_min=100),
        ),
        _red(
            limiting,
            Outcome.FAIL,
            "2 of 4 checks are false: requests let in at once; Retry-After is true.",
            _check("requests let in at once", 164, Op.LE, 100, False, unit="requests", n=200),
            _check("Retry-After is true", 3.2, Op.GE, 9.5, False, unit="s", n=1),
            _check("another caller's p95", 21.7, Op.LE, 200, True, unit="ms", n=60),
            _check("status over the limit", 429, Op.EQ, 429, True),
            attachments=(
                Attachment(
                    name="last answer",
                    content_type="application/json",
                    text='{"error": {"code": "rate_limited", "message": "Too many requests."}}',
                ),
            ),
            log="gates/acceptance/test_rate_limiting.py:41: in test_rate_limiting\nE   2 checks are false",
        ),
        _red(
            payment,
            Outcome.ERROR,
            "The API closed the connection: POST https://api.staging.bais.example/api/v1/payments.",
            _check("payment accepted", 201, Op.EQ, 201, True),
            log="probes.http.Unreachable: POST /api/v1/payments: connection reset by peer",
        ),
        _red(
            webhook,
            Outcome.NO_DATA,
            "No delivery arrived within 10 s, so its signature can't be judged.",
            _check("delay of the delivery, p95", None, Op.LE, 5, None, unit="s", n=0, n_min=20),
        ),
        _red(
            load,
            Outcome.NOT_RUN,
            "Needs acceptance.payment_processing, which did not pass.",
            needs_not_passed=(payment.id,),
        ),
        _red(page, Outcome.NOT_RUN, "It is in the catalog, and no test reported for it."),
        _passed(
            alert,
            _check("alerts that fired", 23, Op.EQ, 23, True),
            _check("slowest to fire", 96.0, Op.LE, 120, True, unit="s", n=23),
        ),
        _red(
            locale,
            Outcome.FAIL,
            "1 of 1 checks is false: locales with a receipt.",
            _check("locales with a receipt", 22, Op.GE, 24, False, unit="locales"),
            waiver=_waiver(locale.id),
        ),
        JudgedGate(
            gate=tax,
            result=GateResult(
                gate_id=tax.id, outcome=Outcome.NOT_APPLICABLE, message="No tax export before 2027."
            ),
        ),
        _red(
            colour,
            Outcome.FAIL,
            "1 of 1 checks is false: panels with a description.",
            _check("panels with a description", 31, Op.GE, 36, False, unit="panels"),
            advisory=True,
        ),
    )
    codes = {
        Outcome.FAIL: Code.FAILED,
        Outcome.ERROR: Code.ERROR,
        Outcome.NO_DATA: Code.NO_DATA,
        Outcome.NOT_RUN: Code.NOT_RUN,
    }
    reasons = [
        Reason(
            code=Code.NEEDS_NOT_PASSED if judged.result.needs_not_passed else codes[judged.result.outcome],
            gate_id=judged.gate.id,
            message=judged.result.message,
            remedy=judged.gate.remedy,
        )
        for judged in gates
        if judged.blocking
    ]
    reasons.append(
        Reason(
            code=Code.WAIVER_EXPIRED,
            message="The waiver BAIS-3990 for acceptance.health_endpoint expired on 2026-11-18.",
            remedy="Remove it from gates/waivers.yaml, or have it approved anew.",
        )
    )
    return _base(Verdict.BLOCK, gates, tuple(reasons))


def _many(count: int) -> Decision:
    phases = list(Phase)
    gates = []
    for index in range(count):
        phase = phases[index % len(phases)]
        gate = _gate(f"{phase.value}.gate_{index:05}", f"Gate number {index}", Severity.P2)
        checks = (
            _check("p95", 12.5 + index % 90, Op.LE, 95, True, unit="ms", n=300),
            _check("status", 200, Op.EQ, 200, True),
        )
        if index % 25 == 0:
            bad = _check("p95", 212.5 + index, Op.LE, 200, False, unit="ms", n=300)
            log = "E   1 check is false\n" * 20
            gates.append(_red(gate, Outcome.FAIL, "1 of 3 checks is false: p95.", *checks, bad, log=log))
        else:
            gates.append(_passed(gate, *checks))
    reasons = tuple(
        Reason(
            code=Code.FAILED,
            gate_id=judged.gate.id,
            message=judged.result.message,
            remedy=judged.gate.remedy,
        )
        for judged in gates
        if judged.blocking
    )
    return _base(Verdict.BLOCK, tuple(gates), reasons)


def _deploy() -> Decision:
    gates = tuple(judged for judged in _block().gates if not judged.blocking)
    return _base(Verdict.DEPLOY, gates, ())


@pytest.fixture(scope="session")
def block() -> Decision:
    """Return a BLOCK on staging with every kind of gate in it."""
    return _block()


@pytest.fixture(scope="session")
def deploy() -> Decision:
    """Return a DEPLOY on staging, with a waived and an advisory gate."""
    return _deploy()


@pytest.fixture(scope="session")
def many() -> Callable[[int], Decision]:
    """Return a builder of decisions with that many gates, one of 25 failed."""
    return _many


@pytest.fixture(scope="session")
def hostile_texts() -> tuple[str, ...]:
    """Return texts that have broken a report somewhere."""
    return strategies.HOSTILE


@pytest.fixture(scope="session")
def decisions() -> st.SearchStrategy[Decision]:
    """Return a strategy for decisions whose texts are random or hostile."""
    return strategies.decisions()
