"""Judge a phase by the results of its gates: what gates with ``rolls_up`` in the catalog do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bais_gates.pytest_plugin.evidence import Evidence
    from bais_gates.pytest_plugin.fixtures import PhaseResult

WITHOUT_VERDICT: Final = frozenset({"ERROR", "NO_DATA", "NOT_RUN"})
"""Outcomes of gates that neither passed nor failed. After NO_DATA alone, the phase has no data, either."""


class PhaseNotJudged(Exception):  # noqa: N818 - it names the state of the phase
    """Gates of the phase have no verdict, so the phase has none."""


def check_phase(phase: str, results: Sequence[PhaseResult], evidence: Evidence) -> None:
    """Check that no gate of a phase blocks; raise :class:`PhaseNotJudged` where some have no verdict."""
    evidence.attach(
        f"results of the {phase} gates",
        "\n".join(f"{one.gate_id}: {one.outcome} {one.excuse}".rstrip() for one in results),
        "text/plain",
    )
    blocking = [one for one in results if not one.stands]
    failed = {one.gate_id: one.outcome.value for one in blocking if one.outcome not in WITHOUT_VERDICT}
    runs = ", ".join(sorted({one.run_id for one in results if one.run_id}))
    n = len(results)
    evidence.check(f"failed {phase} gates", failed, "==", {}, n=n, source=f"results of {runs}")
    unjudged = [one for one in blocking if one.outcome in WITHOUT_VERDICT]
    pending = ", ".join(f"{one.gate_id} ({one.outcome})" for one in unjudged)
    if any(one.outcome != "NO_DATA" for one in unjudged):
        raise PhaseNotJudged(f"no verdict for {pending}. Fix these gates; this one follows them.")
    evidence.check(
        f"{phase} gates that do not block",
        n - len(blocking),
        "==",
        n,
        n=n - len(unjudged),
        n_min=max(1, n),
        source=f"no verdict for {pending}" if pending else None,
    )
