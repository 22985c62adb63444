"""Whether cert-manager has a certificate in hand: issued for the right names, ready, and renewed in time.

Source: the Certificate resource of cert-manager.io/v1.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from bais_gates.rules.objects import Object, dig


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateState:
    """What a Certificate says of itself; a time that it does not state is None."""

    ready: bool
    """Ready is True, and said of the newest specification."""
    reason: str
    names: tuple[str, ...]
    secret: str
    not_after: datetime | None
    renewal: datetime | None

    def renews_ahead(self, now: datetime) -> bool:
        """Whether the renewal is still to come, and comes before the end."""
        return self.renewal is not None and self.not_after is not None and now < self.renewal < self.not_after


def certificate_state(certificate: Object) -> CertificateState:
    """Read a cert-manager Certificate."""
    conditions = {c.get("type"): c for c in dig(certificate, "status", "conditions") or ()}
    ready = conditions.get("Ready") or {}
    generation = dig(certificate, "metadata", "generation")
    seen = ready.get("observedGeneration", generation)
    current = seen == generation
    stale = "" if current else f"said of generation {seen}, not {generation}"
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
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None
