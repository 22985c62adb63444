"""The records that gates read: a scan, an audit and an incident procedure of the sandbox, as rehearsals."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from bais_gates.sandbox.errors import SandboxError
from bais_gates.sandbox.files import write_json, write_private

_SOURCES = Path(__file__).parent / "api"
_ARGUMENTS = ("check", "--select=S", "--isolated", "--no-cache", "--exit-zero", "--output-format=sarif")
_SCOPE = (
    *("authentication", "authorization", "cryptography", "data_protection"),
    *("dependencies", "infrastructure", "logging"),
)
_PROCEDURE = """\
---
owner: the developer who runs the sandbox
reviewed: {today}
contacts: [whoever started it]
---
# An incident in the sandbox

## Detect
`bais-gates sandbox status` shows which part has ended and how. The logs are in `{logs}`; refused sign-ins and
refused reads are in the audit log, which the database protects from changes.

## Contain
`bais-gates sandbox fault --clear` switches every fault off. Nothing listens beyond loopback; to cut the
platform off completely, run `bais-gates sandbox down`.

## Eradicate
`bais-gates sandbox down` ends every process and removes every file and password. The next sandbox has new
ones.

## Recover
`bais-gates sandbox up` starts a new one in seconds. To keep the data, restore the newest backup with
`pg_restore`, as the gate checklist.disaster_recovery does.

## Notify
Only the developer is affected: the sandbox contains no real data. A defect of the reference API that
`bais-gates sandbox faults` does not list is a bug in bais-gates; report it with the logs.
"""


def write_all(directory: Path, *, image: str, version: str) -> None:
    """Scan the API's sources, and write the report, the audit record and the procedure into ``records``.

    Raises ``SandboxError`` when the scanner can't be run.
    """
    folder, now = directory / "records", datetime.now(UTC)
    folder.mkdir(mode=0o700, exist_ok=True)
    scan = folder / "ruff.sarif"
    result = run_scan(scan)
    write_json(
        folder / "security_audit.json",
        {
            "taken_at": now.isoformat(timespec="seconds"),
            "auditor": "the sandbox",
            "approved_by": "the rehearsal",
            "subject": image,
            "version": version,
            "rehearsal": True,
            "scope": list(_SCOPE),
            "findings": {"critical": 0, "high": result.findings, "medium": 0, "low": 0},
            "scans": [
                {
                    "file": scan.name,
                    "sha256": hashlib.sha256(scan.read_bytes()).hexdigest(),
                    "scanner": "ruff",
                    "version": result.version,
                }
            ],
        },
    )
    text = _PROCEDURE.format(today=f"{now:%Y-%m-%d}", logs=directory / "logs")
    write_private(folder / "incident_procedure.md", text)


class Scan(NamedTuple):
    """The number of findings, and the version of the scanner."""

    findings: int
    version: str


def run_scan(path: Path) -> Scan:
    """Scan the reference API's sources for security flaws (ruff's rules S), and write the SARIF report.

    Raises ``SandboxError`` when ruff is absent or fails.
    """
    beside = Path(sys.executable).with_name("ruff")
    program = str(beside) if beside.is_file() else shutil.which("ruff")
    if program is None:
        raise SandboxError(
            "the sandbox scans its API's sources with ruff, which is not installed: "
            "pip install 'bais-gates[sandbox]'"
        )
    done = subprocess.run(
        [program, *_ARGUMENTS, str(_SOURCES)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    try:
        report: dict[str, Any] = json.loads(done.stdout)
        run = report["runs"][0]
        findings, version = len(run["results"]), str(run["tool"]["driver"]["version"])
    except (ValueError, KeyError, IndexError):
        output = (done.stderr or done.stdout).strip()[-300:]
        raise SandboxError(f"ruff wrote no report on the reference API's sources: {output}") from None
    write_private(path, done.stdout)
    return Scan(findings, version)
