"""Libraries and modules that only some gates need: imported at first use.

A run pays for no library that it does not use, and `pytest --collect-only` for next to none.
"""

from __future__ import annotations

import importlib
from typing import Any

from bais_gates.errors import GateInputError


def optional(library: str, *, extra: str) -> Any:
    """Return a stand-in for a library that imports it at its first use.

    That use raises GateInputError with the command that installs ``bais-gates[extra]`` where the library
    can't be imported: the gate that needs it is an ERROR, and all others run.
    """
    return _Library(library, extra)


def deferred(module: str) -> Any:
    """Return a stand-in for a module that is always installed; it is imported at its first use."""
    return _Library(module, None)


class _Library:
    def __init__(self, library: str, extra: str | None) -> None:
        self._library = library
        self._extra = extra

    def __getattr__(self, name: str) -> Any:
        try:
            module = importlib.import_module(self._library)
        except ImportError as e:
            if self._extra is None:
                raise
            raise GateInputError(
                f"This needs the library {self._library}, which can't be imported ({e}). Install it: "
                f"pip install 'bais-gates[{self._extra}]'"
            ) from None
        return getattr(module, name)
