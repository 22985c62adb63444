"""On-call as code: rotations, and who is on call by them; here the names that gates use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bais_gates.lazy import lazy_exports

if TYPE_CHECKING:
    from bais_gates.oncall import shifts
    from bais_gates.oncall.provider import OncallError, Provider, Shift
    from bais_gates.oncall.reading import load_rotation
    from bais_gates.oncall.rotation import Rotation
else:
    __getattr__ = lazy_exports(__name__, "shifts", "provider", "reading", "rotation")

__all__ = ["OncallError", "Provider", "Rotation", "Shift", "load_rotation", "shifts"]
