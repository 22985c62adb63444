"""The files that a decision was made from, against those that are here now: which differ, and in what."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bais_gates.attest.problems import Problem
from bais_gates.errors import AbsentFileError, GateInputError
from bais_gates.redaction import redact
from bais_gates.verdict.catalog import Catalog, load_catalog
from bais_gates.verdict.files import load_document
from bais_gates.verdict.inputs import inputs_of, key_digests, part_of
from bais_gates.verdict.model import Decision, Gate, Waiver
from bais_gates.verdict.outcomes import name_some
from bais_gates.verdict.policy import Policy, load_policy
from bais_gates.verdict.waivers import WaiverFile, load_waivers

SANDBOX: Final = "sandbox"
"""The environment that writes its own file; the one for which a rehearsal is accepted, when it is named."""
AGAIN: Final = "Run the gates again."
_ONLY_COMMENTS = "only comments, order or spelling"
_MOST = 10  # clauses in a message; all of them are in ``changes``


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """The files that a decision is compared with; None for one that is not requested or not readable."""

    catalog: Catalog | None = None
    policy: Policy | None = None
    waivers: WaiverFile | None = None
    environment_digest: str | None = None
    environment: tuple[tuple[str, str], ...] = ()
    """The keys of the environment file, with digests."""
    problems: tuple[Problem, ...] = ()


def read_files(path: Path | None, env: str) -> Files:
    """Read the catalog and the files beside it; an unreadable one is a problem, as it can't be compared."""
    if path is None:
        return Files()
    problems = []
    catalog = policy = waivers = digest = None
    environment: tuple[tuple[str, str], ...] = ()
    try:
        catalog = load_catalog(path)
    except GateInputError as error:
        problems.append(Problem(code="CATALOG_OTHER", message=str(error)))
    try:
        policy = load_policy(path.parent / "policy.yaml")
    except AbsentFileError:
        policy = load_policy(None)
    except GateInputError as error:
        problems.append(Problem(code="POLICY_OTHER", message=str(error)))
    try:
        waivers = load_waivers(path.parent / "waivers.yaml")
    except GateInputError as error:
        problems.append(Problem(code="WAIVERS_OTHER", message=str(error)))
    try:
        digest, environment = _environment(path, env)
    except GateInputError as error:
        problems.append(Problem(code="ENVIRONMENT_OTHER", message=str(error)))
    return Files(
        catalog=catalog,
        policy=policy,
        waivers=waivers,
        environment_digest=digest,
        environment=environment,
        problems=tuple(problems),
    )


def _environment(catalog: Path, env: str) -> tuple[str | None, tuple[tuple[str, str], ...]]:
    """Return digest and keys of the environment file of that name; the sandbox, which writes it, has none."""
    if env == SANDBOX or not env.replace("-", "").isalnum():
        return None, ()
    try:
        document = load_document(catalog.parent / "environments" / f"{env}.yaml", "environment")
    except AbsentFileError:
        return None, ()
    return document.digest, key_digests(document.data)


def changed_files(decision: Decision, files: Files) -> list[Problem]:
    """Return a problem for each file that is not the one that the decision was made from."""
    digests = decision.digests
    problems = []
    if files.catalog is not None and files.catalog.digest != digests.catalog:
        problems.append(_problem("CATALOG_OTHER", "catalog", _catalog(decision, files.catalog)))
    if files.policy is not None and files.policy.digest != digests.policy:
        problems.append(_problem("POLICY_OTHER", "policy", _policy(decision, files)))
    if files.waivers is not None and files.waivers.digest != digests.waivers:
        problems.append(_problem("WAIVERS_OTHER", "waivers", _waivers(decision, files.waivers)))
    if files.catalog is not None and files.catalog.contract != digests.contract:
        problems.append(_problem("CONTRACT_OTHER", "contract", ()))
    digest = files.environment_digest
    if digest is not None and digest != decision.target.environment_digest:
        changes = _keys(part_of(decision.inputs, "environment"), dict(files.environment))
        problems.append(_problem("ENVIRONMENT_OTHER", "environment", changes, of_name=" of this name"))
    return problems


def _problem(code: str, what: str, changes: Iterator[str] | tuple[str, ...], of_name: str = "") -> Problem:
    clauses = tuple(changes)
    listed = f" Since then: {name_some(clauses, _MOST)}." if clauses else ""
    return Problem(
        code=code,
        message=f"The decision was made with another {what} file{of_name} than this one.{listed}",
        remedy=AGAIN,
        changes=clauses,
    )


def _compare(
    before: Mapping[str, str], now: Mapping[str, str], changed: Callable[[str], str]
) -> Iterator[str]:
    """Yield a clause for each name that was added, removed or changed; ``changed`` words the last."""
    if not before:  # a decision that kept none
        return
    if before == now:
        yield _ONLY_COMMENTS
    yield from (f"{name} added" for name in now if name not in before)
    yield from (f"{name} removed" for name in before if name not in now)
    yield from (changed(name) for name, value in now.items() if before.get(name, value) != value)


def _catalog(decision: Decision, catalog: Catalog) -> Iterator[str]:
    judged = {each.gate.id: each.gate for each in decision.gates}

    def changed(gate_id: str) -> str:
        fields = _fields(judged[gate_id], catalog.by_id[gate_id]) if gate_id in judged else []
        return f"{gate_id} changed" + (f" ({', '.join(fields)})" if fields else "")

    here = part_of(inputs_of(catalog, load_policy(None)), "catalog")
    yield from _compare(part_of(decision.inputs, "catalog"), here, changed)


def _fields(before: Gate, now: Gate) -> list[str]:
    """Return the fields that differ, of those that a decision keeps; short ones with both values."""
    found = []
    for field in dataclasses.fields(Gate):
        if not field.compare:
            continue
        old, new = getattr(before, field.name), getattr(now, field.name)
        if isinstance(old, str) and isinstance(new, str) and redact(new) == redact(old):
            continue
        if old != new:
            values = f" {old} -> {new}" if field.name == "severity" else ""
            found.append(field.name + values)
    return found


def _policy(decision: Decision, files: Files) -> Iterator[str]:
    before = part_of(decision.inputs, "policy")
    if files.policy is None:
        return
    empty = Catalog(gates=(), digest="", path=Path())
    now = part_of(inputs_of(empty, files.policy), "policy")
    yield from _compare(before, now, lambda key: f"{key} {before[key]} -> {now[key]}")


def _waivers(decision: Decision, file: WaiverFile) -> Iterator[str]:
    before = {_comparable(waiver): waiver for waiver in decision.waivers}
    now = {_comparable(waiver): waiver for waiver in file.waivers}

    def shown(waiver: Waiver) -> str:
        return redact(f"waiver {waiver.ticket} of {waiver.gate} on {waiver.environment}")

    yield from (f"{shown(waiver)} added" for key, waiver in now.items() if key not in before)
    yield from (f"{shown(waiver)} removed or changed" for key, waiver in before.items() if key not in now)
    if before.keys() == now.keys():
        yield _ONLY_COMMENTS


def _comparable(waiver: Waiver) -> tuple[object, ...]:
    """Return its values with the prose as a decision file has it."""
    values = (getattr(waiver, field.name) for field in dataclasses.fields(Waiver))
    return tuple(redact(value) if isinstance(value, str) else value for value in values)


def _keys(before: dict[str, str], now: dict[str, str]) -> Iterator[str]:
    yield from _compare(before, now, lambda key: f"{key} changed")
