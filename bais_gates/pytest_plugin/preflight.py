"""The start of a deciding run: BLOCK on disk before any conftest is loaded, and what forbids a run."""

from __future__ import annotations

import contextlib
import platform
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from importlib import metadata
from typing import TYPE_CHECKING

import pytest

from bais_gates import __version__
from bais_gates.errors import GateInputError
from bais_gates.pytest_plugin.deadlines import moment
from bais_gates.pytest_plugin.imports import Imported, own_imports, read_imports
from bais_gates.pytest_plugin.ledger import LEDGER_FILE, Ledger, unwritable_ledger
from bais_gates.pytest_plugin.refusals import refusals
from bais_gates.pytest_plugin.signing import Signer
from bais_gates.redaction import redact
from bais_gates.reports import DECISION_FILE, write_all
from bais_gates.reports.voiding import remove_stale, unfinished
from bais_gates.targets.identity import identity_of
from bais_gates.targets.provision import check_faults
from bais_gates.verdict.decide import UNKNOWN_TARGET, undecided
from bais_gates.verdict.document import load_previous
from bais_gates.verdict.model import (
    SCOPES,
    Code,
    Decision,
    Digests,
    Previous,
    Reason,
    Run,
    TargetIdentity,
)
from bais_gates.verdict.waivers import NO_WAIVERS, WaiverFile, load_waivers

if TYPE_CHECKING:
    from pathlib import Path

    from bais_gates.pytest_plugin.recorder import Recorder
    from bais_gates.pytest_plugin.run_state import RunState

HTML_FILE = "report.html"
_MAX_ARGUMENT = 500

deciding_run_key: pytest.StashKey[DecidingRun] = pytest.StashKey()
"""Only in a deciding run, on the config of the process that decides."""


@dataclass(slots=True)
class DecidingRun:
    """What is known of a deciding run before its first conftest is loaded; able to block it at any time."""

    state: RunState
    scope: str
    previous: Previous | None = None
    waivers: WaiverFile = NO_WAIVERS
    target: TargetIdentity = UNKNOWN_TARGET
    imported: Imported = field(default_factory=Imported)
    signer: Signer = field(default_factory=Signer)
    fatal: list[Reason] = field(default_factory=list)
    """Reasons for which no gate is run at all."""
    decision: Decision | None = None
    """The last one that was written."""

    @property
    def digests(self) -> Digests:
        """Return the digests of the files that could be read."""
        catalog = policy = None
        with contextlib.suppress(GateInputError):
            catalog = self.state.catalog().digest
        with contextlib.suppress(GateInputError):
            policy = self.state.policy().digest
        return Digests(catalog=catalog, policy=policy, waivers=self.waivers.digest)

    @property
    def required_signatures(self) -> int:
        """How many signatures ``verify`` will require; 0 also for a policy that can't be read."""
        try:
            rule = self.state.policy().signatures.get(self.target.name)
        except GateInputError:
            return 0
        return rule.required if rule else 0

    def block(self, config: pytest.Config, reasons: Iterable[Reason], *, ended: bool = False) -> Decision:
        """Write a BLOCK for nothing but ``reasons``; if it cannot be written, that is one more reason."""
        reasons = tuple(reasons)
        self.decision = self._blocked(config, reasons, ended=ended)
        try:
            write_all(self.decision, self.state.settings.out)
        except OSError as error:
            reason = unwritable_decision(self.state.settings.out, error)
            self.fatal.append(reason)
            others = (other for other in reasons if other.code is not Code.RUN_INCOMPLETE)
            self.decision = self._blocked(config, (reason, *others), ended=ended)
        return self.decision

    def _blocked(self, config: pytest.Config, reasons: tuple[Reason, ...], *, ended: bool) -> Decision:
        return undecided(
            scope=self.scope,
            run=run_value(config, self.state, ended=ended),
            reason=reasons[0],
            more=reasons[1:],
            target=self.target,
            subject=self.state.settings.subject,
            digests=self.digests,
            waivers=self.waivers.waivers,
            previous=self.previous,
        )


def prepare(config: pytest.Config, state: RunState) -> DecidingRun:
    """Put BLOCK in the place of the last decision and find out whether this run may begin at all."""
    settings = state.settings
    run = DecidingRun(state, scope=next((scope for scope in settings.scopes if scope in SCOPES), "golive"))
    run.previous = _previous(settings.out / DECISION_FILE, settings.run_id)
    run.fatal = [
        Reason(code=Code.REFUSED_OPTION, message=problem, remedy="Correct the option.")
        for problem in settings.problems
    ]
    run.fatal += refusals(config, config.known_args_namespace)
    _take_key(run)
    _read_files(run)
    _choose_scope(run)
    _import(run)
    remove_stale(str(settings.out))
    run.block(config, run.fatal or [unfinished()])
    if not run.fatal:
        state.ledger = Ledger.create(settings.out / LEDGER_FILE)
        state.ledger.append("run_started", {"run_id": settings.run_id, "scope": run.scope})
        if state.ledger.problem is not None:
            run.fatal.append(unwritable_ledger(state.ledger.problem))
            run.block(config, run.fatal)
    return run


class Preflight:
    """Looks at what the selected gates need of their target, and runs none of them if it can't be judged."""

    def __init__(
        self,
        run: DecidingRun,
        recorder: Recorder,
        config: pytest.Config,
        look: Callable[[Iterable[str]], Iterable[tuple[str, str]]],
    ) -> None:
        """``look`` returns what is wrong with parts of the target: pairs of part and problem."""
        self._run = run
        self._recorder = recorder
        self._config = config
        self._look_at = look
        self._looked = False

    def pytest_runtestloop(self) -> None:
        """Look, before the tests run here."""
        if not self._config.option.collectonly:
            self._look()

    @pytest.hookimpl(trylast=True, optionalhook=True)  # without xdist there is no such hook
    def pytest_xdist_node_collection_finished(self) -> None:
        """Look, before tests are given to workers: all of them collected the same."""
        self._look()

    def _look(self) -> None:
        needing = self._recorder.collected.needing
        if self._looked or not needing or self._recorder.collection_failed:
            return
        self._looked = True
        held: dict[str, dict[str, None]] = defaultdict(dict)
        for part, problem in self._look_at(needing):
            held[problem] |= dict.fromkeys(needing[part])
        self._run.fatal += [
            Reason(
                code=Code.ERROR,
                message=redact(problem),
                holds_back=tuple(gates),
            )
            for problem, gates in held.items()
        ]
        if self._run.fatal:
            raise pytest.Session.Failed("the target can't be judged")


def block_on_conftest_error(config: pytest.Config, error: BaseException) -> None:
    """Write into the BLOCK on disk why a deciding run did not reach its tests; pytest prints it, too."""
    run = config.stash.get(deciding_run_key, None)
    if run is None:
        return
    cause = getattr(error, "cause", error)
    where = getattr(error, "path", None)
    text = f"{type(cause).__name__}: {cause}"
    run.block(
        config,
        [
            Reason(
                code=Code.COLLECTION_ERROR,
                message=redact(f"{where or 'The start of pytest'}: {text}")[:1000],
                remedy="Correct the conftest or the option, and run again.",
            )
        ],
        ended=True,
    )


def unwritable_decision(out: Path, error: OSError) -> Reason:
    """Return the reason for a decision that cannot be written."""
    return Reason(
        code=Code.INTERNAL_ERROR,
        message=f"{out / DECISION_FILE} cannot be written: {error.strerror or error}.",
        remedy="Make room on the disk, or name a folder that can be written to with --gate-out.",
    )


def _take_key(run: DecidingRun) -> None:
    try:
        run.signer.take_key(run.state.settings.sign_key)
    except GateInputError as error:
        text = f"The key to sign the decision with can't be used. {redact(str(error))}"
        run.fatal.append(
            Reason(code=Code.REFUSED_OPTION, message=text, remedy="Correct it, or leave it out.")
        )


def _read_files(run: DecidingRun) -> None:
    state = run.state

    def attempt(code: Code, read: Callable[[], object]) -> None:
        try:
            read()
        except GateInputError as error:
            run.fatal.append(Reason(code=code, message=redact(str(error))))

    def waivers() -> None:
        if state.settings.waivers_named and not state.settings.waivers.exists():
            raise GateInputError(f"{state.settings.waivers}: no such file. Create it, or name another one.")
        run.waivers = load_waivers(state.settings.waivers)

    def environment() -> None:
        run.target = identity_of(state.environment())
        check_faults(state.environment(), state.settings.faults)

    if not state.gates_dir.is_dir():
        text = f"There is no project here: {state.gates_dir} does not exist."
        remedy = "Go to the project's folder, write one with `bais-gates init`, or name --gate-catalog."
        run.fatal.append(Reason(code=Code.CATALOG_INVALID, message=text, remedy=remedy))
        return
    attempt(Code.CATALOG_INVALID, state.catalog)
    attempt(Code.POLICY_INVALID, state.policy)
    attempt(Code.WAIVERS_INVALID, waivers)
    attempt(Code.ENVIRONMENT_INVALID, environment)


def _import(run: DecidingRun) -> None:
    """Import the results of earlier decisions, if this run can be decided at all."""
    state = run.state
    if not state.settings.imports or run.fatal:
        return
    run.fatal += own_imports(state.settings.imports, state.settings.out / DECISION_FILE)
    if run.fatal:
        return
    run.imported = read_imports(
        state.settings.imports,
        target=run.target,
        subject=state.settings.subject,
        catalog=state.catalog(),
        policy=state.policy(),
    )
    run.fatal += run.imported.reasons
    state.imported = run.imported.outcomes
    state.proven_elsewhere = run.imported.proven_elsewhere


def _choose_scope(run: DecidingRun) -> None:
    """Choose, of several scopes that were named, the one that holds all the others' gates."""
    scopes = [scope for scope in run.state.settings.scopes if scope in SCOPES]
    if not scopes or any(reason.code is Code.CATALOG_INVALID for reason in run.fatal):
        return
    catalog = run.state.catalog()
    gates = {scope: {gate.id for gate in catalog.for_scope(scope)} for scope in SCOPES}
    widest = max(scopes, key=lambda scope: len(gates[scope]))
    run.scope = widest
    if not gates[widest]:
        listed = ", ".join(scope for scope in SCOPES if gates[scope])
        message = f"The scope {widest} has no gates in {catalog.path}."
        run.fatal.append(
            Reason(code=Code.NOTHING_PROVEN, message=message, remedy=f"Choose one that has: {listed}.")
        )
    if any(not gates[scope] <= gates[widest] for scope in scopes):
        run.fatal.append(
            Reason(
                code=Code.REFUSED_OPTION,
                message=f"-m names several scopes, and none holds all of them: {', '.join(scopes)}.",
                remedy="Say which decision is asked for with --gate-scope.",
            )
        )


def _previous(path: Path, run_id: str) -> Previous | None:
    """Return the last decision in short; of a run that decided nothing, the one before it."""
    try:
        previous = load_previous(path)
    except (GateInputError, OSError):
        return None
    return None if previous.run_id == run_id and not previous.outcomes else previous


def run_value(
    config: pytest.Config, state: RunState, *, ended: bool, ledger_digest: str | None = None
) -> Run:
    """Return the run as a decision names it; ``ended``: it has ended just now."""
    return Run(
        run_id=state.settings.run_id,
        started_at=state.started_at,
        finished_at=moment() if ended else None,
        command=("pytest", *(redact(str(one))[:_MAX_ARGUMENT] for one in config.invocation_params.args)),
        workers=_workers(config),
        versions=_versions(),
        ledger_digest=ledger_digest,
    )


def _workers(config: pytest.Config) -> int:
    specs = getattr(config.option, "tx", None) if hasattr(config, "option") else None
    return len(specs) if isinstance(specs, list) and specs else 1


def _versions() -> tuple[tuple[str, str], ...]:
    found = [("bais-gates", __version__), ("python", platform.python_version())]
    for name in ("pytest", "pytest-xdist", "pytest-html"):
        try:
            found.append((name, metadata.version(name)))
        except metadata.PackageNotFoundError:
            continue
    return tuple(found)
