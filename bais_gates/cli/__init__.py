"""``bais-gates``: the command line. Each command is a module with its own parser.

``bais-gates run`` takes an older decision away before it imports what may fail or take time.
"""

from __future__ import annotations

import os
import signal
import sys
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from bais_gates.reports.voiding import void_all
from bais_gates.streams import outlive_readers

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence
    from types import ModuleType

COMMANDS = (
    "init",
    "run",
    "verify",
    "attest",
    "explain",
    "validate",
    "sandbox",
    "stage",
    "monitoring",
    "load",
    "oncall",
    "deploy",
    "rollback",
)
"""The commands in the order of the help, each a module of this name but for these:"""
_MODULES = {"rollback": "deploy"}
_NO_PROJECT = "there is no project in {} (no {}). Go to its folder, or write one with `bais-gates init`."
USAGE_ERROR = 2
INTERRUPTED = 130
_BROKEN = 23  # ExitStatus.BROKEN, which takes an import


def commands(names: Sequence[str] = COMMANDS) -> tuple[ModuleType, ...]:
    """Return the modules of these commands, imported."""
    from importlib import import_module  # noqa: PLC0415 - see above

    modules = dict.fromkeys(_MODULES.get(name, name) for name in names)
    return tuple(import_module(f"{__name__}.{module}") for module in modules)


def parser(names: Sequence[str] = COMMANDS) -> argparse.ArgumentParser:
    """Build the parser of these commands."""
    from bais_gates import __version__  # noqa: PLC0415 - see above
    from bais_gates.cli.suggesting import Parser  # noqa: PLC0415 - see above

    top = Parser(
        prog="bais-gates",
        description="Turn acceptance tests and go-live checks into one decision: DEPLOY or BLOCK.",
        epilog="`pytest -m golive` makes the same decision as `bais-gates run golive`.",
    )
    top.add_argument("--version", action="version", version=f"bais-gates {__version__}")
    subparsers = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in commands(names):
        command.add(subparsers)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 2 with a message for wrong input, 130 for Ctrl-C."""
    words = list(sys.argv[1:] if argv is None else argv)
    cut = words.index("--") if "--" in words else len(words)
    # argparse would take the first word after "--" for a missing SCOPE.
    before, after = words[:cut], words[cut + 1 :]
    try:
        if argv is None:
            outlive_readers()
        if next((word for word in before if not word.startswith("-")), None) == "run":
            return _run(before, after)
        return _command(before, pytest_args=after)
    except KeyboardInterrupt:
        if argv is None:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # nothing is left to do but to end
        return INTERRUPTED


def _command(words: Sequence[str], **more: Any) -> int:
    """Parse the words of a command and call it."""
    import argparse  # noqa: PLC0415 - see above

    from bais_gates.errors import GateInputError  # noqa: PLC0415 - see above

    named = words[:1] if words and words[0] in COMMANDS else COMMANDS  # others cost half of a short command
    try:
        _refuse_folder()
        _refuse_empty(words)
        arguments = parser(named).parse_args(words, argparse.Namespace(**more))
        status: int = arguments.command(arguments)
    except GateInputError as error:
        text = str(error)
        if text.startswith("gates") and not os.path.isdir("gates"):  # noqa: PTH112 - as above
            text = _NO_PROJECT.format(os.getcwd(), text.partition(":")[0])  # noqa: PTH109 - as above
        print(f"bais-gates: {text}", file=sys.stderr)
        return USAGE_ERROR
    return status


def _refuse_folder() -> None:
    """Raise GateInputError where the current folder is gone: Python and pytest would fail with tracebacks."""
    from bais_gates.errors import GateInputError  # noqa: PLC0415 - see above

    try:
        os.getcwd()  # noqa: PTH109 - pathlib takes long to import
    except FileNotFoundError:
        raise GateInputError("the current folder was removed. Change into one that exists.") from None


def _refuse_empty(words: Sequence[str]) -> None:
    """Raise GateInputError for an option with an empty value, which Path takes for the current folder."""
    from bais_gates.errors import GateInputError  # noqa: PLC0415 - see above

    for word, following in pairwise([*words, "-"]):
        if word.startswith("--") and (word.endswith("=") or not following):
            option = word.rstrip("=")
            raise GateInputError(
                f"{option}: its value is empty, as from an unset variable. Give one, or leave it out."
            )


def _run(before: Sequence[str], after: Sequence[str]) -> int:
    """Take older decisions away, then call the command ``run``, which may refuse its words.

    Ctrl-C is held back until pytest is started, which writes the BLOCK of an interrupted run.
    """
    run_id = next(_values(before, "--run-id"), "") or os.urandom(8).hex()
    folders = (
        *(tuple(filter(None, _values(before, "--out"))) or ("gate-report",)),
        *_values(after, "--gate-out"),
    )
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    may_be_no_run = any(
        word == "-h" or (len(word) > 2 and ("--help".startswith(word) or "--version".startswith(word)))
        for word in before
    )
    try:
        if not may_be_no_run:
            _void_all(folders, run_id)
        try:
            return _command(before, pytest_args=after, new_run_id=run_id)
        except SystemExit as end:
            if may_be_no_run and end.code:  # it was one, and its words are refused
                _void_all(folders, run_id)
            if not may_be_no_run and not end.code:
                # Of a module that is imported, such as a yaml.py of theirs.
                print("bais-gates: BLOCK: a module ended the run as it was imported.", file=sys.stderr)
                return _BROKEN
            raise
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _void_all(folders: Sequence[str], run_id: str) -> None:
    outs = map(os.path.expanduser, folders)  # pathlib takes long to import
    if not void_all(outs, option="--out", run_id=run_id, command=("bais-gates", "run")):
        sys.exit(_BROKEN)


def _values(words: Sequence[str], option: str) -> Iterator[str]:
    """Yield the values that words give for an option, in each form that argparse takes."""
    for word, following in pairwise([*words, ""]):
        name, joined, value = word.partition("=")
        if len(name) > 2 and option.startswith(name) and (joined or following):
            yield value if joined else following
