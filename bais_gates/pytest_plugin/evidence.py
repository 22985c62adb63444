"""The ``evidence`` fixture: what a gate records, at once and for good.

::

    AssertionError
    └── GateFailure     a check was false: the gate's outcome is FAIL (NO_DATA when there was too little data)
    RuntimeError
    └── GateEnded       a check was made after the end of its gate, e.g. by a thread
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from bais_gates.redaction import redact, redact_value
from bais_gates.reports.wording import check_text, most_telling_first
from bais_gates.verdict.codec import check_to_json
from bais_gates.verdict.comparison import NotComparable, UnusableLimit, compare, operator_of, plain
from bais_gates.verdict.model import MAX_VALUE_CHARACTERS, Attachment, Check, JsonValue, Op

MAX_ATTACHMENT_CHARACTERS = 256 * 1024
"""An attachment is cut here and marked as truncated."""

_NAME_LIMIT = 300

evidence_key: pytest.StashKey[Evidence] = pytest.StashKey()
"""On an item: what its test has recorded."""

Journal = Callable[[str, dict[str, JsonValue]], None]
"""Where records go, redacted, the moment they are made: (kind, record), e.g. into the ledger."""


class GateFailure(AssertionError):  # noqa: N818 - the name is what a report prints
    """A gate's checks were not all true."""


class GateEnded(RuntimeError):  # noqa: N818 - as above
    """A check was made after the end of its gate: the result was reported without it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What a gate has recorded up to now."""

    checks: tuple[Check, ...]
    attachments: tuple[Attachment, ...]
    by_test: bool
    """Whether a check is from the test itself, not only from fixtures, set-up or tear-down."""

    @property
    def false(self) -> tuple[Check, ...]:
        """The checks that were compared and did not hold."""
        return tuple(check for check in self.checks if check.ok is False)

    @property
    def without_data(self) -> tuple[Check, ...]:
        """The checks for which there was too little data."""
        return tuple(check for check in self.checks if check.ok is None)


class Evidence:
    """Records a gate's checks and attachments; nothing that was recorded can be taken back.

    Usable from threads. A check with a false comparison, or without data, fails the gate at its end.
    """

    __slots__ = (
        "__attachments",
        "__by_test",
        "__case",
        "__checks",
        "__ended",
        "__in_test",
        "__journal",
        "__lock",
    )

    def __init__(
        self,
        *,
        case: str | None = None,
        journal: Journal | None = None,
        in_test: Callable[[], bool] = lambda: True,
    ) -> None:
        self.__checks: list[Check] = []
        self.__by_test = False
        self.__in_test = in_test
        self.__ended = False
        self.__attachments: list[Attachment] = []
        self.__case = case
        self.__journal = journal
        self.__lock = threading.Lock()

    def check(
        self,
        name: str,
        observed: object,
        op: str,
        limit: object,
        *,
        unit: str | None = None,
        n: int | None = None,
        n_min: int | None = None,
        source: str | None = None,
    ) -> bool:
        """Record the comparison ``observed OP limit`` and return whether it held.

        ``op`` is one of ``<= < >= > == !=``, ``in``, ``not in`` (limit: list, dict or text) and ``matches``
        (limit: a regular expression for the whole text). ``unit`` is of both values. ``n`` is the number of
        samples behind ``observed``, ``n_min`` how many there must be. An observation of None, NaN or
        infinity, or with one in it, ``n`` of 0 or below ``n_min`` is NO_DATA: False is returned and the gate
        will not pass.
        ``source`` says where the value is from, e.g. a URL or a query.

        Raises TypeError or ValueError when the comparison itself makes no sense (an unknown operator, a limit
        that is not a number, an object instead of a value) or would hold for every observation, as
        ``3 != None`` does (see bais_gates.verdict.comparison); that, too, stays recorded, as NO_DATA.
        """
        return self.__compare(name, observed, op, limit, unit, n, n_min, source).ok is True

    def require(
        self,
        name: str,
        observed: object,
        op: str,
        limit: object,
        *,
        unit: str | None = None,
        n: int | None = None,
        n_min: int | None = None,
        source: str | None = None,
    ) -> None:
        """Record a check as ``check`` does and stop the gate at once, by GateFailure, unless it held."""
        __tracebackhide__ = True
        check = self.__compare(name, observed, op, limit, unit, n, n_min, source)
        if check.ok is not True:
            raise GateFailure(check_text(check))

    def attach(self, name: str, data: object, content_type: str = "text/plain") -> None:
        """Keep ``data`` beside the checks, redacted, as text; cut after 256 Ki characters.

        Bytes are read as UTF-8; what is neither text nor bytes is kept as JSON where that is possible.
        """
        text, truncated = _attachable(data)
        attachment = Attachment(
            name=_label(name), content_type=_label(content_type), text=text, truncated=truncated
        )
        with self.__lock:
            self.__attachments.append(attachment)
        if self.__journal is not None:
            record: dict[str, JsonValue] = {"name": attachment.name, "content_type": attachment.content_type}
            self.__journal("attachment", record | {"characters": len(text)})

    def attach_plots(self, name: str, plots: Sequence[Mapping[str, object]]) -> None:
        """Keep line plots beside the checks, which reports draw; bais_gates.reports.plots has their keys."""
        from bais_gates.reports.plots import CONTENT_TYPE  # noqa: PLC0415 - few gates have plots

        self.attach(name, json.dumps(plots), CONTENT_TYPE)

    def recorded(self) -> Recorded:
        """Return what has been recorded up to now."""
        with self.__lock:
            return Recorded(
                checks=tuple(self.__checks), attachments=tuple(self.__attachments), by_test=self.__by_test
            )

    def count_not_held(self) -> int:
        """Return how many checks up to now are false or without data."""
        return sum(check.ok is not True for check in self.__checks)

    def begin(self) -> None:
        """Take checks, of a later attempt at the same test, too."""
        self.__ended = False

    def end(self) -> None:
        """Take no more checks: a later one is in the ledger but not in the result, and raises GateEnded."""
        self.__ended = True

    def __compare(  # noqa: PLR0917 - private, and in the order of the comparison
        self,
        name: object,
        observed: object,
        op: object,
        limit: object,
        unit: object,
        n: int | None,
        n_min: int | None,
        source: object,
    ) -> Check:
        described = {
            "name": _label(name),
            "unit": None if unit is None else _label(unit),
            "source": None if source is None else _label(source, 2000),
        }
        operator = Op.EQ
        try:
            operator = operator_of(op)
            n, n_min = _count("n", n), _count("n_min", n_min)
            value, bound = plain(observed), plain(limit)
            ok = compare(value, operator, bound, n=n, n_min=n_min)
        except (NotComparable, UnusableLimit) as error:
            self.__keep(op=operator, observed=_label(error), limit=None, ok=None, **described)
            raise
        return self.__keep(
            op=operator, observed=_kept(value), limit=_kept(bound), ok=ok, n=n, n_min=n_min, **described
        )

    def __keep(self, **fields: Any) -> Check:
        check = Check(case=self.__case, **fields)
        with self.__lock:
            self.__checks.append(check)
            self.__by_test = self.__by_test or self.__in_test()
            if self.__journal is not None:
                self.__journal("check", check_to_json(check) | {"case": redact_value(self.__case)})
        if self.__ended:
            raise GateEnded(f"a check was made after the end of its gate: {check_text(check)}")
        return check


def format_failures(recorded: Recorded) -> str:
    """Return the lines for all checks that did not hold, the most telling first; empty when all did."""
    unheld = [check for check in recorded.checks if check.ok is not True]
    return "\n".join(map(check_text, most_telling_first(unheld)))


def _count(what: str, count: object) -> int | None:
    number = plain(count)
    if number is None:
        return None
    if type(number) is not int or number < 0:
        raise UnusableLimit(f"{what} must be a whole number of samples")
    return number


def _kept(value: JsonValue) -> JsonValue:
    """Return a value redacted, and as cut text when it is too large to keep."""
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):  # noqa: PLR0124 - NaN
        return str(value)
    if isinstance(value, str):
        return (
            redact(value)
            if len(value) <= MAX_VALUE_CHARACTERS
            else redact(value[: 2 * MAX_VALUE_CHARACTERS])[:MAX_VALUE_CHARACTERS] + "..."
        )
    if not isinstance(value, list | dict):
        return redact_value(value)
    clean = redact_value(_without_nan(value))
    text = json.dumps(clean, ensure_ascii=False)
    return clean if len(text) <= MAX_VALUE_CHARACTERS else text[:MAX_VALUE_CHARACTERS] + "..."


def _without_nan(value: JsonValue) -> JsonValue:
    if isinstance(value, list):
        return [_without_nan(part) for part in value]
    if isinstance(value, dict):
        return {key: _without_nan(part) for key, part in value.items()}
    if isinstance(value, float) and not float("-inf") < value < float("inf"):
        return str(value)
    return value


def _attachable(data: object) -> tuple[str, bool]:
    if isinstance(data, bytes | bytearray):
        text = bytes(data[: 4 * MAX_ATTACHMENT_CHARACTERS]).decode("utf-8", "replace")
    elif isinstance(data, str):
        text = str.__str__(data)
    else:
        try:
            text = json.dumps(redact_value(_without_nan(plain(data))), indent=2, ensure_ascii=False)
        except NotComparable:
            text = repr(data)
    cut = len(text) > MAX_ATTACHMENT_CHARACTERS
    # Redact a little more than is kept, so that a secret across the cut is seen whole.
    return redact(text[: MAX_ATTACHMENT_CHARACTERS + 4096])[:MAX_ATTACHMENT_CHARACTERS], cut


def _label(text: object, limit: int = _NAME_LIMIT) -> str:
    try:
        words = str(text)
    except Exception as broken:  # noqa: BLE001 - what is recorded must not hang on an object's own __str__
        words = f"(no text: its __str__ raised {type(broken).__name__})"
    clean = redact(words[: limit + 1000])
    return clean if len(clean) <= limit else clean[:limit] + "..."
