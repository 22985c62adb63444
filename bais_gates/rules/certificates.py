"""Judge a cert-manager Certificate: its DNS names, readiness and renewal time.

Source: the Certificate resource of cert-manager.io/v1.
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

    def renews_ahead(self, now: datetime) -> bool:
        """Return whether the renewal is in the future and before the expiry."""
        return self.renewal is not None and self.not_after is not None and now < self.renewal < self.not_after


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
    )


def _time(text: object) -> datetime | None:
    try:
        time = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return time if time.tzinfo is not None else None
