"""Each gate after a deploy passes, fails for each of its reasons, lacks data, or says why it can't check."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from bais_gates.probes.prometheus import Alert
from bais_gates.rollout.record import ANNOTATION, Phase
from bais_gates.targets.parts import ReleasePart
from bais_gates.verdict.model import Outcome, parse_subject
from tests.gates import deployed_platform
from tests.gates.deployed_platform import (
    BEFORE,
    DEPLOYED_AT,
    NAME,
    NEW,
    OLD,
    Api,
    Platform,
    pod,
    record,
    stamp,
)

if TYPE_CHECKING:
    from datetime import datetime

    from tests.gates.platform_bench import Result

Change = Callable[[Platform], object]
GATES = ("version", "health", "latency_and_errors", "workloads", "alerts_quiet", "payments")
DEPLOYED = (Phase.RECORDED, Phase.MIGRATING, Phase.ROLLING_OUT, Phase.VERIFYING, Phase.DEPLOYED)
FILES = {"payments": "figures", "latency_and_errors": "figures", "health": "service", "smoke": "service"}
OTHER = f"{NAME}@sha256:{'c' * 64}"


@pytest.fixture(autouse=True)
def _without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    waits = {
        "version": "SETTLED_WITHIN_S",
        "figures": "COUNTED_WITHIN_S",
        "alerts_quiet": "EVALUATED_WITHIN_S",
    }
    for file, name in waits.items():
        monkeypatch.setattr(deployed_platform.load(file), name, 0.0)


def judge(gate: str, platform: Platform) -> Result:
    """Run a gate of the phase."""
    return platform.judge(gate, FILES.get(gate, gate))


# -- what tests change --


def container(**status: Any) -> Change:
    """Change the status of the first replica's container."""
    return lambda p: p.cluster.one("Pod", "api-0")["status"]["containerStatuses"][0].update(status)


def restarted(at: datetime) -> Change:
    """Let the first replica's container be started again after it had ended then."""
    ended = {"terminated": {"exitCode": 137, "finishedAt": stamp(at)}}
    return container(restartCount=1, lastState=ended)


def counted(**values: float) -> Change:
    """Change what Prometheus has counted."""
    words = {"requests": "_count", "errors": "5..", "p95_s": "histogram_quantile"}
    words |= {"payments": "payments_total", "succeeded": 'status="completed"'}
    return lambda p: p.prometheus.values.update({words[name]: value for name, value in values.items()})


def prometheus(**more: Any) -> Change:
    """Change what Prometheus answers."""
    return lambda p: setattr(p, "prometheus", replace(p.prometheus, **more))


def has(**values: Any) -> Change:
    """Give the platform other values."""

    def change(platform: Platform) -> None:
        for name, value in values.items():
            setattr(platform, name, value)

    return change


def firing(at: datetime, severity: str = "critical") -> Change:
    """Let an alert fire that became active then."""
    labels = {"alertname": "ApiDown", "severity": severity}
    return prometheus(firing=(Alert(labels=labels, firing=True, active_at=at.timestamp()),))


def deployment(path: str, value: Any) -> Change:
    """Change a value of the Deployment."""

    def change(platform: Platform) -> None:
        *keys, last = path.split(".")
        at: Any = platform.cluster.one("Deployment", "bais-api")
        for key in keys:
            at = at[int(key)] if key.isdecimal() else at[key]
        at[last] = value

    return change


IMAGE = "spec.template.spec.containers.0.image"
AN_HOUR = {'status="completed"': 200.0, "payments_total": 200.0}
FAULTS: dict[str, tuple[str, Change, str]] = {
    "a replica of another image": ("version", container(imageID=OLD), "replicas that run another image"),
    "a replica without an image": ("version", container(imageID=""), "replicas that run another image"),
    "an image set by hand": ("version", deployment(IMAGE, OTHER), "declared images"),
    "an old pod": (
        "version",
        lambda p: p.cluster.objects.append(pod("api-old", "rs-1", OLD)),
        "pods of an older release",
    ),
    "an old report": (
        "version",
        prometheus(versions=("1.1.0", "1.0.0")),
        "replicas that report another version than 1.1.0",
    ),
    "a silent replica": ("version", prometheus(versions=("1.1.0",)), "replicas that report their version"),
    "an old response": ("version", has(api=Api("1.1.0", "1.0.0")), "versions (GET /health)"),
    "not ready": ("health", has(api=Api(ready={"code": 503})), "status (GET /ready)"),
    "no cache": ("health", has(api=Api(ready={"cache": "down"})), "reported cache check (GET /ready)"),
    "staging": (
        "health",
        has(api=Api(health={"environment": "staging"})),
        "reported environment (GET /health)",
    ),
    "one replica without a database": (
        "health",
        prometheus(dependencies=(1, 0)),
        "dependencies that are down",
    ),
    "no registration": ("smoke", has(), "status (registration)"),
    "errors": ("latency_and_errors", counted(errors=6), "error rate"),
    "slow": ("latency_and_errors", counted(p95_s=0.21), "p95 latency"),
    "payments fail": ("payments", counted(succeeded=94), "share of successful payments"),
    "more payments fail": (
        "payments",
        prometheus(hour_before=AN_HOUR, values={'status="completed"': 94.9}),
        "share of successful payments in the hour before the deploy, minus that since",
    ),
    "paused": ("workloads", deployment("spec.paused", value=True), "state (Deployment bais-api)"),
    "too few replicas": ("workloads", deployment("spec.replicas", 3), "ready replicas"),
    "a restart": ("workloads", restarted(DEPLOYED_AT), "restarts since the deploy"),
    "a restart at an unknown time": ("workloads", container(restartCount=1), "restarts since the deploy"),
    "no image": (
        "workloads",
        container(state={"waiting": {"reason": "ImagePullBackOff"}}),
        "pods that wait or fail",
    ),
    "an old schema": ("workloads", has(revisions=("0002",)), "schema revision"),
    "two schemas": ("workloads", has(revisions=("0003", "0003b")), "schema revision"),
    "an alert": (
        "alerts_quiet",
        firing(DEPLOYED_AT + timedelta(minutes=1)),
        "firing alerts that began since the deploy",
    ),
    "no rules": ("alerts_quiet", prometheus(rules=()), "alerts that are loaded"),
    "a rule that fails": (
        "alerts_quiet",
        prometheus(rules=(("alerting", "err"),)),
        "rules that are not evaluated",
    ),
}
TOO_LITTLE: dict[str, tuple[str, Change]] = {
    "no dependency is reported": ("health", prometheus(dependencies=())),
    "49 requests": ("latency_and_errors", counted(requests=49)),
    "no request": ("latency_and_errors", counted(requests=0)),
    "58 payments": ("payments", counted(payments=58, succeeded=58)),
    "no payment": ("payments", counted(payments=0, succeeded=0)),
}
MISSING: dict[str, tuple[Change, str]] = {
    "Deployment": (lambda p: p.cluster.objects.pop(0), "There is no Deployment bais/bais-api in the cluster"),
    "release": (has(release=None), "release is missing, and a gate needs it"),
    "image": (has(release=ReleasePart(version="1")), "release.image is missing, and a gate needs it"),
    "container": (
        has(release=ReleasePart(image="x@sha256:0")),
        "no container of the Deployment bais-api runs",
    ),
    "subject": (has(subject=parse_subject(OLD)), f"but {NEW} should run (environment.yaml: release)"),
    "record": (
        deployment("metadata.annotations", {ANNOTATION: "{}"}),
        "is not a record of this version of bais-gates",
    ),
}


# -- what they see --


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("recorded", [False, True])
def test_a_good_release_passes(gate: str, *, recorded: bool) -> None:
    """By the record of its deploy, and by the environment's release where there is none."""
    platform = Platform()
    if recorded:
        platform.release = None
        platform.deployed_by(record(*DEPLOYED))
    result = judge(gate, platform)

    assert result.outcome is Outcome.PASS, str(result)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_bad_release_fails(fault: str) -> None:
    """Each fault makes its own check false."""
    gate, change, false = FAULTS[fault]
    platform = Platform()
    change(platform)
    result = judge(gate, platform)

    assert result.outcome is Outcome.FAIL, str(result)
    assert false in [one.name for one in result.checks if one.ok is False]


@pytest.mark.parametrize("about", TOO_LITTLE)
def test_too_little_is_no_data(about: str) -> None:
    """Nothing is proven by what was not seen; 58 payments are too few to show 95 %."""
    gate, change = TOO_LITTLE[about]
    platform = Platform()
    change(platform)

    assert judge(gate, platform).outcome is Outcome.NO_DATA


@pytest.mark.parametrize("part", MISSING)
def test_what_is_missing_is_an_error(part: str) -> None:
    """Where nobody knows what should run nothing is judged, and the message says what to do."""
    change, message = MISSING[part]
    platform = Platform()
    change(platform)
    result = judge("version", platform)

    assert result.outcome is Outcome.ERROR
    assert message in str(result.error)


def test_what_was_before_the_deploy_is_not_judged() -> None:
    """An alert that fires since before it is listed, a restart before it does not count."""
    platform = Platform()
    firing(BEFORE)(platform)
    restarted(BEFORE)(platform)

    assert judge("alerts_quiet", platform).outcome is Outcome.PASS
    assert judge("workloads", platform).outcome is Outcome.PASS


def test_an_alert_that_judges_nothing_is_quiet() -> None:
    """The Watchdog fires always."""
    platform = Platform()
    firing(DEPLOYED_AT + timedelta(minutes=1), "info")(platform)

    assert judge("alerts_quiet", platform).outcome is Outcome.PASS


def test_a_revision_that_nobody_knows_is_no_data() -> None:
    """Without a log of the migration its completed Job is enough, without that nothing is."""
    platform = Platform()
    platform.cluster.log = ""
    assert judge("workloads", platform).outcome is Outcome.PASS

    platform.cluster.objects.remove(platform.cluster.one("Job", "migrate-1"))
    assert judge("workloads", platform).outcome is Outcome.NO_DATA


class Shop:
    """A business whose payments and requests Prometheus counts."""

    def __init__(self, platform: Platform, status: int = 201) -> None:
        self.platform, self.status, self.paid, self.api = platform, status, 0, self

    def workflow_id(self, **_fields: Any) -> str:
        """Return a workflow."""
        return "wf"

    def pay(self, *_about: Any, **_fields: Any) -> Any:
        """Take a payment."""
        self.paid += 1
        if self.status == 201:
            counted(payments=self.paid, succeeded=self.paid)(self.platform)
        return deployed_platform.Response(status=self.status)

    def get(self, *_about: Any, **_more: Any) -> None:
        """Send a request."""
        self.paid += 1
        counted(requests=self.paid)(self.platform)


@pytest.mark.parametrize(("gate", "sent"), [("payments", 59), ("latency_and_errors", 80)])
def test_a_quiet_platform_is_asked_by_the_gate_itself(gate: str, sent: int) -> None:
    """Where gates may write they send what is missing, fewer requests than the rate limit."""
    platform = Platform()
    shop = Shop(platform)
    platform.tenant = lambda: shop
    counted(requests=0, payments=0, succeeded=0)(platform)

    assert judge(gate, platform).outcome is Outcome.PASS
    assert shop.paid == sent


def test_own_payments_that_are_refused_fail_the_gate() -> None:
    """A release that takes no payment has no outcomes to count, and is no mere lack of data."""
    platform = Platform()
    platform.tenant = lambda: Shop(platform, 500)
    counted(payments=0, succeeded=0)(platform)
    result = judge("payments", platform)

    assert result.outcome is Outcome.FAIL
    assert result.false == ["share of own payments that were accepted", "share of successful payments"]
