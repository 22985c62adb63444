"""A parser that says which word was probably meant; that of Python 3.14 can, and no older one."""

from __future__ import annotations

import argparse
import difflib
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import NoReturn

_CHOICE: Final = re.compile(r"invalid choice: '([^']*)' \(choose from (.*)\)")
_UNKNOWN: Final = re.compile(r"unrecognized arguments: (--[^ =]+)")


class Parser(argparse.ArgumentParser):
    """Its subparsers are of this class, too: argparse makes them like the one that they are added to."""

    _words: Sequence[str] = ()

    def parse_known_args(self, args=None, namespace=None):  # type: ignore[no-untyped-def] # overloaded there
        """Keep the words for the message about one that is unknown."""
        self._words = [str(word) for word in args or ()]
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Exit with a usage message that ends with the nearest word."""
        known: Sequence[str] = ()
        word = ""
        if found := _CHOICE.search(message):
            word, known = found[1], [one.strip("' ") for one in found[2].split(",")]
        elif found := _UNKNOWN.search(message):
            word, known = found[1], list(self.options(self._words))
        near = difflib.get_close_matches(word, known, n=1)
        super().error(message + (f". Did you mean {near[0]}?" if near else ""))

    def options(self, words: Sequence[str]) -> Iterator[str]:
        """Yield the options of this parser and of the commands that are named."""
        yield from self._option_string_actions
        for action in self._actions:
            if isinstance(action.choices, dict):
                for name, parser in action.choices.items():
                    if name in words and isinstance(parser, Parser):
                        yield from parser.options(words)
