"""Write the runbooks as static pages: one of them all, and one for each to which its alert's link leads.

Prometheus' links are ``https://HOST/AlertName``: ``DIR/AlertName/index.html`` answers them on any web server.
Each page is one file with nothing from elsewhere; its Content-Security-Policy allows our own style and script
by their hashes. Without a script the search is not shown, and everything else works.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bais_gates.extras import deferred
from bais_gates.monitoring.rendering import write_file
from bais_gates.oncall.programs import VARIABLES
from bais_gates.oncall.runbooks import Runbook, parser

if TYPE_CHECKING:
    import jinja2
    import markupsafe
else:
    jinja2, markupsafe = deferred("jinja2"), deferred("markupsafe")

TITLE = "Runbooks"


@dataclass(frozen=True, slots=True)
class _Book:
    """One document as the template reads it."""

    name: str
    title: str
    body: markupsafe.Markup


def write_pages(runbooks: Iterable[Runbook], out: Path) -> list[Path]:
    """Write ``out/index.html`` and ``out/NAME/index.html`` and return their paths; raise GateInputError.

    The general documents come first, as in an incident.
    """
    ordered = sorted(runbooks, key=lambda one: (not one.is_general, one.name))
    written = [write_file(out / "index.html", page(ordered))]
    return [*written, *(write_file(out / one.name / "index.html", page([one])) for one in ordered)]


def page(runbooks: Iterable[Runbook]) -> str:
    """Return the page of some runbooks; the id of each is its name."""
    listed = list(runbooks)
    books = [_Book(one.name, one.title or one.name, _body(one.text, lower=len(listed) > 1)) for one in listed]
    style, script = _file("runbooks.css"), _file("runbooks.js")
    text = "".join(one.text for one in listed)
    return _template().render(
        title=TITLE if len(books) > 1 else books[0].title,
        books=books,
        variables=[(name, what) for name, what in VARIABLES.items() if f"${name}" in text],
        style=markupsafe.Markup(style),
        style_hash=_hash(style),
        script=markupsafe.Markup(script),
        script_hash=_hash(script),
    )


def _body(text: str, *, lower: bool) -> markupsafe.Markup:
    """Return a document as HTML, on a page of several with lower headings; the library escapes all text."""
    library = parser()
    tokens = library.parse(text)
    for one in tokens:
        if one.type in {"heading_open", "heading_close"}:
            one.tag = f"h{min(int(one.tag[1]) + lower, 6)}"
    made: Any = library.renderer.render(tokens, library.options, {})
    made = made.replace("<table>", '<div class="wide"><table>').replace("</table>", "</table></div>")
    return markupsafe.Markup(made)


@functools.cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(_file("runbooks.html"))


def _file(name: str) -> str:
    return (resources.files("bais_gates.oncall") / "templates" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
