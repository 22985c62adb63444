"""Whether an autoscaler can add pods, in time, and nothing refuses them."""

from __future__ import annotations

import math
from typing import Any

import pytest

from bais_gates.rules.kubernetes import autoscaling
from tests.rules.kubernetes import platform_objects as objects

TEMPLATE = objects.pod_spec()


def metric(name: str = "cpu", kind: str = "Resource", **target: Any) -> dict[str, Any]:
    """Return a metric of the pods' own resources."""
    return {"type": kind, kind[:1].lower() + kind[1:]: {"name": name, "container": "api", "target": target}}


def scaler(*metrics: dict[str, Any], **behavior: Any) -> dict[str, Any]:
    """Return the healthy autoscaler with these metrics and this behavior, its values all current."""
    one = objects.autoscaler()
    one["spec"] |= {"behavior": {"scaleUp": behavior}} | ({"metrics": list(metrics)} if metrics else {})
    for each in metrics:
        kind = each["type"]
        inner = each[kind[:1].lower() + kind[1:]]
        one["status"]["currentMetrics"].append(
            {
                "type": kind,
                kind[:1].lower() + kind[1:]: {"name": inner["name"], "current": {"averageValue": "1m"}},
            }
        )
    return one


def faults(one: dict[str, Any], template: dict[str, Any] = TEMPLATE) -> list[str]:
    """Return the faults with the limits of the platform."""
    return autoscaling.scaling_faults(one, template, max_share=0.8, max_seconds=300)


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        (metric(averageUtilization=80), None),
        (metric(averageUtilization=81), "above 81% of the requested cpu: at most 80%"),
        (metric(averageUtilization=100), "above 100%"),
        (metric(averageValue="400m"), None),
        (metric(averageValue="500m"), "above 100% of the requested cpu"),
        (metric("memory", averageUtilization=95), "above 95% of the requested memory"),
        (metric(kind="ContainerResource", averageUtilization=60), None),
        (metric("example.com/gpu", averageUtilization=60), "requests no example.com/gpu"),
        ({"type": "Pods", "pods": {"name": "queue", "target": {"averageValue": "9k"}}}, None),
    ],
)
def test_pods_are_added_below_the_highest_share(given: dict[str, Any], fault: str | None) -> None:
    """By utilization or by value; without a request there is no utilization."""
    found = faults(scaler(given))

    assert [fault in text for text in found] == [True] if fault else found == []


def test_an_autoscaler_that_is_not_active_says_why() -> None:
    """Conditions, metrics without a value, and no metrics at all."""
    one = objects.autoscaler()
    one["status"]["conditions"][0] |= {"status": "False", "reason": "ScalingDisabled"}
    one["status"]["currentMetrics"] = []
    silent = objects.autoscaler()
    silent["spec"]["metrics"] = []

    assert faults(one) == [
        "condition ScalingActive is False (ScalingDisabled)",
        "no current value of Resource/cpu",
    ]
    assert faults(silent) == ["it has no metrics to scale by"]
    assert faults(objects.autoscaler()) == []


SLOW = {"type": "Pods", "value": 1, "periodSeconds": 1800}
STEADY = {"type": "Pods", "value": 1, "periodSeconds": 60}
TENTH = {"type": "Percent", "value": 10, "periodSeconds": 30}


@pytest.mark.parametrize(
    ("behavior", "seconds"),
    [
        ({}, 0),
        ({"policies": [STEADY]}, 60),
        ({"policies": [TENTH]}, 30),
        ({"policies": [SLOW]}, 1800),
        ({"policies": [SLOW, STEADY]}, 60),
        ({"policies": [SLOW, STEADY], "selectPolicy": "Min"}, 1800),
        ({"policies": [STEADY], "stabilizationWindowSeconds": 600}, 660),
        ({"policies": [STEADY | {"value": 0}]}, math.inf),
        ({"selectPolicy": "Disabled"}, math.inf),
    ],
)
def test_the_time_to_scale_up_follows_the_policies(behavior: dict[str, Any], seconds: float) -> None:
    """From three to five pods: the first step is taken at once, the next one a period later."""
    one = scaler(**behavior)

    assert autoscaling.scale_up_seconds(one) == seconds
    assert len(faults(one)) == (seconds > 300)


def quota(hard: dict[str, str], used: dict[str, str], **spec: Any) -> dict[str, Any]:
    """Return a ResourceQuota with its status."""
    return objects.named(
        "ResourceQuota", "q", "v1", spec={"hard": hard} | spec, status={"hard": hard, "used": used}
    )


def test_nearly_used_quotas() -> None:
    """Each resource is compared on its own, with the limit of the spec, whatever its unit."""
    one = quota({"requests.cpu": "4", "pods": "10"}, {"requests.cpu": "3700m", "pods": "9"})
    old = quota({"pods": "4"}, {"pods": "5"}) | {"status": {"hard": {"pods": "10"}, "used": {"pods": "5"}}}

    assert autoscaling.nearly_used_quotas([one], 0.9) == ["ResourceQuota q: requests.cpu 3700m of 4"]
    assert autoscaling.nearly_used_quotas([old], 0.9) == ["ResourceQuota q: pods 5 of 4"]
    assert (
        autoscaling.nearly_used_quotas([quota({"pods": "0"}, {"pods": "1"}, scopes=["BestEffort"])], 0.9)
        == []
    )


@pytest.mark.parametrize(
    ("hard", "used", "refused"),
    [
        ({"requests.cpu": "3"}, {"requests.cpu": "1500m"}, False),
        ({"requests.cpu": "3"}, {"requests.cpu": "1600m"}, True),
        ({"cpu": "1"}, {}, True),
        ({"limits.memory": "2Gi"}, {"limits.memory": "1Gi"}, True),
        ({"pods": "5"}, {"pods": "3"}, True),
        ({"count/pods": "6"}, {"count/pods": "3"}, False),
        ({"services.loadbalancers": "0"}, {}, False),
    ],
)
def test_quotas_must_allow_the_further_pods(
    hard: dict[str, str], used: dict[str, str], *, refused: bool
) -> None:
    """Three more, each by its requests and limits."""
    found = autoscaling.quota_shortages([quota(hard, used)], TEMPLATE, 3)

    assert bool(found) is refused
    assert all("allows no 3 more pods" in text for text in found)


@pytest.mark.parametrize(
    ("scope", "counts"), [("NotBestEffort", True), ("NotTerminating", True), ("BestEffort", False)]
)
def test_a_quota_counts_for_pods_in_its_scope(scope: str, *, counts: bool) -> None:
    """One of pods without requests does not apply to the API's."""
    selector = {"matchExpressions": [{"scopeName": scope, "operator": "Exists"}]}
    by_list, by_selector = (
        quota({"pods": "0"}, {}, scopes=[scope]),
        quota({"pods": "0"}, {}, scopeSelector=selector),
    )

    found = autoscaling.quota_shortages([by_list, by_selector], TEMPLATE, 1)

    assert len(found) == (2 if counts else 0)


@pytest.mark.parametrize(
    ("entry", "fault"),
    [
        ({"type": "Container", "max": {"cpu": "1"}, "min": {"cpu": "100m"}}, None),
        (
            {"type": "Container", "max": {"cpu": "400m"}},
            "r: api: limit of cpu 500m is above the maximum 400m",
        ),
        (
            {"type": "Container", "min": {"memory": "1Gi"}},
            "r: api: request of memory 512Mi is below the minimum 1Gi",
        ),
        ({"type": "Pod", "max": {"memory": "256Mi"}}, "above the maximum 256Mi"),
        ({"type": "PersistentVolumeClaim", "max": {"storage": "1Gi"}}, None),
    ],
)
def test_limit_ranges_must_admit_the_pods(entry: dict[str, Any], fault: str | None) -> None:
    """Each container, and the pod as a whole."""
    found = autoscaling.limit_range_faults(
        [{"metadata": {"name": "r"}, "spec": {"limits": [entry]}}], TEMPLATE
    )

    assert [fault in text for text in found] == [True] if fault else found == []
