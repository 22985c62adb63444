"""The addresses of the staged platform: of its API by the Ingress, of its database and cache by their pods.

An annotation of a sandbox's pod names the address of its process. Elsewhere a pod has no address outside the
cluster; there the URLs of the environment file are used, if it describes the staged namespace itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from bais_gates.errors import GateInputError
from bais_gates.probes.http import HttpClient
from bais_gates.staging import credentials
from bais_gates.staging.errors import StageCode, StageError
from bais_gates.staging.readiness import ingress_points
from bais_gates.staging.server import request
from bais_gates.staging.workload import has_tls, is_ready

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bais_gates.staging.readiness import Object, Objects
    from bais_gates.staging.server import Server
    from bais_gates.targets.environment import Environment

ADDRESS: Final = "sandbox.bais-gates/address"
"""Annotation of the sandbox's pods: ``127.0.0.1:PORT``, the address of the pod's process."""
COMPONENT: Final = "app.kubernetes.io/component"
_DATABASE: Final = "bais-postgres"
_CACHE: Final = "bais-redis"
_INTERNAL_TLS: Final = "bais-internal-tls"


class NotReachable(Exception):  # noqa: N818 - a finding about the staged platform, not a program fault
    """A part of the staged platform has no address that can be reached from this machine."""


def api_url(ingress: Object) -> str:
    """Return the URL of an Ingress; raise ``NotReachable`` if no controller assigned an address to it.

    It is the load balancer's address if that has a port (the sandbox's), else the host of the first rule.
    """
    points = ingress_points(ingress)
    rules = (ingress.get("spec") or {}).get("rules") or []
    host = next((str(rule["host"]) for rule in rules if rule.get("host")), None)
    for point in points:
        for port in point.get("ports") or []:
            return f"https://{point.get('ip') or point.get('hostname')}:{port['port']}"
    if not points:
        raise NotReachable(f"the Ingress {ingress['metadata']['name']} has no address")
    return f"https://{host or points[0].get('hostname') or points[0]['ip']}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """The addresses and clients of one staged namespace."""

    server: Server
    namespace: str
    environment: Environment
    folder: Path
    """Where CA files are written for the clients."""

    def ingress(self) -> Object:
        """Return the Ingress of the staged API; raise ``NotReachable`` without one."""
        ingresses = self._list("networking.k8s.io/v1", "Ingress", "api")
        if not ingresses:
            raise NotReachable(f"the namespace {self.namespace} has no Ingress for the API")
        return ingresses[0]

    def url(self) -> str:
        """Return the staged API's URL."""
        return api_url(self.ingress())

    def http_client(self) -> HttpClient:
        """Return a client for the staged API; its CA is the one in the Ingress's TLS Secret."""
        ingress = self.ingress()
        tls = (ingress.get("spec") or {}).get("tls") or [{}]
        ca_file = self._ca_file(str(tls[0].get("secretName") or ""), "api")
        return HttpClient(api_url(ingress), ca_file=ca_file)

    def database_url(self) -> str:
        """Return the URL of the staged database for the read-only role; raise ``NotReachable`` if none."""
        address = address_of(self.ready_pod("database"))
        if address is None:
            return self._url_from_environment("database")
        password = quote(self._generated()["GATES_PASSWORD"], safe="")
        url = f"postgresql://{credentials.GATES_USER}:{password}@{address}/{credentials.DATABASE}"
        if not has_tls(self.configuration(_DATABASE).get("postgresql.conf", "")):
            return url
        ca_file = self._ca_file(_INTERNAL_TLS, "database")
        # The certificate is for the Service's name, which is not used here: only its issuer can be verified.
        return f"{url}?sslmode=verify-ca&sslrootcert={ca_file}" if ca_file else f"{url}?sslmode=require"

    def cache_url(self) -> str:
        """Return the URL of the staged cache for the read-only user; raise ``NotReachable`` if none."""
        address = address_of(self.ready_pod("cache"))
        if address is None:
            return self._url_from_environment("cache")
        password = quote(self._generated()["REDIS_GATES_PASSWORD"], safe="")
        place = f"{credentials.GATES_USER}:{password}@{address}/0"
        if not has_tls(self.configuration(_CACHE).get("redis.conf", "")):
            return f"redis://{place}"
        ca_file = self._ca_file(_INTERNAL_TLS, "cache")
        options = f"?ssl_ca_certs={ca_file}&ssl_check_hostname=false" if ca_file else ""
        return f"rediss://{place}{options}"

    def ready_pod(self, component: str) -> Object:
        """Return a ready pod of a component; raise ``NotReachable`` without one."""
        pod = next((one for one in self._list("v1", "Pod", component) if is_ready(one)), None)
        if pod is None:
            raise NotReachable(f"no pod of the component {component} in {self.namespace} is ready")
        return pod

    def configuration(self, name: str) -> Mapping[str, str]:
        """Return the data of a ConfigMap of the namespace; empty if it does not exist."""
        config_map = request(
            f"Reading the ConfigMap {name}",
            lambda: self.server.named("v1", "ConfigMap", name, self.namespace),
        )
        data: Mapping[str, str] = (config_map or {}).get("data") or {}
        return data

    def _url_from_environment(self, part: str) -> str:
        """Return the URL of a part in the environment file, if that describes the staged namespace."""
        environment = self.environment
        if environment.kubernetes.namespace == self.namespace and environment.describes(part):
            return str(environment.parts[part].url)
        raise NotReachable(
            f"the staged {part} has no address outside the cluster. Set {part}.url in {environment.path}, "
            f"with kubernetes.namespace {self.namespace}"
        )

    def _generated(self) -> dict[str, str]:
        secret = self._secret(credentials.GENERATED)
        values = credentials.decode(secret)
        if "GATES_PASSWORD" not in values or "REDIS_GATES_PASSWORD" not in values:
            raise StageError(
                StageCode.SECRET_MISSING,
                f"The Secret {self.namespace}/{credentials.GENERATED} has no GATES_PASSWORD or "
                "REDIS_GATES_PASSWORD",
            )
        return values

    def _ca_file(self, secret_name: str, purpose: str) -> Path | None:
        """Write the ``ca.crt`` of a TLS Secret to a file; return None without one, for this machine's CAs."""
        text = credentials.certificate_authority(self._secret(secret_name) if secret_name else None)
        if not text:
            return None
        path = self.folder / f"staged-{purpose}-ca.pem"
        path.write_text(text, encoding="utf-8")
        return path

    def _secret(self, name: str) -> Object | None:
        return request(
            f"Reading the Secret {name}", lambda: self.server.named("v1", "Secret", name, self.namespace)
        )

    def _list(self, api_version: str, kind: str, component: str) -> Objects:
        return request(
            f"Listing every {kind} of {self.namespace}",
            lambda: self.server.list(api_version, kind, self.namespace, labels=f"{COMPONENT}={component}"),
        )


def address_of(pod: Object) -> str | None:
    """Return the address in the annotation of a sandbox's pod, None without one."""
    annotations = (pod.get("metadata") or {}).get("annotations") or {}
    address = annotations.get(ADDRESS)
    if address is None:
        return None
    host, _, port = str(address).rpartition(":")
    if not host or not port.isdigit():
        raise GateInputError(
            f"pod {pod['metadata']['name']}: the annotation {ADDRESS} is not host:port. Remove it: only the "
            "sandbox sets it."
        )
    return str(address)
