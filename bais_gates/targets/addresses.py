"""The addresses of a target: the hosts that its environment file names, resolved in bounded time."""

from __future__ import annotations

import functools
import os
import re
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

import yaml

from bais_gates.errors import GateInputError
from bais_gates.verdict.files import read_bytes
from bais_gates.verdict.target import is_loopback

RESOLVE_S: Final = 2.0
"""Seconds within which all names must have been resolved; a name that was not is no address."""
_FRESH_S: Final = 60.0
"""Seconds for which a process does not ask again: name servers that are down cost their deadline once."""
_URLS: Final = {
    "api": ("url",),
    "metrics": ("url",),
    "monitoring": ("prometheus_url", "alertmanager_url", "inbox_url"),
    "oncall": ("api_url", "events_url", "chat", "status_page.api_url"),
    "database": ("url",),
    "cache": ("url",),
    "tls": ("http_url",),
    "recovery": ("database_url",),
}
"""What belongs to the target. The webhook listener and the scratch server of a restore do not."""
_PORT: Final = re.compile(r":[0-9]*\Z")


def resolved(parts: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return pairs of key and IP address for each host of the parts of an environment file, in order."""
    return _resolved(tuple(dict.fromkeys(_hosts(parts))), int(time.monotonic() / _FRESH_S))


@functools.lru_cache(maxsize=8)
def _resolved(hosts: tuple[tuple[str, str], ...], _period: int) -> tuple[tuple[str, str], ...]:
    answers: dict[str, tuple[str, ...]] = {}

    def look_up(host: str) -> None:
        answers[host] = _look_up(host)

    names = {host for _, host in hosts}
    threads = [threading.Thread(target=look_up, args=(name,), daemon=True) for name in sorted(names)]
    for thread in threads:
        thread.start()
    ends_at = time.monotonic() + RESOLVE_S
    for thread in threads:
        thread.join(max(0.0, ends_at - time.monotonic()))
    return tuple((key, address) for key, host in hosts for address in answers.get(host, ()))


def split_url(url: str) -> SplitResult | None:
    """Return the parts of a URL, None for one that has no host or port that can be read."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - reading it raises ValueError for a bad port
    except ValueError:
        return None
    return parts


def problem_of(url: str, schemes: Sequence[str], *, bare: bool) -> str | None:
    """Return what is wrong with an address, without its value, as it may hold a password; None if nothing.

    ``bare``: it must be scheme, host and path alone, without credentials, query or fragment.
    """
    parts = split_url(url)
    if parts is not None and "@" in parts.netloc.rpartition("@")[0]:
        # Clients differ on where the password ends: one would take its rest for the host, and print it.
        return "an '@' in user or password. Write it as %40."
    if parts is None or parts.scheme not in schemes or not parts.hostname or re.search(r"\s", url):
        wanted = " or ".join(f"{scheme}://host[:port]" for scheme in schemes)
        quoting = " In a password, write # as %23, / as %2F, ? as %3F." if "@" in url else ""
        return f"not a URL of the form {wanted}. Write the whole URL.{quoting}"
    if parts.scheme.startswith("postgres") and (
        "service" in parse_qs(parts.query) or os.environ.get("PGSERVICE")
    ):
        named = "a service file of libpq could name another host"
        return f"{named}. Write the whole URL without service, and unset PGSERVICE."
    if bare and (parts.username or parts.password or parts.query or parts.fragment):
        return "the URL has credentials, a query or a fragment. Remove them."
    return None


def without_credentials(url: str) -> str:
    """Return scheme, host, port and path of a URL."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _look_up(host: str) -> tuple[str, ...]:
    if is_loopback(host):
        return (host,)
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return ()
    return tuple(sorted({str(entry[4][0]) for entry in found}))


def _hosts(parts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for part, keys in _URLS.items():
        for key in keys:
            value = parts.get(part)
            for name in key.split("."):
                value = getattr(value, name, None)
            for url in value.values() if isinstance(value, Mapping) else [value or ""]:
                yield from ((f"{part}.{key}", host) for host in _hosts_of(url))
    if "kubernetes" in parts:
        cluster = parts["kubernetes"]
        named = (cluster.context, cluster.admin_context, cluster.secrets_context, cluster.deploy_context)
        for url in _servers(cluster.kubeconfig, [context for context in named if context is not None]):
            yield from (("kubernetes.context", host) for host in _hosts_of(url))


def _hosts_of(url: str) -> Iterator[str]:
    """Yield the hosts that a client of this URL connects to."""
    split = split_url(url)
    if split is None:
        return
    if split.scheme in {"postgresql", "postgres"}:
        yield from _hosts_of_libpq(split)
    elif split.hostname:
        yield unquote(split.hostname)


def _hosts_of_libpq(split: SplitResult) -> Iterator[str]:
    """Yield the hosts of a PostgreSQL URL, which takes several, also as parameters; / for an empty one.

    An empty host is the server's socket on this machine.
    Source: https://www.postgresql.org/docs/current/libpq-connect.html
    """
    query = parse_qs(split.query, keep_blank_values=True)
    authority = unquote(split.netloc.rpartition("@")[2])
    hosts = [_PORT.sub("", one).strip("[]") for one in authority.split(",")]
    hosts += [one for text in query.get("host", ()) for one in text.split(",")]
    yield from (one or "/" for one in hosts)
    for text in (*query.get("hostaddr", ()), os.environ.get("PGHOSTADDR", "")):
        yield from (one for one in text.split(",") if one)


def _servers(kubeconfig: Path, contexts: Sequence[str]) -> Iterator[str]:
    """Yield the API servers of these contexts and the proxies before them, as far as they can be read.

    What can't be read the cluster's gates complain of; another entry of the file may be wrong meanwhile.
    """
    try:
        content = yaml.safe_load(read_bytes(kubeconfig))
    except (GateInputError, ValueError, RecursionError, yaml.YAMLError):
        return
    wanted = [one.get("cluster") for name, one in _entries(content, "context") if name in contexts]
    for name, cluster in _entries(content, "cluster"):
        if name in wanted:
            yield from (str(cluster[key]) for key in ("server", "proxy-url") if key in cluster)


def _entries(content: object, kind: str) -> Iterator[tuple[object, dict[str, Any]]]:
    """Yield name and content of each well-formed entry of a kind in a kubeconfig."""
    listed = content.get(f"{kind}s") if isinstance(content, dict) else None
    for one in listed if isinstance(listed, list) else ():
        if isinstance(one, dict) and isinstance(one.get(kind), dict):
            yield one.get("name"), one[kind]
