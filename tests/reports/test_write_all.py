"""Writing the report folder and reading the decision back."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bais_gates import redaction
from bais_gates.errors import GateInputError
from bais_gates.reports import read_decision, signoff, write_all, write_decision
from bais_gates.reports.redacted import redacted
from bais_gates.verdict.model import Decision


@pytest.fixture(autouse=True)
def _no_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the tests' decisions off the summary page of the job that runs them."""
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)


def test_all_reports_are_written_and_nothing_else(block: Decision, tmp_path: Path) -> None:
    """The folder is made and holds each report once, without temporary files."""
    out = tmp_path / "new" / "gate-report"
    assert write_all(block, out) == ()
    assert sorted(path.name for path in out.iterdir()) == [
        "ctrf.json",
        "decision.json",
        "junit.xml",
        "signoff.html",
    ]


def test_the_decision_survives_the_file(block: Decision, deploy: Decision, tmp_path: Path) -> None:
    """What is read back is what was written."""
    for decision in (block, deploy):
        write_decision(decision, tmp_path / "decision.json")
        assert read_decision(tmp_path / "decision.json") == decision


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_hostile_decisions_are_written(
    data: st.DataObject, decisions: st.SearchStrategy[Decision], tmp_path: Path
) -> None:
    """Whatever a target responds, every report is written and is UTF-8."""
    decision = data.draw(decisions)
    assert write_all(decision, tmp_path) == ()
    for path in tmp_path.iterdir():
        path.read_text(encoding="utf-8", errors="strict")


def test_a_broken_report_is_told_and_stops_nothing(
    block: Decision, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When one report can't be written, the others are, and the problem is returned."""
    (tmp_path / "signoff.html").mkdir()
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "absent" / "summary.md"))
    problems = write_all(block, tmp_path)
    assert [problem.report for problem in problems] == ["signoff.html", "GITHUB_STEP_SUMMARY"]
    assert json.loads((tmp_path / "ctrf.json").read_text())
    assert read_decision(tmp_path / "decision.json") == block
    assert not list(tmp_path.glob(".*.tmp"))


def test_without_a_decision_file_there_is_an_error(block: Decision, tmp_path: Path) -> None:
    """A decision.json that can't be written is raised, and nothing else is written."""
    (tmp_path / "decision.json").mkdir()
    with pytest.raises(OSError, match=r"decision\.json"):
        write_all(block, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["decision.json"]


def test_a_failed_write_leaves_the_old_file(
    block: Decision, deploy: Decision, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is full while writing leaves the old decision whole, and no temporary file."""
    write_decision(block, tmp_path / "decision.json")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("bais_gates.reports.files.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_decision(deploy, tmp_path / "decision.json")
    assert read_decision(tmp_path / "decision.json") == block
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    "content", [None, b"", b"{", b"\xff\xfe", b"[]", b"[" * 100_000, b'{"verdict": "DEPLOY"}']
)
def test_a_damaged_file_is_one_sentence(content: bytes | None, tmp_path: Path) -> None:
    """An absent, cut, binary or foreign file is named in the error, without a traceback."""
    path = tmp_path / "decision.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(GateInputError, match=r"decision\.json"):
        read_decision(path)


def test_the_summary_is_appended_for_ci(
    block: Decision, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The CI summary is added to what the job has written already."""
    path = tmp_path / "summary.md"
    path.write_text("# earlier step\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(path))
    assert write_all(block, tmp_path / "out") == ()
    text = path.read_text()
    assert text.startswith("# earlier step\n\n## BLOCK: golive on staging")


def test_a_job_summary_stays_below_what_ci_accepts(
    many: Callable[[int], Decision], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When earlier steps have nearly filled the summary, ours is cut; when it is full, that is reported."""
    path = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(path))
    decision = many(300)
    path.write_text("x" * 970_000)
    assert write_all(decision, tmp_path / "out") == ()
    assert 970_000 < path.stat().st_size < 1_000_000
    path.write_text("x" * 1_020_000)
    assert [problem.report for problem in write_all(decision, tmp_path / "out")] == ["GITHUB_STEP_SUMMARY"]
    assert path.stat().st_size == 1_020_000


def test_a_secret_that_slipped_in_appears_nowhere(
    block: Decision, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A registered secret in any free text is redacted in every file; ids and digests stay comparable."""
    secret = "canary-9f8e7d6c5b4a-secret"
    monkeypatch.setattr(redaction, "_secrets", set())
    monkeypatch.setattr(redaction, "_ordered", None)
    redaction.register(secret)
    first, second, *rest = block.gates
    result = dataclasses.replace(
        second.result,
        message=f"token {secret}",
        log=f"E {secret}",
        checks=(dataclasses.replace(second.result.checks[0], observed={"deep": [secret]}, source=secret),),
        attachments=tuple(
            dataclasses.replace(each, text=secret, name=secret) for each in second.result.attachments
        ),
    )
    leaky = dataclasses.replace(
        block,
        gates=(first, dataclasses.replace(second, result=result), *rest),
        reasons=tuple(dataclasses.replace(reason, message=secret) for reason in block.reasons),
        target=dataclasses.replace(block.target, facts=(("api.key", secret),)),
    )
    path = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(path))
    assert write_all(leaky, tmp_path / "out") == ()
    for written in [path, *(tmp_path / "out").iterdir()]:
        assert secret not in written.read_text(), written.name
    kept = redacted(leaky)
    assert (kept.run.run_id, kept.digests, kept.subject) == (block.run.run_id, block.digests, block.subject)


def test_an_unchanged_decision_is_not_copied(block: Decision) -> None:
    """Redaction of a clean decision gives the same value."""
    assert redacted(block) is block


def test_the_page_is_a_pure_function(block: Decision) -> None:
    """The same decision gives the same page, byte for byte."""
    assert signoff.render(block) == signoff.render(block)
