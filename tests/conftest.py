"""What every test of the framework is kept from: the secrets that another one registered."""

from __future__ import annotations

import signal

import pytest

from bais_gates import redaction

# A test run in the background of a shell ignores Ctrl-C, and so would all that the tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _own_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget after each test what it had redacted: a made-up password may be a word of the next one."""
    monkeypatch.setattr(redaction, "_secrets", set(redaction._secrets))
    monkeypatch.setattr(redaction, "_ordered", None)
    redaction._redact_short.cache_clear()
