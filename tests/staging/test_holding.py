"""One run at a time holds the staged namespace: another is told whose it is, until the holder is past."""

from __future__ import annotations

import threading
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from bais_gates.staging import holding
from bais_gates.staging.errors import StageCode, StageError
from tests.staging.conftest import NAMESPACE, Stage
from tests.staging.fake_server import refused

if TYPE_CHECKING:
    from tests.staging.fake_server import Object


def _annotations(stage: Stage) -> dict[str, str]:
    found: dict[str, str] = stage.server.one("Namespace", NAMESPACE)["metadata"]["annotations"]
    return found


def _age(stage: Stage, seconds: float) -> None:
    moment = datetime.now(UTC) - timedelta(seconds=seconds)
    _annotations(stage)[holding.RENEWED] = f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def test_a_second_run_is_refused(stage: Stage) -> None:
    """A run that finds the namespace held by a live one changes nothing, and says who holds it since when."""
    stage.provision(run="run-1")
    since = _annotations(stage)[holding.SINCE]
    before = list(stage.server.written)

    with pytest.raises(StageError) as caught:
        stage.provision(run="run-2")

    assert caught.value.code is StageCode.NAMESPACE_HELD
    assert not caught.value.code.blames_release
    for part in ("the run run-1 of ", "@", f"since {since}"):
        assert part in str(caught.value)
    assert stage.server.written == before

    _annotations(stage)[holding.RENEWED] = "9999-12-31T23:59:59Z"  # at the end of the calendar
    with pytest.raises(StageError):
        stage.provision(run="run-2")


@pytest.mark.parametrize("freed", ["past", "let go", "unreadable time"])
def test_a_namespace_that_nobody_holds_is_taken(stage: Stage, freed: str) -> None:
    """A holder that has not renewed for a minute, or let go of the namespace it keeps, is no obstacle."""
    stage.provision(run="run-1")
    if freed == "let go":
        holding.let_go(stage.server, NAMESPACE, "run-1")
    elif freed == "past":
        _age(stage, holding.STALE_S + 5)
    else:
        _annotations(stage)[holding.RENEWED] = "soon"

    assert stage.provision(run="run-2")

    assert _annotations(stage)[holding.RUN] == "run-2"
    assert _annotations(stage)[holding.HOLDER]


def test_the_same_run_provisions_again(stage: Stage) -> None:
    """A run is not kept out by itself."""
    stage.provision(run="run-1")

    assert stage.provision(run="run-1")


def test_of_two_that_take_it_at_once_one_is_refused(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A namespace that another run took since it was read is not taken, and the refusal names that run."""
    stage.provision(run="run-1")
    _age(stage, holding.STALE_S + 5)

    def beaten(*_arguments: object, **_options: object) -> Object:
        _annotations(stage).update(holding.held_now() | {holding.RUN: "run-3"})
        raise refused(409, "Conflict", "the object has been modified")

    monkeypatch.setattr(stage.server, "patch", beaten)

    with pytest.raises(StageError, match="held by the run run-3") as caught:
        stage.provision(run="run-2")

    assert caught.value.code is StageCode.NAMESPACE_HELD


def test_a_hold_is_renewed_until_another_run_has_it(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The holder renews while it works, and stops once the namespace is another run's."""
    monkeypatch.setattr(holding, "RENEW_S", 0.01)
    stage.provision(run="run-1")
    _age(stage, 1000)
    before = _annotations(stage)[holding.RENEWED]

    with holding.Holding(lambda: nullcontext(stage.server), stage.plan(run="run-1")):
        renewed = threading.Event()
        while not renewed.wait(0.01) and _annotations(stage)[holding.RENEWED] == before:
            pass
        assert _annotations(stage)[holding.RENEWED] > before
        _annotations(stage)[holding.RUN] = "run-2"
    _age(stage, 1000)

    assert _annotations(stage)[holding.RENEWED] < f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
