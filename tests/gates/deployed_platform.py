"""A platform after a deploy, as plain objects: its Deployment and pods, and what its servers answer."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from bais_gates.probes.prometheus import Alert, Point
from bais_gates.rollout.expectation import read_deployed
from bais_gates.rollout.record import ANNOTATION, Phase, Record, State
from bais_gates.targets.environment import Environment
from bais_gates.targets.parts import ApiPart, KubernetesPart, RateLimit, ReleasePart
from bais_gates.verdict.model import Subject
from tests.gates import platform_bench
from tests.gates.fake_platform import FakeCluster

if TYPE_CHECKING:
    from bais_gates.probes.kubernetes.cluster import Cluster
    from bais_gates.rollout.expectation import Deployed

GATES = Path(__file__).parents[2] / "gates" / "postdeploy"
NAME = "registry.example/bais-api"
OLD, NEW = (f"{NAME}@sha256:{digit * 64}" for digit in "ab")
DEPLOYED_AT = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=10)
BEFORE = DEPLOYED_AT - timedelta(minutes=1)
UPGRADE = "INFO Running upgrade 0002 -> 0003, index"
Object = dict[str, Any]


def stamp(at: datetime) -> str:
    """Return a time as Kubernetes writes it."""
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


def record(*phases: Phase, kind: str = "deploy", job: str = "migrate-1") -> Record:
    """Return the record of a deploy of NEW, or of a rollback to it, after these phases."""
    made = Record(
        id="1",
        kind=kind,
        environment="tests",
        rehearsal=True,
        by="dana",
        images={"api": NEW},
        version="1.1.0",
        before=State(images={"api": OLD}, replicas=2, version="1.0.0", schema="0002"),
        job=job,
    )
    for phase in phases:
        made = made.then(phase)
    return made


def owned(kind: str, name: str, owner: str, **more: Any) -> Object:
    """Return an object of the namespace, with its controller."""
    reference = {"kind": "Job", "name": owner, "uid": owner, "controller": True}
    metadata = {"name": name, "namespace": "bais", "uid": name, "ownerReferences": [reference]}
    metadata["creationTimestamp"] = stamp(DEPLOYED_AT)
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata, **more}


def pod(name: str, replica_set: str, image: str = NEW) -> Object:
    """Return a running pod."""
    container = {"name": "api", "imageID": image, "restartCount": 0}
    ready = {"type": "Ready", "status": "True"}
    status = {"phase": "Running", "conditions": [ready], "containerStatuses": [container]}
    return owned("Pod", name, replica_set, spec={"containers": [{"name": "api"}]}, status=status)


def objects() -> list[Object]:
    """Return a Deployment of NEW with two replicas, and the Job that migrated for it."""
    counts = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), 2)
    containers = {"spec": {"containers": [{"name": "api", "image": NEW}]}}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "bais-api", "namespace": "bais", "uid": "d", "generation": 2},
        "spec": {"replicas": 2, "template": containers},
        "status": {"observedGeneration": 2, **counts},
    }
    sets = [owned("ReplicaSet", f"rs-{n}", "d") | {"apiVersion": "apps/v1"} for n in (1, 2)]
    for number, one in enumerate(sets, 1):
        one["metadata"]["annotations"] = {"deployment.kubernetes.io/revision": str(number)}
    labels = {"labels": {"app.kubernetes.io/component": "migration"}}
    job = owned("Job", "migrate-1", "", spec={"template": containers}) | {"apiVersion": "batch/v1"}
    job["status"] = {"conditions": [{"type": "Complete", "status": "True"}]}
    job["metadata"] |= labels
    migration = owned("Pod", "migrate-1-x", "migrate-1", status={"phase": "Succeeded"})
    migration["metadata"] |= labels
    return [deployment, *sets, pod("api-0", "rs-2"), pod("api-1", "rs-2"), job, migration]


@dataclass
class Prometheus:
    """Answers queries by the first of these words that they contain."""

    values: dict[str, float] = field(default_factory=dict)
    versions: tuple[str, ...] = ("1.1.0", "1.1.0")
    dependencies: tuple[float, ...] = (1, 1)
    rules: tuple[tuple[str, str], ...] = (("alerting", "ok"), ("recording", "ok"))
    firing: tuple[Alert, ...] = ()
    hour_before: dict[str, float] | None = None
    """The figures of the hour before the deploy, where there is that history."""

    def query(self, expression: str) -> tuple[Point, ...]:
        """Return what a gate asks for."""
        if "bais_build_info" in expression:
            return tuple(
                Point(labels={"instance": f"10.0.0.{n}:8443", "version": version}, value=1)
                for n, version in enumerate(self.versions)
            )
        if "dependency_up" in expression:
            return tuple(
                Point(labels={"instance": f"10.0.0.{n}:8443", "part": "database"}, value=value)
                for n, value in enumerate(self.dependencies)
            )
        if expression.startswith("up"):
            return (Point(labels={}, value=1),) * (self.hour_before is not None)
        words = {"time()": datetime.now(UTC).timestamp(), 'status="completed"': 100, "payments_total": 100}
        words |= {"histogram_quantile": 0.05, "5..": 0, "_count": 500} | self.values
        if f"@ {DEPLOYED_AT.timestamp():.3f}" in expression:
            words |= self.hour_before or dict.fromkeys(words, 0.0)
        return tuple(Point(labels={}, value=value) for word, value in words.items() if word in expression)[:1]

    def rule_groups(self) -> list[Object]:
        """Return the loaded rules."""
        return [{"rules": [{"name": "A", "type": kind, "health": health} for kind, health in self.rules]}]

    def alerts(self) -> tuple[Alert, ...]:
        """Return the alerts."""
        return self.firing


class Response(SimpleNamespace):
    """A response of the API: its status and fields."""

    def field(self, *path: str) -> Any:
        """Return a field of the body."""
        return self.fields.get(path[-1])


class Api:
    """Answers as a healthy API of a version does, but for the paths that a test names."""

    def __init__(self, *versions: str, **wrong: Any) -> None:
        self.versions, self.wrong, self.asked = versions or ("1.1.0",), wrong, 0

    def get(self, path: str, **_more: Any) -> Response:
        """Return the response to GET."""
        self.asked += 1
        version = self.versions[self.asked % len(self.versions)]
        fields = {"status": "healthy", "version": version, "environment": "tests", "database": "ok"}
        fields |= {"cache": "ok"}
        if path.endswith("system/status"):
            fields["status"] = "connected"
        wrong = self.wrong.get(path.strip("/"), {})
        return Response(status=wrong.get("code", 200), fields=fields | wrong, elapsed_ms=5.0, url=path)

    def register(self, **_fields: Any) -> Response:
        """Refuse a registration: the smoke test ends there."""
        return Response(status=503, fields={}, url="/register")

    def conforms(self, *_about: Any) -> list[str]:
        """Return no violation."""
        return []


@dataclass
class Platform:
    """What the gates after a deploy are given."""

    cluster: FakeCluster = field(default_factory=lambda: FakeCluster(objects(), log=UPGRADE))
    prometheus: Prometheus = field(default_factory=Prometheus)
    api: Any = field(default_factory=Api)
    revisions: tuple[str, ...] = ("0003",)
    release: ReleasePart | None = field(default_factory=lambda: ReleasePart(image=NEW, version="1.1.0"))
    subject: Subject | None = None
    tenant: Any = None

    def deployed_by(self, made: Record) -> None:
        """Put the record of a deploy on the Deployment."""
        self.cluster.one("Deployment", "bais-api")["metadata"]["annotations"] = {ANNOTATION: made.text()}

    @property
    def environment(self) -> Environment:
        """The environment file."""
        parts: Object = {
            "kubernetes": KubernetesPart(kubeconfig=Path("kubeconfig"), context="c"),
            "api": ApiPart(url="https://127.0.0.1:1", environment="tests"),
            "rate_limit": RateLimit(per_token=100, per_address=6000, window_s=60),
        }
        parts |= {"release": self.release} if self.release else {}
        return platform_bench.environment(**parts)

    def read(self) -> Deployed:
        """Return the Deployment with what should run there."""
        return read_deployed(cast("Cluster", self.cluster), self.environment, subject=self.subject)

    def judge(self, gate: str, file: str) -> platform_bench.Result:
        """Run ``postdeploy.<gate>``, which is in that file."""

        def run(evidence: Any) -> None:
            given = {
                "evidence": evidence,
                "cluster": self.cluster,
                "prometheus": self.prometheus,
                "api": self.api,
                "environment": self.environment,
                "unique": SimpleNamespace(email=lambda _prefix: "gate@example.com", password=str, word=str),
                "tenant": self.tenant,
                "read": self.read,
                "database": SimpleNamespace(
                    rows=lambda _query: [{"version_num": one} for one in self.revisions]
                ),
            }
            function = getattr(load(file), f"test_{gate}")
            names = function.__code__.co_varnames[: function.__code__.co_argcount]
            function(**{name: self.read() if name == "deployed" else given[name] for name in names})

        return platform_bench.judge_function(run)


def load(name: str) -> ModuleType:
    """Load a file of the gates as a module."""
    full = f"postdeploy_gate_{name}"
    if full not in sys.modules:
        spec = importlib.util.spec_from_file_location(full, GATES / f"test_{name}.py")
        if spec is None or spec.loader is None:
            raise FileNotFoundError(name)
        module = sys.modules[full] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[full]
