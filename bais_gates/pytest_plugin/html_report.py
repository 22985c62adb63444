"""pytest-html's report as the raw log of a deciding run: on, self-contained, in the report folder."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from bais_gates.pytest_plugin.opening import HTML_FILE

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

_COLUMNS = "bais_gates.pytest_plugin.html_columns"


def set_up_html(config: pytest.Config, out: Path) -> None:
    """Ask for report.html unless the user asked for another one; nothing where pytest-html is not loaded."""
    if not hasattr(config.option, "htmlpath"):
        return
    if not config.option.htmlpath:
        config.option.htmlpath = str(out / HTML_FILE)
        config.option.self_contained_html = True
    if find_spec(_COLUMNS) is not None:
        config.pluginmanager.register(import_module(_COLUMNS))
