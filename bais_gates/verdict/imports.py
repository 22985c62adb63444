"""Results of earlier decisions: for which target they count, and for how long."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from bais_gates.verdict.model import Code, Gate, JudgedGate, Origin, Outcome, Reason, Subject, TargetIdentity
from bais_gates.verdict.outcomes import RAN
from bais_gates.verdict.target import another_release, differences


@dataclass(frozen=True, slots=True, kw_only=True)
class Imports:
    """The earlier decisions whose results a decision counts, and what it is about itself.

    A result that is imported again keeps the decision that it was first in, so that a chain of imports makes
    it neither younger nor another target's. The jobs of one pipeline may share a run id.
    """

    origins: Sequence[Origin]
    """Those of the results of gates, and of what a gate rolled up."""
    target: TargetIdentity
    subject: Subject | None
    contract: str | None
    validity_s: float

    def reasons(self, gates: Iterable[JudgedGate], now: datetime) -> Iterator[Reason]:
        """Yield why imported results of these gates, those of the scope, do not count."""
        gates = list(gates)
        for origin in self.origins:
            about = f"The results of run {origin.run_id} on {origin.target.name}"
            clauses = list(
                differences(origin, self.target, subject=self.subject, contract=self.contract, ended=True)
            )
            if clauses:
                yield Reason(
                    code=Code.IMPORT_OTHER_TARGET,
                    message=f"{about} do not count for {self.target.name}: {'; '.join(clauses)}.",
                    remedy="Decide that scope anew for what this run is about, then import it.",
                )
            if now >= self.valid_until(origin):
                yield Reason(
                    code=Code.IMPORT_EXPIRED,
                    message=f"{about} were valid until {self.valid_until(origin):%Y-%m-%d %H:%M:%S} UTC.",
                    remedy="Decide that scope anew, then import it.",
                )
        for judged in gates:
            seen = [origin for origin in self.origins if origin.run_id == judged.result.imported_from]
            if seen and not any(self.admits(judged.gate, origin) for origin in seen):
                yield Reason(
                    code=Code.IMPORT_OTHER_TARGET,
                    gate_id=judged.gate.id,
                    message=f"{judged.gate.id} was seen on {seen[0].target.name}, which the catalog does "
                    f"not list as evidence for {self.target.name}.",
                    remedy="Run the gate here, or list that environment under evidence_from.",
                )
        yield from self._another_release(gates)
        here = [judged for judged in gates if judged.result.imported_from is None]
        failed = any(judged.blocking and judged.result.outcome in RAN for judged in here)
        if (
            len(here) < len(gates)
            and not failed
            and not any(judged.result.outcome is Outcome.PASS for judged in here)
        ):
            yield Reason(
                code=Code.ONLY_IMPORTED,
                message="Everything that passed was imported: no gate of the scope passed in this run.",
                remedy="Run at least one gate of the scope against the target.",
            )

    def _another_release(self, gates: Sequence[JudgedGate]) -> Iterator[Reason]:
        """Yield the reason to block a decision about one image whose target runs another.

        Before the rollout it does. Then every gate that may be proven elsewhere, which are those about the
        release itself, must have been, for this image; the others judge the platform as it stands.
        """
        running = another_release(self.target, self.subject)
        elsewhere = {one.run_id for one in self.origins if one.target.name != self.target.name}
        about = [
            judged
            for judged in gates
            if judged.gate.evidence_from and judged.result.outcome is not Outcome.NOT_APPLICABLE
        ]
        seen_here = [judged.gate.id for judged in about if judged.result.imported_from not in elsewhere]
        if running and (seen_here or not about):
            what = f"{', '.join(seen_here)} judged" if seen_here else "the gates judged"
            yield Reason(
                code=Code.TARGET_RUNS_ANOTHER,
                message=f"The decision is asked for {self.subject}, but the pods of the target run "
                f"{running}: {what} another release.",
                remedy="Import the decision about an environment that runs this image (--gate-import), roll "
                "it out to the target and wait until that is over, or name the image that runs.",
            )

    def admits(self, gate: Gate, origin: Origin) -> bool:
        """Return whether a gate may be proven by the target of ``origin``: the same, or by the catalog."""
        return origin.target.name == self.target.name or origin.target.name in gate.evidence_from

    def valid_until(self, origin: Origin) -> datetime:
        """Return when the results of ``origin`` end to count: as it says, or by the policy from its date."""
        try:
            by_policy = origin.decided_at + timedelta(seconds=self.validity_s)
        except OverflowError:
            by_policy = datetime.max.replace(tzinfo=UTC)
        return min(origin.valid_until, by_policy)

    def expiries(self) -> list[datetime]:
        """Return when each of the earlier decisions ends to count."""
        return [self.valid_until(origin) for origin in self.origins]
