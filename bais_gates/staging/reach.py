"""How the staged platform is reached from here: its API by the Ingress, its database and cache by their pods.

A pod of the sandbox says in an annotation where its process listens. Elsewhere pods have no address that can
be reached from outside the cluster; there the environment file's own addresses are used when it describes the
staged namespace itself.
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
from bais_gates.staging.pods import is_ready
from bais_gates.staging.readiness import ingress_points
from bais_gates.staging.server import asked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bais_gates.staging.readiness import Object, Objects
    from bais_gates.staging.server import Server
    from bais_gates.targets.environment import Environment

ADDRESS: Final = "sandbox.bais-gates/address"
"""Annotation of the sandbox's pods: ``127.0.0.1:PORT``, where the process that a pod stands for listens."""
COMPONENT: Final = "app.kubernetes.io/component"
_DATABASE: Final = "bais-postgres"
_CACHE: Final = "bais-redis"
_INTERNAL_TLS: Final = "bais-internal-tls"


class NotReachable(Exception):  # noqa: N818 - it names what was found out about the staged platform
    """There is no way from here to that part of the staged platform; the message says what would make one."""


def api_url(ingress: Object) -> str:
    """Return the address that an Ingress with an address answers at.

    A load balancer that names its port (the sandbox's) is asked there; any other by the first rule's host.
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
    """The ways to one staged namespace."""

    server: Server
    namespace: str
    environment: Environment
    folder: Path
    """Where CA files are written: the clients want files."""

    def ingress(self) -> Object:
        """Return the Ingress of the staged API; ``NotReachable`` without one."""
        found: Objects = self._list("networking.k8s.io/v1", "Ingress", f"{COMPONENT}=api")
        if not found:
            raise NotReachable(f"there is no Ingress for the API in {self.namespace}")
        return found[0]

    def url(self) -> str:
        """Return the staged API's address."""
        return api_url(self.ingress())

    def http(self) -> HttpClient:
        """Open a client of the staged API's address; its CA is the one in the Ingress's TLS Secret."""
        ingress = self.ingress()
        tls = (ingress.get("spec") or {}).get("tls") or [{}]
        authority = self._authority(str(tls[0].get("secretName") or ""), "api")
        return HttpClient(api_url(ingress), ca_file=authority)

    def database_url(self) -> str:
        """Return the address of the staged database for the role that only reads.

        Raises ``NotReachable`` where there is no way to it from here.
        """
        pod = self.pod("database")
        place = _address(pod)
        if place is None:
            return self._described("database")
        password = quote(self._generated()["GATES_PASSWORD"], safe="")
        url = f"postgresql://{credentials.GATES_USER}:{password}@{place}/{credentials.DATABASE}"
        if not self._has_tls(_DATABASE, "postgresql.conf"):
            return url
        authority = self._authority(_INTERNAL_TLS, "database")
        # The certificate names the Service, and this is another way to it: what counts is who signed it.
        return f"{url}?sslmode=verify-ca&sslrootcert={authority}" if authority else f"{url}?sslmode=require"

    def cache_url(self, *, anonymous: bool = False) -> str:
        """Return the address of the staged cache for the user that only reads (or for nobody)."""
        place = _address(self.pod("cache"))
        if place is None:
            return self._described("cache")
        password = quote(self._generated()["REDIS_GATES_PASSWORD"], safe="")
        user = "" if anonymous else f"{credentials.GATES_USER}:{password}@"
        if not self._has_tls(_CACHE, "redis.conf"):
            return f"redis://{user}{place}/0"
        authority = self._authority(_INTERNAL_TLS, "cache")
        options = f"?ssl_ca_certs={authority}&ssl_check_hostname=false" if authority else ""
        return f"rediss://{user}{place}/0{options}"

    def pod(self, component: str) -> Object:
        """Return the ready pod of a component; ``NotReachable`` without one."""
        pods = self._list("v1", "Pod", f"{COMPONENT}={component}")
        found = next((one for one in pods if is_ready(one)), None)
        if found is None:
            raise NotReachable(f"no pod of component {component} in {self.namespace} is ready")
        return found

    def configuration(self, name: str) -> Mapping[str, str]:
        """Return the data of a ConfigMap, as it is in the namespace."""
        found: Object | None = asked(
            f"Reading the ConfigMap {name}",
            lambda: self.server.named("v1", "ConfigMap", name, self.namespace),
        )
        data: Mapping[str, str] = (found or {}).get("data") or {}
        return data

    def _has_tls(self, name: str, key: str) -> bool:
        text = self.configuration(name).get(key, "")
        if key == "redis.conf":
            return "tls-port" in text
        return credentials.setting(text, "ssl") in {"on", "true", "yes", "1"}

    def _described(self, part: str) -> str:
        """Return the environment file's address of a part, if the file describes the staged namespace."""
        environment = self.environment
        if environment.kubernetes.namespace == self.namespace and environment.describes(part):
            return str(environment.parts[part].url)
        raise NotReachable(
            f"the staged {part} can not be reached from here: its pod has no address outside the cluster, "
            f"and {environment.path} gives none ({part}.url, with kubernetes.namespace {self.namespace})"
        )

    def _generated(self) -> dict[str, str]:
        secret: Object | None = asked(
            f"Reading the Secret {credentials.GENERATED}",
            lambda: self.server.named("v1", "Secret", credentials.GENERATED, self.namespace),
        )
        values = credentials.read(secret)
        if "GATES_PASSWORD" not in values or "REDIS_GATES_PASSWORD" not in values:
            raise StageError(
                StageCode.SECRET_MISSING,
                f"The Secret {self.namespace}/{credentials.GENERATED} does not hold what was generated",
            )
        return values

    def _authority(self, secret_name: str, purpose: str) -> Path | None:
        """Write the ``ca.crt`` of a TLS Secret to a file; None without one: this machine's own CAs count."""
        secret: Object | None = asked(
            f"Reading the Secret {secret_name}",
            lambda: self.server.named("v1", "Secret", secret_name, self.namespace) if secret_name else None,
        )
        text = credentials.certificate_authority(secret)
        if not text:
            return None
        path = self.folder / f"staged-{purpose}-ca.pem"
        path.write_text(text, encoding="utf-8")
        return path

    def _list(self, api_version: str, kind: str, labels: str) -> Objects:
        found: Objects = asked(
            f"Listing every {kind} of {self.namespace}",
            lambda: self.server.list(api_version, kind, self.namespace, labels=labels),
        )
        return found


def _address(pod: Object) -> str | None:
    annotations = (pod.get("metadata") or {}).get("annotations") or {}
    place = annotations.get(ADDRESS)
    if place is None:
        return None
    host, _, port = str(place).rpartition(":")
    if not host or not port.isdigit():
        raise GateInputError(
            f"pod {pod['metadata']['name']}: the annotation {ADDRESS} is no host:port. Is it a sandbox's pod?"
        )
    return str(place)
