"""Judge a cert-manager Certificate: its DNS names, readiness, renewal time and issuer.

Source: the Certificate, Issuer and ClusterIssuer resources of cert-manager.io/v1.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from bais_gates.rules.kubernetes.objects import Object, dig


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateState:
    """The state of a Certificate; times that it does not state are None."""

    ready: bool
    """Whether the condition Ready is True for the current generation."""
    reason: str
    names: tuple[str, ...]
    secret: str
    not_after: datetime | None
    renewal: datetime | None
    issuer: tuple[str, str]
    """Kind (Issuer, ClusterIssuer, or that of an external issuer) and name."""
    external: bool
    """Whether the issuer is of another API group than cert-manager's."""

    def renews_ahead(self, now: datetime) -> bool:
        """Return whether the renewal is in the future and before the expiry."""
        return self.renewal is not None and self.not_after is not None and now < self.renewal < self.not_after

    def days_to_renew(self) -> float | None:
        """Return the days between renewal and expiry, in which a failed one is noticed; None if unknown."""
        if self.renewal is None or self.not_after is None:
            return None
        # A third of Let's Encrypt's 90 days lacks a third of a second.
        return round((self.not_after - self.renewal).total_seconds() / 86400, 3)


def certificate_state(certificate: Object) -> CertificateState:
    """Return the state of a cert-manager Certificate."""
    conditions = {c.get("type"): c for c in dig(certificate, "status", "conditions") or ()}
    ready = conditions.get("Ready") or {}
    generation = dig(certificate, "metadata", "generation")
    observed = ready.get("observedGeneration", generation)
    current = observed == generation
    stale = "" if current else f"the condition Ready is for generation {observed}, not {generation}"
    return CertificateState(
        ready=ready.get("status") == "True" and current,
        reason=stale or str(ready.get("message") or ready.get("reason") or "no condition Ready"),
        names=tuple(dig(certificate, "spec", "dnsNames") or ()),
        secret=str(dig(certificate, "spec", "secretName") or ""),
        not_after=_time(dig(certificate, "status", "notAfter")),
        renewal=_time(dig(certificate, "status", "renewalTime")),
        issuer=(
            str(dig(certificate, "spec", "issuerRef", "kind") or "Issuer"),
            str(dig(certificate, "spec", "issuerRef", "name") or ""),
        ),
        external=dig(certificate, "spec", "issuerRef", "group") not in {None, "", "cert-manager.io"},
    )


def issuer_state(issuer: Object | None) -> str:
    """Return ``ready``, ``absent``, or why an Issuer or ClusterIssuer is not ready."""
    if issuer is None:
        return "absent"
    conditions = {c.get("type"): c for c in dig(issuer, "status", "conditions") or ()}
    ready = conditions.get("Ready") or {}
    reason = ready.get("message") or ready.get("reason") or "no condition Ready"
    return "ready" if ready.get("status") == "True" else f"not ready: {reason}"


def _time(text: object) -> datetime | None:
    try:
        time = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return time if time.tzinfo is not None else None
