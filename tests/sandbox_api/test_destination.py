"""Where a webhook may point, in every notation of an address."""

from __future__ import annotations

import ipaddress
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bais_gates.sandbox.api.errors import ApiError
from bais_gates.sandbox.api.webhooks import destination

_PRIVATE = """
https://10.0.0.1/ https://172.16.0.1/ https://192.168.0.1/ https://169.254.169.254/latest https://100.64.0.1/
https://0.0.0.0/ https://224.0.0.1/ https://255.255.255.255/ https://192.0.2.1/ https://198.18.0.1/
https://167772161/ https://0x0a000001/ https://0xa.0.0.1/ https://012.0.0.1/ https://10.1/ https://10.0.1/
https://0x7f.1/ https://2130706433/ https://017700000001/ https://127.1/ https://010.0.0.1/ https://10.0.0.1./
https://[::]/ https://[fe80::1]/ https://[fc00::1]/ https://[fd12::1]/ https://[fec0::1]/ https://[ff02::1]/
https://[::ffff:10.0.0.1]/ https://[::ffff:7f00:1]/ https://[64:ff9b::a00:1]/ https://[2002:a00:1::]/
https://[::10.0.0.1]/ https://[2001:0:a00:1::]/ https://[fe80::1%25eth0]/ https://postgres/ https://intranet.corp/
https://db.internal/ https://printer.local/ https://kubernetes.default.svc.cluster.local/ https://x.localhost/
"""
PRIVATE = _PRIVATE.split()
NO_URL = [
    "",
    "example.com/hook",
    "//example.com/hook",
    "ftp://example.com/",
    "file:///etc/passwd",
    "gopher://example.com/",
    "javascript:alert(1)",
    "https://",
    "https:///path",
    "https://user:pw@example.com/",
    "https://example.com@10.0.0.1/",
    "https://example.com:0/",
    "https://example.com:99999/",
    "https://example.com:x/",
    "https://exa mple.com/",
    "https://example.com/\r\nHost: x",
    "https://example.com\\@10.0.0.1/",
    "https://\u2460\u2461\u2466.0.0.1/",
    "https://ex\u00e4mple.com/",
    "https://%31%30.0.0.1/",
    "https://-example.com/",
    "https://exam..ple.com/",
    "https://[::1/",
    "https://example.com/#part",
    "https://example.com/" + "a" * 2048,
]


@pytest.mark.parametrize("url", [*PRIVATE, *NO_URL])
def test_private_networks_and_no_urls_are_refused(url: str) -> None:
    """Private networks are refused in every notation, also where loopback is allowed."""
    for loopback_allowed in (False, True):
        with pytest.raises(ApiError) as refused:
            destination.check(url, "url", loopback_allowed=loopback_allowed)
        assert refused.value.status == 400


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8080/h",
        "http://localhost/h",
        "http://[::1]:1/h",
        "https://127.8.9.1/",
        "HTTP://LOCALHOST/",
    ],
)
def test_loopback_is_for_staging(url: str) -> None:
    """Loopback is allowed only where the setting allows it, and in its plain notation."""
    assert destination.check(url, "url", loopback_allowed=True).port
    with pytest.raises(ApiError):
        destination.check(url, "url", loopback_allowed=False)


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("https://example.com/hook?a=1", ("https", "example.com", 443, "/hook?a=1")),
        ("https://Hooks.Example.COM:8443", ("https", "hooks.example.com", 8443, "/")),
        ("https://xn--exmple-cua.com/", ("https", "xn--exmple-cua.com", 443, "/")),
        ("https://1.1.1.1/", ("https", "1.1.1.1", 443, "/")),
        ("https://[2606:4700::1111]/", ("https", "2606:4700::1111", 443, "/")),
    ],
)
def test_public_addresses_are_taken_apart(url: str, parts: tuple[object, ...]) -> None:
    """Scheme, host, port and path are those of the URL."""
    place = destination.check(url, "url", loopback_allowed=False)
    assert (place.scheme, place.host, place.port, place.path) == parts


@given(st.ip_addresses(), st.booleans())
def test_an_address_is_judged_alike_as_host_and_as_what_a_name_resolves_to(
    address: destination.Address, loopback_allowed: bool
) -> None:
    """An address in a URL is accepted exactly if it is accepted after name resolution."""
    host = f"[{address}]" if address.version == 6 else str(address)
    try:
        place = destination.check(f"https://{host}/", "url", loopback_allowed=loopback_allowed)
    except ApiError:
        assert not destination.is_allowed(address, loopback_allowed=loopback_allowed)
    else:
        assert destination.resolve(place, loopback_allowed=loopback_allowed) == address
        assert address.is_global or (loopback_allowed and address.is_loopback)


def test_names_are_judged_when_they_are_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name with one private address is refused, whatever its other addresses are."""
    place = destination.check("https://hooks.example.com/", "url", loopback_allowed=True)
    for found, allowed in (
        (["1.1.1.1"], True),
        (["1.1.1.1", "10.0.0.1"], False),
        (["127.0.0.1"], False),
        (["::1"], False),
    ):
        entries = [(0, 0, 0, "", (address, 443)) for address in found]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, entries=entries, **__: entries)
        if allowed:
            assert destination.resolve(place, loopback_allowed=True) == ipaddress.ip_address(found[0])
        else:
            with pytest.raises(ValueError, match="private"):
                destination.resolve(place, loopback_allowed=True)
