"""Where a webhook may point: https to a public address, and to loopback outside production. Nowhere else.

A URL is refused when it is configured if it plainly points elsewhere, and a name is looked up and its
addresses judged before each delivery, which then goes to exactly the address that was judged.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from bais_gates.sandbox.api.errors import bad_request

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_ALLOWED = re.compile(r"[!#-;=?-\[\]_a-z~]+")  # printable ASCII without blanks, quotes, <>, \, ^, `, {|}
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_INTERNAL = (
    "local",
    "internal",
    "intranet",
    "lan",
    "home",
    "corp",
    "private",
    "localdomain",
    "arpa",
    "onion",
)
_TRANSLATED = tuple(
    map(
        ipaddress.ip_network,
        ("::/96", "::ffff:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "2001::/32", "2002::/16"),
    )
)
"""IPv6 networks whose addresses stand for IPv4 ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """A URL that may be delivered to, in parts. ``address`` is None for a name that must be looked up."""

    scheme: str
    host: str
    port: int
    target: str
    address: Address | None


def check(url: str, name: str, *, loopback_allowed: bool) -> Destination:
    """Take the URL apart. Raises a 400 naming the field ``name`` unless it may be delivered to."""
    try:
        return _parse(url, loopback_allowed=loopback_allowed)
    except ValueError as error:
        raise bad_request(f"{name} is refused: {error}.", field_name=name) from None


def is_allowed(address: Address, *, loopback_allowed: bool) -> bool:
    """Whether deliveries may go there: the public internet, and loopback where it is allowed."""
    if (address.is_loopback and address.version == 4) or address == ipaddress.IPv6Address("::1"):
        return loopback_allowed
    if isinstance(address, ipaddress.IPv6Address) and (
        address.is_site_local or any(address in network for network in _TRANSLATED)
    ):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def resolve(place: Destination, *, loopback_allowed: bool) -> Address:
    """Give the address to connect to; blocks while names are looked up.

    Raises ``ValueError`` if any of the name's addresses is not allowed, ``OSError`` if there are none.
    """
    if place.address is not None:
        addresses: list[Address] = [place.address]
    else:
        found = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
        addresses = [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
        loopback_allowed = loopback_allowed and place.host == "localhost"
    if not all(is_allowed(address, loopback_allowed=loopback_allowed) for address in addresses):
        raise ValueError("the name leads into a private network")
    return addresses[0]


def _parse(url: str, *, loopback_allowed: bool) -> Destination:
    if len(url) > 2048 or not _ALLOWED.fullmatch(url.lower()):
        raise ValueError("it is no URL, or longer than 2048 characters")
    parts = urlsplit(url)
    port = parts.port  # raises ValueError for one that is no number up to 65535
    if parts.scheme not in {"http", "https"}:
        raise ValueError("it must be https")
    if "@" in parts.netloc or parts.fragment or "%" in parts.netloc:
        raise ValueError("it may hold neither user, nor fragment, nor an encoded host")
    host = (parts.hostname or "").removesuffix(".")
    address = _address(host, bracketed="[" in parts.netloc)
    loopback = host == "localhost" or (address is not None and address.is_loopback)
    if address is None and not loopback:
        _check_name(host)
    elif address is not None and not is_allowed(address, loopback_allowed=loopback_allowed):
        raise ValueError("it points into a private network")
    if loopback and not loopback_allowed:
        raise ValueError("it points into a private network")
    if parts.scheme == "http" and not loopback:
        raise ValueError("it must be https")
    if port == 0:
        raise ValueError("its port is not valid")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    default = 443 if parts.scheme == "https" else 80
    return Destination(scheme=parts.scheme, host=host, port=port or default, target=target, address=address)


def _address(host: str, *, bracketed: bool) -> Address | None:
    """Give the host as an address, None if it is a name.

    Raises ``ValueError`` for an address in an unusual spelling.

    2130706433, 0x7f.1, 017700000001 and 127.1 are all 127.0.0.1 to the C library: what ends in a number is
    an address, and only the plain spelling of one is accepted.
    """
    if bracketed:
        return ipaddress.IPv6Address(host)
    last = host.rpartition(".")[2]
    if not re.fullmatch(r"[0-9]+|0x[0-9a-f]*", last):
        return None
    return ipaddress.IPv4Address(host)


def _check_name(host: str) -> None:
    labels = host.split(".")
    if len(host) > 253 or not all(map(_LABEL.fullmatch, labels)):
        raise ValueError("its host is not a valid name")
    if len(labels) < 2 or labels[-1] in _INTERNAL or labels[-1] == "localhost":
        raise ValueError("its host is a name inside a private network")
