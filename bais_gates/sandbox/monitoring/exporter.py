"""The metrics of the sandbox's cluster that rules read, under the names of what exports them elsewhere.

Those of kube-state-metrics, kubelet and cert-manager are read from the cluster's API and its volumes, those
of the API server from its audit log, that of blackbox_exporter from the certificate that the API presents.
"""

from __future__ import annotations

import json
import os
import ssl
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from bais_gates.sandbox.bootstrap.client import ClusterClient
from bais_gates.sandbox.files import read_object

_NAMESPACE: Final = "bais"
_PHASES: Final = ("Pending", "Running", "Succeeded", "Failed", "Unknown")
_STATES: Final = ("true", "false", "unknown")
_WAITING: Final = ("CrashLoopBackOff", "ImagePullBackOff", "ErrImagePull", "CreateContainerConfigError")
_TERMINATED: Final = ("OOMKilled", "Error", "Completed")
_CERTIFICATE: Final = ["name", "namespace", "issuer_name", "issuer_kind", "issuer_group"]

Object = dict[str, Any]


class Exporter:
    """Reads the cluster of the sandbox in ``directory``; there are no metrics of it before it is up."""

    def __init__(self, directory: Path, api_port: int) -> None:
        self._directory, self._api_port = directory, api_port
        self._client: ClusterClient | None = None
        self._requests: Counter[tuple[str, ...]] = Counter()
        self._read_to = 0
        self.jobs: dict[str, Callable[[], Iterator[Metric]]] = {
            "kube-state-metrics": self._kube_state,
            "kubelet": self._volumes,
            "cert-manager": self._certificates,
            "apiserver": self._api_requests,
            "blackbox": self._presented_certificate,
        }
        """What each scrape job yields."""

    def _list(self, version: str, kind: str) -> list[Object]:
        return self._cluster().list(version, kind, _NAMESPACE)

    def _cluster(self) -> ClusterClient:
        """Return the client of the cluster. Raises ``OSError`` before the cluster is up."""
        if self._client is None:
            config = read_object(self._directory / "cluster" / "kubeconfig")
            users = {one["name"]: one["user"]["token"] for one in config["users"]}
            url = config["clusters"][0]["cluster"]["server"]
            ca = self._directory / "ca.pem"
            self._client = ClusterClient(url, ca=ca, token=users["sandbox-admin"])
        return self._client

    # -- kube-state-metrics (github.com/kubernetes/kube-state-metrics/tree/main/docs/metrics) --

    def _kube_state(self) -> Iterator[Metric]:
        yield self._nodes()
        yield from self._pods()
        yield from self._workloads()
        yield from self._jobs_and_schedules()

    def _nodes(self) -> Metric:
        found = GaugeMetricFamily(
            "kube_node_status_condition", "Conditions of nodes.", labels=["node", "condition", "status"]
        )
        for node in self._list("v1", "Node"):
            for one in node["status"].get("conditions", ()):
                for state in _STATES:
                    found.add_metric([_name(node), one["type"], state], one["status"].lower() == state)
        return found

    def _pods(self) -> Iterator[Metric]:
        pod, container = ["namespace", "pod", "uid"], ["namespace", "pod", "uid", "container"]
        phases = GaugeMetricFamily("kube_pod_status_phase", "Phases of pods.", labels=[*pod, "phase"])
        restarts = CounterMetricFamily(
            "kube_pod_container_status_restarts", "Restarts of containers.", labels=container
        )
        waiting = GaugeMetricFamily(
            "kube_pod_container_status_waiting_reason", "Why it waits.", labels=[*container, "reason"]
        )
        ended = GaugeMetricFamily(
            "kube_pod_container_status_last_terminated_reason", "Why it ended.", labels=[*container, "reason"]
        )
        for one in self._list("v1", "Pod"):
            of_pod = [_NAMESPACE, _name(one), one["metadata"]["uid"]]
            for phase in _PHASES:
                phases.add_metric([*of_pod, phase], one["status"].get("phase") == phase)
            for status in one["status"].get("containerStatuses", ()):
                of_container = [*of_pod, status["name"]]
                restarts.add_metric(of_container, status.get("restartCount", 0))
                reason = status.get("state", {}).get("waiting", {}).get("reason")
                for known in _WAITING:
                    waiting.add_metric([*of_container, known], reason == known)
                last = status.get("lastState", {}).get("terminated", {}).get("reason")
                for known in _TERMINATED:
                    ended.add_metric([*of_container, known], last == known)
        yield from (phases, restarts, waiting, ended)

    def _workloads(self) -> Iterator[Metric]:
        labels = ["namespace", "deployment"]
        wanted = GaugeMetricFamily("kube_deployment_spec_replicas", "Desired replicas.", labels=labels)
        ready = GaugeMetricFamily(
            "kube_deployment_status_replicas_available", "Available replicas.", labels=labels
        )
        for one in self._list("apps/v1", "Deployment"):
            wanted.add_metric([_NAMESPACE, _name(one)], one["spec"].get("replicas", 1))
            ready.add_metric([_NAMESPACE, _name(one)], one.get("status", {}).get("availableReplicas", 0))
        labels = ["namespace", "horizontalpodautoscaler"]
        most = GaugeMetricFamily(
            "kube_horizontalpodautoscaler_spec_max_replicas", "Most replicas.", labels=labels
        )
        current = GaugeMetricFamily(
            "kube_horizontalpodautoscaler_status_current_replicas", "Current replicas.", labels=labels
        )
        for one in self._list("autoscaling/v2", "HorizontalPodAutoscaler"):
            most.add_metric([_NAMESPACE, _name(one)], one["spec"]["maxReplicas"])
            current.add_metric([_NAMESPACE, _name(one)], one.get("status", {}).get("currentReplicas", 0))
        yield from (wanted, ready, most, current)

    def _jobs_and_schedules(self) -> Iterator[Metric]:
        failed = GaugeMetricFamily(
            "kube_job_failed", "Failed Jobs.", labels=["namespace", "job_name", "condition", "reason"]
        )
        for job in self._list("batch/v1", "Job"):
            conditions = job.get("status", {}).get("conditions", ())
            failure: Object = next((one for one in conditions if one["type"] == "Failed"), {})
            for state in _STATES:
                is_so = failure.get("status", "False").lower() == state
                failed.add_metric([_NAMESPACE, _name(job), state, failure.get("reason", "")], is_so)
        succeeded = GaugeMetricFamily(
            "kube_cronjob_status_last_successful_time", "Last success.", labels=["namespace", "cronjob"]
        )
        for one in self._list("batch/v1", "CronJob"):
            if at := one.get("status", {}).get("lastSuccessfulTime"):
                succeeded.add_metric([_NAMESPACE, _name(one)], _seconds(at))
        yield from (failed, succeeded)

    # -- the others --

    def _volumes(self) -> Iterator[Metric]:
        """Yield the metrics of kubelet; a volume is a folder of the sandbox."""
        labels = ["namespace", "persistentvolumeclaim"]
        free = GaugeMetricFamily("kubelet_volume_stats_available_bytes", "Available.", labels=labels)
        size = GaugeMetricFamily("kubelet_volume_stats_capacity_bytes", "Capacity.", labels=labels)
        disk = os.statvfs(self._directory)
        for claim in self._list("v1", "PersistentVolumeClaim"):
            free.add_metric([_NAMESPACE, _name(claim)], disk.f_bavail * disk.f_frsize)
            size.add_metric([_NAMESPACE, _name(claim)], disk.f_blocks * disk.f_frsize)
        yield from (free, size)

    def _certificates(self) -> Iterator[Metric]:
        """Yield the metrics of cert-manager."""
        expires = GaugeMetricFamily(
            "certmanager_certificate_expiration_timestamp_seconds",
            "Expiry; 0: none yet.",
            labels=_CERTIFICATE,
        )
        ready = GaugeMetricFamily(
            "certmanager_certificate_ready_status", "Readiness.", labels=[*_CERTIFICATE, "condition"]
        )
        for one in self._list("cert-manager.io/v1", "Certificate"):
            issuer, status = one["spec"]["issuerRef"], one.get("status", {})
            labels = [_name(one), _NAMESPACE, issuer["name"], issuer.get("kind", "Issuer")]
            labels.append(issuer.get("group", "cert-manager.io"))
            expires.add_metric(labels, _seconds(status["notAfter"]) if "notAfter" in status else 0)
            conditions = {entry["type"]: entry["status"] for entry in status.get("conditions", ())}
            for state in ("True", "False", "Unknown"):
                ready.add_metric([*labels, state], conditions.get("Ready", "Unknown") == state)
        yield from (expires, ready)

    def _api_requests(self) -> Iterator[Metric]:
        """Yield the requests that the API server's audit log holds."""
        names = [
            "verb",
            "group",
            "version",
            "resource",
            "subresource",
            "scope",
            "component",
            "code",
            "dry_run",
        ]
        found = CounterMetricFamily("apiserver_request", "Requests.", labels=names)
        with (self._directory / "cluster" / "audit.log").open("rb") as log:
            log.seek(self._read_to)
            for line in log:
                if not line.endswith(b"\n"):
                    break
                self._read_to += len(line)
                event = json.loads(line)
                if event.get("stage") == "ResponseComplete":
                    self._requests[_request_labels(event)] += 1
        for labels, count in self._requests.items():
            found.add_metric(labels, count)
        yield found

    def _presented_certificate(self) -> Iterator[Metric]:
        """Yield when the certificate expires that the API presents."""
        pem = ssl.get_server_certificate(("127.0.0.1", self._api_port), timeout=3)
        expires = x509.load_pem_x509_certificate(pem.encode()).not_valid_after_utc.timestamp()
        yield GaugeMetricFamily("probe_ssl_earliest_cert_expiry", "Earliest expiry.", value=expires)


def _request_labels(event: Object) -> tuple[str, ...]:
    about = event.get("objectRef") or {}
    code = str((event.get("responseStatus") or {}).get("code", ""))
    scope = "resource" if about.get("name") else "namespace" if about.get("namespace") else "cluster"
    of_object = (about.get(key, "") for key in ("apiGroup", "apiVersion", "resource", "subresource"))
    return (str(event.get("verb", "")).upper(), *of_object, scope, "apiserver", code, "")


def _name(obj: Object) -> str:
    return str(obj["metadata"]["name"])


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).astimezone(UTC).timestamp()
