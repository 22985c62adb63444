"""The exception that input from people raises.

::

    Exception
    └── GateInputError       a file, option or variable is not usable as it is; the message says what to do
        └── AbsentFileError  the file is not there at all
"""

from __future__ import annotations


class GateInputError(Exception):
    """Something that a person wrote is not usable.

    The message is one paragraph for that person: which file, line and key, what is wrong, and what to write
    instead. It never holds a value from the file, as that value may be a secret.
    """


class AbsentFileError(GateInputError):
    """A file that was asked for does not exist."""
