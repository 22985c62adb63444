"""Fixtures of the tests of on-call."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.oncall.account import Served, served

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def account(tmp_path: Path) -> Iterator[Served]:
    """Yield the stand-in for PagerDuty behind a server on loopback."""
    with served(tmp_path) as it:
        yield it
