"""The fixtures that speak to the API of BAIS; the suite's conftest.py imports them by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from bais_gates.bais.api import Api, Business, open_api, register_business

if TYPE_CHECKING:
    from bais_gates.targets.target import Target, Unique

__all__ = ["api", "new_business"]


@pytest.fixture(scope="session")
def api(target: Target) -> Iterator[Api]:
    """Open an anonymous client of the target's API."""
    client = open_api(target)
    yield client
    client.http.close()


@pytest.fixture(scope="session")
def new_business(api: Api, unique: Unique) -> Callable[[], Business]:
    """Return a function that makes a business of its own: registered and signed in through the API."""
    return lambda: register_business(api, unique)
