"""The policy: what blocks, deadlines, validity of a decision, limits of waivers, the subject, signatures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

from bais_gates.verdict.files import Document, load_document, require_environments
from bais_gates.verdict.model import Gate, Severity
from bais_gates.verdict.signatures import SignatureRule

ALWAYS_BLOCKING: Final = frozenset({Severity.P1, Severity.P2, Severity.P3})
"""Severities that block under every policy (rule 4 of the verdict)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The organisation's settings. Raises ValueError when P1, P2 or P3 would not block."""

    blocking: frozenset[Severity]
    gate_deadline_s: float
    run_deadline_s: float
    validity_s: float
    """Seconds that a decision is valid for, from when it was made."""
    waiver_max_days: Mapping[Severity, int]
    """Days that a waiver may last from its approval; a severity that is not listed can't be waived."""
    digest: str | None
    """``sha256:...`` of the file's bytes; None for the built-in policy."""
    not_applicable_max_days: int = 30
    """Days that a dated declaration of NOT_APPLICABLE may last from its approval."""
    subject_required: bool = True
    """Whether a DEPLOY that is no rehearsal must name an image."""
    signatures: Mapping[str, SignatureRule] = field(default_factory=dict)
    """What ``verify`` requires, by environment; none for one that is not listed."""

    def deadline_of(self, gate: Gate) -> float:
        """Return the seconds that ``gate`` may take: its own deadline, else ``gate_deadline_s``."""
        return self.gate_deadline_s if gate.deadline_s is None else gate.deadline_s

    def __post_init__(self) -> None:
        if not self.blocking >= ALWAYS_BLOCKING:
            raise ValueError("P1, P2 and P3 always block")


BUILT_IN: Final = Policy(
    blocking=ALWAYS_BLOCKING,
    gate_deadline_s=120.0,
    run_deadline_s=900.0,
    validity_s=14400.0,
    waiver_max_days={Severity.P2: 7, Severity.P3: 30, Severity.P4: 90},
    digest=None,
)
"""The policy without a file."""


def load_policy(path: Path | None) -> Policy:
    """Read a policy file, or return the built-in policy for None.

    Raises GateInputError with file, line and key.
    """
    if path is None:
        return BUILT_IN
    document = load_document(path, "policy")
    data = cast("dict[str, Any]", document.data)
    if data["gate_deadline_s"] > data["run_deadline_s"]:
        raise document.error(("gate_deadline_s",), "longer than run_deadline_s. Make it shorter.")
    signatures = {name: _rule(document, name, rule) for name, rule in data.get("signatures", {}).items()}
    require_environments(document, ((("signatures", name), name) for name in signatures))
    return Policy(
        blocking=frozenset(Severity(name) for name in data["blocking"]),
        gate_deadline_s=float(data["gate_deadline_s"]),
        run_deadline_s=float(data["run_deadline_s"]),
        validity_s=float(data["validity_s"]),
        waiver_max_days={Severity(name): days for name, days in data["waiver_max_days"].items()},
        digest=document.digest,
        not_applicable_max_days=data.get("not_applicable_max_days", BUILT_IN.not_applicable_max_days),
        subject_required=data.get("subject", "required") == "required",
        signatures=signatures,
    )


def _rule(document: Document, environment: str, rule: dict[str, Any]) -> SignatureRule:
    keys = tuple(rule.get("keys", ()))
    if keys and len(keys) < rule["required"]:
        text = f"there are {len(keys)} keys. Name more keys, or require fewer signatures."
        raise document.error(("signatures", environment, "required"), text)
    return SignatureRule(required=rule["required"], keys=keys)
