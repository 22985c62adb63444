"""Certificates, as cert-manager would issue them: Secrets with the certificate of the sandbox's servers.

The key of the sandbox's authority is gone, so that nothing else can be signed: every Certificate gets the
same one, whatever names it asks for, and none is renewed.
"""

from __future__ import annotations

import base64
import re
from datetime import timedelta
from typing import TYPE_CHECKING

from bais_gates.sandbox.cluster.controllers.objects import (
    Object,
    format_time,
    generation_of,
    is_terminating,
    name_of,
    namespace_of,
    spec_of,
    status_of,
    with_condition,
)
from bais_gates.sandbox.cluster.controllers.world import Create, Plan, Update

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from bais_gates.sandbox.cluster.controllers.world import World

_FILES = {"tls.crt": "server.pem", "tls.key": "server.key", "ca.crt": "ca.pem"}
"""By key of a Secret, the file in the sandbox's folder."""
_SECONDS = {"h": 3600, "m": 60, "s": 1}


def reconciler(directory: Path) -> Callable[[World, Object, datetime], Plan]:
    """Return the function for Certificates; ``directory`` holds the sandbox's certificate and key."""

    def reconcile(world: World, certificate: Object, now: datetime) -> Plan:
        plan = Plan()
        if is_terminating(certificate):
            return plan
        ref = spec_of(certificate)["issuerRef"]
        if ref.get("kind") == "ClusterIssuer" and world.get("ClusterIssuer", "", ref["name"]) is None:
            missing = f'clusterissuer.cert-manager.io "{ref["name"]}" not found'
            conditions = _conditions(certificate, now, "False", "IssuerNotFound", missing)
            if plan.set_status(certificate, {**status_of(certificate), "conditions": conditions}):
                plan.warn(certificate, "IssuerNotFound", missing)
            return plan
        pem = {key: (directory / name).read_bytes() for key, name in _FILES.items()}
        data = {key: base64.b64encode(text).decode() for key, text in pem.items()}
        secret = world.get("Secret", namespace_of(certificate), str(spec_of(certificate)["secretName"]))
        if secret is None:
            plan.add(Create(_secret(certificate, data)))
        elif data.items() <= (secret.get("data") or {}).items():
            not_before, not_after = _validity(pem["tls.crt"])
            up_to_date = "Certificate is up to date and has not expired"
            status = {
                "conditions": _conditions(certificate, now, "True", "Ready", up_to_date),
                "notBefore": format_time(not_before),
                "notAfter": format_time(not_after),
                "renewalTime": format_time(not_after - _renew_before(certificate, not_after - not_before)),
                "revision": 1,
            }
            plan.set_status(certificate, status)
            return plan
        else:
            plan.add(Update({**secret, "data": {**(secret.get("data") or {}), **data}}))
        plan.event(certificate, "Issuing", "The certificate has been successfully issued")
        return plan

    return reconcile


def _conditions(certificate: Object, now: datetime, *values: str) -> list[Object]:
    status, reason, message = values
    conditions = with_condition(
        status_of(certificate).get("conditions"), now, ("Ready", status, reason, message)
    )
    return [{**one, "observedGeneration": generation_of(certificate)} for one in conditions]


def _validity(pem: bytes) -> tuple[datetime, datetime]:
    from cryptography import x509  # noqa: PLC0415 - slow to import, and only needed for Certificates

    found = x509.load_pem_x509_certificate(pem)
    return found.not_valid_before_utc, found.not_valid_after_utc


def _renew_before(certificate: Object, lifetime: timedelta) -> timedelta:
    """Read ``spec.renewBefore`` (``720h``, ``1h30m``): at most half of the lifetime, a third without one."""
    parts = re.findall(r"(\d+)([hms])", str(spec_of(certificate).get("renewBefore") or ""))
    asked = timedelta(seconds=sum(int(number) * _SECONDS[unit] for number, unit in parts))
    return min(asked or lifetime / 3, lifetime / 2)


def _secret(certificate: Object, data: dict[str, str]) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": spec_of(certificate)["secretName"],
            "namespace": namespace_of(certificate),
            "annotations": {
                "cert-manager.io/certificate-name": name_of(certificate),
                "cert-manager.io/issuer-name": str(spec_of(certificate)["issuerRef"]["name"]),
            },
        },
        "type": "kubernetes.io/tls",
        "data": data,
    }


def reconcile_issuer(world: World, issuer: Object, now: datetime) -> Plan:  # noqa: ARG001 - the shape of all reconcilers
    """Report in the status of a ClusterIssuer that it is ready."""
    plan = Plan()
    values = ("Ready", "True", "KeyPairVerified", "Signing CA verified")
    if "acme" in spec_of(issuer):
        message = "The ACME account was registered with the ACME server"
        values = ("Ready", "True", "ACMEAccountRegistered", message)
    conditions = with_condition(status_of(issuer).get("conditions"), now, values)
    plan.set_status(issuer, {**status_of(issuer), "conditions": conditions})
    return plan
