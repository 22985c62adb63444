"""Whether a release's migration works, and what runs now works after it: tried on a copy before a deploy."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bais_gates.probes.backup import BackupError
from bais_gates.probes.postgres import DatabaseError
from bais_gates.rollout.engine import NOT_THE_RELEASE
from bais_gates.rollout.errors import RefusalCode, Refused
from bais_gates.rollout.scratch import open_scratch
from bais_gates.rollout.verification import NotVerified, run_smoke_test
from bais_gates.rollout.way_back import declared, is_too_old, no_way_back
from bais_gates.staging.errors import StageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from bais_gates.rollout.record import Record
    from bais_gates.rollout.scratch import Scratch
    from bais_gates.rollout.workload import Workload
    from bais_gates.staging.staged import Finding
    from bais_gates.targets.environment import Environment

    Smoke = Callable[[Environment], Callable[[], Iterable[tuple[str, Finding]]] | None]

Object = dict[str, Any]


def prove(
    record: Record,
    job: Object | None,
    *,
    workload: Workload,
    environment: Environment,
    smoke: Smoke,
    accept_no_way_back: bool,
    progress: Callable[[str], None],
) -> Record:
    """Return the record, with the version before which there is no way back then.

    Raises ``Refused`` if the migration fails on a copy, if what runs now does not work after it, or if there
    is no way back and nobody accepts that.
    """
    if job is None:
        progress("schema: no migration, so nothing to prove")
        return record
    began = time.monotonic()
    try:
        with open_scratch(workload, environment, progress) as scratch:
            oldest = _migrate(scratch, job, record)
            if oldest is None:
                return record
            if is_too_old(record.before.version, oldest):
                sentence = no_way_back(oldest, record.before.version)
                _require_accepted(sentence, progress, accepted=accept_no_way_back)
            else:
                _require_previous_works(scratch, smoke)
    except (BackupError, DatabaseError, StageError) as error:
        if isinstance(error, StageError) and error.code in NOT_THE_RELEASE:
            raise
        raise Refused(
            RefusalCode.SCHEMA, f"Nothing can be tried on a copy of the database: {error}"
        ) from None
    progress(f"schema: proven on a copy of the newest backup ({time.monotonic() - began:.0f} s)")
    return replace(record, no_way_back=oldest)


def _migrate(scratch: Scratch, job: Object, record: Record) -> str | None:
    """Migrate the copy; return the oldest version that works then (empty: any), None if nothing changed."""
    scratch.restore()
    scratch.share()
    restored = scratch.revision()
    try:
        log = scratch.migrate(job)
    except StageError as error:
        raise _refused("The migration fails on a copy of the database", error) from None
    revision = scratch.revision()
    if revision == (record.before.schema or restored):
        scratch.progress(f"schema: the migration adds no revision to {revision}, so nothing to prove")
        return None
    scratch.progress(f"schema: the copy is migrated from {restored} to {revision}")
    oldest = declared(log)
    if oldest:
        scratch.progress(f"schema: the migration contracts the schema: no way back before {oldest} then")
    return oldest


def _require_previous_works(scratch: Scratch, smoke: Smoke) -> None:
    what = "The previous image does not work on the new schema"
    try:
        with scratch.previous() as environment:
            scratch.progress("schema: the image that runs now is ready on the new schema")
            run_smoke_test(smoke(environment), scratch.progress, step="schema")
    except NotVerified as error:
        raise Refused(
            RefusalCode.SCHEMA,
            f"{what}, which it would meet during the rollout and after a rollback: {error}. Split the "
            "migration: add first, and remove in a release after the one that no longer needs it.",
        ) from None
    except StageError as error:
        raise _refused(what, error) from None


def _refused(what: str, error: StageError) -> Exception:
    """Return the refusal for an error of a Job or pod; the error itself where it is the cluster's."""
    return Refused(RefusalCode.SCHEMA, f"{what}: {error}") if error.code.blames_release else error


def _require_accepted(sentence: str, progress: Callable[[str], None], *, accepted: bool) -> None:
    if not accepted:
        raise Refused(
            RefusalCode.NO_WAY_BACK,
            f"{sentence} If this release fails, it can't be rolled back. Deploy first a version that works "
            "with both schemas, or accept it by --no-way-back.",
        )
    progress(f"schema: NO WAY BACK. {sentence} The previous image is not tested: it is expected to fail.")
