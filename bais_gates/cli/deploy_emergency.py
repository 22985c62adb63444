"""``bais-gates deploy --emergency``: its options, and the decision that is given for it afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bais_gates.cli.common import complain, report
from bais_gates.errors import GateInputError
from bais_gates.rollout.emergency import read_emergency, settled
from bais_gates.rollout.record import record_on
from bais_gates.staging.holding import this_process

if TYPE_CHECKING:
    import argparse

    from bais_gates.cli.deploy_after import Aftermath
    from bais_gates.rollout.lock import Lock
    from bais_gates.rollout.workload import Workload
    from bais_gates.verdict.model import Decision, Subject


def emergency_of(arguments: argparse.Namespace) -> dict[str, str]:
    """Return who approved the emergency, and why; empty if it is none.

    Raises GateInputError for options that are missing, or mean nothing together.
    """
    if not arguments.emergency:
        if arguments.approved_by is not None:
            raise GateInputError("--approved-by has no effect without --emergency: leave it out.")
        return {}
    for name in ("decision", "override_freeze_by", "resume", "abort"):
        if getattr(arguments, name):
            option = name.replace("_", "-")
            raise GateInputError(f"--{option} has no effect with --emergency: leave one of them out.")
    by = this_process().partition(",")[0]
    return read_emergency(arguments.approved_by, arguments.reason, by=by)


def settle(lock: Lock, workload: Workload, after: Aftermath, subject: Subject, decision: Decision) -> bool:
    """Record and sign that an emergency's decision is given; return whether this one was owed."""
    if settled(record_on(workload.read()), subject, decision) is None:
        return False
    with lock:
        lock.check()
        record = settled(record_on(workload.read()), subject, decision)
        if record is None:
            return False
        workload.annotate(record)
        try:
            after.folder.write(record)
        except GateInputError as error:  # as in a deploy: the record on the Deployment counts
            complain(f"recorded on the Deployment alone: {error}")
    report(record.steps[-1].note)
    after.sign(record)
    return True
