"""Libraries and modules that only some gates need: imported at first use.

A run pays for no library that it does not use, and `pytest --collect-only` for next to none.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from bais_gates.errors import GateInputError

if TYPE_CHECKING:
    from types import ModuleType


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
            module = _imported(self._library)
        except ImportError as e:
            if self._extra is None:
                raise
            raise GateInputError(
                f"This needs the library {self._library}, which can't be imported ({e}). Install it: "
                f"pip install 'bais-gates[{self._extra}]'"
            ) from None
        return getattr(module, name)


def _imported(library: str) -> ModuleType:
    """Import a library; raise ImportError also for a folder of its name, which Python imports as a package.

    pytest puts folders of tests in front of the libraries, and one of them may be called ``kubernetes``.
    """
    module = importlib.import_module(library)
    if module.__spec__ is not None and module.__spec__.origin is None:
        raise ImportError(f"{next(iter(module.__path__))} is a folder of that name")
    return module
