"""Certificates, as cert-manager would issue them: a Secret signed by an authority of this process."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from bais_gates.sandbox.cluster.controllers.objects import (
    Object,
    age_s,
    changed,
    is_going,
    moment,
    name_of,
    namespace_of,
    spec_of,
    stamp,
    status_of,
    with_condition,
)
from bais_gates.sandbox.cluster.controllers.world import Create, Plan, Say, SetStatus, Update

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from bais_gates.sandbox.cluster.controllers.world import World

_VALID_FOR = timedelta(days=90)


class Authority(Protocol):
    """Who signs, and who can read what was signed."""

    def issue(self, names: Sequence[str], valid_for: timedelta) -> dict[str, str]:
        """Give the PEM texts ``tls.crt``, ``tls.key`` and ``ca.crt``."""

    def validity(self, certificate: str) -> tuple[datetime, datetime] | None:
        """Give from when until when a PEM certificate is valid, or None if it can't be read."""


def reconciler(authority: Authority) -> Callable[[World, Object, datetime], Plan]:
    """Make the function for Certificates."""

    def reconcile(world: World, certificate: Object, now: datetime) -> Plan:
        plan = Plan()
        if is_going(certificate):
            return plan
        if (missing := _missing_issuer(world, certificate)) is not None:
            _not_ready(plan, certificate, missing, now)
            plan.look_again(15)
            return plan
        secret = world.get("Secret", namespace_of(certificate), str(spec_of(certificate)["secretName"]))
        valid = authority.validity(_pem(secret)) if secret is not None else None
        renewal = valid[1] - _renew_before(certificate, valid) if valid else None
        if valid is None or renewal is None or renewal <= now:
            names = [
                *(spec_of(certificate).get("dnsNames") or ()),
                *(spec_of(certificate).get("ipAddresses") or ()),
            ]
            made = authority.issue(names, _duration(spec_of(certificate).get("duration"), _VALID_FOR))
            plan.add(
                _stored(certificate, secret, made),
                Say(
                    about=certificate,
                    reason="Issuing",
                    message="The certificate has been successfully issued",
                ),
            )
            plan.look_again(0.05)
            return plan
        status: Object = {
            "conditions": with_condition(
                [one for one in status_of(certificate).get("conditions") or () if one["type"] != "Issuing"],
                now,
                type="Ready",
                status="True",
                reason="Ready",
                message="Certificate is up to date and has not expired",
            ),
            "notBefore": stamp(valid[0]),
            "notAfter": stamp(valid[1]),
            "renewalTime": stamp(renewal),
            "revision": int(status_of(certificate).get("revision") or 1),
        }
        for one in status["conditions"]:
            one["observedGeneration"] = certificate["metadata"].get("generation", 1)
        if (update := changed(certificate, status=status)) is not None:
            plan.add(SetStatus(obj=update))
        plan.look_again(min((renewal - now).total_seconds(), 3600))
        return plan

    return reconcile


def reconcile_issuer(world: World, issuer: Object, now: datetime) -> Plan:  # noqa: ARG001 - the shape of all reconcilers
    """Say of a ClusterIssuer that it is ready."""
    plan = Plan()
    acme = "acme" in spec_of(issuer)
    conditions = with_condition(
        status_of(issuer).get("conditions") or (),
        now,
        type="Ready",
        status="True",
        reason="ACMEAccountRegistered" if acme else "KeyPairVerified",
        message="The ACME account was registered with the ACME server" if acme else "Signing CA verified",
    )
    if (update := changed(issuer, status={**status_of(issuer), "conditions": conditions})) is not None:
        plan.add(SetStatus(obj=update))
    return plan


def _missing_issuer(world: World, certificate: Object) -> str | None:
    ref = spec_of(certificate).get("issuerRef") or {}
    kind, name = ref.get("kind", "Issuer"), str(ref.get("name"))
    if kind != "ClusterIssuer" or world.get("ClusterIssuer", "", name) is not None:
        return None
    return f'Referenced "ClusterIssuer" not found: clusterissuer.cert-manager.io "{name}" not found'


def _not_ready(plan: Plan, certificate: Object, message: str, now: datetime) -> None:
    conditions = with_condition(
        status_of(certificate).get("conditions") or (),
        now,
        type="Ready",
        status="False",
        reason="DoesNotExist",
        message=f"Issuing certificate as Secret does not exist. {message}",
    )
    if (
        update := changed(certificate, status={**status_of(certificate), "conditions": conditions})
    ) is not None:
        plan.add(
            SetStatus(obj=update),
            Say(about=certificate, reason="IssuerNotFound", message=message, kind="Warning"),
        )


def _pem(secret: Object) -> str:
    try:
        return base64.b64decode((secret.get("data") or {}).get("tls.crt", "")).decode()
    except ValueError:
        return ""


def _stored(certificate: Object, secret: Object | None, made: dict[str, str]) -> Create | Update:
    data = {key: base64.b64encode(text.encode()).decode() for key, text in made.items()}
    if secret is not None:
        return Update(obj={**secret, "data": {**(secret.get("data") or {}), **data}})
    return Create(
        obj={
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": spec_of(certificate)["secretName"],
                "namespace": namespace_of(certificate),
                "annotations": {
                    "cert-manager.io/certificate-name": name_of(certificate),
                    "cert-manager.io/issuer-name": str(spec_of(certificate)["issuerRef"]["name"]),
                },
                "labels": {"controller.cert-manager.io/fao": "true"},
            },
            "type": "kubernetes.io/tls",
            "data": data,
        }
    )


def _duration(text: object, default: timedelta) -> timedelta:
    """Read a duration such as ``2160h`` or ``720h0m0s``."""
    total, digits = 0, ""
    for letter in str(text or ""):
        if letter.isdigit():
            digits += letter
        elif letter in "hms" and digits:
            total += int(digits) * {"h": 3600, "m": 60, "s": 1}[letter]
            digits = ""
        else:
            return default
    return timedelta(seconds=total) if total else default


def _renew_before(certificate: Object, valid: tuple[datetime, datetime]) -> timedelta:
    lifetime = valid[1] - valid[0]
    asked = _duration(spec_of(certificate).get("renewBefore"), lifetime / 3)
    return min(asked, lifetime / 2)


def seconds_left(certificate: Object, now: datetime) -> float:
    """Give how long the certificate is valid yet, by its status."""
    end = status_of(certificate).get("notAfter")
    return -age_s(end, now) if end and moment(end) else 0.0
