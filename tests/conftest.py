"""What every test shares: the order of files, how many examples hypothesis tries, nobody else's secrets."""

from __future__ import annotations

import gc
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from bais_gates import redaction

if TYPE_CHECKING:
    from collections.abc import Iterator

# A test run in the background of a shell ignores Ctrl-C, and so would all that the tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The same few examples in every run, however busy the machine; HYPOTHESIS_PROFILE=nightly tries many others.
settings.register_profile(
    "few", max_examples=10, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("nightly", settings.get_profile("few"), max_examples=1000, derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "few"))

LONGEST_FIRST = (
    *("gates/test_platform_faults", "cli", "pytest_plugin", "bypass", "gates", "sandbox", "sandbox_api"),
    *("reports/test_signoff_browser", "cluster", "test_architecture"),
)
"""The beginnings of the files that take longest. Those start first: a long one at the end would run alone."""


def pytest_configure(config: pytest.Config) -> None:
    """Ignore what hypothesis warns of on Python 3.14, as it does not see referrers that are frozen below."""
    config.addinivalue_line("filterwarnings", "ignore:It looks like `register_random`")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection() -> Iterator[None]:
    """Keep what collecting makes out of all collections of garbage: it lives as long as the process."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files that take longest first; otherwise the order stays."""

    def rank(item: pytest.Item) -> int:
        path = item.path.relative_to(Path(__file__).parent).as_posix()
        return next(
            (n for n, start in enumerate(LONGEST_FIRST) if path.startswith(start)), len(LONGEST_FIRST)
        )

    items.sort(key=rank)


@pytest.fixture(autouse=True)
def _own_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget after each test what it had redacted: a made-up password may be a word of the next one."""
    monkeypatch.setattr(redaction, "_secrets", set(redaction._secrets))
    monkeypatch.setattr(redaction, "_ordered", None)
    redaction._redact_short.cache_clear()


@pytest.fixture(scope="session")
def shared_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Yield the folder of this process's sandbox, which its tests share: each leaves no fault switched on."""
    from bais_gates import sandbox  # noqa: PLC0415 - most runs of a few tests need none

    directory = tmp_path_factory.mktemp("sandbox")
    sandbox.start(directory, owner_pid=os.getpid())
    try:
        yield directory
    finally:
        sandbox.stop(directory)
