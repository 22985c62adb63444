"""The record of a deploy: kept twice, only ever longer, and refused when it makes no sense."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bais_gates.errors import GateInputError
from bais_gates.rollout.errors import Stuck
from bais_gates.rollout.record import ANNOTATION, Folder, Phase, State, read_record, record_on
from tests.rollout.fake_cluster import NEW, OLD, record_of

RECORD = record_of(
    id="1",
    before=State(images={"api": OLD}, replicas=3, version="1.0.0", schema="0002"),
    decision={"digest": "sha256:0"},
).then(Phase.RECORDED)


@given(st.lists(st.tuples(st.sampled_from(Phase), st.text(max_size=30)), max_size=5))
def test_a_record_reads_back(steps: list[tuple[Phase, str]]) -> None:
    """Whatever its phases and notes are."""
    record = RECORD
    for phase, note in steps:
        record = record.then(phase, note)

    assert read_record(record.text(), "here") == record
    assert record_on({"metadata": {"name": "d", "annotations": {ANNOTATION: record.text()}}}) == record


def _without(key: str) -> str:
    data: dict[str, Any] = json.loads(RECORD.text())
    del data[key]
    return json.dumps(data)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{}",
        "{",
        *(_without(key) for key in ("format", "steps", "before", "images", "id")),
        RECORD.text().replace('"format": 1', '"format": 2'),
        RECORD.text().replace("RECORDED", "WELL"),
        replace(RECORD, steps=()).text(),
        replace(RECORD, images={}).text(),
    ],
)
def test_what_is_no_record_stops_everything(text: str) -> None:
    """An unreadable record is never taken for none: a deploy may be half-way."""
    with pytest.raises(Stuck, match="is not a record of this version of bais-gates"):
        record_on({"metadata": {"name": "d", "annotations": {ANNOTATION: text}}})


def test_a_file_only_gets_longer(tmp_path: Path) -> None:
    """A phase that was written is never lost or changed, and nobody else may read the file."""
    folder = Folder(tmp_path)
    file = folder.write(RECORD)
    longer = RECORD.then(Phase.MIGRATING)
    folder.write(longer)

    for other in (RECORD, replace(longer, steps=longer.steps[1:])):
        with pytest.raises(GateInputError, match="one of them was edited"):
            folder.write(other)
    assert read_record(file.read_text(), "here") == longer
    assert file.stat().st_mode & 0o077 == 0
    assert [one.name for one in file.parent.iterdir()] == ["1.json"]


def test_a_folder_that_can_t_be_written_is_named(tmp_path: Path) -> None:
    """With the remedy."""
    (tmp_path / "file").write_text("")

    with pytest.raises(GateInputError, match=r"the record can't be written .* --records"):
        Folder(tmp_path / "file").write(RECORD)


def test_only_images_that_ran_are_known(tmp_path: Path) -> None:
    """Of a deploy that was rolled back, the one before it; of one that has not ended, none."""
    folder = Folder(tmp_path)
    folder.write(RECORD)
    assert folder.images_of("test") == {}
    folder.write(RECORD.then(Phase.ROLLED_BACK))
    assert folder.images_of("test") == {OLD: "1.0.0"}
    folder.write(replace(RECORD, id="2").then(Phase.DEPLOYED))
    assert folder.images_of("test") == {OLD: "1.0.0", NEW: "1.1.0"}
    assert folder.images_of("other") == {}


def test_a_note_holds_no_secret() -> None:
    """A pod's last lines may have one."""
    noted = RECORD.then(Phase.ROLLING_BACK, "postgresql://app:canary-5b1e@db/bais: " + "x" * 5000)

    assert "canary-5b1e" not in noted.text()
    assert len(noted.steps[-1].note) == 2000
