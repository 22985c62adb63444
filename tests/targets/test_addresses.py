"""The addresses of a target, and whether one of them is this machine."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bais_gates.errors import GateInputError
from bais_gates.targets import addresses
from bais_gates.targets.environment import load_environment
from bais_gates.targets.identity import identity_of
from bais_gates.verdict.target import is_loopback

Write = Callable[[str, str], Path]
ONCALL = "token: a-token-of-pagerduty, sender: dana@example.com"
NAMES = {
    "local.example.com": "127.0.0.5",
    "mapped.example.com": "::ffff:127.0.0.1",
    "api.example.com": "192.0.2.1",
}


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Resolve the names of this file, and no others."""
    addresses._resolved.cache_clear()

    def getaddrinfo(host: str, *_: object, **__: object) -> list[Any]:
        if host not in NAMES:
            raise socket.gaierror("unknown")
        return [(None, None, None, "", (NAMES[host], 0))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@pytest.mark.parametrize(
    ("host", "is_this_machine"),
    [
        ("127.0.0.1", True),
        ("127.1", True),
        ("2130706433", True),
        ("0.0.0.0", True),
        ("localhost", True),
        ("LOCALHOST.", True),
        ("api.localhost", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("::ffff:7f00:1", True),
        ("64:ff9b::127.0.0.1", True),
        ("2002:7f00:1::", True),
        ("[::1]", True),
        ("::", True),
        ("0", True),
        ("ip6-loopback", True),
        ("localhost.localdomain", True),
        ("/var/run/postgresql", True),
        ("@abstract-socket", True),
        ("2001:db8::1", False),
        ("", False),
        ("10.0.0.1", False),
        ("api.example.com", False),
        ("localhost.example.com", False),
    ],
)
def test_is_loopback(host: str, is_this_machine: bool) -> None:
    """An address of this machine is recognized in every notation."""
    assert is_loopback(host) is is_this_machine


@pytest.mark.parametrize(
    ("part", "rehearsal"),
    [
        ("api: {url: 'https://api.example.com'}", False),
        ("api: {url: 'https://nowhere.example.com'}", False),
        ("api: {url: 'https://local.example.com'}", True),
        ("api: {url: 'https://mapped.example.com'}", True),
        ("api: {url: 'https://ip6-loopback:8443'}", True),
        ("metrics: {url: 'https://local.example.com/metrics'}", True),
        ("database: {url: 'postgresql://u@local.example.com/bais'}", True),
        ("database: {url: 'postgresql://u@api.example.com/bais?hostaddr=127.0.0.1'}", True),
        ("database: {url: 'postgresql://u@api.example.com/bais?host=/var/run/postgresql'}", True),
        ("database: {url: 'postgresql://u@api.example.com,local.example.com/bais'}", True),
        ("database: {url: 'postgresql://u@api.example.com/bais?host='}", True),
        ("database: {url: 'postgresql://u@api.example.com/bais?host=@socket'}", True),
        ("database: {url: 'postgresql://u@api.example.com,/bais'}", True),
        ("database: {url: 'postgresql://u@api.example.com%2C127.0.0.1/bais'}", True),
        ("database: {url: 'postgresql://u@[2001:db8::1]:5432/bais?hostaddr='}", False),
        ("cache: {url: 'rediss://local.example.com:6379/0'}", True),
        ("tls: {http_url: 'http://local.example.com'}", True),
        ("recovery: {database_url: 'postgresql://u@local.example.com/bais'}", True),
        ("kubernetes: {kubeconfig: kube, context: far, read_only: true}", False),
        ("kubernetes: {kubeconfig: kube, context: near, read_only: true}", True),
        ("kubernetes: {kubeconfig: far, context: near, read_only: true}", False),
        ("kubernetes: {kubeconfig: kube, context: through, read_only: true}", True),
        ("backup: {directory: /b, scratch_url: 'postgresql://u@localhost/scratch'}", False),
        ("webhooks: {listen_host: 0.0.0.0}", False),
        ("monitoring: {prometheus_url: 'https://api.example.com', inbox_url: 'http://127.1:9'}", True),
        (f"oncall: {{{ONCALL}}}", False),
        (f"oncall: {{{ONCALL}, chat: {{'#ops': 'https://local.example.com/hook'}}}}", True),
        (f"oncall: {{{ONCALL}, status_page: {{page: p, token: t, api_url: 'http://[::1]:9'}}}}", True),
    ],
)
def test_any_address_of_the_target_on_loopback_is_a_rehearsal(
    write: Write, gates_dir: Path, part: str, rehearsal: bool
) -> None:
    """API, metrics, database, cache and cluster count as resolved; the gates' own servers do not."""
    clusters = {name: f"https://{host}:6443" for name, host in (("a", "api.example.com"), ("b", "127.0.0.1"))}
    proxied = {"server": clusters["a"], "proxy-url": "socks5://localhost:1080"}
    kubeconfig = {
        "clusters": [
            {"name": "damaged"},  # of no context here: it changes nothing
            *({"name": name, "cluster": {"server": url}} for name, url in clusters.items()),
            {"name": "c", "cluster": proxied},
        ],
        "contexts": [
            {"name": ["damaged"], "context": {"cluster": ["b"]}},
            {"name": "far", "context": {"cluster": "a"}},
            {"name": "near", "context": {"cluster": "b"}},
            {"name": "through", "context": {"cluster": "c"}},
        ],
    }
    (gates_dir / "environments" / "kube").write_text(json.dumps(kubeconfig), encoding="utf-8")
    write("some", f"name: some\n{part}\n")
    environment = load_environment("some", gates_dir=gates_dir)

    assert environment.rehearsal is rehearsal
    assert any(is_loopback(address) for _, address in environment.addresses()) is rehearsal


def test_a_list_of_hosts_that_begins_with_an_ipv6_address(write: Write, gates_dir: Path) -> None:
    """Each of its hosts counts; newer Pythons (3.13.5) take nothing after the brackets, and it is refused."""
    write("some", "name: some\ndatabase: {url: 'postgresql://u@[2001:db8::1],127.0.0.1/bais'}\n")
    if addresses.split_url("postgresql://u@[2001:db8::1],127.0.0.1/bais") is None:
        with pytest.raises(GateInputError, match="not a URL"):
            load_environment("some", gates_dir=gates_dir)
    else:
        assert load_environment("some", gates_dir=gates_dir).rehearsal


@pytest.mark.parametrize("text", ["[" * 5000, "contexts: 5", "- a", "a: &a [*a]", "\0", "a: 2026-02-30"])
def test_a_damaged_kubeconfig_has_no_address(write: Write, gates_dir: Path, text: str) -> None:
    """A kubeconfig that can't be read is left to the gates of the cluster, which need it."""
    (gates_dir / "environments" / "kube").write_text(text, encoding="utf-8")
    write("some", "name: some\nkubernetes: {kubeconfig: kube, context: near, read_only: true}\n")

    assert load_environment("some", gates_dir=gates_dir).addresses() == ()


@pytest.mark.parametrize(("query", "variable"), [("?service=near", ""), ("", "near")])
def test_a_service_file_is_refused(
    write: Write, gates_dir: Path, monkeypatch: pytest.MonkeyPatch, query: str, variable: str
) -> None:
    """A service file, from which libpq would take hosts unseen, is refused in the URL and by its variable."""
    monkeypatch.setenv("PGSERVICE", variable)
    write("some", f"name: some\ndatabase: {{url: 'postgresql://u@api.example.com/bais{query}'}}\n")

    with pytest.raises(GateInputError, match=r"2: database\.url: a service file .* unset PGSERVICE"):
        load_environment("some", gates_dir=gates_dir)


def test_the_identity_names_addresses_without_credentials(write: Write, gates_dir: Path) -> None:
    """API, database and cache are facts: another database behind a variable is another target."""
    write(
        "some",
        "name: some\ndatabase: {url: 'postgresql://u:secret-word@api.example.com:5432/bais?sslmode=require'}\n"
        "cache: {url: 'rediss://:other-word@api.example.com:6379/0'}\n",
    )
    identity = identity_of(load_environment("some", gates_dir=gates_dir))

    assert identity.facts == (
        ("database.url", "postgresql://api.example.com:5432/bais"),
        ("cache.url", "rediss://api.example.com:6379/0"),
    )
    assert identity.addresses == (("database.url", "192.0.2.1"), ("cache.url", "192.0.2.1"))


def test_resolution_is_bounded_in_time(
    write: Write, gates_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Name servers that do not answer cost one deadline for all names; what did answer counts."""
    release = threading.Event()
    slow = {"a.example.com", "b.example.com"}
    answer = socket.getaddrinfo

    def getaddrinfo(host: str, *more: Any, **named: Any) -> Any:
        if host in slow:
            release.wait(10)
        return answer(host, *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(addresses, "RESOLVE_S", 0.2)
    write(
        "some",
        "name: some\napi: {url: 'https://a.example.com'}\nmetrics: {url: 'https://b.example.com/m'}\n"
        "cache: {url: 'redis://local.example.com'}\n",
    )
    environment = load_environment("some", gates_dir=gates_dir)
    began = time.monotonic()
    found = environment.addresses()
    release.set()

    assert found == (("cache.url", "127.0.0.5"),)
    assert time.monotonic() - began < 5
