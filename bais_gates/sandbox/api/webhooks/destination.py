"""Where a webhook may point: https to a public address, and outside production to loopback.

The URL is checked when it is configured. Before each delivery its name is resolved and the addresses are
checked again; the delivery then connects to exactly the address that was checked.
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
"""IPv6 networks whose addresses embed an IPv4 address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """The parts of an accepted URL; ``address`` is None for a name that must be resolved."""

    scheme: str
    host: str
    port: int
    path: str
    address: Address | None


def check(url: str, name: str, *, loopback_allowed: bool) -> Destination:
    """Return the parts of ``url``. Raises a 400 naming the field ``name`` unless deliveries may go there."""
    try:
        return _parse(url, loopback_allowed=loopback_allowed)
    except ValueError as error:
        raise bad_request(f"{name} is refused: {error}.", field_name=name) from None


def is_allowed(address: Address, *, loopback_allowed: bool) -> bool:
    """Return whether deliveries may go to ``address``: public, or loopback if that is allowed."""
    if (address.is_loopback and address.version == 4) or address == ipaddress.IPv6Address("::1"):
        return loopback_allowed
    if isinstance(address, ipaddress.IPv6Address) and (
        address.is_site_local or any(address in network for network in _TRANSLATED)
    ):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def resolve(destination: Destination, *, loopback_allowed: bool) -> Address:
    """Return the address to connect to; blocks while the name is resolved.

    Raises ``ValueError`` if any of its addresses is not allowed, ``OSError`` if it has none.
    """
    if destination.address is not None:
        addresses: list[Address] = [destination.address]
    else:
        found = socket.getaddrinfo(destination.host, destination.port, type=socket.SOCK_STREAM)
        addresses = [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
        loopback_allowed = loopback_allowed and destination.host == "localhost"
    if not all(is_allowed(address, loopback_allowed=loopback_allowed) for address in addresses):
        raise ValueError("the name resolves to a private network")
    return addresses[0]


def _parse(url: str, *, loopback_allowed: bool) -> Destination:
    if len(url) > 2048 or not _ALLOWED.fullmatch(url.lower()):
        raise ValueError("it is not a URL, or longer than 2048 characters")
    parts = urlsplit(url)
    port = parts.port  # raises ValueError unless it is a number up to 65535
    if parts.scheme not in {"http", "https"}:
        raise ValueError("it must be https")
    if "@" in parts.netloc or parts.fragment or "%" in parts.netloc:
        raise ValueError("it may contain neither a user, nor a fragment, nor an encoded host")
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
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    default = 443 if parts.scheme == "https" else 80
    return Destination(scheme=parts.scheme, host=host, port=port or default, path=path, address=address)


def _address(host: str, *, bracketed: bool) -> Address | None:
    """Return the host as an address, None if it is a name.

    Raises ``ValueError`` for an address in an unusual notation: 2130706433, 0x7f.1, 017700000001 and 127.1
    are all 127.0.0.1 to the C library, so whatever ends in a number must be in dotted-decimal notation.
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
