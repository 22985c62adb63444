"""The platform's faults: what an administrator can do wrong to its database, cache, cluster and records.

As those of the API (:mod:`bais_gates.sandbox.faults`), each fails exactly the gates that it names.
``data``, ``objects``, ``staging``, ``monitoring`` and ``oncall`` are their tables, ``changes`` what they
consist of; ``making`` makes and undoes them.
"""

from __future__ import annotations

import difflib
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from bais_gates.sandbox.errors import SandboxError
from bais_gates.sandbox.faults import FAULTS
from bais_gates.sandbox.platform_faults import data, monitoring, objects, oncall, staging

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bais_gates.sandbox.faults import Fault
    from bais_gates.sandbox.platform_faults.model import PlatformFault

PLATFORM_FAULTS: Final[Mapping[str, PlatformFault]] = MappingProxyType(
    {fault.name: fault for part in (data, objects, staging, monitoring, oncall) for fault in part.FAULTS}
)
"""The platform's faults by name."""

ALL_FAULTS: Final[Mapping[str, Fault]] = MappingProxyType({**FAULTS, **PLATFORM_FAULTS})
"""The faults of the API and of the platform by name."""


def of_platform(names: Iterable[str], *, staged: bool = True) -> tuple[str, ...]:
    """Return those of the names that are faults of the platform, in order, with or without staging's."""
    found = [PLATFORM_FAULTS[name] for name in dict.fromkeys(names) if name in PLATFORM_FAULTS]
    return tuple(fault.name for fault in found if staged or not fault.staged)


def check_faults(names: Iterable[str], *, platform: bool = True) -> None:
    """Raise ``SandboxError`` for a name that is not a fault's, or not of the API where that is needed."""
    known: Mapping[str, Fault] = ALL_FAULTS if platform else FAULTS
    unknown = [name for name in names if name not in known]
    if not unknown:
        return
    if unknown[0] in ALL_FAULTS:
        raise SandboxError(f"the fault {unknown[0]} changes the platform, which is not up yet")
    near = difflib.get_close_matches(unknown[0], known, n=3)
    hint = f"Did you mean {' or '.join(near)}? " if near else ""
    listed = "`bais-gates sandbox faults` lists them all"
    raise SandboxError(f"unknown fault {', '.join(unknown)}. {hint}{listed}.")
