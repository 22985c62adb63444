"""Deploying one image to one environment: only what was judged, one at a time, with a way back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bais_gates.lazy import lazy_exports

if TYPE_CHECKING:
    from bais_gates.rollout.expectation import Deployed, read_deployed
    from bais_gates.rollout.figures import Figures, alerts_since, read_figures
else:
    __getattr__ = lazy_exports(__name__, "expectation", "figures")

__all__ = ["Deployed", "Figures", "alerts_since", "read_deployed", "read_figures"]
