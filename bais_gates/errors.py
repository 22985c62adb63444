"""The exceptions for wrong input.

::

    Exception
    └── GateInputError       a file, option or variable is not usable; the message has the remedy
        └── AbsentFileError  the file does not exist
"""

from __future__ import annotations


class GateInputError(Exception):
    """Input from a person that is not usable.

    The message is one paragraph for that person: the file, line and key, what is wrong, and what to write
    instead. It never repeats a value from the file, as that value may be a secret.
    """


class AbsentFileError(GateInputError):
    """A requested file does not exist."""
