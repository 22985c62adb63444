"""Probes, spread, disruption budgets, autoscaling and CronJob policies that workloads declare."""

from __future__ import annotations

from typing import Any

import pytest

from bais_gates.rules.kubernetes import resilience

Manifest = dict[str, Any]
LABELS = {"app": "foo"}
HOST = "kubernetes.io/hostname"


def workload(replicas: int | None = 3, kind: str = "Deployment", space: str = "n", **spec: Any) -> Manifest:
    """Return a workload of one container; None leaves replicas unset."""
    stated = {} if replicas is None else {"replicas": replicas}
    template = {"metadata": {"labels": LABELS}, "spec": {"containers": [{"name": "c"}]} | spec}
    return {
        "kind": kind,
        "metadata": {"name": "d", "namespace": space},
        "spec": stated | {"template": template},
    }


def probed(**container: Any) -> list[str]:
    """Return the rules that the probes of a container violate."""
    return rules(resilience.probe_findings([workload(containers=[{"name": "c"} | container])]))


def rules(findings: list[Any]) -> list[str]:
    """Return the rules of findings."""
    return [finding.rule for finding in findings]


def budget(labels: dict[str, str] = LABELS, space: str = "n", **spec: Any) -> Manifest:
    """Return a PodDisruptionBudget."""
    selector = {"selector": {"matchLabels": labels}}
    return {
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "b", "namespace": space},
        "spec": selector | spec,
    }


def scaler(least: int | None, most: int = 9, name: str = "d", kind: str = "Deployment") -> Manifest:
    """Return a HorizontalPodAutoscaler."""
    spec: Manifest = {"maxReplicas": most, "scaleTargetRef": {"kind": kind, "name": name}}
    spec |= {} if least is None else {"minReplicas": least}
    return {
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "h", "namespace": "n"},
        "spec": spec,
    }


LIVE = {"httpGet": {"path": "/live", "port": 8080}}
READY = {"httpGet": {"path": "/ready", "port": "http"}}
PORTS = [{"name": "http", "containerPort": 8080}]


@pytest.mark.parametrize(
    ("container", "found"),
    [
        ({"livenessProbe": LIVE, "readinessProbe": READY, "ports": PORTS}, []),
        (
            {
                "livenessProbe": {"exec": {"command": ["a"]}},
                "readinessProbe": {"tcpSocket": {"port": 8080}},
                "ports": PORTS,
            },
            [],
        ),
        ({}, ["no-liveness-probe", "no-readiness-probe"]),
        ({"readinessProbe": READY, "ports": PORTS}, ["no-liveness-probe"]),
        ({"livenessProbe": LIVE, "ports": PORTS}, ["no-readiness-probe"]),
        ({"livenessProbe": LIVE, "readinessProbe": LIVE, "ports": PORTS}, ["identical-probes"]),
        (
            {"livenessProbe": LIVE | {"timeoutSeconds": 2}, "readinessProbe": LIVE, "ports": PORTS},
            ["identical-probes"],
        ),
        ({"livenessProbe": LIVE | {"failureThreshold": 6}, "readinessProbe": LIVE, "ports": PORTS}, []),
        (
            {"livenessProbe": LIVE, "readinessProbe": READY, "ports": [PORTS[0] | {"protocol": "UDP"}]},
            ["probe-port", "probe-port"],
        ),
        ({"livenessProbe": LIVE, "readinessProbe": READY}, ["probe-port", "probe-port"]),
        (
            {
                "livenessProbe": LIVE,
                "readinessProbe": READY,
                "startupProbe": {"grpc": {"port": 1}},
                "ports": PORTS,
            },
            ["probe-port"],
        ),
    ],
)
def test_probes(container: dict[str, Any], found: list[str]) -> None:
    """A container needs two different probes of ports that it declares."""
    assert probed(**container) == found


@pytest.mark.parametrize(
    "one",
    [workload(kind="Job"), workload(kind="CronJob"), workload(restartPolicy="OnFailure")],
    ids=["job", "cron job", "pod of a job"],
)
def test_pods_that_run_to_completion_need_no_probe(one: Manifest) -> None:
    """A pod without traffic needs none."""
    assert resilience.probe_findings([one]) == []


def apart(labels: dict[str, str], key: str = HOST, **term: Any) -> dict[str, Any]:
    """Return a preferred anti-affinity."""
    rule = {"labelSelector": {"matchLabels": labels}, "topologyKey": key} | term
    how = "preferredDuringSchedulingIgnoredDuringExecution"
    return {"affinity": {"podAntiAffinity": {how: [{"weight": 1, "podAffinityTerm": rule}]}}}


def required(term: dict[str, Any]) -> dict[str, Any]:
    """Return a required anti-affinity."""
    return {"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}}


EXPRESSION = {"matchExpressions": [{"key": "app", "operator": "In", "values": ["foo"]}]}


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ({}, ["no-spread"]),
        (apart(LABELS), []),
        (apart({"app": "not-foo"}), ["no-spread"]),
        (apart(LABELS, key="rack"), ["no-spread"]),
        (apart(LABELS, namespaces=["n"]), []),
        (apart(LABELS, namespaces=["elsewhere"]), ["no-spread"]),
        (apart(LABELS, namespaceSelector={}), []),
        (required({"labelSelector": EXPRESSION, "topologyKey": HOST}), []),
        ({"topologySpreadConstraints": [{"topologyKey": HOST, "labelSelector": EXPRESSION}]}, []),
        ({"topologySpreadConstraints": [{"topologyKey": "farglebargle"}]}, ["no-spread"]),
        ({"topologySpreadConstraints": []}, ["no-spread"]),
        ({"topologySpreadConstraints": [{"topologyKey": HOST}]}, ["spread-selects-nothing"]),
    ],
)
def test_spread_of_replicas(spec: dict[str, Any], found: list[str]) -> None:
    """An anti-affinity or constraint over nodes or zones must select the workload's own pods."""
    assert rules(resilience.spread_findings([workload(**spec)])) == found


def test_one_replica_needs_no_spread() -> None:
    """Unless replicas are unset, or an autoscaler may add some."""
    assert resilience.spread_findings([workload(1)]) == []
    assert rules(resilience.spread_findings([workload(None)])) == ["no-spread"]
    assert rules(resilience.spread_findings([workload(1), scaler(2)])) == ["no-spread"]


def test_replicas_with_an_autoscaler() -> None:
    """The manifest of a scaled workload must not set replicas."""
    assert rules(resilience.replicas_with_autoscaler([workload(123), scaler(2)])) == ["replicas-with-hpa"]
    assert resilience.replicas_with_autoscaler([workload(None), scaler(2)]) == []
    assert resilience.replicas_with_autoscaler([workload(3), scaler(2, name="other")]) == []


@pytest.mark.parametrize(
    ("objects", "found"),
    [
        ([workload(3)], ["no-pdb"]),
        ([workload(None)], ["no-pdb"]),
        ([workload(1)], []),
        ([workload(3, kind="StatefulSet")], ["no-pdb"]),
        ([workload(3), budget(minAvailable=1)], []),
        ([workload(3), budget(maxUnavailable=1)], []),
        ([workload(3), budget({"app": "bar"}, minAvailable=1)], ["no-pdb"]),
        ([workload(3), budget(space="other", minAvailable=1)], ["no-pdb"]),
        ([workload(3), budget(selector=EXPRESSION, minAvailable=1)], []),
        ([workload(1), budget(minAvailable=1)], ["pdb-blocks-drain"]),
        ([workload(3), budget()], ["pdb-without-policy"]),
        ([workload(3), budget(maxUnavailable=0)], ["pdb-blocks-drain"]),
        ([workload(3), budget(maxUnavailable="0%")], ["pdb-blocks-drain"]),
        ([workload(10), budget(minAvailable="100%")], ["pdb-blocks-drain"]),
        ([workload(10), scaler(10), budget(minAvailable="150%")], ["pdb-blocks-drain"]),
        ([workload(10), scaler(10), budget(minAvailable="50%")], []),
        ([workload(10), scaler(2), budget(minAvailable=2)], ["pdb-blocks-drain"]),
        ([workload(1), scaler(4), budget(minAvailable=2)], []),
    ],
)
def test_budgets(objects: list[Manifest], found: list[str]) -> None:
    """A budget must select the pods, and allow at least one eviction."""
    assert rules(resilience.budget_findings(objects)) == found


@pytest.mark.parametrize(
    ("objects", "found"),
    [
        ([workload(), scaler(2)], []),
        ([workload(kind="StatefulSet"), scaler(2, kind="StatefulSet")], []),
        ([workload(), scaler(2, name="other")], ["dangling-hpa"]),
        ([workload(), scaler(2, kind="StatefulSet")], ["dangling-hpa"]),
        ([workload(space="other"), scaler(2)], ["dangling-hpa"]),
        ([workload(), scaler(None)], ["hpa-min-replicas"]),
        ([workload(), scaler(1)], ["hpa-min-replicas"]),
        ([workload(), scaler(5, most=5)], ["hpa-max-replicas"]),
    ],
)
def test_autoscalers(objects: list[Manifest], found: list[str]) -> None:
    """An autoscaler needs an existing target, at least two replicas, and room to scale."""
    assert rules(resilience.scaler_findings(objects)) == found


@pytest.mark.parametrize(
    ("changed", "policy", "found"),
    [
        ({}, "OnFailure", []),
        ({}, "Never", []),
        ({"startingDeadlineSeconds": None}, "Never", ["cronjob-deadline"]),
        ({"concurrencyPolicy": None}, "Never", ["cronjob-concurrency"]),
        ({"concurrencyPolicy": "Allow"}, "Never", ["cronjob-concurrency"]),
        ({"concurrencyPolicy": "Replace", "job": {"activeDeadlineSeconds": None}}, "Never", []),
        ({"startingDeadlineSeconds": 9}, "Never", ["cronjob-deadline"]),
        ({"successfulJobsHistoryLimit": 0}, "Never", ["cronjob-history"]),
        ({"failedJobsHistoryLimit": 0}, "Never", ["cronjob-history"]),
        ({"successfulJobsHistoryLimit": 1, "failedJobsHistoryLimit": 1}, "Never", []),
        ({"job": {"activeDeadlineSeconds": None}}, "Never", ["cronjob-active-deadline"]),
        ({"job": {"ttlSecondsAfterFinished": 0}}, "Never", ["cronjob-history"]),
        ({"job": {"parallelism": 0}}, "Never", ["cronjob-runs"]),
        ({"job": {"completions": 3}}, "Never", ["cronjob-runs"]),
        ({"job": {"suspend": True}}, "Never", ["cronjob-runs"]),
        ({"job": {"backoffLimit": 0, "parallelism": 1, "completions": 1}}, "Never", []),
        ({}, None, ["cronjob-restart-policy"]),
        ({}, "Always", ["cronjob-restart-policy"]),
    ],
)
def test_scheduled_runs(changed: dict[str, Any], policy: str | None, found: list[str]) -> None:
    """A CronJob's runs must start, end, not overlap, run to completion once, and leave a trace."""
    spec: dict[str, Any] = {"startingDeadlineSeconds": 60, "concurrencyPolicy": "Forbid"} | changed
    job = {"activeDeadlineSeconds": 600} | spec.pop("job", {})
    spec["jobTemplate"] = {"spec": {"template": {"spec": {"restartPolicy": policy}}, **job}}

    assert rules(resilience.cron_job_findings([{"kind": "CronJob", "spec": spec}])) == found


def test_a_budget_selects_a_workload_without_template_by_its_selector() -> None:
    """The pods of a workload without a template have the labels of its selector."""
    fragment = workload(1)
    fragment["spec"] = {"replicas": 1, "selector": {"matchLabels": LABELS}}

    assert rules(resilience.budget_findings([fragment, budget(minAvailable=1)])) == ["pdb-blocks-drain"]
