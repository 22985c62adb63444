"""How a deploy is proven in an environment: on a copy of its database before, by its figures afterwards."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchPart:
    """How long a release is watched after its rollout, in which windows, and what one must show."""

    for_s: float = 900.0
    """Seconds of good windows that it needs; bad ones and those without data do not count."""
    window_s: float = 30.0
    requests_min: int = 50
    """Requests that a window needs to be judged: by fewer, chance decides."""
    bad_windows: int = 3
    """Bad windows in a row that fail the watch."""
    pause_s: float = 600.0
    """Seconds without data, in a row, past which the watch stops without an outcome."""
    errors_max: float = 0.01
    """Share of a window's requests that may end in a 5xx."""
    p95_ms: float = 200.0
    payments_min: float = 0.95
    """Share of payments that must succeed, of those with an outcome."""
    payments_drop_max: float = 0.05
    """How much lower that share may be than in the hour before the deploy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutPart:
    """What ``bais-gates deploy`` needs besides the platform itself."""

    scratch_url: str | None = None
    """A PostgreSQL server of its own, to which the newest backup is restored and the migration applied."""
    watch: WatchPart = field(default_factory=WatchPart)
