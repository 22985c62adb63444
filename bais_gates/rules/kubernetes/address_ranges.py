"""Add up the ranges of ipBlocks: what they cover together, and which protected ranges that includes.

Ranges that are harmless alone may cover everybody together (0.0.0.0/1 and 128.0.0.0/1). Source: the type
IPBlock of the NetworkPolicy API; RFC 1918, 6598 and 4193 (private ranges); NSA/CISA Kubernetes Hardening
Guide, "Network separation and hardening".
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

Range = ipaddress.IPv4Network | ipaddress.IPv6Network

METADATA: Final = tuple(map(ipaddress.ip_network, ("169.254.0.0/16", "fd00:ec2::254/128", "fe80::/10")))
"""Link-local addresses, and AWS' address of IPv6: the instance's metadata and its credentials."""
PRIVATE: Final = tuple(
    map(ipaddress.ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"))
)
"""Ranges of nodes, pods and Services, and of whatever else is in the same network."""
_NODE_DNS: Final = tuple(map(ipaddress.ip_network, ("169.254.0.0/16", "fd00::/8")))
_CREDENTIALS: Final = tuple(map(ipaddress.ip_network, ("169.254.169.254/32", "fd00:ec2::254/128")))
_EVERYBODY: Final = tuple(map(ipaddress.ip_network, ("0.0.0.0/0", "2000::/3")))
"""The addresses of everybody: all of IPv4, the global unicast addresses of IPv6."""


def covered(blocks: Iterable[Mapping[str, Any]]) -> list[Range]:
    """Return the ranges that ipBlocks cover together, without each one's own exceptions."""
    ranges: list[Range] = []
    for block in blocks:
        remaining = [ipaddress.ip_network(block["cidr"], strict=False)]
        for text in block.get("except") or ():
            remaining = _without(remaining, ipaddress.ip_network(text, strict=False))
        ranges += remaining
    # Each family is collapsed on its own, as ranges of both can't be compared.
    return [
        *ipaddress.collapse_addresses(one for one in ranges if isinstance(one, ipaddress.IPv4Network)),
        *ipaddress.collapse_addresses(one for one in ranges if isinstance(one, ipaddress.IPv6Network)),
    ]


def _without(ranges: Sequence[Any], excluded: Any) -> list[Any]:  # both families have the same methods
    remaining = []
    for one in ranges:
        if one.version != excluded.version or not one.overlaps(excluded):
            remaining.append(one)
        elif not one.subnet_of(excluded):
            remaining += one.address_exclude(excluded)
    return remaining


def is_everybody(ranges: Iterable[Range]) -> bool:
    """Return whether ranges that :func:`covered` returned include half of the world's addresses or more."""
    every = list(ranges)
    return any(2 * sum(_common(one, world) for one in every) >= world.num_addresses for world in _EVERYBODY)


def _common(one: Range, other: Range) -> int:
    """Return the number of addresses that two ranges have in common: one of them is in the other."""
    return min(one.num_addresses, other.num_addresses) if overlap(one, other) else 0


def overlap(one: Range, other: Range) -> bool:
    """Return whether two ranges of any family have an address in common."""
    return one.version == other.version and one.overlaps(other)


def is_node_dns(block: Mapping[str, Any]) -> bool:
    """Return whether an ipBlock is one address by which a DNS cache of the node may listen.

    Source: Kubernetes documentation, "Using NodeLocal DNSCache in Kubernetes Clusters" (169.254.0.0/16 or
    fd00::/8). The metadata service's own addresses are none.
    """
    ranges = covered([block])
    return (
        len(ranges) == 1
        and ranges[0].num_addresses == 1
        and (
            any(overlap(ranges[0], one) for one in _NODE_DNS)
            and not any(overlap(ranges[0], one) for one in _CREDENTIALS)
        )
    )


def protected(ranges: Iterable[Range]) -> list[str]:
    """List the protected ranges that ranges include: metadata in any part, private ones beyond one host."""
    every = list(ranges)
    wide = [one for one in every if one.num_addresses > 1]
    return [f"the metadata service ({one})" for one in METADATA if any(overlap(one, r) for r in every)] + [
        f"the private range {one}" for one in PRIVATE if any(overlap(one, r) for r in wide)
    ]
