"""The figures of a load run: rates and latencies in windows, and when they prove nothing."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bais_gates.errors import GateInputError
from bais_gates.load import Plan, read_result
from bais_gates.load.plan import COLUMNS
from bais_gates.load.report import plots, prometheus_text, summary, table
from bais_gates.reports.plots import CONTENT_TYPE, plots_of
from bais_gates.verdict.model import Attachment
from tests.load.load_runs import FROM, PLAN, result, use


def test_a_steady_run() -> None:
    """Each window has the rate and the latency of its requests."""
    run = result()

    assert [one.seconds for one in run.windows] == [5, 5]
    assert [one.accepted_per_s for one in run.windows] == [pytest.approx(100, abs=0.5)] * 2
    assert run.measured.latency().n == 1000
    assert run.measured.latency().p95 == pytest.approx(10)
    assert run.measured.starved() is None


@pytest.mark.parametrize(
    ("change", "accepted", "faults"),
    [
        ({"status": 429, "fault": "status 429"}, 50, 500),
        ({"status": 429}, 50, 0),
        ({"status": 402}, 100, 0),
        ({"status": 200, "fault": "assertion: x"}, 50, 500),
        ({"status": 0, "fault": "no response", "took": 100.0}, 50, 500),
    ],
)
def test_what_is_accepted(change: dict[str, Any], accepted: float, faults: int) -> None:
    """What was expected is accepted; a 429 never is, and neither is a fault or what has no response."""
    run = result(lambda number: change if number % 2 else {})

    assert run.measured.accepted_per_s == pytest.approx(accepted, abs=1)
    assert sum(run.faults().values()) == faults


@given(st.integers(0, 899), st.floats(0.1, 3.0))
def test_a_pause_is_in_the_latency_of_all_that_were_due_in_it(first: int, seconds: float) -> None:
    """A request that was due in a pause has at least the rest of it as latency, however late it was sent."""
    until = first / 100 + seconds

    def paused(number: int) -> dict[str, Any]:
        rest = until - number / 100
        return {"late": rest} if first <= number and rest > 0 else {}

    run = result(paused)
    late = [one for one in run.requests if first / 100 <= one.due - FROM < until]
    assert all(one.latency_ms >= (until - (one.due - FROM)) * 1000 for one in late)
    n_late = min(len(late), math.floor(seconds * 100) + 1)
    if n_late > 60:
        assert run.measured.latency().p95 > 1000 * (n_late - 60) / 100


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"use": use()}, None),
        ({"use": use(generator=0.9)}, "the load generator used 90% of a core"),
        ({"use": use(foreign=1.2)}, "other processes used 60% of this machine"),
        (
            {"use": use(disk=(0.9, 1.0, 0.7))},
            "the disk that target and generator share kept processes waiting for 1.0 s",
        ),
        ({"use": use(disk=(0.7, 0.7, 0.7))}, None),
        ({"change": lambda number: {"lag": 0.03} if number % 10 == 0 else {}}, "30 ms late"),
        ({"change": lambda number: {"lag": 0.03} if number % 50 == 0 else {}}, None),
    ],
)
def test_starvation(keys: dict[str, Any], reason: str | None) -> None:
    """A generator that is slow itself, a machine that others use, and a disk that stalls are named."""
    run = result(**keys)

    assert run.measured.starved() is None if reason is None else reason in str(run.measured.starved())


def written(folder: Path, *lines: object, plan: str = PLAN.encoded()) -> Path:
    """Write a record of these lines."""
    (folder / "plan.json").write_text(plan, encoding="utf-8")
    (folder / "machine.json").write_text("[]", encoding="utf-8")
    text = "\n".join(one if isinstance(one, str) else json.dumps(one) for one in lines)
    (folder / "requests.jsonl").write_text(text, encoding="utf-8")
    return folder


ROW = [7, "/a", FROM, 0.0, FROM, 0.01, 200, "", ""]
BEGIN, ROWS, END = {"begin": 1.0}, {"rows": [ROW]}, {"end": 2.0, "exceptions": {}, "lost_workers": []}


def test_a_record_is_read(tmp_path: Path) -> None:
    """A complete record has its requests and its plan."""
    read = read_result(written(tmp_path, BEGIN, ROWS, END))

    assert read.plan == PLAN
    assert [getattr(read.requests[0], name) for name in COLUMNS] == ROW


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([BEGIN, ROWS], "broken off"),
        ([ROWS, END], "broken off"),
        ([], "broken off"),
        ([BEGIN, '{"rows": [[7'], "cut off"),
        ([BEGIN, {"rows": [[1, 2]]}, END], "cut off"),
        ([BEGIN, [1], END], "cut off"),
    ],
)
def test_a_record_that_is_not_complete(tmp_path: Path, lines: list[object], message: str) -> None:
    """A record without an end, or of another shape, is refused with its name: it proves nothing."""
    with pytest.raises(GateInputError, match=message) as refused:
        read_result(written(tmp_path, *lines))
    assert "requests.jsonl" in str(refused.value)


@pytest.mark.parametrize("text", ["[1]", "{", "null", '"x"'])
def test_a_wrong_plan(text: str) -> None:
    """A text that is no plan is refused with the variable; what a plan does not know is handed back."""
    with pytest.raises(ValueError, match="BAIS_GATES_LOAD"):
        Plan.decoded(text)

    assert Plan.decoded(PLAN.encoded(record="r")) == (PLAN, {"record": "r"})


def test_how_it_is_shown() -> None:
    """Figures, plots, the table and Prometheus' text are of the same run."""
    run = result(lambda number: {"name": "/b", "took": 0.3} if number >= 900 else {}, use=use())

    assert summary(run)["by name"]["/b"]["p50"] == 300
    assert summary(run)["windows"][1]["p95"] == pytest.approx(300)
    text = json.dumps(plots(run, 200))
    drawn = plots_of(Attachment(name="x", text=text, content_type=CONTENT_TYPE))
    assert drawn is not None
    assert [level.text for plot in drawn.drawn for level in plot.levels] == [
        "alert 200",
        "target 95",
        "alert 200",
    ]
    assert any(line.split()[:2] == ["window", "2"] for line in table(run).splitlines())
    series = [line for line in prometheus_text(run).splitlines() if not line.startswith("#")]
    assert sum(float(line.split()[1]) for line in series if 'accepted="true"' in line) == pytest.approx(
        1000, abs=40
    )


def test_the_curve_of_percentiles() -> None:
    """Of 1,000 requests, 25 of which waited 0.5 s before they were sent: only the due times show it."""
    run = result(lambda number: {"late": 0.5} if number % 40 == 0 else {}, use=use())

    (curve,) = (one for one in plots(run, 200) if one.get("x") == "percentile")

    corrected, plain = (dict(map(tuple, one["points"])) for one in curve["series"])
    assert {rank for rank, value in corrected.items() if value > 400} == {
        rank for rank in corrected if rank > 97.5
    }
    assert set(plain.values()) == {10.0}
    assert (min(corrected), max(corrected)) == (50, 99.9), "one request of a thousand is above"
    empty = result(requests=())
    assert [one["points"] for one in plots(empty, 200)[-1]["series"]] == [[], []]
