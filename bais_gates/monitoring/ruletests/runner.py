"""Run rule tests: find the files, give each test a window of a server's time, and judge."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from bais_gates.errors import GateInputError
from bais_gates.monitoring.documents import RefusedError, Value
from bais_gates.monitoring.findings import Finding, Place
from bais_gates.monitoring.project import files_of, read_file
from bais_gates.monitoring.rulefiles import Group, RuleFile, holds_rules, load_rules
from bais_gates.monitoring.ruletests.coverage import Coverage
from bais_gates.monitoring.ruletests.evaluation import Assertion, Evaluation, Judged
from bais_gates.monitoring.ruletests.ordering import make_plan, reach_s, tells_time
from bais_gates.monitoring.ruletests.server import EvaluationError, Server, start_server
from bais_gates.monitoring.ruletests.testfile import RuleTest, RuleTestFile, holds_tests, load_tests

_WEEK_S: Final = 604_800
"""Windows begin at whole weeks: subqueries are aligned to multiples of their step."""
_BEGIN_S: Final = 1000 * _WEEK_S
_FULL_S: Final = 40 * 52 * _WEEK_S
"""A server takes samples up to 50 years apart."""

Progress = Callable[[int, int], None]
"""Called with the number of tests that are done, and of all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleTestResult:
    """What came of some rule tests."""

    assertions: tuple[Assertion, ...]
    errors: tuple[Finding, ...]
    """Files that can't be used, and rules that Prometheus would not load."""
    uncovered: tuple[Finding, ...]
    """What no test has shown of an alert."""
    alerts: int
    tests: int
    files: int

    @property
    def failed(self) -> tuple[Assertion, ...]:
        """The assertions that do not hold, or could not be judged."""
        return tuple(one for one in self.assertions if not one.passed)

    @property
    def passed(self) -> bool:
        """Whether there are assertions, all of them hold, and every file could be used."""
        return bool(self.assertions) and not self.failed and not self.errors


def run_rule_tests(
    paths: Iterable[Path], *, required_labels: Sequence[str] = (), progress: Progress | None = None
) -> RuleTestResult:
    """Run the rule tests among the files and folders on a Prometheus that is started for them.

    Rule files among the paths count for coverage even if no test names them. ``required_labels`` are what
    an alert's route needs. Raises GateInputError for a path that can't be read or holds neither tests nor
    rules, and where there is no Prometheus or it does not answer as one.
    """
    documents, errors = _read(paths)
    if not errors and not any(holds_tests(one) for one in documents.values()):
        raise GateInputError(
            "There are no rule tests among these files. Give a file with rule_files and tests."
        )
    with contextlib.ExitStack() as stack:
        run = _Run(stack, Coverage(required_labels), progress)
        run.errors += errors
        run.take(documents)
    rules = [rule for file in run.rule_files.values() for rule in file.rules]
    return RuleTestResult(
        assertions=tuple(run.assertions),
        errors=tuple(dict.fromkeys(run.errors)),
        uncovered=tuple(run.coverage.findings(rules)),
        alerts=sum(rule.is_alert for rule in rules),
        tests=run.done,
        files=run.files,
    )


def _read(paths: Iterable[Path]) -> tuple[dict[Path, list[Value]], list[Finding]]:
    """Return the documents of the files that hold tests or rules, and why others can't be read."""
    found: dict[Path, list[Value]] = {}
    errors: list[Finding] = []
    for path in paths:
        count = len(found) + len(errors)
        for file in files_of(path):
            _, documents, fault = read_file(file, named=file == path)
            errors += fault
            with contextlib.suppress(RefusedError):  # of a file that is neither
                if not fault and (file == path or holds_tests(documents) or holds_rules(documents)):
                    found[file] = documents
        if count == len(found) + len(errors) and path.is_dir():
            raise GateInputError(f"{path}: no file with rule tests or rules is in this folder. Give another.")
    return found, errors


class _Run:
    """The servers and results of a run."""

    def __init__(self, stack: contextlib.ExitStack, coverage: Coverage, progress: Progress | None) -> None:
        self._stack = stack
        self._progress = progress
        self._server: Server | None = None
        self._version = (2, 42)
        self._free_s = float(_BEGIN_S)
        """Where the next window of the server's time may begin."""
        self._reach_s = 0.0
        self.coverage = coverage
        self.rule_files: dict[Path, RuleFile] = {}
        self.assertions: list[Assertion] = []
        self.errors: list[Finding] = []
        self.done = self.files = 0

    def take(self, documents: dict[Path, list[Value]]) -> None:
        """Load all files, then run the tests."""
        self._server = self._stack.enter_context(start_server())
        self._version = self._server.version()
        files: list[tuple[RuleTestFile, list[RuleFile]]] = []
        for path, one in documents.items():
            try:
                if holds_rules(one) and not holds_tests(one):
                    self._rules(path, one)
                    continue
                file = load_tests(one, str(path), self._version)
                files.append((file, [self._rules(rules) for rules in file.rule_paths()]))
            except RefusedError as refused:
                self.errors.append(refused.finding)
        self.files = len(files)
        total = sum(len(file.tests) for file, _ in files)
        for file, rule_files in files:
            groups = [group for one in rule_files for group in one.groups]
            for test in file.tests:
                for judged in self._run(file, test, groups):
                    self.assertions.append(judged.assertion)
                    self.coverage.add(judged, test, [rule for group in groups for rule in group.rules])
                self.done += 1
                if self._progress is not None:
                    self._progress(self.done, total)

    def _rules(self, path: Path, documents: list[Value] | None = None) -> RuleFile:
        """Return a rule file, read once; note why it can't be loaded."""
        key = path.resolve()
        if key not in self.rule_files:
            fault: list[Finding] = []
            if documents is None:
                _, documents, fault = read_file(path, named=True)
            file = load_rules(documents, str(path), self._version)
            if not (fault or file.findings or holds_rules(documents)):
                place = Place(path=str(path), line=1, column=1)
                fault = [Finding(check="load", place=place, message="there are no groups of rules")]
            self.rule_files[key] = replace(file, findings=(*fault, *file.findings))
            self.errors += self.rule_files[key].findings
        return self.rule_files[key]

    def _run(self, file: RuleTestFile, test: RuleTest, groups: Sequence[Group]) -> Iterator[Judged]:
        """Yield the judgement of each assertion."""
        known = {rule.name.value for group in groups for rule in group.rules if rule.is_alert}
        plan = make_plan(
            groups,
            file.group_order,
            {one.alert for one in test.alerts},
            [one.tree for one in test.expressions],
        )
        trees = [rule.tree for rule in plan.rules] + [one.tree for one in test.expressions]
        with self._window(test, trees) as (server, base_s):
            evaluation = Evaluation(server, file, test, plan, base_s)
            problem = ""
            try:
                evaluation.run()
            except EvaluationError as error:
                problem = str(error)
            for alert in test.alerts:
                if alert.alert not in known:
                    message = f"no rule file has an alert {alert.alert}"
                    yield self._broken(test, alert.alert, alert.at_s, alert.place, message)
                elif problem:
                    yield self._broken(test, alert.alert, alert.at_s, alert.place, problem)
                else:
                    yield evaluation.judge_alert(alert)
            for one in test.expressions:
                try:
                    judged = None if problem else evaluation.judge_expression(one)
                except EvaluationError as error:
                    yield self._broken(test, one.expr, one.at_s, one.place, str(error))
                else:
                    yield judged or self._broken(test, one.expr, one.at_s, one.place, problem)

    def _broken(self, test: RuleTest, subject: str, at_s: float, place: Place, problem: str) -> Judged:
        assertion = Assertion(
            place=place, test=test.name, subject=subject, at_s=at_s, passed=False, problem=problem
        )
        return Judged(assertion=assertion)

    @contextlib.contextmanager
    def _window(self, test: RuleTest, trees: Sequence[Any]) -> Iterator[tuple[Server, float]]:
        """Yield a server and the Unix time at which the test begins; its own server where that matters."""
        if any(map(tells_time, trees)) or test.start_s is not None:
            with start_server() as server:
                yield server, test.start_s or 0.0
            return
        reach = reach_s(trees)
        gap = max(reach, self._reach_s)
        base = -(-(self._free_s + gap) // _WEEK_S) * _WEEK_S
        if self._server is None or base + test.length_s > _BEGIN_S + _FULL_S:
            self._server = self._stack.enter_context(start_server())
            base = float(_BEGIN_S)
        self._free_s, self._reach_s = base + test.length_s, reach
        yield self._server, base
