"""The templates' environment: autoescape on, text from outside made visible and cut to length."""

from __future__ import annotations

import functools
import re
from importlib import resources
from typing import TYPE_CHECKING, Any

from bais_gates import __version__
from bais_gates.reports import criteria, view, wording
from bais_gates.reports.bars import bar_of
from bais_gates.reports.plots import plots_of
from bais_gates.reports.text import cap, cap_middle, shorten, visible
from bais_gates.verdict.model import Outcome

if TYPE_CHECKING:
    import jinja2

    from bais_gates.verdict.model import Attachment


NAME_LIMIT = 300
MESSAGE_LIMIT = 4_000
TEXT_LIMIT = 20_000
"""Characters of one log or attachment on the page; decision.json has all that was recorded."""
CHECKS_LIMIT = 100
ATTACHMENTS_LIMIT = 20
ITEMS_LIMIT = 50
_BESIDE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]{0,200}")
"""A relative path without a scheme."""


def anchor(gate_id: str) -> str:
    """Return the URL fragment of a gate."""
    return "gate-" + re.sub(r"[^A-Za-z0-9._-]", "-", gate_id)


def link_of(attachment: Attachment) -> str:
    """Return the file beside the page that an attachment of type text/uri-list names; "" for any other."""
    text = attachment.text.strip()
    inside = _BESIDE.fullmatch(text) is not None and ".." not in text
    return text if attachment.content_type == "text/uri-list" and inside else ""


@functools.cache
def environment() -> jinja2.Environment:
    """Return the environment that pages are rendered in, made once."""
    import jinja2  # noqa: PLC0415 - 40 ms that only a run which writes reports should pay

    made = jinja2.Environment(
        autoescape=True,
        loader=jinja2.FunctionLoader(template_text),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize,
    )
    made.globals.update(
        version=__version__,
        Outcome=Outcome,
        checks_limit=CHECKS_LIMIT,
        attachments_limit=ATTACHMENTS_LIMIT,
        items_limit=ITEMS_LIMIT,
    )
    functions = (
        *(
            anchor,
            bar_of,
            link_of,
            plots_of,
            view.decisive_check,
            view.message_beside_checks,
            view.remedy,
            view.standing,
            criteria.tally,
        ),
        *(wording.held_back, wording.most_telling_first),
        *(wording.brief, wording.check_name, wording.check_text, wording.check_word, wording.comparison),
        *(wording.duration, wording.headline, wording.list_items, wording.moment, wording.paragraphs),
    )
    made.filters.update(  # not globals: a template calls its filters at half the cost
        {function.__name__: function for function in functions},
        counted=wording.count,  # `count` is Jinja's own, and is the length
        message_text=functools.partial(_capped, limit=MESSAGE_LIMIT),
        name_text=functools.partial(_capped, limit=NAME_LIMIT),
        short_text=functools.partial(shorten, width=30),
        log_text=functools.partial(_capped_middle, limit=TEXT_LIMIT),
    )
    return made


def template_text(name: str) -> str:
    """Return a file of the templates folder."""
    return (resources.files("bais_gates.reports") / "templates" / name).read_text(encoding="utf-8")


def _finalize(value: Any) -> Any:
    """Make every text that a template prints visible; what a macro returned is our own HTML."""
    if type(value) is str and len(value) <= NAME_LIMIT and value.isascii() and value.isprintable():
        return value  # as nearly all are
    if not isinstance(value, str) or hasattr(value, "__html__"):
        return value
    return cap(visible(value), 2 * TEXT_LIMIT)


def _capped(text: str, *, limit: int) -> str:
    return cap(visible(text), limit).strip()


def _capped_middle(text: str, *, limit: int) -> str:
    return cap_middle(visible(text), limit).strip("\n")
