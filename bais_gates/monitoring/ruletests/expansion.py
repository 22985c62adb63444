"""Expand the templates of labels and annotations, by Prometheus itself.

It expands an alert's templates only when the alert fires now, but a console template at any time, with the
same functions. So each text becomes a console template in which ``$labels`` and ``$value`` come from a query
that yields them. A console is HTML: static text is made a value, so that all of it is escaped alike.
"""

from __future__ import annotations

import contextlib
import html
import json
import re
from collections.abc import Iterator, Sequence
from typing import Final

from bais_gates.monitoring import promql, templates
from bais_gates.monitoring.ruletests.server import EvaluationError, Server
from bais_gates.monitoring.ruletests.testfile import Labels

_ELSEWHERE: Final = frozenset(
    {"query", "now", "externalURL", "pathPrefix", "define", "template", "block", "safeHtml"}
    | {"$", ".ExternalLabels", ".ExternalURL"}
)
"""What a console template answers otherwise than an alert's."""
_SPACE: Final = " \t\r\n"
_PARTING: Final = "~@bais-gates@~"
_LABEL: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*", re.ASCII)


class Expander:
    """Expands templates on a server, each once for the same labels and value."""

    def __init__(self, server: Server, external_labels: Labels, external_url: str) -> None:
        self._server = server
        self._external = external_labels
        self._url = external_url
        self._known: dict[tuple[str, Labels, str], str | None] = {}

    def expand(self, texts: Sequence[str], labels: Labels, value: float) -> list[str | None]:
        """Return each template's text for an alert's sample; None if it is one that only an alert can expand.

        A template that fails becomes a text that says so, as in Prometheus.
        """
        keys = [(text, labels, repr(value)) for text in texts]
        missing = [
            key for key in dict.fromkeys(keys) if key not in self._known and self._set_plain(key) is None
        ]
        if missing:
            prelude = self._prelude(labels, value)
            bodies = [f"{prelude}{_as_values(text)}{{{{ end }}}}" for text, _, _ in missing]
            answer: list[str] = []
            with contextlib.suppress(EvaluationError):
                answer = html.unescape(self._server.expand(_quoted(_PARTING).join(bodies))).split(_PARTING)
            if len(answer) != len(missing):  # one can't be expanded, or contains what parts them
                answer = [self._alone(body) for body in bodies]
            self._known.update(zip(missing, answer, strict=True))
        return [self._known[key] for key in keys]

    def _set_plain(self, key: tuple[str, Labels, str]) -> bool | None:
        """Note what needs no server; return None if one is needed."""
        text = key[0]
        if "{{" not in text:
            self._known[key] = text
        elif any(one.text in _ELSEWHERE for _, _, tokens in templates.actions(text) for one in tokens or ()):
            self._known[key] = None
        return True if key in self._known else None

    def _alone(self, body: str) -> str:
        try:
            return html.unescape(self._server.expand(body))
        except EvaluationError as error:
            return f"<error expanding template: {error}>"

    def _prelude(self, labels: Labels, value: float) -> str:
        """Return the beginning of a block in which the variables of an alert's template are set."""
        return (
            f"{{{{ with first (query {_go(_sample(labels, value))}) }}}}"
            "{{ $labels := .Labels }}{{ $value := .Value }}"
            f"{{{{ $externalLabels := (first (query {_go(_sample(self._external, 0.0))})).Labels }}}}"
            f"{{{{ $externalURL := {_go(self._url)} }}}}"
        )


def _sample(labels: Labels, value: float) -> str:
    """Return an expression that yields one sample with these labels and this value, whatever is stored."""
    expr = f"vector({value!r})"
    for name, text in labels:
        if _LABEL.fullmatch(name):
            expr = f'label_replace({expr}, "{name}", {promql.quote(text.replace("$", "$$"))}, "", "")'
    return expr


def _go(text: str) -> str:
    """Return a string of a Go template; JSON's escapes are among Go's."""
    return json.dumps(text, ensure_ascii=False)


def _quoted(text: str) -> str:
    return f"{{{{ {_go(text)} }}}}" if text else ""


def _as_values(text: str) -> str:
    """Return a template whose static texts are values, trimmed where an action next to them says so."""
    return "".join(_pieces(text))


def _pieces(text: str) -> Iterator[str]:
    position, trims = 0, False
    for start, end, tokens in templates.actions(text):
        static, action = text[position:start], text[start:end]
        if trims:
            static = static.lstrip(_SPACE)
        if action[2:3] == "-" and action[3:4] in _SPACE:
            static = static.rstrip(_SPACE)
        trims = action[-3:-2] == "-" and action[-4:-3] in _SPACE
        yield _quoted(static)
        if tokens is not None:
            yield action
        position = end
    rest = text[position:]
    yield _quoted(rest.lstrip(_SPACE) if trims else rest)
