"""The cache probe: it has deadlines, deletes its keys, and does not disclose its password."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
import redis as client

from bais_gates import redaction
from bais_gates.probes.redis import KEY_PREFIX, KEY_TTL_S, Cache, CacheError, CacheForbiddenError
from bais_gates.sandbox.processes import free_port
from bais_gates.sandbox.services.redis import find_binary
from bais_gates.targets.environment import load_environment

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def writing(shared_sandbox: Path) -> str:
    """Return the platform's URL, which may write."""
    return str(json.loads((shared_sandbox / "api.json").read_text())["redis_url"])


@pytest.fixture(scope="module")
def reading(shared_sandbox: Path) -> str:
    """Return the gates' URL, which may only read."""
    return load_environment(shared_sandbox / "environment.yaml", gates_dir=shared_sandbox).cache.url


def test_it_pings_and_counts(reading: str) -> None:
    """PING takes some time, and the server counts lookups."""
    with Cache(reading) as cache:
        before = cache.statistics()
        cache.scratch("run").read_ms()
        after = cache.statistics()

        assert 0 < cache.ping_ms() < 2000
        assert after.misses >= before.misses + 1
        assert after.commands > before.commands
        assert 0 <= after.hit_ratio <= 1


def test_timing_deletes_its_keys(writing: str) -> None:
    """The keys of a round trip have a unique prefix and a short time to live, and are deleted."""
    with Cache(writing) as cache, client.Redis.from_url(writing) as look:
        scratch = cache.scratch("run-1")
        look.set(f"{KEY_PREFIX}watched", "1", ex=1)
        assert scratch.round_trip_ms() > 0
        left = list(look.scan_iter(f"{scratch.prefix}*"))

    assert left == []
    assert scratch.prefix.startswith(f"{KEY_PREFIX}run-1:")
    assert cache.scratch("run-1").prefix != scratch.prefix
    assert KEY_TTL_S <= 60


def test_a_read_only_user(tmp_path: Path) -> None:
    """Writing is an error of its own, and reading works."""
    port = free_port()
    users = "user default off\nuser only_reader on >only-read-7 ~* -@all +get +info\n"
    (tmp_path / "redis.conf").write_text(f'port {port}\nbind 127.0.0.1\nsave ""\n{users}')
    server = subprocess.Popen(
        [find_binary(), tmp_path / "redis.conf"], cwd=tmp_path, stdout=subprocess.DEVNULL
    )
    try:
        with Cache(f"redis://only_reader:only-read-7@127.0.0.1:{port}/0") as cache:
            scratch = cache.scratch("run")
            wait_until_it_answers(cache)
            with pytest.raises(CacheForbiddenError):
                scratch.round_trip_ms()

            assert scratch.read_ms() > 0
    finally:
        server.kill()
        server.wait()


def wait_until_it_answers(cache: Cache) -> None:
    """Wait until a server that was just started answers."""
    deadline = time.monotonic() + 10
    while True:
        try:
            cache.statistics()
        except CacheError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


def test_a_server_that_never_answers_is_an_error_in_time() -> None:
    """A server that accepts the connection and does not answer."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        began = time.monotonic()
        with (
            Cache(f"redis://:secret-pw-4@127.0.0.1:{port}/0", timeout_s=0.3) as cache,
            pytest.raises(CacheError, match=rf"127\.0\.0\.1:{port}/0: no answer within 0\.3 s"),
        ):
            cache.ping_ms()

    assert time.monotonic() - began < 3


@pytest.mark.parametrize(
    "address",
    [
        "redis://:secret-pw-5@127.0.0.1:1/0",
        "redis://u:secret-pw-5@127.0.0.1:1/0",
        "redis://:secret-pw-5@127.0.0.1:port/0",
        "secret-pw-5",
    ],
)
def test_no_error_has_the_password(address: str) -> None:
    """An error about the URL does not quote it."""
    with pytest.raises(CacheError) as caught, Cache(address, timeout_s=0.5) as cache:
        cache.ping_ms()

    assert "secret-pw-5" not in f"{caught.value!r} {caught.value.__cause__!r}"


def test_a_wrong_password_is_an_error_without_it(reading: str) -> None:
    """A failed authentication is an error with the server's message."""
    wrong = reading.replace("://gates_ro:", "://gates_ro:wrong-")
    with Cache(wrong) as cache, pytest.raises(CacheError) as caught:
        cache.ping_ms()

    password = wrong.split("gates_ro:")[1].split("@")[0]
    assert password not in str(caught.value)


def test_the_password_is_registered_with_redaction() -> None:
    """From the creation of the probe on."""
    Cache("redis://:sesame-open-6@127.0.0.1:1/0")

    assert "sesame-open-6" not in redaction.redact("it is sesame-open-6")
