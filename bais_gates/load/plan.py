"""What a load run asks of the target: the rate, the users, the phases, and the mix of requests."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Final

MIX: Final[Mapping[str, int]] = {
    "analytics": 108,
    "status": 40,
    "payment": 37,
    "read_payment": 4,
    "repeat_payment": 2,
    "declined_payment": 1,
    "health": 8,
}
"""The users' actions and how often each is taken, in parts of the sum.

So few cards are declined that a healthy platform keeps its target of 95 % successful payments under it.
"""
COLUMNS: Final = ("user", "name", "due", "lag", "sent", "took", "status", "fault", "detail")
"""Of a row: ``due`` and ``sent`` in Unix seconds; ``lag``, how late the generator was, and ``took``."""
VARIABLE: Final = "BAIS_GATES_LOAD"
"""The environment variable by which a plan reaches the locustfile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One run. Its phases, in order: ``ramp_s`` to all users, ``warm_up_s``, ``measured_s``, ``tail_s``.

    Each user sends at its own fixed times, ``users / asked_per_s`` seconds apart.
    """

    rate_per_s: float = 500.0
    """Accepted requests per second that the target must sustain."""
    margin: float = 1.05
    """How much more is asked, so that a target that sustains the rate is not failed by rounding."""
    users: int = 1000
    ramp_s: float = 6.0
    warm_up_s: float = 4.0
    measured_s: float = 20.0
    tail_s: float = 1.0
    """For the last measured responses; a request without one counts with its wait so far."""
    window_s: float = 5.0
    mix: Mapping[str, int] = field(default_factory=lambda: dict(MIX))

    @property
    def asked_per_s(self) -> float:
        """Requests per second that are sent."""
        return self.rate_per_s * self.margin

    @property
    def period_s(self) -> float:
        """Seconds from one request of a user to its next."""
        return self.users / self.asked_per_s

    @property
    def seconds(self) -> float:
        """Length of the whole run."""
        return self.ramp_s + self.warm_up_s + self.measured_s + self.tail_s

    @property
    def windows(self) -> int:
        """Number of windows that are judged; the last may be shorter."""
        return max(1, math.ceil(self.measured_s / self.window_s - 1e-9))

    def encoded(self, **more: str) -> str:
        """Return the plan, and more texts, for :data:`VARIABLE`."""
        return json.dumps({**asdict(self), **more})

    @classmethod
    def decoded(cls, text: str) -> tuple[Plan, dict[str, str]]:
        """Return what :meth:`encoded` got; the defaults for an empty text. Raises ValueError."""
        try:
            keys = dict(json.loads(text)) if text else {}
            known = {name: keys.pop(name) for name in list(keys) if name in cls.__slots__}
            return cls(**known), keys
        except (TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"{VARIABLE} does not hold a plan of a load run: {error}") from None
