"""The readiness as Prometheus metrics: the figures of the gates, in a text that Prometheus' parser reads."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bais_gates.errors import GateInputError
from bais_gates.oncall.metrics import Gauge, measure, show, write
from bais_gates.sandbox.oncall import SENDER
from bais_gates.sandbox.oncall.records import write_records
from tests.launch import run_command
from tests.oncall.account import Served
from tests.oncall.desk import HOUR, NEXT, NOW, Desk, person
from tests.oncall.rotations import rotation
from tests.oncall.rotations import write as write_rotation

WINDOW = timedelta(hours=4)


def samples(text: str) -> dict[tuple[str, str], float]:
    """Return the samples by name and the value of the only label, "" without one."""
    return {
        (one.name, "".join(one.labels.values())): one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
    }


def measured(desk: Any, records: Path | None = None) -> dict[tuple[str, str], float]:
    """Return what is measured of a provider."""
    return samples(show(measure(desk.rotation, desk, records, NOW, WINDOW)))


def test_a_ready_rotation_has_zeros(tmp_path: Path) -> None:
    """Every figure is 0 but the time of measurement; a tier is a label."""
    found = measured(Desk(rotation(tmp_path)))

    assert found.pop(("bais_oncall_measured_timestamp_seconds", "")) == NOW.timestamp()
    assert ("bais_oncall_gap_seconds", "secondary") in found
    assert set(found.values()) == {0.0}


def test_each_figure_is_that_of_the_gates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gap, people who can't be woken, a service of another policy and expired records are counted."""
    desk = Desk(rotation(tmp_path))
    desk.override("secondary", None, NEXT + HOUR, NEXT + 2 * HOUR)
    desk.schedule.pop("manager")
    monkeypatch.setattr(desk, "people", lambda _: [person("Ada", rules=())])
    monkeypatch.setattr(desk, "services", lambda _: [])
    records = tmp_path / "records"
    write_records(records, ["Ada"])
    drill = json.loads((records / "incident_drill.json").read_text())
    (records / "incident_drill.json").write_text(
        json.dumps(drill | {"date": "2026-09-01", "expires": "2026-12-31"})
    )
    (records / "other.yaml").write_text("kind: party\n")

    found = measured(desk, records)
    assert found["bais_oncall_gap_seconds", "secondary"] == 3600
    assert found["bais_oncall_gap_seconds", "manager"] == 90 * 86_400
    assert found["bais_oncall_people_without", "account"] == 5
    assert found["bais_oncall_people_without", "rule"] == 1
    assert found["bais_oncall_people_unreachable", ""] == 6
    assert found["bais_oncall_service_faults", ""] == 1
    assert found["bais_oncall_record_days_left", "incident_drill"] == 0
    assert found["bais_oncall_record_faults", ""] == 1


def test_labels_are_escaped() -> None:
    """A quote, a backslash and a line break in a label come back as they were."""
    name = 'a"b\\c\nd'

    assert samples(show([Gauge("some_gauge", "Some.", [({"tier": name}, 1.0)])])) == {
        ("some_gauge", name): 1.0
    }


def test_a_file_is_replaced_at_once(tmp_path: Path) -> None:
    """Others may read it, nothing else stays in the folder, and a folder that is absent is an error."""
    path = tmp_path / "oncall.prom"
    path.write_text("former")
    write(path, "now\n")

    assert (path.read_text(), path.stat().st_mode & 0o777) == ("now\n", 0o644)
    assert [one.name for one in tmp_path.iterdir()] == ["oncall.prom"]
    with pytest.raises(GateInputError, match="can't be written"):
        write(tmp_path / "absent" / "oncall.prom", "now\n")


def test_the_command_prints_or_writes_and_fails_without_touching_the_file(
    account: Served, tmp_path: Path
) -> None:
    """The same metrics on stdout and in FILE; where the provider refuses, status 2, and FILE stays."""
    account.now = datetime.now(UTC)
    it = account.rotation()
    account.apply(it)
    part = {"api_url": f"{account.url}/pagerduty", "token": account.access.token, "sender": SENDER}
    environment = tmp_path / "production.yaml"
    environment.write_text(json.dumps({"name": "production", "oncall": part}))
    words = ["oncall", "metrics", "--env", "./production.yaml", "--rotation"]
    words.append(str(write_rotation(tmp_path / "own.yaml")))

    done = run_command(*words, folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    found = samples(done.stdout)
    assert found["bais_oncall_gap_seconds", "primary"] == 0
    assert found["bais_oncall_people_unreachable", ""] == 0
    assert "@" not in done.stdout

    path = tmp_path / "oncall.prom"
    path.write_text("former")
    account.state["settings"]["rights"] = "none"
    done = run_command(*words, "--out", str(path), folder=tmp_path)
    assert (done.returncode, path.read_text()) == (2, "former")
    assert "no right" in done.stderr
    assert account.access.token not in done.stderr
