"""What was found out about the staged platform: one comparison each, for a gate's evidence or a terminal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One comparison, in the order of ``evidence.check``: ``observed`` OP ``limit``."""

    name: str
    observed: Any
    limit: Any
    op: str = "=="
    unit: str | None = None
    source: str | None = None

    @property
    def holds(self) -> bool:
        """Whether it is as it must be; what can not be compared is not."""
        try:
            return bool(_OPERATORS[self.op](self.observed, self.limit))
        except TypeError:
            return False

    @property
    def sentence(self) -> str:
        """Return it in one line for a person."""
        unit = f" {self.unit}" if self.unit else ""
        shown = f"{self.observed:.1f}" if isinstance(self.observed, float) else repr(self.observed)
        if self.holds:
            return f"{self.name}: {shown}{unit}"
        return f"{self.name}: {shown}{unit}, must be {self.op} {self.limit!r}{unit}"


_OPERATORS: Final[dict[str, Callable[[Any, Any], object]]] = {
    "==": lambda observed, limit: observed == limit,
    "!=": lambda observed, limit: observed != limit,
    ">=": lambda observed, limit: observed >= limit,
    "<=": lambda observed, limit: observed <= limit,
    "in": lambda observed, limit: observed in limit,
}
