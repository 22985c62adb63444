"""Test data that no other run, worker or gate makes: every value holds the run's mark and a random part."""

from __future__ import annotations

import re
import secrets
from typing import Final

_MARK_LENGTH: Final = 8
_NOT_A_MARK: Final = re.compile(r"[^a-z0-9]+")


class Unique:
    """Makes names that say which run made them, so that what a run left behind can be found and told."""

    def __init__(self, run_id: str) -> None:
        self.mark = _NOT_A_MARK.sub("", run_id.lower())[-_MARK_LENGTH:] or "run"

    def word(self, prefix: str = "gate") -> str:
        """Give a lower-case word: ``gate-<run>-<12 random hex digits>``."""
        return f"{prefix}-{self.mark}-{secrets.token_hex(6)}"

    def email(self, prefix: str = "gate") -> str:
        """Give an address in a domain that is reserved for examples: nobody gets mail."""
        return f"{self.word(prefix)}@example.com"

    def password(self) -> str:
        """Give a password of 28 characters with both cases, a digit and a symbol."""
        return f"Gg7!{secrets.token_hex(12)}"

    def key(self) -> str:
        """Give an Idempotency-Key."""
        return self.word("key")
