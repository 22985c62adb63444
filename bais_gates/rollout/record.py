"""The record of a deploy: written before the first write, so that the next command knows what to do.

It is kept twice. The annotation on the Deployment is what the next command reads, on whatever machine. The
folder of records keeps one JSON file a deploy, to which phases are only added; it is never ahead.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from bais_gates.errors import GateInputError
from bais_gates.redaction import redact
from bais_gates.rollout.errors import Stuck
from bais_gates.rollout.windows import Window, read_window

ANNOTATION: Final = "bais-gates/rollout"
_FORMAT: Final = 1
_NOTE: Final = 2000
"""Characters of a note: an annotation has a limit, and the whole text is in the evidence."""


class Phase(StrEnum):
    """How far a deploy is. Each is recorded before its first write."""

    RECORDED = "RECORDED"
    MIGRATING = "MIGRATING"
    ROLLING_OUT = "ROLLING_OUT"
    VERIFYING = "VERIFYING"
    WATCHING = "WATCHING"
    DEPLOYED = "DEPLOYED"
    ROLLING_BACK = "ROLLING_BACK"
    ROLLED_BACK = "ROLLED_BACK"
    ROLLBACK_FAILED = "ROLLBACK_FAILED"


NOTHING_APPLIED: Final = frozenset({Phase.RECORDED, Phase.MIGRATING})
"""Phases in which the Deployment is still as it was before."""
_APPLIED: Final = frozenset({Phase.ROLLING_OUT, Phase.ROLLING_BACK})
FINAL: Final = frozenset({Phase.DEPLOYED, Phase.ROLLED_BACK, Phase.ROLLBACK_FAILED})


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What ran before the deploy."""

    images: dict[str, str]
    """Container -> image, as the Deployment has it."""
    replicas: int
    version: str | None = None
    """The version that GET /health reported; None where it did not respond, or there is no address."""
    schema: str | None = None
    """The head of the migrations in the database; None where it can't be read from here."""
    configuration: dict[str, str] = field(default_factory=dict)
    """``ConfigMap/name`` and ``Secret/name`` that the pods use -> a hash of its content."""
    oldest_version: str = ""
    """The oldest version that works with the schema; empty if no migration contracted it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One phase: since when, and what is known about it."""

    phase: Phase
    at: str
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One deploy or rollback."""

    id: str
    kind: str
    """``deploy`` or ``rollback``."""
    environment: str
    rehearsal: bool
    by: str
    images: dict[str, str]
    """Container -> image that is to run."""
    version: str | None
    """The version that GET /health must report then; None if nobody knows it."""
    before: State
    decision: dict[str, str] = field(default_factory=dict)
    """Digest, run id, time and end of the decision; empty for a rollback and an emergency."""
    reason: str = ""
    """Why, in the words of whoever started it: a ticket."""
    override: dict[str, str] = field(default_factory=dict)
    """Who overrode a freeze, and why."""
    diff_digest: str = ""
    emergency: dict[str, str] = field(default_factory=dict)
    """Of a deploy without a decision: who approved it, and why."""
    owed: tuple[dict[str, str], ...] = ()
    """The emergencies that have no decision yet, this one included: deploy, time and image of each."""
    revoked: tuple[dict[str, str], ...] = ()
    """The decisions that earlier deploys revoked, until they expire: digest, end, deploy, time and reason."""
    aborted: bool = False
    """Whether somebody ended it, and not its release."""
    job: str = ""
    """The Job that migrates the schema; of a rollback, that of the deploy that stopped; empty without one."""
    no_way_back: str = ""
    """The oldest version that works with the schema once it is migrated; empty if that contracts nothing."""
    steps: tuple[Step, ...] = ()
    windows: tuple[Window, ...] = ()
    """What the watch of a deploy saw so far."""

    @property
    def phase(self) -> Phase:
        """The last phase."""
        return self.steps[-1].phase

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do."""
        return self.phase in FINAL

    @property
    def applied_at(self) -> datetime | None:
        """When images were applied last; None if they never were."""
        steps = [one for one in self.steps if one.phase in _APPLIED]
        return datetime.fromisoformat(steps[-1].at) if steps else None

    @property
    def running(self) -> tuple[dict[str, str], str | None]:
        """The images and the version that run after a finished one."""
        done = self.phase is Phase.DEPLOYED or (self.kind == "rollback" and self.phase is Phase.ROLLED_BACK)
        begun = any(step.phase is Phase.ROLLING_BACK for step in self.steps)
        done = done or (self.phase is Phase.ROLLBACK_FAILED and not begun)  # there was no way back
        return (self.images, self.version) if done else (self.before.images, self.before.version)

    def then(self, phase: Phase, note: str = "") -> Record:
        """Return the record with one more phase, from now on."""
        at = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        return replace(self, steps=(*self.steps, Step(phase=phase, at=at, note=redact(note)[:_NOTE])))

    def text(self) -> str:
        """Return the record as JSON."""
        return json.dumps({"format": _FORMAT, **asdict(self)}, indent=1, sort_keys=True)


def read_record(text: str, where: str) -> Record:
    """Read the JSON of a record; raise ``Stuck`` for anything else, as then nobody knows what is going on."""
    try:
        record = _parse(json.loads(text))
    except (ValueError, TypeError, KeyError, AttributeError):
        record = None
    if record is None or not (record.steps and record.images and record.before.images):
        raise Stuck(
            f"{where} is not a record of this version of bais-gates: what an earlier deploy has done is not "
            "known. See which image runs; if it is the right one, remove the annotation, then run again."
        )
    return record


def _parse(data: dict[str, Any]) -> Record | None:
    if data.pop("format") != _FORMAT:
        return None
    steps = tuple(Step(**{**one, "phase": Phase(one["phase"])}) for one in data.pop("steps"))
    lists: dict[str, Any] = {key: tuple(map(dict, data.get(key, ()))) for key in ("owed", "revoked")}
    lists["windows"] = tuple(read_window(one) for one in data.get("windows", ()))
    return Record(**{**data, **lists, "before": State(**data["before"]), "steps": steps})


def record_on(deployment: dict[str, Any]) -> Record | None:
    """Return the last deploy's record on a Deployment; None if there was none. Raises ``Stuck``."""
    text = (deployment["metadata"].get("annotations") or {}).get(ANNOTATION)
    if text is None:
        return None
    return read_record(
        text, f"The annotation {ANNOTATION} of the Deployment {deployment['metadata']['name']}"
    )


@dataclass(frozen=True, slots=True)
class Folder:
    """The folder of records: ``ENVIRONMENT/ID.json``, and beside it what belongs to it.

    ``ID.evidence.json`` has the pods' logs from before a rollback, ``ID.intoto.jsonl`` the signature,
    ``ID.sent`` what people were told of it, and ``ID.postdeploy`` the reports of the gates that judged it.
    """

    path: Path

    def file(self, record: Record) -> Path:
        """Return where a record is."""
        return self.path / record.environment / f"{record.id}.json"

    def write(self, record: Record) -> Path:
        """Write a record atomically; raise GateInputError if that fails, or would lose a phase."""
        file = self.file(record)
        try:
            if file.exists():
                before = read_record(file.read_text(encoding="utf-8"), str(file))
                if record.steps[: len(before.steps)] != before.steps:
                    raise GateInputError(
                        f"{file} has phases that the record on the Deployment lacks: one of them was edited. "
                        "Compare them."
                    )
            _write(file, record.text())
        except OSError as error:
            raise GateInputError(
                f"{file}: the record can't be written ({error.strerror}). Correct the folder's owner, mode "
                "or space, or name another one by --records."
            ) from None
        return file

    def write_evidence(self, record: Record, evidence: dict[str, Any]) -> Path:
        """Write the logs and events of pods beside their record. Raises ``OSError``."""
        file = self.path / record.environment / f"{record.id}.evidence.json"
        _write(file, json.dumps(evidence, indent=1))
        return file

    def first_time(self, record: Record, message: str) -> bool:
        """Note that a message about a record is sent; return False if it was before. Raises ``OSError``."""
        file = self.file(record).with_suffix(".sent")
        with os.fdopen(os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "r+") as stream:
            first = message not in stream.read().splitlines()
            if first:
                stream.write(f"{message}\n")
        return first

    def images_of(self, environment: str) -> dict[str, str | None]:
        """Return each image that a finished record of an environment names, with its version if known."""
        found: dict[str, str | None] = {}
        for file in sorted((self.path / environment).glob("*.json")):
            if file.name.endswith(".evidence.json"):
                continue
            record = read_record(file.read_text(encoding="utf-8"), str(file))
            if record.finished:
                known = [(record.before.images, record.before.version), record.running]
                found |= {image: version for images, version in known for image in images.values()}
        return found


def _write(file: Path, text: str) -> None:
    """Replace a file atomically and durably; only the user may read it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(file)
