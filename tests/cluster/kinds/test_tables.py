"""What ``kubectl get`` shows."""

from __future__ import annotations

import pytest

from bais_gates.sandbox.cluster.apiserver import kinds
from tests.cluster.kinds.objects import SPECS, created, kind


@pytest.mark.parametrize("name", SPECS)
def test_every_kind_can_be_shown(name: str) -> None:
    """A table has a cell for every column, the name first and the age last."""
    columns, [row] = kinds.table(kind(name), [created(name)])

    assert len(row) == len(columns)
    assert row[0] == "web"
    assert (columns[0]["name"], columns[-1]["name"]) == ("Name", "Age")


def test_a_pod_is_shown_by_what_its_containers_do() -> None:
    """Ready containers are counted, restarts added up, and why one waits is shown instead of the phase."""
    waiting = {"ready": False, "restartCount": 2, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}
    pod = {**created("Pod"), "status": {"phase": "Running", "containerStatuses": [waiting]}}

    _, [row] = kinds.table(kind("Pod"), [pod])

    assert row[1:4] == ["0/1", "CrashLoopBackOff", 2]


@pytest.mark.parametrize(
    ("condition", "shown"), [("Complete", "Complete"), ("Failed", "Failed"), ("Other", "Running")]
)
def test_a_job_is_shown_by_how_it_ended(condition: str, shown: str) -> None:
    """A Job without a final condition is running."""
    job = {**created("Job"), "status": {"conditions": [{"type": condition, "status": "True"}]}}

    _, [row] = kinds.table(kind("Job"), [job])

    assert row[1:3] == [shown, "0/1"]
