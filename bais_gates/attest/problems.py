"""A reason to refuse a decision: a stable code, what is wrong, what to do."""

from __future__ import annotations

from dataclasses import dataclass


def shown(text: str) -> str:
    """Return a text as one line: what a file says may neither end it nor move the cursor."""
    return "".join(char if char.isprintable() else "\ufffd" for char in text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One reason to refuse a decision. ``code`` is stable."""

    code: str
    message: str
    remedy: str = ""
    changes: tuple[str, ...] = ()
    """What differs between the files that the decision was made from and those here, one clause each."""

    def __post_init__(self) -> None:
        """Make the message one line, of several errors or whatever was quoted in it."""
        object.__setattr__(self, "message", shown(self.message.replace("\n", " ")))
