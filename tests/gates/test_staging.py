"""The staging gates on a cluster in memory: each breach of isolation and each failed step fails its gate."""

from __future__ import annotations

import sys
from contextlib import suppress
from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bais_gates.pytest_plugin.evidence import Evidence, GateFailure
from bais_gates.staging.errors import StageCode, StageError
from bais_gates.staging.namespace import OWNER
from bais_gates.staging.plan import Step
from bais_gates.staging.reach import Reach
from bais_gates.staging.staged import StagedPlatform, StagingResult, StepNotReached
from bais_gates.targets.environment import Environment
from bais_gates.targets.parts import KubernetesPart
from tests.staging.conftest import NAMESPACE, Stage

if TYPE_CHECKING:
    from collections.abc import Callable

GATES = Path(__file__).parents[2] / "gates" / "staging"
HARD = dict.fromkeys(("requests.cpu", "requests.memory", "limits.cpu", "limits.memory"), "10")


ENVIRONMENT = Environment(
    name="sandbox",
    path=Path("sandbox.yaml"),
    digest="",
    parts={"kubernetes": KubernetesPart(kubeconfig=Path("kubeconfig"), context="c", namespace="bais")},
)
"""Production is another namespace."""


def _gate(name: str) -> Callable[..., None]:
    spec = util.spec_from_file_location(f"staging_gate_{name}", GATES / f"test_{name}.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError(name)
    module = util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    function: Callable[..., None] = getattr(module, f"test_{name}")
    return function


def _platform(stage: Stage, result: StagingResult, folder: Path) -> StagedPlatform:
    reach = Reach(server=stage.server, namespace=NAMESPACE, environment=ENVIRONMENT, folder=folder)
    return StagedPlatform(result=result, server=stage.server, environment=ENVIRONMENT, reach=reach)


@pytest.fixture
def up() -> Stage:
    """Provision the real manifests into a cluster in memory, with the status that a cluster adds."""
    stage = Stage()
    stage.provision()
    stage.server.one("Namespace", NAMESPACE)["status"]["phase"] = "Active"
    stage.server.one("ResourceQuota", "bais")["status"]["hard"] = dict(HARD)
    theirs = {"SECRET_KEY": "b3RoZXItdmFsdWU="}
    metadata = {"name": "bais-api", "namespace": "bais"}
    stage.server.add({"kind": "Secret", "type": "Opaque", "metadata": metadata, "data": theirs})
    return stage


def _false(stage: Stage, folder: Path) -> list[str]:
    """Run the gate of the namespace and return the names of its false checks."""
    result = StagingResult(namespace=NAMESPACE, owner="sandbox", completed=tuple(stage.completed))
    evidence = Evidence()
    with suppress(GateFailure):  # a required check was false; it is in the evidence
        _gate("namespace_isolated")(_platform(stage, result, folder), evidence)
    return [check.name for check in evidence.recorded().checks if check.ok is not True]


def test_the_namespace_of_the_manifests_passes(up: Stage, tmp_path: Path) -> None:
    """The namespace of the unchanged manifests is isolated."""
    assert _false(up, tmp_path) == []


def _baseline(stage: Stage) -> None:
    labels = stage.server.one("Namespace", NAMESPACE)["metadata"]["labels"]
    labels["pod-security.kubernetes.io/enforce"] = "baseline"


def _old_rules(stage: Stage) -> None:
    labels = stage.server.one("Namespace", NAMESPACE)["metadata"]["labels"]
    labels["pod-security.kubernetes.io/enforce-version"] = "v1.20"


def _without_default_deny(stage: Stage) -> None:
    del stage.server.objects["NetworkPolicy", NAMESPACE, "default-deny"]


def _open_policy(stage: Stage) -> None:
    stage.server.one("NetworkPolicy", "bais-postgres")["spec"]["ingress"] = [{}]


def _node_port(stage: Stage) -> None:
    stage.server.one("Service", "bais-api")["spec"]["type"] = "NodePort"


def _no_quota(stage: Stage) -> None:
    stage.server.one("ResourceQuota", "bais")["status"] = {}


def _foreign_account(stage: Stage) -> None:
    subject = {"kind": "ServiceAccount", "namespace": "ci", "name": "deployer"}
    stage.server.one("RoleBinding", "bais-gates-reader")["subjects"].append(subject)


def _everybody(stage: Stage) -> None:
    subject = {"kind": "Group", "name": "system:authenticated"}
    stage.server.one("RoleBinding", "bais-gates-reader")["subjects"].append(subject)


def _foreign_object(stage: Stage) -> None:
    metadata = {"name": "somebodys", "namespace": NAMESPACE}
    stage.server.add({"kind": "ConfigMap", "metadata": metadata})


def _shared_secret(stage: Stage) -> None:
    key = ("Secret", NAMESPACE, "bais-api")
    stage.server.objects["Secret", "bais", "bais-api"]["data"]["ANY_NAME"] = stage.server.objects[key][
        "data"
    ]["SECRET_KEY"]


def _other_owner(stage: Stage) -> None:
    stage.server.one("Namespace", NAMESPACE)["metadata"]["labels"][OWNER] = "else"


def _terminating(stage: Stage) -> None:
    stage.server.one("Namespace", NAMESPACE)["status"]["phase"] = "Terminating"


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (_baseline, "Pod Security levels"),
        (_old_rules, "old Pod Security versions"),
        (_without_default_deny, "default-deny directions"),
        (_open_policy, "policies open to everybody"),
        (_node_port, "externally exposed Services"),
        (_no_quota, "resources without a quota"),
        (_foreign_account, "foreign service accounts with rights"),
        (_everybody, "excessive permissions in the namespace"),
        (_foreign_object, "objects without the owner's label"),
        (_shared_secret, "secrets shared with namespace bais"),
        (_other_owner, "label bais-gates/owner"),
        (_terminating, "phase (Namespace)"),
    ],
)
def test_each_breach_of_isolation_fails_its_check(
    up: Stage, tmp_path: Path, change: Callable[[Stage], None], name: str
) -> None:
    """Exactly the check for it is false."""
    change(up)

    assert _false(up, tmp_path) == [name]


STEPS = {
    "namespace_isolated": Step.NAMESPACE,
    "database": Step.DATABASE,
    "cache": Step.CACHE,
    "migrations_at_head": Step.MIGRATIONS,
    "application": Step.APPLICATION,
    "health": Step.APPLICATION,
    "smoke": Step.APPLICATION,
}


def _run(name: str, code: StageCode, step: str, folder: Path) -> Evidence:
    result = StagingResult.from_error(
        StageError(code, "It stopped", step=step), namespace=NAMESPACE, owner="sandbox"
    )
    evidence = Evidence()
    known: dict[str, Any] = {"target": None, "unique": None}
    function = _gate(name)
    wanted = {key: known[key] for key in known if key in function.__code__.co_varnames}
    function(staging=_platform(Stage(), result, folder), evidence=evidence, **wanted)
    return evidence


@pytest.mark.parametrize("name", STEPS)
def test_a_step_in_which_the_release_failed_fails_its_gate(name: str, tmp_path: Path) -> None:
    """The gate of the step fails: its first check is false, and shows the code."""
    with pytest.raises(GateFailure, match="IMAGE_PULL"):
        _run(name, StageCode.IMAGE_PULL, STEPS[name], tmp_path)


@pytest.mark.parametrize("name", STEPS)
def test_a_step_that_could_not_be_tried_is_an_error(name: str, tmp_path: Path) -> None:
    """A forbidden verb or an earlier failed step proves nothing about the step: ERROR, not FAIL."""
    with pytest.raises(StageError, match="FORBIDDEN"):
        _run(name, StageCode.FORBIDDEN, STEPS[name], tmp_path)
    with pytest.raises(StepNotReached):
        _run(name, StageCode.IMAGE_PULL, "an earlier step", tmp_path)
