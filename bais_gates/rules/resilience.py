"""What workloads declare so that one fault does not take them away: probes, spread, budgets, scaling, runs.

Pure functions over plain objects, read from a cluster or rendered from manifests; what really happened stands
in their status and is judged elsewhere. Source: kube-linter (no-liveness-probe, liveness-port,
no-anti-affinity, pdb-min-available, dangling-hpa), kube-score (probes, host anti-affinity, HPA, CronJob),
Polaris (topologySpreadConstraint, missingPodDisruptionBudget, hpaMinAvailability).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from bais_gates.rules.objects import (
    Finding,
    Object,
    Workload,
    dig,
    is_empty,
    name_of,
    namespace_of,
    of_kind,
    selects,
    where,
    workloads,
)

PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
HANDLERS = ("httpGet", "tcpSocket", "grpc", "exec")
SCALED = ("Deployment", "StatefulSet")
PLACES = frozenset({"kubernetes.io/hostname", "topology.kubernetes.io/zone"})


def probe_findings(objects: Iterable[Object]) -> list[Finding]:
    """Name containers of serving pods without probes, with one probe for both, or that ask a closed port.

    A pod that runs to its end (its restartPolicy is not Always) serves nobody and needs none.
    """
    found = []
    for pod in workloads(objects):
        if pod.kind in {"Job", "CronJob"} or (pod.spec.get("restartPolicy") or "Always") != "Always":
            continue
        for container in pod.spec.get("containers") or ():
            found += [
                Finding(rule=rule, where=pod.where, detail=f"container {container.get('name')} {said}")
                for rule, said in _probe_faults(container)
            ]
    return found


def _probe_faults(container: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key in ("livenessProbe", "readinessProbe"):
        if not container.get(key):
            yield f"no-{key.removesuffix('Probe')}-probe", f"has no {key}"
    live, ready = container.get("livenessProbe") or {}, container.get("readinessProbe") or {}
    asked = [{how: probe.get(how) for how in HANDLERS if probe.get(how)} for probe in (live, ready)]
    if asked[0] and asked[0] == asked[1] and _patience(live) <= _patience(ready):
        yield "identical-probes", "is restarted as soon as it is not ready: both probes ask the same"
    ports = [port for port in container.get("ports") or () if (port.get("protocol") or "TCP") == "TCP"]
    opened = {port.get("name") for port in ports} | {port.get("containerPort") for port in ports}
    for key in PROBES:
        for how in ("httpGet", "tcpSocket", "grpc"):
            port = dig(container, key, how, "port")
            if port is not None and port not in opened:
                yield "probe-port", f"does not open the port {port} that its {key} asks"


def _patience(probe: Mapping[str, Any]) -> int:
    """Give the seconds until a probe gives up; the API's defaults are 10 s and 3 times."""
    return int(probe.get("periodSeconds") or 10) * int(probe.get("failureThreshold") or 3)


def spread_findings(objects: Iterable[Object]) -> list[Finding]:
    """Name workloads of several replicas that nothing keeps from lying all on one node or in one zone.

    Counted are an anti-affinity to the workload's own pods, preferred or required, and a topology spread
    constraint, over nodes or zones. A constraint without a selector counts no pods, so it spreads none. A
    workload that states no replicas may have several.
    """
    every = list(objects)
    found = []
    for workload, pod in _scaled(every):
        if dig(workload, "spec", "replicas") is not None and _least_replicas(workload, every) < 2:
            continue
        constraints = [
            one for one in pod.spec.get("topologySpreadConstraints") or () if one.get("topologyKey") in PLACES
        ]
        if not constraints and not any(_keeps_apart(term, pod) for term in _anti_affinity(pod.spec)):
            found.append(
                Finding(rule="no-spread", where=pod.where, detail="nothing spreads its replicas over nodes")
            )
        if constraints and not any(selects(one.get("labelSelector"), pod.labels) for one in constraints):
            found.append(
                Finding(
                    rule="spread-selects-nothing",
                    where=pod.where,
                    detail="no topology spread constraint selects its own pods",
                )
            )
    return found


def _anti_affinity(spec: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    rules = dig(spec, "affinity", "podAntiAffinity") or {}
    yield from rules.get("requiredDuringSchedulingIgnoredDuringExecution") or ()
    for weighted in rules.get("preferredDuringSchedulingIgnoredDuringExecution") or ():
        yield weighted.get("podAffinityTerm") or {}


def _keeps_apart(term: Mapping[str, Any], pod: Workload) -> bool:
    spaces, chosen = term.get("namespaces") or (), term.get("namespaceSelector")
    # Neither means the pod's own namespace; an empty selector means all of them.
    here = pod.namespace in spaces or is_empty(chosen) or (not spaces and chosen is None)
    return here and term.get("topologyKey") in PLACES and selects(term.get("labelSelector"), pod.labels)


def budget_findings(objects: Iterable[Object]) -> list[Finding]:
    """Name workloads of several replicas without a disruption budget, and budgets that forbid every drain.

    Where a workload does not state its replicas, an autoscaler's minReplicas stands for them.
    """
    every = list(objects)
    budgets = of_kind(every, "PodDisruptionBudget")
    found = []
    for workload, pod in _scaled(every):
        mine = [one for one in budgets if _budget_takes(one, pod)]
        least = _least_replicas(workload, every)
        if not mine and dig(workload, "spec", "replicas") not in {0, 1}:
            found.append(Finding(rule="no-pdb", where=pod.where, detail="no PodDisruptionBudget takes it"))
        for budget in mine:
            wanted = _pods_kept(budget, least)
            if wanted is not None and wanted >= least:
                detail = f"wants {wanted} of {least} pods of {pod.where} at all times"
                found.append(Finding(rule="pdb-blocks-drain", where=where(budget), detail=detail))
    for budget in budgets:
        most = dig(budget, "spec", "maxUnavailable")
        if str(most) in {"0", "0%"}:
            detail = "lets no pod be unavailable"
            found.append(Finding(rule="pdb-blocks-drain", where=where(budget), detail=detail))
        if most is None and dig(budget, "spec", "minAvailable") is None:
            detail = "states neither minAvailable nor maxUnavailable"
            found.append(Finding(rule="pdb-without-policy", where=where(budget), detail=detail))
    return found


def _budget_takes(budget: Object, pod: Workload) -> bool:
    return namespace_of(budget) == pod.namespace and selects(dig(budget, "spec", "selector"), pod.labels)


def _pods_kept(budget: Object, replicas: int) -> int | None:
    value = dig(budget, "spec", "minAvailable")
    if value is None:
        return None
    if str(value).endswith("%"):
        return math.ceil(int(str(value)[:-1]) * replicas / 100)
    return int(value)


def _least_replicas(workload: Object, objects: Sequence[Object]) -> int:
    scalers = [one for one in of_kind(objects, "HorizontalPodAutoscaler") if _scales(one, workload)]
    if scalers:
        return min(int(dig(one, "spec", "minReplicas") or 1) for one in scalers)
    stated = dig(workload, "spec", "replicas")
    return 1 if stated is None else int(stated)


def _scales(scaler: Object, workload: Object) -> bool:
    target = dig(scaler, "spec", "scaleTargetRef") or {}
    return (
        namespace_of(scaler) == namespace_of(workload)
        and target.get("kind") == workload.get("kind")
        and target.get("name") == name_of(workload)
    )


def scaler_findings(objects: Iterable[Object]) -> list[Finding]:
    """Name autoscalers without a target, with fewer than two replicas at least, or that can not scale."""
    every = list(objects)
    found = []
    for scaler in of_kind(every, "HorizontalPodAutoscaler"):
        spec = scaler.get("spec") or {}
        least, most = int(spec.get("minReplicas") or 1), int(spec.get("maxReplicas") or 0)
        target = spec.get("scaleTargetRef") or {}
        if not any(_scales(scaler, obj) for obj in every):
            said = f"there is no {target.get('kind')} {target.get('name')} to scale"
            found.append(Finding(rule="dangling-hpa", where=where(scaler), detail=said))
        if least < 2:
            said = f"keeps {least} replica: one fault takes all away"
            found.append(Finding(rule="hpa-min-replicas", where=where(scaler), detail=said))
        if most <= least:
            said = f"can not scale: at least {least}, at most {most}"
            found.append(Finding(rule="hpa-max-replicas", where=where(scaler), detail=said))
    return found


def stated_replicas(manifests: Iterable[Object]) -> list[Finding]:
    """Name manifests that state replicas beside an autoscaler: each time they are applied they undo it.

    For manifests only: in a cluster the autoscaler itself has stated the number.
    """
    every = list(manifests)
    scalers = of_kind(every, "HorizontalPodAutoscaler")
    return [
        Finding(rule="replicas-with-hpa", where=pod.where, detail="states replicas and is scaled")
        for workload, pod in _scaled(every)
        if dig(workload, "spec", "replicas") is not None and any(_scales(one, workload) for one in scalers)
    ]


def cron_job_findings(objects: Iterable[Object]) -> list[Finding]:
    """Name CronJobs that are started however late, run beside themselves, or state no restartPolicy.

    The API's own default of restartPolicy, Always, is none that a Job may have.
    """
    found = []
    for job in of_kind(objects, "CronJob"):
        spec = job.get("spec") or {}
        policy = dig(spec, "jobTemplate", "spec", "template", "spec", "restartPolicy")
        if spec.get("startingDeadlineSeconds") is None:
            said = "no startingDeadlineSeconds"
            found.append(Finding(rule="cronjob-deadline", where=where(job), detail=said))
        if (spec.get("concurrencyPolicy") or "Allow") == "Allow":
            said = "two runs may go on at once"
            found.append(Finding(rule="cronjob-concurrency", where=where(job), detail=said))
        if policy not in {"Never", "OnFailure"}:
            said = f"restartPolicy is {policy}, not Never or OnFailure"
            found.append(Finding(rule="cronjob-restart-policy", where=where(job), detail=said))
    return found


def _scaled(objects: Iterable[Object]) -> Iterator[tuple[Object, Workload]]:
    for obj in of_kind(objects, *SCALED):
        # A fragment without a template makes pods of the labels that it selects by.
        chosen = {"metadata": {"labels": dig(obj, "spec", "selector", "matchLabels")}}
        spec = {"template": chosen} | (obj.get("spec") or {})
        for pod in workloads([{**obj, "spec": spec}]):
            yield obj, pod
