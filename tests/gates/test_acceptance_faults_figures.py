"""Test that each fault of figures, errors, database, cache and concurrency fails its gate, for its reason."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from bais_gates.verdict.model import Outcome

if TYPE_CHECKING:
    from tests.gates.conftest import Bench

DASHBOARD = r"(stale )?dashboard figures .*"
ERRORS = r"responses with (a 5xx|an undocumented) status|errors that violate the contract"
LEAKS = r"responses that leak internals|errors that violate the contract"
STATUS = (
    r"reported (connections differ|max_connections|database status).*|contract violations \(GET system .*"
)
INCORRECT = r"incorrect responses \(wave \d\)"
REASONS = {
    "analytics_dashboard_data": {
        "analytics_counts_other_businesses": DASHBOARD,
        "analytics_stale": DASHBOARD,
        "analytics_success_rate_as_fraction": DASHBOARD,
        "analytics_volume_counts_failures": r"dashboard figures \(after a .*",
        "analytics_unknown_period_accepted": r"(status|contract violations) \(unknown period .*",
    },
    "error_handling": {
        "stack_trace_in_errors": LEAKS,
        "malformed_json_crashes": ERRORS,
        "sql_text_in_errors": rf"{ERRORS}|{LEAKS}",
        "unknown_path_answers_html": LEAKS,
        "huge_body_crashes": ERRORS,
    },
    "database_connectivity": {
        "status_invents_connections": STATUS,
        "status_claims_database_disconnected": rf"{STATUS}|.*reported latenc.*",
        "slow_database": r"mean query time \(platform's (slowest query|queries)\)|median reported latency",
    },
    "cache_functionality": {
        "cache_returns_stale": r"values .*|failed operations \(read through the API\)",
        "cache_shared_by_all_callers": r"values? .*",
        "status_invents_hit_rate": r"reported hit ratio differs from Redis",
        "slow_cache": r"median latency above GET /health .*|median reported cache latency",
    },
    "concurrent_requests": {
        "concurrent_writes_lost": rf"{INCORRECT}|lost payments and workflows|businesses with wrong .*",
        "business_data_crossed": INCORRECT,
        "concurrent_requests_refused": INCORRECT,
    },
}


@pytest.mark.quiet
@pytest.mark.parametrize("gate", REASONS)
def test_the_gate_passes_without_a_fault(bench: Bench, gate: str) -> None:
    """Without a fault in the sandbox the gate passes."""
    judged = bench.run(gate)

    assert (judged.outcome, judged.message, judged.false) == (Outcome.PASS, "", "")


@pytest.mark.parametrize(
    ("gate", "fault"), [(gate, fault) for gate, faults in REASONS.items() for fault in faults]
)
def test_each_fault_fails_the_gate_for_its_reason(bench: Bench, gate: str, fault: str) -> None:
    """With the fault on, the gate fails, and every false check is about the fault."""
    judged = bench.run(gate, fault)

    assert judged.outcome is Outcome.FAIL, judged.message
    strays = [
        check.name
        for check in judged.checks
        if check.ok is not True and not re.fullmatch(REASONS[gate][fault], check.name)
    ]
    assert strays == [], judged.false
