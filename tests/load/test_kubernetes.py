"""The manifests of a load run on a cluster: admitted, in agreement with each other, and read afterwards."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from bais_gates import cli
from bais_gates.load import Plan
from bais_gates.load.plan import COLUMNS, VARIABLE
from bais_gates.load.result import RECORD
from bais_gates.rules.kubernetes import dig, hygiene, of_kind, violations, wiring
from bais_gates.sandbox.cluster.apiserver import kinds

FOLDER: Final = Path(__file__).parents[2] / "gates" / "load" / "kubernetes"
OBJECTS: Final[list[dict[str, Any]]] = list(
    yaml.safe_load_all((FOLDER / "locust.yaml").read_text(encoding="utf-8"))
)
LOCUSTTEST: Final[dict[str, Any]] = yaml.safe_load((FOLDER / "locusttest.yaml").read_text(encoding="utf-8"))
# Names of the properties of LocustTest in locust.io/v2, as operator 2.4.1 has them.
PROPERTIES: Final = {
    (): {"apiVersion", "kind", "metadata", "spec", "status"},
    ("spec",): {
        *("env", "image", "imagePullPolicy", "imagePullSecrets", "master", "observability", "scheduling"),
        *("security", "testFiles", "volumeMounts", "volumes", "worker"),
    },
    ("spec", "master"): {
        *("annotations", "autoquit", "autostart", "command", "extraArgs", "labels", "resources"),
    },
    ("spec", "master", "autoquit"): {"enabled", "timeout"},
    ("spec", "worker"): {"annotations", "command", "extraArgs", "labels", "replicas", "resources"},
    ("spec", "testFiles"): {"configMapRef", "libConfigMapRef", "libMountPath", "srcMountPath"},
    ("spec", "env"): {"configMapRefs", "secretMounts", "secretRefs", "variables"},
    ("spec", "security"): {"containerSecurityContext", "podSecurityContext"},
}
# What the operator adds to the commands: internal/resources/command.go of the same version.
ADDED: Final = {"--master", "--worker", "--master-port", "--master-host", "--autostart", "--autoquit"}


def named(kind: str, name: str) -> dict[str, Any]:
    """Return the object of a kind and name."""
    return next(dict(one) for one in of_kind(OBJECTS, kind) if one["metadata"]["name"] == name)


def container(name: str) -> dict[str, Any]:
    """Return the one container of a Deployment."""
    (only,) = named("Deployment", name)["spec"]["template"]["spec"]["containers"]
    return dict(only)


def options(words: list[str]) -> dict[str, str]:
    """Return the options of a command, each with its value; "" for a switch."""
    return {name: value for name, _, value in (word.partition("=") for word in words)}


def of_operator(part: str) -> dict[str, str]:
    """Return the options that LocustTest gives the master or the worker."""
    spec = LOCUSTTEST["spec"][part]
    return options([*spec["command"].split(), *spec.get("extraArgs", ())])


def pod_of_locusttest(part: str) -> dict[str, Any]:
    """Return a pod of what LocustTest says of pods; the operator's defaults are not in it."""
    spec = LOCUSTTEST["spec"]
    locust = {
        "name": "locust",
        "image": spec["image"],
        "resources": spec[part]["resources"],
        "securityContext": spec["security"]["containerSecurityContext"],
    }
    inner = {
        "containers": [locust],
        "volumes": spec["volumes"],
        "securityContext": spec["security"]["podSecurityContext"],
    }
    return {"kind": "Pod", "metadata": {"name": part}, "spec": inner}


MASTER: Final = container("bais-load-master")
WORKER: Final = container("bais-load-worker")
PLAN_TEXT: Final[str] = named("ConfigMap", "bais-load-run")["data"]["plan.json"]
PODS: Final = [*of_kind(OBJECTS, "Deployment"), pod_of_locusttest("master"), pod_of_locusttest("worker")]


@pytest.mark.parametrize("obj", OBJECTS, ids=lambda one: f"{one['kind']}-{one['metadata']['name']}")
def test_an_api_server_takes_each_object(obj: dict[str, Any]) -> None:
    """Each object has only fields of its kind, with values that the API server's validation accepts."""
    kind = kinds.KindRegistry().find_kind(obj["apiVersion"], obj["kind"])
    assert kind is not None
    body = obj | {"metadata": obj["metadata"] | {"namespace": "load", "uid": "u"}}

    assert kinds.prepare_create(kind, body, strict=True).warnings == ()
    assert "namespace" not in obj["metadata"]
    assert "app.kubernetes.io/name" in obj["metadata"]["labels"]


def test_the_rules_for_pods() -> None:
    """Pods are restricted, and have resources, an image by digest and a read-only root file system."""
    assert [found for pod in PODS for found in violations(pod, "restricted")] == []
    assert hygiene.missing_resources(PODS) == []
    assert hygiene.unpinned_images(PODS) == []
    assert hygiene.writable_root(PODS) == []
    assert hygiene.root_users(PODS) == []
    assert hygiene.account_findings(OBJECTS) == []
    assert wiring.missing_accounts(OBJECTS) == []
    assert wiring.removed_apis(OBJECTS) == []


def test_writable_folders() -> None:
    """Only /tmp and the master's record can be written, and every mount has its volume."""
    for name, kept in (("bais-load-master", {"/record"}), ("bais-load-worker", set())):
        mounts = container(name)["volumeMounts"]
        pod = named("Deployment", name)["spec"]["template"]["spec"]
        volumes = {one["name"]: one for one in pod["volumes"]}
        writable = [one for one in mounts if not one.get("readOnly")]

        assert {one["name"] for one in mounts} == set(volumes)
        assert {one["mountPath"] for one in writable} == {"/tmp"} | kept
        assert all("emptyDir" in volumes[one["name"]] for one in writable)


def test_the_options_exist_in_locust() -> None:
    """Every option of the commands is one of Locust's."""
    helped = subprocess.run(
        [sys.executable, "-m", "locust", "--help"], capture_output=True, text=True, timeout=60, check=True
    )
    known = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", helped.stdout))
    used = {
        *options(MASTER["args"]),
        *options(WORKER["args"]),
        *of_operator("master"),
        *of_operator("worker"),
    }

    assert used | ADDED <= known


def test_master_and_workers_agree() -> None:
    """Workers reach the master by its Service's name and port, and both know how many workers there are."""
    master, worker, service = (
        options(MASTER["args"]),
        options(WORKER["args"]),
        named("Service", "bais-load-master"),
    )
    port = {one["name"]: str(one["containerPort"]) for one in MASTER["ports"]}
    served = {one["targetPort"]: str(one["port"]) for one in service["spec"]["ports"]}
    labels = named("Deployment", "bais-load-master")["spec"]["template"]["metadata"]["labels"]

    assert served == port == {"workers": master["--master-bind-port"], "page": "8089"}
    assert worker["--master-port"] == master["--master-bind-port"]
    assert worker["--master-host"] == service["metadata"]["name"]
    assert service["spec"]["selector"].items() <= labels.items()
    assert {"--master", "--headless"} <= set(master)
    assert named("Deployment", "bais-load-master")["spec"]["replicas"] == 1
    workers = str(named("Deployment", "bais-load-worker")["spec"]["replicas"])
    assert {master["--expect-workers"], worker["--expect-workers"]} == {workers}
    assert {one["image"] for one in (MASTER, WORKER)} == {LOCUSTTEST["spec"]["image"]}
    assert MASTER["env"] == WORKER["env"] == LOCUSTTEST["spec"]["env"]["variables"]
    assert MASTER["env"][0]["name"] == VARIABLE


def test_the_commands_agree_with_the_plan() -> None:
    """The master starts the plan's users in its ramp and ends after its phases; its paths are mounted."""
    plan, paths = Plan.decoded(PLAN_TEXT)
    master = options(MASTER["args"])

    assert master["--users"] == str(plan.users)
    assert float(master["--spawn-rate"]) == plan.users / plan.ramp_s
    assert master["--run-time"] == f"{plan.seconds:g}s"
    assert Path(paths["record"]).name == RECORD
    assert str(Path(paths["record"]).parent) in {one["mountPath"] for one in MASTER["volumeMounts"]}
    assert str(Path(paths["accounts"]).parent) in {one["mountPath"] for one in WORKER["volumeMounts"]}
    assert set(paths) == {"record", "accounts"}


def test_the_operator_has_the_same_settings() -> None:
    """LocustTest gives master and workers the options, resources and mounts of the Deployments."""
    spec = LOCUSTTEST["spec"]
    by_operator = {*ADDED, "--master-bind-port", "--headless", "--only-summary"}
    common = {"--expect-workers"}  # of the master by the operator, which has no option of it for workers
    master, worker = options(MASTER["args"]), options(WORKER["args"])

    assert of_operator("master") == {
        name: value for name, value in master.items() if name not in by_operator | common
    }
    assert of_operator("worker") == {name: value for name, value in worker.items() if name not in by_operator}
    assert spec["worker"]["replicas"] == int(worker["--expect-workers"])
    assert (spec["master"]["resources"], spec["worker"]["resources"]) == (
        MASTER["resources"],
        WORKER["resources"],
    )
    mounts = [*spec["volumeMounts"], *spec["env"]["secretMounts"]]
    paths = {one["mountPath"] for one in mounts} | {spec["testFiles"]["srcMountPath"]}
    assert paths == {one["mountPath"] for one in [*MASTER["volumeMounts"], *WORKER["volumeMounts"]]}


def test_the_properties_of_locusttest() -> None:
    """The example has only keys that the operator's schema knows."""
    assert (LOCUSTTEST["apiVersion"], LOCUSTTEST["kind"]) == ("locust.io/v2", "LocustTest")
    for path, allowed in PROPERTIES.items():
        assert set(dig(LOCUSTTEST, *path)) <= allowed, path
    for mount in LOCUSTTEST["spec"]["volumeMounts"]:
        assert set(mount) <= {"name", "mountPath", "subPath", "readOnly", "target"}
        assert mount["target"] in {"master", "worker", "both"}
    assert all(
        set(one) <= {"name", "mountPath", "readOnly"} for one in LOCUSTTEST["spec"]["env"]["secretMounts"]
    )


def test_the_copied_record_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`load report` prints the figures of a folder as it is copied out of the master's pod."""
    mounted = {Path(one["mountPath"]).name for one in MASTER["volumeMounts"] if "subPath" in one}
    for name in mounted:
        (tmp_path / name).write_text(named("ConfigMap", "bais-load-run")["data"][name], encoding="utf-8")
    plan, _ = Plan.decoded(PLAN_TEXT)
    due = 1000.0 + plan.ramp_s + plan.warm_up_s + 1
    rows = [(0, "/a", due, 0.0, due, 0.025, 200, "", "")]
    entries = [
        {"begin": 1000.0, "columns": COLUMNS},
        {"rows": rows, "users": 1},
        {"end": due + 1, "exceptions": {}, "lost_workers": []},
    ]
    (tmp_path / RECORD).write_text("".join(f"{json.dumps(one)}\n" for one in entries), encoding="utf-8")

    assert cli.main(["load", "report", str(tmp_path)]) == 0
    assert re.search(r"^all +1 .* 25\.0 ", capsys.readouterr().out, re.MULTILINE)
