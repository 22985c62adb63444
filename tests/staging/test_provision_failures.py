"""Provisioning that fails: each cause has its code and one paragraph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from bais_gates.probes.kubernetes.access import ClusterUnreachable
from bais_gates.staging.errors import StageCode, StageError
from bais_gates.staging.plan import Step
from tests.staging.fake_server import refused
from tests.staging.objects import condition, event, pod, stuck

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.staging.conftest import Stage

NAMESPACE = "bais-staging"
FORBIDDEN = refused(
    403,
    "Forbidden",
    'statefulsets.apps is forbidden: User "ci" cannot patch resource "statefulsets"',
    resource="StatefulSet",
)
NO_KIND = refused(404, "NotFound", "no matches", kind_missing=True, resource="Certificate")
REFUSALS: list[tuple[str, Any, StageCode, str, str]] = [
    ("StatefulSet", FORBIDDEN, StageCode.FORBIDDEN, Step.DATABASE, "the verb patch on StatefulSet"),
    ("Certificate", NO_KIND, StageCode.KIND_MISSING, Step.CONFIGURATION, "does not serve this kind"),
    (
        "Ingress",
        refused(422, "Invalid", "spec: Invalid value"),
        StageCode.INVALID,
        Step.APPLICATION,
        "Invalid",
    ),
    (
        "StatefulSet",
        refused(422, "Invalid", "updates to statefulset spec for fields other than ... are forbidden"),
        StageCode.IMMUTABLE,
        Step.DATABASE,
        "stage --down",
    ),
    ("Deployment", refused(409, "Conflict", "modified"), StageCode.CONFLICT, Step.APPLICATION, "modified"),
    (
        "Namespace",
        refused(401, "Unauthorized", "Unauthorized"),
        StageCode.UNAUTHENTICATED,
        Step.NAMESPACE,
        "Renew",
    ),
    (
        "PersistentVolumeClaim",
        refused(403, "Forbidden", "exceeded quota: bais, requested: persistentvolumeclaims=1"),
        StageCode.QUOTA,
        Step.APPLICATION,
        "ResourceQuota",
    ),
    (
        "Ingress",
        refused(403, "Forbidden", 'admission webhook "validate.nginx" denied the request: host is taken'),
        StageCode.ADMISSION,
        Step.APPLICATION,
        "host is taken",
    ),
    (
        "Service",
        refused(500, "InternalError", "webhook timed out"),
        StageCode.SERVER,
        Step.DATABASE,
        "webhook",
    ),
    ("Job", ClusterUnreachable("no answer within 5 s"), StageCode.UNREACHABLE, Step.MIGRATIONS, "no answer"),
]


@pytest.mark.parametrize(
    ("kind", "refusal", "code", "step", "words"), REFUSALS, ids=[str(one[2]) for one in REFUSALS]
)
def test_each_refusal_has_its_code(  # noqa: PLR0917 - the columns of a table
    stage: Stage, kind: str, refusal: Any, code: StageCode, step: str, words: str
) -> None:
    """Each refusal has its own code, the step, and the server's message."""
    stage.server.refusals["patch" if kind != "Namespace" else "*", kind] = refusal

    with pytest.raises(StageError) as caught:
        stage.provision()

    assert (caught.value.code, caught.value.step) == (code, step)
    assert words in str(caught.value)


def _never(_obj: dict[str, Any]) -> None:
    """Leave an object without a status."""


def _observed_only(obj: dict[str, Any]) -> None:
    obj["status"] = {"observedGeneration": obj["metadata"]["generation"]}


def _late(obj: dict[str, Any]) -> None:
    _observed_only(obj)
    obj["status"]["conditions"] = [
        condition(
            "Progressing", "False", reason="ProgressDeadlineExceeded", message="has timed out progressing"
        )
    ]


def _job_failed(obj: dict[str, Any]) -> None:
    obj["status"] = {
        "conditions": [condition("Failed", reason="BackoffLimitExceeded", message="backoff limit")]
    }


def _job_late(obj: dict[str, Any]) -> None:
    obj["status"] = {"conditions": [condition("Failed", reason="DeadlineExceeded", message="too long")]}


def _with_pod(kind: str, name: str, **status: Any) -> Callable[[Stage], None]:
    def add(stage: Stage) -> None:
        uid = str(stage.server.one(kind, name)["metadata"]["uid"])
        owner = uid
        if kind == "Deployment":
            owner = "rs-1"
            owners = [{"uid": uid, "controller": True}]
            metadata = {"name": "rs", "namespace": NAMESPACE, "uid": owner, "ownerReferences": owners}
            stage.server.objects["ReplicaSet", NAMESPACE, "rs"] = {"kind": "ReplicaSet", "metadata": metadata}
        stage.server.objects["Pod", NAMESPACE, "it"] = pod("it", owner, **status)

    return add


PULL = {"containerStatuses": [stuck("ImagePullBackOff", "Back-off pulling image registry/x@sha256:1")]}
MISSING = {"containerStatuses": [stuck("CreateContainerConfigError", 'secret "bais-x" not found')]}
CRASH = {"containerStatuses": [stuck("CrashLoopBackOff", restarts=4)]}
FULL = {
    "conditions": [condition("PodScheduled", "False", reason="Unschedulable", message="3 Insufficient cpu")]
}
ENDED = {
    "phase": "Failed",
    "containerStatuses": [{"name": "migrate", "state": {"terminated": {"exitCode": 1}}}],
}
STUCK: list[tuple[str, str, Callable[[dict[str, Any]], None], dict[str, Any], StageCode, str]] = [
    ("StatefulSet", "bais-postgres", _observed_only, PULL, StageCode.IMAGE_PULL, "Back-off pulling"),
    (
        "StatefulSet",
        "bais-redis",
        _observed_only,
        MISSING,
        StageCode.CONTAINER_CONFIG,
        'secret "bais-x" not found',
    ),
    ("Deployment", "bais-api", _observed_only, CRASH, StageCode.CRASH_LOOP, "CrashLoopBackOff"),
    ("Deployment", "bais-api", _observed_only, FULL, StageCode.UNSCHEDULABLE, "Insufficient cpu"),
    ("Deployment", "bais-api", _late, {}, StageCode.PROGRESS_DEADLINE, "timed out progressing"),
    ("Deployment", "bais-api", _late, PULL, StageCode.IMAGE_PULL, "Back-off pulling"),
    ("Job", "bais-migrate", _job_failed, ENDED, StageCode.JOB_FAILED, "exited with status 1"),
    ("Job", "bais-migrate", _job_late, {}, StageCode.JOB_DEADLINE, "DeadlineExceeded"),
    ("Deployment", "bais-api", _observed_only, {}, StageCode.NOT_READY, "not ready after"),
    ("StatefulSet", "bais-postgres", _never, {}, StageCode.NOT_READY, "has not observed generation"),
]


@pytest.mark.parametrize(
    ("kind", "name", "comes", "status", "code", "words"), STUCK, ids=[f"{one[1]}-{one[4]}" for one in STUCK]
)
def test_each_failure_has_its_code(  # noqa: PLR0917 - the columns of a table
    stage: Stage,
    kind: str,
    name: str,
    comes: Callable[[dict[str, Any]], None],
    status: dict[str, Any],
    code: StageCode,
    words: str,
) -> None:
    """Each failure has its code, and one paragraph with the pod's last lines, the events and a remedy."""
    usual = stage.server.make_ready[kind]
    stage.server.make_ready[kind] = lambda obj: (comes if obj["metadata"]["name"] == name else usual)(obj)
    stage.server.log_text = "line one\npassword=hunter2hunter2\nlast line of the log\n"

    def appears() -> None:
        if stage.server.has(kind, name):
            uid = str(stage.server.one(kind, name)["metadata"]["uid"])
            stage.server.event_list = [event("Unhealthy", "Readiness probe failed", about=uid)]
            if status:
                _with_pod(kind, name, **status)(stage)

    stage.time.on_sleep.append(appears)
    usual_put = stage.server.apply

    def apply(obj: dict[str, Any], *, force: bool = False) -> dict[str, Any]:
        made = usual_put(obj, force=force)
        if (obj["kind"], obj["metadata"]["name"]) == (kind, name):
            appears()
        return made

    stage.server.apply = apply  # type: ignore[method-assign]  # the pod exists as soon as its workload

    with pytest.raises(StageError) as caught:
        stage.provision(seconds=40)

    text = str(caught.value)
    assert caught.value.code is code
    assert caught.value.code.blames_release
    assert words in text
    assert "Readiness probe failed" in text
    assert "\n" not in text
    assert "hunter2" not in text
    assert "last line of the log" in text or not status


def test_an_image_pull_that_recovers_is_no_failure(stage: Stage) -> None:
    """A pull that fails within its grace period and then succeeds is awaited."""
    usual = stage.server.make_ready["StatefulSet"]
    stage.server.make_ready["StatefulSet"] = _observed_only
    began = stage.time.now

    def recover() -> None:
        for name in ("bais-postgres", "bais-redis"):
            if stage.server.has("StatefulSet", name):
                usual(stage.server.one("StatefulSet", name))
                if stage.time.now - began < 3:
                    _observed_only(stage.server.one("StatefulSet", name))
                    failing = {"containerStatuses": [stuck("ErrImagePull", "i/o timeout")]}
                    _with_pod("StatefulSet", name, **failing)(stage)

    stage.time.on_sleep.append(recover)

    assert stage.provision() == list(Step)


def test_an_exceeded_quota_is_reported_at_once(stage: Stage) -> None:
    """Without a pod, a FailedCreate event is reported at once, not at the deadline."""
    stage.server.make_ready["StatefulSet"] = _observed_only
    apply = stage.server.apply

    def with_event(obj: dict[str, Any], *, force: bool = False) -> dict[str, Any]:
        made = apply(obj, force=force)
        uid = made["metadata"]["uid"]
        words = 'pods "bais-postgres-0" is forbidden: exceeded quota: bais'
        stage.server.event_list = [event("FailedCreate", words, about=uid)]
        return made

    stage.server.apply = with_event  # type: ignore[method-assign]  # writes the controller's event

    with pytest.raises(StageError) as caught:
        stage.provision()

    assert caught.value.code is StageCode.QUOTA


def test_the_autoscalers_replicas_are_awaited(stage: Stage) -> None:
    """A Deployment with one ready replica is not ready if its autoscaler's minimum is three."""
    usual = stage.server.make_ready["Deployment"]

    def one_first(obj: dict[str, Any]) -> None:
        obj["spec"]["replicas"] = 1
        usual(obj)

    stage.server.make_ready["Deployment"] = one_first

    with pytest.raises(StageError, match=r"1 of 3 replicas \(the autoscaler's minReplicas\)"):
        stage.provision(seconds=10)


def test_progress_is_reported_while_waiting(stage: Stage) -> None:
    """A pending object is reported at once, and again after some seconds."""
    stage.server.make_ready["Job"] = _never

    with pytest.raises(StageError):
        stage.provision(seconds=20)

    reported = [one for one in stage.progress if one.startswith("migrations: Job bais-migrate")]
    assert len(reported) >= 3
