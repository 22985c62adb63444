"""Whether a run ends with the target that it began with, and judged the release that it is about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bais_gates.redaction import redact
from bais_gates.targets import identity
from bais_gates.verdict.model import Code, Reason

if TYPE_CHECKING:
    from bais_gates.pytest_plugin.state import RunState
    from bais_gates.verdict.model import Subject, TargetIdentity


def same_target(state: RunState) -> list[Reason]:
    """Ask the target again, before it is torn down: reasons to block if it changed or does not answer."""
    known = None if state.directory is None else identity.read(state.directory.path)
    if known is None:
        return []  # no gate of this run reached a target
    from bais_gates.targets.constancy import look_again  # noqa: PLC0415 - runs without a target load no client

    seen = look_again(state.gate_run(), gates_dir=state.gates_dir)
    changed = [
        Reason(
            code=Code.TARGET_CHANGED,
            message=f"While the gates ran, {change.what} of the target changed from {redact(change.before)} "
            f"to {redact(change.after)}: the gates saw two different targets.",
            remedy="Wait until the rollout, or whatever changed it, is over; then run the whole scope again.",
        )
        for change in seen.changes
    ]
    lost = [
        Reason(
            code=Code.TARGET_LOST,
            message=f"The target could not be asked whether it is still the one judged. {redact(why)}",
            remedy="Find out why it does not answer; then run the whole scope again.",
        )
        for why in seen.not_asked
    ]
    return changed + lost + another_release(state.settings.subject, known)


def another_release(subject: Subject | None, target: TargetIdentity) -> list[Reason]:
    """Give the reason to block a decision about one image whose target runs another.

    A rehearsal runs the sandbox's own image, whatever it rehearses for; it deploys nothing.
    """
    running = dict(target.facts).get("release.image")
    if subject is None or running is None or target.rehearsal or running == subject.digest:
        return []
    return [
        Reason(
            code=Code.TARGET_RUNS_ANOTHER,
            message=f"The decision is asked for {subject}, but the pods of the target run {running}: "
            "the gates saw another release.",
            remedy="Roll the release out to the target and wait until it is over, or name the image it runs.",
        )
    ]
