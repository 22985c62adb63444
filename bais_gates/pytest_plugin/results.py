"""From the reports of a run to one result a gate: cases joined, crashes told, and why a gate did not run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from bais_gates.pytest_plugin.recorder import Recorder, Seen
from bais_gates.verdict.model import Check, Gate, GateResult, Outcome
from bais_gates.verdict.outcomes import worst

if TYPE_CHECKING:
    import pytest


def gate_results(
    gates: Sequence[Gate],
    recorder: Recorder,
    config: pytest.Config,
    ledger_checks: Mapping[str, tuple[Check, ...]],
) -> list[GateResult]:
    """Return the results of all gates that were seen, and a NOT_RUN with its reason for each other one."""
    by_gate: dict[str, list[tuple[str | None, GateResult]]] = defaultdict(list)
    for nodeid, seen in recorder.seen.items():
        for result in _of_test(nodeid, seen, recorder, ledger_checks.get(nodeid, ())):
            by_gate[seen.gate_id].append((seen.case, result))
    results: list[GateResult] = []
    for gate_id, told in by_gate.items():
        results += _joined(gate_id, told)
    results += [
        GateResult(gate_id=gate.id, outcome=Outcome.NOT_RUN, message=why_not_run(gate, recorder, config))
        for gate in gates
        if gate.id not in by_gate
    ]
    return results


def _of_test(nodeid: str, seen: Seen, recorder: Recorder, checks: tuple[Check, ...]) -> Iterator[GateResult]:
    cases = (seen.case,) if seen.case is not None else ()
    if seen.crashed is not None:
        yield GateResult(
            gate_id=seen.gate_id,
            outcome=Outcome.ERROR,
            message=f"The process that ran it died: {seen.crashed}",
            checks=checks,
            cases=cases,
            nodeid=nodeid,
        )
    elif not seen.results:
        why = f": {recorder.aborted}" if recorder.aborted is not None else ""
        yield GateResult(
            gate_id=seen.gate_id,
            outcome=Outcome.NOT_RUN,
            message=f"Its test began but did not come to its end{why}.",
            checks=checks,
            nodeid=nodeid,
        )
    for result in seen.results:
        passed = result.outcome in {Outcome.PASS, Outcome.VACUOUS}
        # A false check is what was seen, whatever was expected; an assert may have been expected to fail.
        expected = seen.worsened is Outcome.XFAIL and not any(check.ok is False for check in result.checks)
        if seen.worsened is not None and (passed or expected):
            message = f"{_SAYINGS[seen.worsened]} {result.message}".strip()
            yield replace(result, outcome=seen.worsened, message=message)
        else:
            yield result


_SAYINGS = {
    Outcome.FLAKY: "It was run again after a first attempt that failed.",
    Outcome.XFAIL: "It is marked, or told itself, to be expected to fail.",
    Outcome.XPASS: "It passed although it is marked as expected to fail.",
    Outcome.ERROR: "Another plugin reports it as failed although its test passed.",
}


def _joined(gate_id: str, told: list[tuple[str | None, GateResult]]) -> list[GateResult]:
    """Join the cases of a gate into one result. A test or case that reported twice stays two results."""
    names = [case for case, _ in told]
    if len(told) == 1 or None in names or len(set(names)) != len(names):
        return [result for _, result in told]
    results = [result for _, result in told]
    gravest = worst(results)
    starts = [result.started_at for result in results if result.started_at is not None]
    ran = [result for result in results if result.outcome is not Outcome.NOT_RUN]
    return [
        GateResult(
            gate_id=gate_id,
            outcome=gravest.outcome,
            message="\n".join(f"{case}: {result.message}" for case, result in told if result.message),
            checks=tuple(check for result in results for check in result.checks),
            attachments=tuple(one for result in results for one in result.attachments),
            cases=tuple(case for result in ran for case in result.cases),
            needs_not_passed=tuple(dict.fromkeys(need for one in results for need in one.needs_not_passed)),
            nodeid=gravest.nodeid,
            summary=gravest.summary,
            started_at=min(starts) if starts else None,
            duration_s=sum(result.duration_s for result in results),
            worker=gravest.worker,
            attempts=max(result.attempts for result in results),
            log="\n".join(result.log for result in results if result.log),
        )
    ]


def why_not_run(gate: Gate, recorder: Recorder, config: pytest.Config) -> str:
    """Say why no report of a gate's test arrived."""
    collected = recorder.collected
    nodeids = [nodeid for nodeid, (gate_id, _) in collected.bound.items() if gate_id == gate.id]
    chosen = set(collected.selected)
    early = f" The run ended early: {recorder.aborted}." if recorder.aborted is not None else ""
    if not nodeids and recorder.collection_failed:
        return "No test of it was collected, and collection had errors."
    if not nodeids and recorder.skipped_files:
        files = ", ".join(sorted(recorder.skipped_files)[:5])
        return f"No test of it was collected; skipped as a whole were: {files}."
    if not nodeids:
        return "No test that was collected is bound to it." + early
    if not chosen.intersection(nodeids):
        return f"Its test was deselected ({selection(config)})."
    for option, text in (
        ("collectonly", "--collect-only"),
        ("setuponly", "--setup-only"),
        ("setupplan", "--setup-plan"),
    ):
        if config.getoption(option, None):
            return f"pytest was called with {text}, so that no test ran."
    return "Its test was selected, but no report of it arrived." + early


def selection(config: pytest.Config) -> str:
    """Name the options that select tests, as they were given."""
    given = [
        f"{name} {config.getoption(option)}"
        for name, option in (("-m", "markexpr"), ("-k", "keyword"))
        if config.getoption(option, "")
    ]
    given += [
        name
        for name, option in (
            ("--deselect", "deselect"),
            ("--lf", "lf"),
            ("--stepwise", "stepwise"),
            ("--stepwise", "stepwise_skip"),
        )
        if config.getoption(option, None)
    ]
    return ", ".join(given) or "by another plugin"
