"""Run a checklist gate against plain objects, without a cluster: fixtures are passed as arguments."""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from bais_gates.pytest_plugin.evidence import Evidence, GateFailure
from bais_gates.reports.wording import check_text
from bais_gates.targets.environment import Environment
from bais_gates.targets.parts import BackupPart, CapacityPart, KubernetesPart
from bais_gates.verdict.model import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from bais_gates.verdict.model import Check

GATES = Path(__file__).parents[2] / "gates" / "checklist"


class FakeCluster:
    """Answers the cluster probe's methods from the objects that it is given."""

    def __init__(self, objects: dict[str, dict[str, Any]], logs: dict[str, str] | None = None) -> None:
        self.objects = objects
        self.pod_logs = logs or {}

    def named(
        self, api_version: str, kind: str, name: str, namespace: str | None = None
    ) -> dict[str, Any] | None:
        """Return one object, or None."""
        found = [one for one in self.list(api_version, kind, namespace) if one["metadata"]["name"] == name]
        return found[0] if found else None

    def list(self, api_version: str, kind: str, namespace: str | None = None) -> list[dict[str, Any]]:
        """Return all objects of a kind."""
        return [
            one
            for one in self.objects.values()
            if (one["apiVersion"], one["kind"]) == (api_version, kind)
            and namespace in {None, one["metadata"].get("namespace")}
        ]

    def logs(self, _namespace: str, pod: str, _container: str | None = None, *, tail: int = 20) -> str:
        """Return the last lines of a pod's log."""
        return "\n".join(self.pod_logs.get(pod, "").splitlines()[-tail:])


LIMITS = SimpleNamespace(query_mean_ms=100.0, cache_operation_ms=10.0)
SILENT = SimpleNamespace(get=lambda *_path, **_more: SimpleNamespace(status=200))
"""An API whose responses are not checked."""


CLUSTER = KubernetesPart(kubeconfig=Path("kubeconfig"), context="c")


def environment(*, rehearsal: bool = True, **parts: Any) -> Environment:
    """Return the value of an environment file that describes these parts."""
    provision = "sandbox" if rehearsal else "none"
    return Environment(
        name="tests", path=Path("environment.yaml"), digest="", provision=provision, parts=parts
    )


def platform_parts(folder: Path = Path("backups")) -> dict[str, Any]:
    """Return the parts of an environment file that describe a platform's cluster."""
    return {
        "kubernetes": CLUSTER,
        "capacity": CapacityPart(requests_per_s_per_replica=250, connections_per_replica=12),
        "backup": BackupPart(directory=folder),
        "api": SimpleNamespace(url="https://127.0.0.1:1", ca_file=None),
    }


def load(gate: str) -> ModuleType:
    """Load the file of ``checklist.<gate>`` as a module."""
    path = GATES / f"test_{gate}.py"
    name = f"checklist_gate_{gate}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look up their module by name while it is executed
    spec.loader.exec_module(module)
    return module


class Result:
    """The checks and the error of one gate."""

    def __init__(self, checks: tuple[Check, ...], error: Exception | None) -> None:
        self.checks = checks
        self.error = error

    @property
    def outcome(self) -> Outcome:
        """The outcome that the plugin would record."""
        if self.error is not None:
            return Outcome.ERROR
        if any(check.ok is False for check in self.checks):
            return Outcome.FAIL
        if any(check.ok is None for check in self.checks):
            return Outcome.NO_DATA
        return Outcome.PASS if self.checks else Outcome.VACUOUS

    @property
    def false(self) -> list[str]:
        """The names of the checks that did not hold."""
        return [check.name for check in self.checks if check.ok is not True]

    def __str__(self) -> str:
        """Return the outcome and what did not hold, as the reports print it."""
        lines = [check_text(check) for check in self.checks if check.ok is not True]
        return "\n".join([self.outcome.value, *lines, repr(self.error)])


def judge(gate: str, **given: Any) -> Result:
    """Run ``checklist.<gate>`` with the fixtures that it needs; an exception becomes the result's error."""
    return judge_function(getattr(load(gate), f"test_{gate}"), **given)


def judge_function(function: Callable[..., None], **given: Any) -> Result:
    """Run a gate's function as :func:`judge` does."""
    evidence, error = Evidence(), None
    wanted = inspect.signature(function).parameters
    try:
        function(**{name: evidence if name == "evidence" else given[name] for name in wanted})
    except GateFailure:
        pass  # a required check was false; it is in the evidence
    except Exception as e:  # noqa: BLE001 - any exception makes the gate an ERROR
        error = e
    return Result(evidence.recorded().checks, error)


def false_checks(check: Callable[[Evidence], object]) -> list[str]:
    """Run a gate or one of its helpers; return the names of the checks that did not hold."""
    evidence = Evidence()
    with contextlib.suppress(GateFailure):
        check(evidence)
    recorded = evidence.recorded()
    assert recorded.checks
    return [one.name for one in (*recorded.false, *recorded.without_data)]
