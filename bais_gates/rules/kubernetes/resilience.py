"""Check that workloads declare probes, spread, disruption budgets, autoscaling and CronJob policies.

Only the spec is checked, as read from a cluster or rendered from manifests; ``rules.workloads`` checks the
status. Source: kube-linter (no-liveness-probe, liveness-port, no-anti-affinity, pdb-min-available,
dangling-hpa), kube-score (probes, host anti-affinity, HPA, CronJob), Polaris (topologySpreadConstraint,
missingPodDisruptionBudget, hpaMinAvailability).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from bais_gates.rules.kubernetes.objects import (
    Finding,
    Object,
    Workload,
    dig,
    is_empty,
    locate,
    name_of,
    namespace_of,
    of_kind,
    selects,
    workloads,
)
from bais_gates.rules.kubernetes.workloads import resolve_count

PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
HANDLERS = ("httpGet", "tcpSocket", "grpc", "exec")
SCALED = ("Deployment", "StatefulSet")
TOPOLOGY_KEYS = frozenset({"kubernetes.io/hostname", "topology.kubernetes.io/zone"})


def probe_findings(objects: Iterable[Object]) -> list[Finding]:
    """Return findings for containers with missing or identical probes, or with probes of an undeclared port.

    Pods that run to completion (restartPolicy is not Always) need no probes.
    """
    findings = []
    for pod in workloads(objects):
        if pod.kind in {"Job", "CronJob"} or (pod.spec.get("restartPolicy") or "Always") != "Always":
            continue
        for container in pod.spec.get("containers") or ():
            findings += [
                Finding(rule=rule, where=pod.where, detail=f"container {container.get('name')} {fault}")
                for rule, fault in _probe_faults(container)
            ]
    return findings


def _probe_faults(container: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key in ("livenessProbe", "readinessProbe"):
        if not container.get(key):
            yield f"no-{key.removesuffix('Probe')}-probe", f"has no {key}"
    live, ready = container.get("livenessProbe") or {}, container.get("readinessProbe") or {}
    handlers = [{how: probe.get(how) for how in HANDLERS if probe.get(how)} for probe in (live, ready)]
    if handlers[0] and handlers[0] == handlers[1] and _failure_s(live) <= _failure_s(ready):
        yield "identical-probes", "is restarted as soon as it is not ready: both probes are identical"
    ports = [port for port in container.get("ports") or () if (port.get("protocol") or "TCP") == "TCP"]
    declared = {port.get("name") for port in ports} | {port.get("containerPort") for port in ports}
    for key in PROBES:
        for how in ("httpGet", "tcpSocket", "grpc"):
            port = dig(container, key, how, "port")
            if port is not None and port not in declared:
                yield "probe-port", f"does not declare the port {port} of its {key}"


def _failure_s(probe: Mapping[str, Any]) -> int:
    """Return the seconds until a probe fails; the API's defaults are 10 s and 3 times."""
    return int(probe.get("periodSeconds") or 10) * int(probe.get("failureThreshold") or 3)


def spread_findings(objects: Iterable[Object]) -> list[Finding]:
    """Return findings for workloads whose replicas may all be placed on one node or in one zone.

    A workload is spread by an anti-affinity to its own pods, preferred or required, or by a topology spread
    constraint, over nodes or zones. A constraint without a selector matches no pods. A workload without
    ``replicas`` may have several.
    """
    every = list(objects)
    findings = []
    for workload, pod in _scaled(every):
        if dig(workload, "spec", "replicas") is not None and _min_replicas(workload, every) < 2:
            continue
        constraints = [
            one
            for one in pod.spec.get("topologySpreadConstraints") or ()
            if one.get("topologyKey") in TOPOLOGY_KEYS
        ]
        if not constraints and not any(_separates(term, pod) for term in _anti_affinity(pod.spec)):
            detail = "no anti-affinity or topology spread constraint spreads its replicas over nodes"
            findings.append(Finding(rule="no-spread", where=pod.where, detail=detail))
        if constraints and not any(selects(one.get("labelSelector"), pod.labels) for one in constraints):
            detail = "no topology spread constraint selects its own pods"
            findings.append(Finding(rule="spread-selects-nothing", where=pod.where, detail=detail))
    return findings


def _anti_affinity(spec: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    rules = dig(spec, "affinity", "podAntiAffinity") or {}
    yield from rules.get("requiredDuringSchedulingIgnoredDuringExecution") or ()
    for weighted in rules.get("preferredDuringSchedulingIgnoredDuringExecution") or ():
        yield weighted.get("podAffinityTerm") or {}


def _separates(term: Mapping[str, Any], pod: Workload) -> bool:
    spaces, selector = term.get("namespaces") or (), term.get("namespaceSelector")
    # Without both, the pod's own namespace is meant; an empty selector selects all namespaces.
    here = pod.namespace in spaces or is_empty(selector) or (not spaces and selector is None)
    return (
        here and term.get("topologyKey") in TOPOLOGY_KEYS and selects(term.get("labelSelector"), pod.labels)
    )


def budget_findings(objects: Iterable[Object]) -> list[Finding]:
    """Return findings for replicated workloads without a disruption budget, and budgets that block drains.

    An autoscaler's minReplicas replaces the workload's replicas.
    """
    every = list(objects)
    budgets = of_kind(every, "PodDisruptionBudget")
    findings = []
    for workload, pod in _scaled(every):
        own = [one for one in budgets if _budget_selects(one, pod)]
        replicas = _min_replicas(workload, every)
        if not own and dig(workload, "spec", "replicas") not in {0, 1}:
            findings.append(
                Finding(rule="no-pdb", where=pod.where, detail="no PodDisruptionBudget selects it")
            )
        for budget in own:
            value = dig(budget, "spec", "minAvailable")
            kept = None if value is None else resolve_count(value, replicas, round_up=True)
            if kept is not None and kept >= replicas:
                detail = f"minAvailable keeps {kept} of {replicas} pods of {pod.where}"
                findings.append(Finding(rule="pdb-blocks-drain", where=locate(budget), detail=detail))
    for budget in budgets:
        maximum = dig(budget, "spec", "maxUnavailable")
        if str(maximum) in {"0", "0%"}:
            detail = f"maxUnavailable is {maximum}"
            findings.append(Finding(rule="pdb-blocks-drain", where=locate(budget), detail=detail))
        if maximum is None and dig(budget, "spec", "minAvailable") is None:
            detail = "has neither minAvailable nor maxUnavailable"
            findings.append(Finding(rule="pdb-without-policy", where=locate(budget), detail=detail))
    return findings


def _budget_selects(budget: Object, pod: Workload) -> bool:
    return namespace_of(budget) == pod.namespace and selects(dig(budget, "spec", "selector"), pod.labels)


def _min_replicas(workload: Object, objects: Sequence[Object]) -> int:
    scalers = [one for one in of_kind(objects, "HorizontalPodAutoscaler") if _scales(one, workload)]
    if scalers:
        return min(int(dig(one, "spec", "minReplicas") or 1) for one in scalers)
    replicas = dig(workload, "spec", "replicas")
    return 1 if replicas is None else int(replicas)


def _scales(scaler: Object, workload: Object) -> bool:
    target = dig(scaler, "spec", "scaleTargetRef") or {}
    return (
        namespace_of(scaler) == namespace_of(workload)
        and target.get("kind") == workload.get("kind")
        and target.get("name") == name_of(workload)
    )


def scaler_findings(objects: Iterable[Object]) -> list[Finding]:
    """Return findings for autoscalers without a target, with minReplicas below 2, or that cannot scale."""
    every = list(objects)
    findings = []
    for scaler in of_kind(every, "HorizontalPodAutoscaler"):
        spec = scaler.get("spec") or {}
        minimum, maximum = int(spec.get("minReplicas") or 1), int(spec.get("maxReplicas") or 0)
        target = spec.get("scaleTargetRef") or {}
        if not any(_scales(scaler, obj) for obj in every):
            detail = f"there is no {target.get('kind')} {target.get('name')} to scale"
            findings.append(Finding(rule="dangling-hpa", where=locate(scaler), detail=detail))
        if minimum < 2:
            detail = f"minReplicas is {minimum}: use at least 2"
            findings.append(Finding(rule="hpa-min-replicas", where=locate(scaler), detail=detail))
        if maximum <= minimum:
            detail = f"cannot scale: minReplicas is {minimum}, maxReplicas is {maximum}"
            findings.append(Finding(rule="hpa-max-replicas", where=locate(scaler), detail=detail))
    return findings


def replicas_with_autoscaler(manifests: Iterable[Object]) -> list[Finding]:
    """Return findings for manifests that set replicas of a scaled workload: applying them undoes the scaling.

    For manifests only: in a cluster, the autoscaler sets ``replicas``.
    """
    every = list(manifests)
    scalers = of_kind(every, "HorizontalPodAutoscaler")
    return [
        Finding(rule="replicas-with-hpa", where=pod.where, detail="sets replicas and has an autoscaler")
        for workload, pod in _scaled(every)
        if dig(workload, "spec", "replicas") is not None and any(_scales(one, workload) for one in scalers)
    ]


def cron_job_findings(objects: Iterable[Object]) -> list[Finding]:
    """Return findings for CronJobs whose runs may be missed, overlap, hang, do nothing or leave no trace.

    restartPolicy has no usable default: Always, the API's default for pods, is not allowed for a Job. Source:
    kube-score (CronJob); Kubernetes documentation, "CronJob" (startingDeadlineSeconds below 10 s, concurrency
    policy, history limits) and "Jobs" (parallelism, completions, suspend, activeDeadlineSeconds).
    """
    return [
        Finding(rule=rule, where=locate(job), detail=detail)
        for job in of_kind(objects, "CronJob")
        for rule, detail in (
            *_cron_job_faults(job.get("spec") or {}, dig(job, "spec", "jobTemplate", "spec") or {}),
            *_job_faults(dig(job, "spec", "jobTemplate", "spec") or {}),
        )
    ]


def _cron_job_faults(spec: Mapping[str, Any], job: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    starting, concurrency = spec.get("startingDeadlineSeconds"), spec.get("concurrencyPolicy") or "Allow"
    if starting is None:
        yield "cronjob-deadline", "has no startingDeadlineSeconds"
    elif int(starting) < 10:
        detail = f"startingDeadlineSeconds is {starting}: below 10 s it may never be scheduled"
        yield "cronjob-deadline", detail
    if concurrency == "Allow":
        yield "cronjob-concurrency", "concurrencyPolicy is Allow, not Forbid or Replace"
    if concurrency == "Forbid" and job.get("activeDeadlineSeconds") is None:
        detail = "has no activeDeadlineSeconds: with Forbid, a run that hangs prevents all later ones"
        yield "cronjob-active-deadline", detail
    for key in ("successfulJobsHistoryLimit", "failedJobsHistoryLimit"):
        if spec.get(key) == 0:
            yield "cronjob-history", f"{key} is 0: ended Jobs leave no trace"


def _job_faults(job: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    policy = dig(job, "template", "spec", "restartPolicy")
    if policy not in {"Never", "OnFailure"}:
        yield "cronjob-restart-policy", f"restartPolicy is {policy}, not Never or OnFailure"
    if job.get("ttlSecondsAfterFinished") == 0:
        yield "cronjob-history", "ttlSecondsAfterFinished is 0: ended Jobs leave no trace"
    for key in ("parallelism", "completions"):
        if job.get(key) not in {None, 1}:
            yield "cronjob-runs", f"{key} of its Jobs is {job[key]}, not 1"
    if job.get("suspend"):
        yield "cronjob-runs", "its Jobs are created suspended"


def _scaled(objects: Iterable[Object]) -> Iterator[tuple[Object, Workload]]:
    for obj in of_kind(objects, *SCALED):
        # Without a template, the pods are taken to have the labels of the selector.
        template = {"metadata": {"labels": dig(obj, "spec", "selector", "matchLabels")}}
        spec = {"template": template} | (obj.get("spec") or {})
        for pod in workloads([{**obj, "spec": spec}]):
            yield obj, pod
