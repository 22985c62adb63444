"""The subject of a decision as text: ``NAME@sha256:<64 hex digits>``."""

from __future__ import annotations

import re

from bais_gates.verdict.model import Subject

_SUBJECT = re.compile(r"(?P<name>[a-z0-9][A-Za-z0-9._/:-]{0,254})@(?P<digest>sha256:[0-9a-f]{64})")


def parse_subject(text: str) -> Subject:
    """Read ``NAME@sha256:<64 lower-case hex digits>``; raise ValueError for anything else."""
    match = _SUBJECT.fullmatch(text)
    if match is None:
        raise ValueError(
            "the subject must be NAME@sha256: and 64 lower-case hex digits; a tag alone is not enough"
        )
    return Subject(name=match["name"], digest=match["digest"])
