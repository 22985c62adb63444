"""How busy this machine is: its CPUs, and what waits for them or for its disks."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import pytest

from bais_gates.probes import machine
from bais_gates.probes.machine import MachineUse

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("resource", [0, 1], ids=["cpu", "io"])
def test_a_machine_whose_processes_wait_is_busy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, resource: int
) -> None:
    """While some process waits for a CPU or a disk all the time, the machine is busy."""
    files = [tmp_path / "cpu", tmp_path / "io"]
    line = "some avg10=0.00 avg60=0.00 avg300=0.00 total={}\nfull avg10=0.00 total=7\n"
    for file in files:
        file.write_text(line.format(1000))
    monkeypatch.setattr(machine, "_PRESSURES", tuple(map(str, files)))
    monkeypatch.setattr(machine, "_EVERY_S", 60.0)

    with MachineUse() as use:
        began = time.monotonic()
        while time.monotonic() < began + 0.1:
            pass
        files[resource].write_text(line.format(1000 + 5_000_000))

    assert use.share(began, math.inf) == 1.0


def test_a_kernel_without_pressure_information_has_its_cpu_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the kernel has no such files, or writes something else, the share is that of the CPU time."""
    (tmp_path / "io").write_text("nothing to see\n")
    monkeypatch.setattr(machine, "_PRESSURES", (str(tmp_path / "absent"), str(tmp_path / "io")))

    with MachineUse() as use:
        began = time.monotonic()
        while time.monotonic() < began + 0.1:
            pass

    assert 0.0 < use.share() <= 1.0


def test_a_moment_without_readings_is_unknown() -> None:
    """Before the first reading nothing is known."""
    assert math.isnan(MachineUse().share())
