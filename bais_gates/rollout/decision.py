"""Which decision allows a deploy: one that is verified for exactly this image, environment and catalog.

A rehearsal never allows one. The one exception is the sandbox itself: to deploy there is a rehearsal, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bais_gates.attest.verify import verify
from bais_gates.rollout.errors import RefusalCode, Refused
from bais_gates.verdict.document import document_digest, to_document
from bais_gates.verdict.model import GOLIVE

if TYPE_CHECKING:
    from pathlib import Path

    from bais_gates.verdict.model import Decision, Subject


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What the decision must be about."""

    decision: Path
    catalog: Path
    environment: str
    environment_digest: str
    """``sha256:...`` of the environment file that says what is written to."""
    subject: Subject
    cluster_uid: str
    """The cluster that is written to: the uid of its namespace kube-system."""
    rehearsal: bool
    """Whether the cluster is a running sandbox's: only there a rehearsal is accepted."""


def require_decision(demand: Demand) -> Decision:
    """Return the decision; raise ``Refused`` with every reason why it does not allow this deploy."""
    report = verify(
        demand.decision,
        scope=GOLIVE,
        env=demand.environment,
        subject=demand.subject,
        catalog=demand.catalog,
    )
    decision = report.decision
    if not report.ok or decision is None:
        reasons = " ".join(f"{one.code}: {one.message} {one.remedy}".rstrip() for one in report.problems)
        raise Refused(RefusalCode.DECISION, f"{demand.decision} does not allow this deploy. {reasons}")
    target = decision.target
    if demand.rehearsal:
        return decision
    if target.rehearsal or target.provisioned:
        raise Refused(
            RefusalCode.REHEARSAL,
            f"{demand.decision} is a rehearsal, and this is not a running sandbox. Run the gates with the "
            "environment to deploy to.",
        )
    if target.environment_digest != demand.environment_digest:
        raise Refused(
            RefusalCode.TARGET_OTHER,
            f"{demand.decision} was made with another environment file of the name {demand.environment} than "
            "the one given by --env. Run the gates with this one.",
        )
    uid = dict(target.facts).get("cluster.uid")
    if uid != demand.cluster_uid:
        raise Refused(
            RefusalCode.TARGET_OTHER,
            f"{demand.decision} is about the cluster {uid or '(unknown)'}, and this one is "
            f"{demand.cluster_uid}. Run the gates against this cluster, or correct the kubeconfig.",
        )
    return decision


def decision_in_record(decision: Decision) -> dict[str, str]:
    """Return what the record of a deploy says of its decision."""
    return {
        "digest": document_digest(to_document(decision)),
        "run_id": decision.run.run_id,
        "decided_at": f"{decision.decided_at:%Y-%m-%dT%H:%M:%SZ}",
        "valid_until": f"{decision.valid_until:%Y-%m-%dT%H:%M:%SZ}",
    }
