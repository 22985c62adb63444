"""How a deploy or rollback ends: the exit statuses, and the two exceptions that end one early."""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Final

from bais_gates import redaction

AGAIN: Final = (
    "Run `bais-gates deploy` for this environment with --resume to go on, or with --abort to roll back."
)


class RolloutStatus(IntEnum):
    """The exit status of ``bais-gates deploy`` and ``bais-gates rollback``."""

    DEPLOYED = 0
    REFUSED = 30
    ROLLED_BACK = 31
    ROLLBACK_FAILED = 32
    STUCK = 33


class RefusalCode(StrEnum):
    """Why nothing was deployed."""

    DECISION = "DECISION"
    REHEARSAL = "REHEARSAL"
    TARGET_OTHER = "TARGET_OTHER"
    FROZEN = "FROZEN"
    LOCKED = "LOCKED"
    UNFINISHED = "UNFINISHED"
    OLDER = "OLDER"
    FOREIGN_FIELD = "FOREIGN_FIELD"
    IMAGE_UNKNOWN = "IMAGE_UNKNOWN"
    NOT_RUNNING = "NOT_RUNNING"
    NOTHING_TO_DO = "NOTHING_TO_DO"


class Refused(Exception):  # noqa: N818 - it names what was done to the deploy
    """The deploy is refused and nothing was deployed. The message is one paragraph with the remedy."""

    def __init__(self, code: RefusalCode, message: str) -> None:
        self.code = code
        super().__init__(redaction.redact(message))


class Stuck(Exception):  # noqa: N818 - it names the state of the deploy
    """The deploy can neither go on nor back by itself. The message is one paragraph with the remedy."""

    def __init__(self, message: str) -> None:
        super().__init__(redaction.redact(message))


class Paused(Stuck):
    """The release runs, and nobody knows yet whether it is good. ``why`` says what is not known."""

    def __init__(self, why: str) -> None:
        super().__init__(
            f"{why} The release runs, neither passed nor rolled back. Correct what kept it from being "
            f"judged. {AGAIN}"
        )
