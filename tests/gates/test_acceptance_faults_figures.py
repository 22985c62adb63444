"""Each fault of analytics, errors, database, cache and crowds turns its gate red, for the reason meant."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from bais_gates.verdict.model import Outcome

if TYPE_CHECKING:
    from tests.gates.conftest import Bench

ANY_DASHBOARD = r"figures that did not follow a payment at once|.*dashboard.*"
BROKEN = r"answers with a (5xx|status that is not due)|errors that are not in .*"
TELLING = r"answers that tell internals|errors that are not in the contract's shape"
UNTRUE = r"(connections|max_connections|database status) told.*|contract violations of the status.*"
UNLIKE = r"wave \d: answers that are not right"
REASONS = {
    "analytics_dashboard_data": {
        "analytics_counts_other_businesses": ANY_DASHBOARD,
        "analytics_stale": ANY_DASHBOARD,
        "analytics_success_rate_as_fraction": ANY_DASHBOARD,
        "analytics_volume_counts_failures": r"dashboard after a .*",
        "analytics_unknown_period_accepted": r"(status|violations) for the unknown period .*",
    },
    "error_handling": {
        "stack_trace_in_errors": TELLING,
        "malformed_json_crashes": BROKEN,
        "sql_text_in_errors": rf"{BROKEN}|{TELLING}",
        "unknown_path_answers_html": TELLING,
        "huge_body_crashes": BROKEN,
    },
    "database_connectivity": {
        "status_invents_connections": UNTRUE,
        "status_claims_database_disconnected": rf"{UNTRUE}|.*latenc.*told.*",
        "slow_database": r"the platform's (slowest query|queries), mean|latency told, median",
    },
    "cache_functionality": {
        "cache_returns_stale": r"values .*|operations that went wrong, through",
        "cache_shared_by_all_callers": r"values? .*",
        "status_invents_hit_rate": r"hit rates told astray",
        "slow_cache": r"a read through the API, beyond /health, median|cache latency told, median",
    },
    "concurrent_requests": {
        "concurrent_writes_lost": rf"{UNLIKE}|made in the crowd .*|businesses whose .*",
        "business_data_crossed": UNLIKE,
        "concurrent_requests_refused": UNLIKE,
    },
}


@pytest.mark.quiet
@pytest.mark.parametrize("gate", REASONS)
def test_the_gate_is_green_without_a_fault(bench: Bench, gate: str) -> None:
    """Against the sandbox as it should be, the gate passes."""
    judged = bench.run(gate)

    assert (judged.outcome, judged.message, judged.false) == (Outcome.PASS, "", "")


@pytest.mark.parametrize(
    ("gate", "fault"), [(gate, fault) for gate, faults in REASONS.items() for fault in faults]
)
def test_each_fault_turns_it_red_for_the_reason_meant(bench: Bench, gate: str, fault: str) -> None:
    """With the fault on the gate fails, and every false check is about what the fault does."""
    judged = bench.run(gate, fault)

    assert judged.outcome is Outcome.FAIL, judged.message
    strays = [
        check.name
        for check in judged.checks
        if check.ok is not True and not re.fullmatch(REASONS[gate][fault], check.name)
    ]
    assert strays == [], judged.false
