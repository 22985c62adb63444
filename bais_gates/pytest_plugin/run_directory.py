"""The folder that the processes of one run share: what has finished, what was collected."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from bais_gates.verdict.model import JsonValue, Outcome, Subject

if TYPE_CHECKING:
    from bais_gates.verdict.catalog import Catalog
    from bais_gates.verdict.policy import Policy


RUN_DIRECTORY = "BAIS_GATES_RUN_DIRECTORY"
"""The variable by which ``bais-gates run`` names the folder, which it removes if pytest is killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateRun:
    """What the fixtures that provision a target may know of the run (the fixture ``gate_run``)."""

    run_id: str
    directory: Path
    """Shared by all processes of the run, gone after it."""
    owner_pid: int
    """The process whose end is the end of the run."""
    environment: str
    """Name or path of the environment file."""
    faults: tuple[str, ...]
    """The faults to start a sandbox with."""
    catalog: Catalog
    policy: Policy
    reports: Path
    """Where the reports go; a gate may add files in a folder of its own there."""
    load_duration_s: float | None = None
    """How long a load run is judged, where the run was told."""
    subject: Subject | None = None
    """The image that the decision is about, where the run was told."""


@dataclass(frozen=True, slots=True)
class RunDirectory:
    """A folder of the run, made by its first process and removed with it."""

    path: Path

    @classmethod
    def create(cls, named: str | None) -> RunDirectory:
        """Make the folder, readable by its owner alone, where it is named or else anywhere."""
        if named is None:
            return cls(Path(tempfile.mkdtemp(prefix="bais-gates-")))
        path = Path(named)
        path.mkdir(mode=0o700)
        return cls(path)

    def remove(self) -> None:
        """Remove the folder and all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)

    @property
    def lock_file(self) -> Path:
        """What exclusive gates lock against all others."""
        return self.path / "exclusive.lock"

    @property
    def results(self) -> Path:
        """Where each finished gate (or case of one) leaves its outcome."""
        return self.path / "results"

    def put_result(self, gate_id: str, outcome: Outcome, case: str | None = None) -> None:
        """Leave a gate's outcome for the gates that need it; one that was worse stays."""
        self.results.mkdir(exist_ok=True)
        known = self.result(gate_id, case)
        if known is not None and known is not Outcome.PASS:
            return
        self._write(self.results / _file_name(gate_id, case), {"outcome": outcome.value})

    def result(self, gate_id: str, case: str | None = None) -> Outcome | None:
        """Return the outcome that a gate left, None while it has not finished."""
        record = _read(self.results / _file_name(gate_id, case))
        return Outcome(str(record["outcome"])) if record else None

    def last_progress(self) -> float:
        """Return when (seconds of the file system's clock) a gate finished last; 0.0 before the first."""
        try:
            return self.results.stat().st_mtime
        except OSError:
            return 0.0

    def stop(self) -> None:
        """Signal to all processes of the run that no further gate will finish."""
        self._write(self.path / "stopped.json", {})

    @property
    def stopped(self) -> bool:
        """Whether ``stop`` was called in any process of the run."""
        return (self.path / "stopped.json").exists()

    def put_collection(self, worker: str, collection: JsonValue) -> None:
        """Leave what a worker collected, for the controller."""
        self._write(self.path / f"collection-{quote(worker, safe='')}.json", collection)

    def collection(self, worker: str) -> JsonValue:
        """Return what a worker collected, None when it left nothing."""
        return _read(self.path / f"collection-{quote(worker, safe='')}.json")

    def _write(self, path: Path, value: JsonValue) -> None:
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.write_text(json.dumps(value), encoding="utf-8")
        temporary.replace(path)


def _file_name(gate_id: str, case: str | None) -> str:
    name = quote(gate_id if case is None else f"{gate_id}[{case}]", safe="")
    if len(name) > 150:  # file systems take 255
        name = hashlib.sha256(name.encode()).hexdigest()
    return name + ".json"


def _read(path: Path) -> dict[str, JsonValue] | None:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None
