"""The fixture of the on-call gates; the suite's conftest.py imports it by name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from bais_gates.oncall.provider import Provider
    from bais_gates.oncall.rotation import Rotation
    from bais_gates.targets.parts import OncallPart
    from bais_gates.targets.target import Target

__all__ = ["oncall"]


@dataclass(frozen=True, kw_only=True)
class Oncall:
    """The rotation, the provider that pages by it, and what the environment file says of both."""

    rotation: Rotation
    provider: Provider = field(repr=False)
    part: OncallPart
    gates_dir: Path

    @property
    def runbooks(self) -> Path:
        """The folder of the runbooks: beside the rotation."""
        return self.rotation.document.path.parent / "runbooks"


@pytest.fixture
def oncall(oncall_part: OncallPart, target: Target) -> Iterator[Oncall]:
    """Open the paging provider, with the rotation that it shall page by."""
    from bais_gates.oncall.pagerduty import PagerDuty  # noqa: PLC0415 - loaded by runs with on-call gates
    from bais_gates.oncall.pagerduty_api import Api  # noqa: PLC0415 - as above
    from bais_gates.oncall.reading import load_rotation  # noqa: PLC0415 - as above

    rotation = load_rotation(oncall_part.rotation or target.gates_dir / "oncall" / "rotation.yaml")
    with closing(PagerDuty(Api(oncall_part.api_url, oncall_part.token, oncall_part.sender))) as provider:
        yield Oncall(rotation=rotation, provider=provider, part=oncall_part, gates_dir=target.gates_dir)
