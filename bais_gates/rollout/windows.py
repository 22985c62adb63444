"""The windows of a watch: what each showed, and what they say together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from bais_gates.errors import GateInputError
from bais_gates.rollout.figures import Figures

if TYPE_CHECKING:
    from bais_gates.targets.rollout import WatchPart

MAX_GOOD: Final = 100
"""Good windows that a watch may need: with the bad ones they must fit into an annotation (256 KiB)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """One stretch of a watch. It is bad with problems, without data if it says why, else good."""

    at: str
    """When it began, such as ``2026-03-02T12:00:00Z``."""
    seconds: float
    figures: Figures | None = None
    """None where Prometheus did not tell them."""
    problems: tuple[str, ...] = ()
    no_data: str = ""
    """Why it can't be judged; of several in a row that are kept as one, the last reason."""

    @property
    def bad(self) -> bool:
        """Whether something of it was wrong, whatever else is not known."""
        return bool(self.problems)

    @property
    def good(self) -> bool:
        """Whether everything of it is known, and right."""
        return not self.problems and not self.no_data and self.figures is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What the windows so far say together."""

    good_s: float
    row: int
    """Bad windows since the last good one."""
    bad: tuple[Window, ...]
    failed: bool
    passed: bool

    @property
    def summary(self) -> str:
        """Name the bad windows, the first one with what was wrong; empty without any."""
        if not self.bad:
            return ""
        first = self.bad[0]
        count = f"{len(self.bad)} windows were bad" if len(self.bad) > 1 else "1 window was bad"
        return f"{count}, the first one at {first.at}: {'; '.join(first.problems)}"


def judge(windows: tuple[Window, ...], limits: WatchPart) -> Standing:
    """Return what the windows say: passed with ``limits.for_s`` of good ones, and a good one at the end.

    Failed with ``limits.bad_windows`` bad ones since the last good one, or, however they lie, with more than
    that and than half as many as it needs good ones. A window without data changes nothing.
    """
    good_s, row, bad = 0.0, 0, []
    failed = False
    allowed = max(limits.bad_windows, limits.for_s / limits.window_s / 2)
    for window in windows:
        if window.bad:
            row += 1
            bad.append(window)
        elif window.good:
            row = 0
            good_s += window.seconds
        failed = failed or row >= limits.bad_windows or len(bad) > allowed
    passed = not failed and not row and good_s >= limits.for_s
    return Standing(good_s=good_s, row=row, bad=tuple(bad), failed=failed, passed=passed)


def with_window(windows: tuple[Window, ...], window: Window) -> tuple[Window, ...]:
    """Return the windows and one more; those without data that follow one another become one."""
    if windows and not (windows[-1].bad or windows[-1].good or window.bad or window.good):
        last = windows[-1]
        return (*windows[:-1], replace(window, at=last.at, seconds=last.seconds + window.seconds))
    return (*windows, window)


def read_window(data: dict[str, Any]) -> Window:
    """Return the window of a record's JSON; raise ValueError, TypeError or KeyError for another shape."""
    figures, problems = data["figures"], data["problems"]
    numbers = {key: None if value is None else float(value) for key, value in (figures or {}).items()}
    return Window(
        at=str(data["at"]),
        seconds=float(data["seconds"]),
        figures=Figures(**numbers) if figures is not None else None,  # type: ignore[arg-type] # p95 only
        problems=tuple(map(str, problems)),
        no_data=str(data["no_data"]),
    )


def require_bounded(limits: WatchPart, where: str) -> None:
    """Raise GateInputError if the watch has more windows than a record can keep."""
    if limits.for_s / limits.window_s > MAX_GOOD:
        raise GateInputError(
            f"{where}: a watch of {limits.for_s:g} s has more than {MAX_GOOD} windows of {limits.window_s:g} "
            "s. Lengthen rollout.watch.window_s, or watch for a shorter time."
        )
