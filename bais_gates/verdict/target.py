"""Which target it is: this machine or another, and the same as an earlier decision's or not."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import urlsplit

from bais_gates.verdict.model import Origin, Subject, TargetIdentity

_URLS: Final = {"api.url": "API address", "database.url": "database address", "cache.url": "cache address"}
_API: Final = {"api.version": "API version", "api.environment": "API environment"}
_PLATFORM: Final = {
    "tls.serial": "certificate",
    "cluster.uid": "cluster",
    "release.image": "running image",
}
_LOCAL_NAMES: Final = frozenset(
    {"localhost", "localhost6", "ip6-localhost", "ip6-loopback", "localhost.localdomain"}
    | {"localhost4", "localhost4.localdomain4", "localhost6.localdomain6"}
)
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine, however it is written (127.1, 2130706433, ::ffff:127.0.0.1).

    A name counts only where it always means this machine; what other names resolve to is asked elsewhere.
    """
    name = host.strip("[]").rstrip(".").lower()
    if name in _LOCAL_NAMES or name.endswith(".localhost") or name.startswith(("/", "@")):
        return True
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        try:
            address = ipaddress.ip_address(socket.inet_aton(name))
        except (OSError, ValueError):
            return False
    if isinstance(address, ipaddress.IPv6Address):
        low = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
        embedded = low if address in _NAT64 or 1 < int(address) < 1 << 32 else None
        address = address.ipv4_mapped or address.sixtofour or embedded or address
    return address.is_loopback or (int(address) >> 24 == 0 if address.version == 4 else int(address) == 0)


def local_parts(target: TargetIdentity) -> tuple[str, ...]:
    """Return the keys of an environment file whose addresses are this machine, each once."""
    return tuple(dict.fromkeys(key for key, address in target.addresses if is_loopback(address)))


def on_loopback(target: TargetIdentity) -> bool:
    """Return whether an address that a decision names is this machine."""
    hosts = [_host(url) for key, url in target.facts if key in _URLS]
    return any(map(is_loopback, [*hosts, *(address for _, address in target.addresses)]))


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def another_release(target: TargetIdentity, subject: Subject | None) -> str:
    """Return the images that the target's pods run if none is the subject's; "" if it is, or is not known.

    A rehearsal runs the sandbox's own image, whatever it rehearses for; it deploys nothing.
    """
    running = dict(target.facts).get("release.image", "")
    return "" if subject is None or target.rehearsal or running == subject.digest else running


def differences(
    origin: Origin, target: TargetIdentity, *, subject: Subject | None, contract: str | None, ended: bool
) -> Iterator[str]:
    """Yield why evidence of ``origin`` does not count for ``target``, a clause each.

    Before the run has ``ended``, what the target has not reported yet is left out; then unknown is different.
    """
    other = origin.target
    if other.rehearsal and not target.rehearsal:
        yield "it is a rehearsal, and this run is none"
    if origin.subject != subject:
        yield f"image {origin.subject or 'none'}, here {subject or 'none'}"
    if other.name != target.name:
        if subject is None and origin.subject is None:
            yield "no image is named that could be the same"
        if origin.contract != contract:
            yield f"contract {origin.contract or 'none'}, here {contract or 'none'}"
        if another_release(target, subject):
            return  # before its rollout the target reports an older version
        yield from _different_facts(other, target, {"api.version": _API["api.version"]}, ended=ended)
        if ended and "api.version" not in dict(other.facts) | dict(target.facts):
            yield "API version unknown on both"
        return
    if other.environment_digest != target.environment_digest:
        yield "another environment file of this name"
    yield from _different_facts(other, target, _compared(other, target), ended=ended)


def _compared(other: TargetIdentity, target: TargetIdentity) -> Mapping[str, str]:
    """Return the facts that two targets of one environment must share, by key."""
    if other.provisioned and target.provisioned:
        return _API
    if not target.rehearsal:
        return _URLS | _API | _PLATFORM
    # A rehearsal reaches its cluster only where a gate asks for it.
    known = dict(other.facts)
    cluster = {key: name for key, name in _PLATFORM.items() if key in known or key == "tls.serial"}
    return _URLS | _API | cluster


def _different_facts(
    other: TargetIdentity, target: TargetIdentity, keys: Mapping[str, str], *, ended: bool
) -> Iterator[str]:
    then, now = dict(other.facts), dict(target.facts)
    for key, name in keys.items():
        if then.get(key) != now.get(key) and (ended or key in now):
            yield f"{name} {then.get(key, 'unknown')}, here {now.get(key, 'unknown')}"
