"""The exceptions for wrong input.

::

    Exception
    └── GateInputError       a file, option or variable is not usable; the message has the remedy
        ├── AbsentFileError  the file does not exist
        └── RecordRefused    a record that a gate judges is damaged, incomplete or ambiguous
"""

from __future__ import annotations


class GateInputError(Exception):
    """Input from a person that is not usable.

    The message is one paragraph for that person: the file, line and key, what is wrong, and what to write
    instead. It never repeats a value from the file, as that value may be a secret.
    """


def is_finding(error: BaseException) -> bool:
    """Return whether an exception is what this package reports of a target or a file, and no bug.

    Its message is a paragraph for people, the same for every gate that meets it: it needs no traceback. A
    ValueError or TypeError is a bug of whoever called us.
    """
    ours = type(error).__module__.partition(".")[0] == __package__
    return ours and isinstance(error, Exception) and not isinstance(error, ValueError | TypeError)


class RecordRefused(GateInputError):  # noqa: N818 - it names the state of the record
    """A record that a gate judges is damaged, incomplete or ambiguous: nothing is proven, and it fails."""


class AbsentFileError(GateInputError):
    """A requested file does not exist."""
