"""What the processes of a run are told of staging, and what each gate makes of it."""

from __future__ import annotations

import pytest

from bais_gates.staging.errors import REMEDIES, StageCode, StageError
from bais_gates.staging.plan import Step
from bais_gates.staging.provision import Done
from bais_gates.staging.staged import READY, NotStaged, Staged

DONE = tuple(Done(step=step, seconds=1.5, objects=2) for step in (Step.NAMESPACE, Step.CONFIGURATION))


def _stopped(code: StageCode) -> Staged:
    error = StageError(code, "It stopped", step=Step.DATABASE)
    return Staged.stopped(error, namespace="bais-staging", owner="sandbox", done=DONE)


@pytest.mark.parametrize("code", [None, StageCode.IMAGE_PULL, StageCode.FORBIDDEN])
def test_it_is_the_same_after_it_was_written_down(code: StageCode | None) -> None:
    """What one process of the run keeps, another one reads."""
    staged = _stopped(code) if code else Staged(namespace="n", owner="o", done=DONE, revision="0002")

    assert Staged.from_record(staged.as_record()) == staged


def test_a_fault_of_the_release_is_what_its_gate_sees() -> None:
    """The step that failed says why, earlier ones are ready, later ones were not reached."""
    staged = _stopped(StageCode.IMAGE_PULL)

    assert staged.state_of(Step.NAMESPACE) == READY
    assert staged.state_of(Step.DATABASE).startswith("IMAGE_PULL: It stopped.")
    with pytest.raises(NotStaged, match="stopped at database with IMAGE_PULL"):
        staged.state_of(Step.CACHE)


def test_a_fault_of_the_surroundings_is_an_error() -> None:
    """What kept staging from being tried proves nothing about the release: it is raised."""
    with pytest.raises(StageError) as caught:
        _stopped(StageCode.FORBIDDEN).state_of(Step.DATABASE)

    assert caught.value.code is StageCode.FORBIDDEN
    assert str(caught.value).count("FORBIDDEN") == 1


@pytest.mark.parametrize("code", StageCode)
def test_each_code_has_a_remedy(code: StageCode) -> None:
    """Whatever happens, the paragraph ends with what to do."""
    text = str(StageError(code, "Something. "))

    assert text == f"{code.value}: Something. {REMEDIES[code]}"
