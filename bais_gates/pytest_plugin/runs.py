"""The run as a decision names it: id, moments, command line, versions."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from importlib import metadata
from typing import TYPE_CHECKING

from bais_gates import __version__
from bais_gates.redaction import redact
from bais_gates.verdict.model import Run

if TYPE_CHECKING:
    import pytest

    from bais_gates.pytest_plugin.state import RunState

_MAX_ARGUMENT = 500


def run_value(
    config: pytest.Config, state: RunState, *, ended: bool, ledger_digest: str | None = None
) -> Run:
    """Return the run; ``ended`` says that it has come to its end just now."""
    return Run(
        run_id=state.settings.run_id,
        started_at=state.started_at,
        finished_at=datetime.now(UTC) if ended else None,
        command=("pytest", *(redact(str(one))[:_MAX_ARGUMENT] for one in config.invocation_params.args)),
        workers=_workers(config),
        versions=_versions(),
        ledger_digest=ledger_digest,
    )


def _workers(config: pytest.Config) -> int:
    specs = getattr(config.option, "tx", None) if hasattr(config, "option") else None
    return len(specs) if isinstance(specs, list) and specs else 1


def _versions() -> tuple[tuple[str, str], ...]:
    found = [("bais-gates", __version__), ("python", platform.python_version())]
    for name in ("pytest", "pytest-xdist", "pytest-html"):
        try:
            found.append((name, metadata.version(name)))
        except metadata.PackageNotFoundError:
            continue
    return tuple(found)
