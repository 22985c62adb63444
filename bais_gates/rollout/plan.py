"""What a deploy or rollback would do, and every reason to refuse it before the first write."""

from __future__ import annotations

import hashlib
import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from bais_gates.errors import GateInputError
from bais_gates.probes.postgres import Database, DatabaseError
from bais_gates.rollout.decision import decision_in_record
from bais_gates.rollout.errors import RefusalCode, Refused
from bais_gates.rollout.record import Phase, Record, State, record_on
from bais_gates.rollout.verification import reported_version
from bais_gates.rollout.way_back import is_too_old, no_way_back, numbers, oldest_version
from bais_gates.rollout.workload import images_of, replicas_of
from bais_gates.staging.holding import this_process
from bais_gates.staging.run import REVISION_QUERY

if TYPE_CHECKING:
    from bais_gates.rollout.freezes import Override
    from bais_gates.rollout.record import Folder
    from bais_gates.rollout.workload import Workload
    from bais_gates.targets.environment import Environment
    from bais_gates.verdict.model import Decision, Subject

Object = dict[str, Any]


def new_id() -> str:
    """Return the id of a new record: sortable by time, and fit for the name of a Job."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


def last_record(live: Object) -> Record | None:
    """Return the last record; raise ``Refused`` if that deploy has not ended."""
    last = record_on(live)
    if last is not None and not last.finished:
        raise Refused(
            RefusalCode.UNFINISHED,
            f"The {last.kind} {last.id} by {last.by} stopped in the phase {last.phase} "
            f"({last.steps[-1].at}). Run `bais-gates deploy` with --resume to go on, or with --abort to roll "
            "back.",
        )
    return last


def state_of(workload: Workload, live: Object, environment: Environment) -> State:
    """Return what runs now."""
    return State(
        images=images_of(live),
        replicas=replicas_of(live),
        version=reported_version(environment),
        schema=_schema_head(environment),
        configuration=workload.configuration(live),
        oldest_version=oldest_version(record_on(live)),
    )


def plan_deploy(
    workload: Workload,
    live: Object,
    environment: Environment,
    *,
    decision: Decision | None,
    subject: Subject,
    version: str,
    rehearsal: bool,
    diff: str,
    override: Override | None = None,
) -> Record:
    """Return the record of a deploy, without a phase; raise ``Refused`` if it is older than what runs.

    ``decision`` is None in an emergency.
    """
    last = last_record(live)
    before = state_of(workload, live, environment)
    _require_newer(decision, version, before, last)
    return Record(
        id=new_id(),
        kind="deploy",
        environment=environment.name,
        rehearsal=rehearsal,
        by=this_process(),
        images=workload.with_image(live, subject),
        version=version,
        before=before,
        decision=decision_in_record(decision) if decision is not None else {},
        override={"by": override.by, "reason": override.reason} if override else {},
        diff_digest="sha256:" + hashlib.sha256(diff.encode()).hexdigest(),
    )


def _require_newer(decision: Decision | None, version: str, before: State, last: Record | None) -> None:
    """Raise ``Refused`` if the version, or the decision of a deploy that stands, is older than what runs."""
    remedy = "To go back on purpose, use `bais-gates rollback --to IMAGE`."
    running, new = numbers(before.version), numbers(version)
    if running and new and new < running:
        raise Refused(
            RefusalCode.OLDER, f"Version {version} is older than {before.version}, which runs. {remedy}"
        )
    if decision is None or last is None or last.phase is not Phase.DEPLOYED or not last.decision:
        return
    decided = f"{decision.decided_at:%Y-%m-%dT%H:%M:%SZ}"
    if decided < last.decision["decided_at"]:
        raise Refused(
            RefusalCode.OLDER,
            f"The decision is from {decided}, before that of the image that runs "
            f"({last.decision['decided_at']}): a newer release was deployed since. {remedy}",
        )


def plan_rollback(
    workload: Workload,
    live: Object,
    environment: Environment,
    *,
    to: str | None,
    folder: Folder,
    rehearsal: bool,
) -> Record:
    """Return the record of a rollback, without a phase: to what ran before, or to an image that ran once.

    It takes the place of a deploy that stopped half-way. Raises ``Refused`` for an image that nobody knows,
    GateInputError where there is nothing to go back to.
    """
    last = record_on(live)
    stopped = last is not None and not last.finished
    now = images_of(live)
    if to is None:
        images, version = _previous(last)
    else:
        images, version = _by_name(workload, live, to, folder.images_of(environment.name), last)
    if {**now, **images} == now and not stopped:
        raise Refused(
            RefusalCode.NOTHING_TO_DO,
            f"{', '.join(sorted(set(images.values())))} runs already. Name another image by --to.",
        )
    if is_too_old(version, oldest := oldest_version(last)):
        raise Refused(
            RefusalCode.NO_WAY_BACK,
            f"{no_way_back(oldest, version)} Deploy a release that works with this schema.",
        )
    return Record(
        id=new_id(),
        kind="rollback",
        environment=environment.name,
        rehearsal=rehearsal,
        by=this_process(),
        images=images,
        version=version,
        before=state_of(workload, live, environment),
        job=last.job if last is not None and stopped else "",
    )


def _previous(last: Record | None) -> tuple[dict[str, str], str | None]:
    if last is None:
        raise GateInputError("no deploy is recorded here. Name the image to go back to by --to IMAGE.")
    if not last.finished and last.kind == "rollback":
        return last.images, last.version
    if last.finished and last.phase is not Phase.DEPLOYED:
        raise Refused(
            RefusalCode.NOTHING_TO_DO,
            f"The last {last.kind} ({last.id}) ended with {last.phase}: what ran before it is not what to go "
            "back to. Name the image by --to IMAGE.",
        )
    return last.before.images, last.before.version


def _by_name(
    workload: Workload,
    live: Object,
    to: str,
    recorded: dict[str, str | None],
    last: Record | None,
) -> tuple[dict[str, str], str | None]:
    known = dict(recorded)
    if last is not None:
        pairs = ((last.before.images, last.before.version), last.running)
        known |= {image: version for images, version in pairs for image in images.values()}
    if to not in known and to not in workload.earlier_images(live):
        raise Refused(
            RefusalCode.IMAGE_UNKNOWN,
            f"{to} never ran here, by the records and the Deployment's ReplicaSets. A rollback goes back to "
            "an image that ran; deploy others.",
        )
    name = to.partition("@")[0]
    names = [one for one, image in images_of(live).items() if image.partition("@")[0] == name]
    return dict.fromkeys(names, to), known.get(to)


def _schema_head(environment: Environment) -> str | None:
    if not environment.describes("database"):
        return None
    try:
        with Database(environment.database.url) as database:
            head = database.value(REVISION_QUERY)
    except (DatabaseError, GateInputError):
        return None
    return None if head is None else str(head)
