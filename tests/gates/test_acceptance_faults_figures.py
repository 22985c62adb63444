"""Test that each fault of figures, errors, database, cache and concurrency fails its gate, for its reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bais_gates.verdict.model import Outcome
from tests.gates.conftest import cases_of

if TYPE_CHECKING:
    from tests.gates.conftest import Bench

DASHBOARD = r"(stale )?dashboard figures .*"
ERRORS = r"responses with (a 5xx|an undocumented) status|errors that violate the contract"
LEAKS = r"responses that leak internals|errors that violate the contract"
STATUS = (
    r"reported (connections differ|max_connections|database status).*|contract violations \(GET system .*"
)
INCORRECT = r"incorrect responses \(wave \d\)"
REASONS: dict[str, tuple[dict[str, str], ...]] = {
    "analytics_dashboard_data": (
        {
            "analytics_counts_other_businesses": DASHBOARD,
            "analytics_unknown_period_accepted": r"(status|contract violations) \(unknown period .*",
        },
        {"analytics_stale": DASHBOARD},
        {"analytics_success_rate_as_fraction": DASHBOARD},
        {"analytics_volume_counts_failures": r"dashboard figures \(after a .*"},
    ),
    "error_handling": (
        {"stack_trace_in_errors": LEAKS, "huge_body_crashes": ERRORS},
        {"malformed_json_crashes": ERRORS},
        {"unknown_path_answers_html": LEAKS},
        {"sql_text_in_errors": rf"{ERRORS}|{LEAKS}"},
    ),
    "database_connectivity": (
        {
            "status_invents_connections": STATUS,
            "slow_database": r"mean query time \(platform's .*|median reported latency",
        },
        {"status_claims_database_disconnected": rf"{STATUS}|.*reported latenc.*"},
    ),
    "cache_functionality": (
        {
            "cache_returns_stale": r"values .*|failed operations \(read through the API\)",
            "status_invents_hit_rate": r"reported hit ratio differs from Redis",
        },
        {
            "cache_shared_by_all_callers": r"values? .*",
            "slow_cache": r"median latency above GET /health .*|median reported cache latency",
        },
    ),
    "concurrent_requests": (
        {"concurrent_writes_lost": rf"{INCORRECT}|lost payments and workflows|businesses with wrong .*"},
        {"business_data_crossed": INCORRECT},
        {"concurrent_requests_refused": INCORRECT},
    ),
}
"""By gate, the faults of each run, and the checks that each may fail; one of them by no other of the run."""


@pytest.mark.nightly  # in every run, all checks hold but those of the faults
@pytest.mark.parametrize("gate", REASONS)
def test_the_gate_passes_without_a_fault(bench: Bench, gate: str) -> None:
    """Without a fault in the sandbox the gate passes."""
    judged = bench.measure(gate)

    assert (judged.outcome, judged.message, judged.false) == (Outcome.PASS, "", "")


@pytest.mark.parametrize(("gate", "reasons"), cases_of(REASONS))
def test_each_fault_fails_the_gate_for_its_reason(bench: Bench, gate: str, reasons: dict[str, str]) -> None:
    """With faults on, the gate fails; each fails a check of its own, and every false check is about one."""
    # Sixty concurrent requests show the faults of a hundred.
    judged = bench.run(gate, *reasons, environment_file=bench.described(limits={"concurrency": 60}))

    assert judged.outcome is Outcome.FAIL, judged.message
    assert judged.differences(reasons) == [], judged.false
