"""Packages that export the public names of their modules, each imported at its first use (PEP 562)."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def lazy_exports(package: str, *modules: str) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of a package whose ``__all__`` names what these modules of it define.

    Importing the package imports none of them, so that whoever needs one module does not pay for all.
    """

    def find(name: str) -> Any:
        if name in sys.modules[package].__all__:
            if name in modules:
                return importlib.import_module(f"{package}.{name}")
            for module in modules:
                home = importlib.import_module(f"{package}.{module}")
                if name in vars(home):
                    return vars(home)[name]
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return find
