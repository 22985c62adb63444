"""The result of provisioning: shared by the processes of a run, and judged by each gate."""

from __future__ import annotations

import pytest

from bais_gates.staging.errors import REMEDIES, StageCode, StageError
from bais_gates.staging.plan import CompletedStep, Step
from bais_gates.staging.staged import READY, Finding, StagingResult, StepNotReached

COMPLETED = tuple(
    CompletedStep(step=step, seconds=1.5, objects=2) for step in (Step.NAMESPACE, Step.CONFIGURATION)
)


def _stopped(code: StageCode) -> StagingResult:
    error = StageError(code, "It stopped", step=Step.DATABASE)
    return StagingResult.from_error(error, namespace="bais-staging", owner="sandbox", completed=COMPLETED)


@pytest.mark.parametrize("code", [None, StageCode.IMAGE_PULL, StageCode.FORBIDDEN])
def test_a_record_holds_the_whole_result(code: StageCode | None) -> None:
    """A process of the run reads the result that another one recorded."""
    complete = StagingResult(namespace="n", owner="o", completed=COMPLETED, revision="0002")
    result = _stopped(code) if code else complete

    assert StagingResult.from_record(result.as_record()) == result


def test_a_fault_of_the_release_is_the_state_of_its_step() -> None:
    """The failed step has the error as its state, earlier ones are ready, later ones were not reached."""
    result = _stopped(StageCode.IMAGE_PULL)

    assert result.state_of(Step.NAMESPACE) == READY
    assert result.state_of(Step.DATABASE).startswith("IMAGE_PULL: It stopped.")
    with pytest.raises(StepNotReached, match="stopped at the step database with IMAGE_PULL"):
        result.state_of(Step.CACHE)


def test_a_fault_of_the_cluster_is_an_error() -> None:
    """An error that proves nothing about the release is raised."""
    with pytest.raises(StageError) as caught:
        _stopped(StageCode.FORBIDDEN).state_of(Step.DATABASE)

    assert caught.value.code is StageCode.FORBIDDEN
    assert str(caught.value).count("FORBIDDEN") == 1


@pytest.mark.parametrize("code", StageCode)
def test_each_code_has_a_remedy(code: StageCode) -> None:
    """The paragraph of every code ends with its remedy."""
    text = str(StageError(code, "Something. "))

    assert text == f"{code.value}: Something. {REMEDIES[code]}"


@pytest.mark.parametrize(
    ("finding", "sentence"),
    [
        (Finding(name="status", observed=200, limit=200), "status: 200"),
        (Finding(name="status", observed=503, limit=200), "status: 503, must be 200"),
        (Finding(name="violations", observed=[], limit=[]), "violations: none"),
        (Finding(name="violations", observed=["a", "b"], limit=[]), "violations: a; b, must be none"),
        (
            Finding(name="latency", observed=1234.56, op="<=", limit=1000.0, unit="ms"),
            "latency: 1234.6 ms, must be at most 1000.0 ms",
        ),
        (Finding(name="payments", observed=None, op=">=", limit=1), "payments: missing, must be at least 1"),
    ],
)
def test_a_finding_as_a_sentence(finding: Finding, sentence: str) -> None:
    """The terminal shows the observed value, and the limit only if it is not met."""
    assert finding.sentence == sentence
