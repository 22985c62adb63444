"""The raw test log by pytest-html: columns for phase, severity and outcome, and the decision on top.

pytest-html puts test ids, cells and what hooks hand it into its page as they are, so everything here is made
visible and escaped.
"""

from __future__ import annotations

import functools
from html import escape
from typing import TYPE_CHECKING, Any

import pytest

from bais_gates.pytest_plugin.finish import decision_key
from bais_gates.pytest_plugin.outcome import Observation
from bais_gates.pytest_plugin.preflight import HTML_FILE
from bais_gates.reports import view
from bais_gates.reports.redacted import redacted
from bais_gates.reports.templating import environment
from bais_gates.reports.text import cap, one_line, visible

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bais_gates.pytest_plugin.run_state import RunState
    from bais_gates.verdict.model import Decision, Gate

TITLE = "bais-gates: raw test log"
_COLUMNS = ("phase", "severity", "outcome")
_BEFORE = 2
"""The place of our columns: after pytest-html's result and test."""
_ID_LIMIT = 300


def set_up_html(config: pytest.Config, state: RunState) -> None:
    """Have pytest-html write the raw log of a deciding run: report.html in the report folder, self-contained.

    Another file that the user asked for is kept; does nothing where pytest-html is not loaded.
    """
    if not hasattr(config.option, "htmlpath"):
        return
    if not config.option.htmlpath:
        config.option.htmlpath = str(state.settings.out / HTML_FILE)
        config.option.self_contained_html = True
    gates = state.catalog().by_id if state.why_no_catalog() is None else {}
    config.pluginmanager.register(HtmlColumns(gates), "bais-gates-html-columns")


class HtmlColumns:
    """pytest-html's hooks, for the process that writes the page.

    ``gates`` are the gates of the catalog by id. The decision is taken from ``config.stash``, so it must be
    there before pytest-html finishes its session.
    """

    def __init__(self, gates: Mapping[str, Gate]) -> None:
        self._gates = gates
        self._seen: dict[str, tuple[str, str]] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Remember which gate a test is of and, from its tear-down on, what became of it."""
        observation = Observation.of_report(report)
        if observation is not None:
            outcome = observation.result.outcome.value if observation.result is not None else ""
            self._seen[report.nodeid] = (observation.gate_id, outcome)

    def pytest_html_report_title(self, report: Any) -> None:
        """Name the page."""
        report.title = TITLE

    def pytest_html_results_table_header(self, cells: list[str]) -> None:
        """Add the columns, sortable."""
        cells[_BEFORE:_BEFORE] = [
            f'<th class="sortable" data-column-type="{name}">{name.capitalize()}</th>' for name in _COLUMNS
        ]

    def pytest_html_results_table_row(self, report: pytest.TestReport, cells: list[str]) -> None:
        """Fill the columns and put the test's id in again, escaped; clear a row that would not be shown."""
        if len(cells) < _BEFORE:
            return
        if report.passed and not _is_shown(report):
            cells.clear()
            return
        gate_id, outcome = self._seen.get(report.nodeid, ("", ""))
        gate = self._gates.get(gate_id)
        phase, severity = (gate.phase.value, gate.severity.value) if gate is not None else ("", "")
        test_id = report.nodeid if report.when == "call" else f"{report.nodeid}::{report.when}"
        cells[1] = _cell("testId", test_id)
        cells[_BEFORE:_BEFORE] = _own_cells(phase, severity, outcome)

    def pytest_html_results_table_html(self, report: pytest.TestReport, data: list[str]) -> None:  # noqa: ARG002 - the hook's signature
        """Show the control characters of a log, which pytest-html has escaped already."""
        data[:] = [visible(part) for part in data]

    def pytest_html_results_summary(self, prefix: list[str], session: pytest.Session) -> None:
        """Show the verdict and all gates of the decision, also those that have no row: not run, crashed."""
        decision = session.config.stash.get(decision_key, None)
        if decision is not None:
            prefix.append(summary(decision))


def summary(decision: Decision) -> str:
    """Return the decision as a piece of HTML, with every gate of the scope in one table."""
    shown = redacted(decision)
    template = environment().get_template("html_summary.html")
    return template.render(
        decision=shown,
        why=view.why(shown),
        rehearsal=view.rehearsal_note(shown),
        reasons=view.ordered_reasons(shown),
    )


def _is_shown(report: pytest.TestReport) -> bool:
    """Return whether pytest-html uses a report that passed: no set-up, no tear-down without a log."""
    if report.when == "teardown":
        return any("teardown" in name for name, _ in report.sections)
    return report.when != "setup"


@functools.cache
def _own_cells(*texts: str) -> tuple[str, ...]:
    """Return our cells of a row: of few phases, severities and outcomes, however many rows there are."""
    return tuple(_cell(name, text) for name, text in zip(_COLUMNS, texts, strict=True))


def _cell(name: str, text: str) -> str:
    return f'<td class="col-{name}">{escape(cap(one_line(text), _ID_LIMIT))}</td>'
