"""Send HTTP requests with one deadline per exchange and a limit on the size of the response body.

The deadline covers connecting, TLS, headers and body. Redirects are not followed, and the proxy settings of
the environment are not used. Without a complete HTTP response, :class:`Unreachable` is raised.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, Final

from bais_gates.extras import deferred
from bais_gates.strict import parse_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    import httpcore
    import httpx

    from bais_gates.probes import http_network
else:
    httpcore, httpx = deferred("httpcore"), deferred("httpx")
    http_network = deferred("bais_gates.probes.http_network")

DEADLINE_S: Final = 10.0
"""Seconds that one exchange may take, connecting included."""
BODY_CAP: Final = 1024 * 1024
"""Bytes of a body that are read; then the connection is closed."""


class Unreachable(Exception):  # noqa: N818 - it names the state of the target
    """There was no complete HTTP response. The message has the request and the cause."""


@dataclass(frozen=True, kw_only=True)
class Response:
    """One response with its body (up to the limit, see ``truncated``)."""

    method: str
    url: str
    status: int
    headers: httpx.Headers
    body: bytes
    elapsed_ms: float
    """Milliseconds until the last byte was read, connecting included."""
    truncated: bool = False
    """True when the body was longer than the limit; ``json`` is None then."""
    certificate: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """The server's TLS certificate as ``SSLSocket.getpeercert`` returns it, if requested."""

    @property
    def text(self) -> str:
        """The body decoded as UTF-8, with invalid bytes replaced."""
        return self.body.decode("utf-8", "replace")

    @cached_property
    def json(self) -> Any:
        """The body as strict JSON; None if it is not (NaN, duplicate keys, too deep) or truncated."""
        return self._parse(parse_float=float)

    @cached_property
    def exact(self) -> Any:
        """The body as JSON with every number as an exact ``Decimal``, for amounts of money."""
        return self._parse(parse_float=Decimal, parse_int=Decimal)

    def _parse(self, **how: Any) -> Any:
        if self.truncated:
            return None
        try:
            return parse_json(self.body, **how)
        except ValueError:
            return None

    def field(self, *path: str | int) -> Any:
        """Return the value at ``path`` in the JSON body; None if a part of the path is missing."""
        return dig(self.json, *path)

    def money(self, *path: str | int) -> str | None:
        """Return the number at ``path`` as exact decimal text ("19.9"); None if it is not a number."""
        value = dig(self.exact, *path)
        return decimal_text(value) if isinstance(value, Decimal) else None

    def describe(self, limit: int = 300) -> str:
        """Return the request, the status and the beginning of the body on one line, for an error message."""
        start = " ".join(self.text[:limit].split()) + ("..." if len(self.body) > limit else "")
        return f"{self.method} {self.url} answered {self.status}: {start}"


def dig(value: Any, *path: str | int) -> Any:
    """Return the value at ``path`` (keys and indexes) in parsed JSON; None if a part is missing."""
    for step in path:
        if isinstance(step, str) and isinstance(value, dict):
            value = value.get(step)
        elif isinstance(step, int) and isinstance(value, list) and -len(value) <= step < len(value):
            value = value[step]
        else:
            return None
    return value


def decimal_text(value: Decimal) -> str:
    """Return a number in plain notation without trailing zeros: 1E+2 is "100", 19.90 is "19.9"."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def resolve(host: str) -> tuple[str, ...]:
    """Return the addresses of a host name (or of an address, itself), sorted; none for an unknown name."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return ()
    return tuple(sorted({str(entry[4][0]).partition("%")[0] for entry in found}))


class HttpClient:
    """A synchronous client for one origin, safe to share between threads.

    ``transport`` replaces the network in tests (``httpx.MockTransport``). ``ca_file`` is the only trust
    anchor when given; verification cannot be disabled. ``server_name`` is the host name in the certificate
    where it differs from the URL's host (a pod requested by its IP).
    """

    def __init__(
        self,
        base_url: str,
        *,
        ca_file: Path | str | None = None,
        deadline_s: float = DEADLINE_S,
        body_cap: int = BODY_CAP,
        server_name: str | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.deadline_s = deadline_s
        self.body_cap = body_cap
        self._extensions = {} if server_name is None else {"sni_hostname": server_name}
        self._client = httpx.Client(
            transport=transport or http_network.DeadlineTransport(ca_file),
            follow_redirects=False,
            trust_env=False,
            timeout=deadline_s,
            # Without compression, the limit on the body holds: a few bytes cannot expand to gigabytes.
            headers={"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "bais-gates"},
        )

    def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        json: object = None,
        content: bytes | None = None,
        params: Mapping[str, str] | None = None,
        deadline_s: float | None = None,
        with_certificate: bool = False,
    ) -> Response:
        """Send one request to ``base_url + path`` and return the response; raise :class:`Unreachable`.

        ``json`` is sent as JSON unless it is None; ``content`` is sent unchanged.
        """
        url = self.base_url + path
        budget = self.deadline_s if deadline_s is None else deadline_s
        request = self._build(method, url, headers=headers, json=json, content=content, params=params)
        began = time.monotonic()
        reset = http_network.ENDS_AT.set(began + budget)
        try:
            answer = self._client.send(request, stream=True)
            certificate = _certificate(answer) if with_certificate else {}
            body, truncated = self._read(answer, began + budget)
        except _network_errors() as e:
            raise Unreachable(f"{method} {url}: {_cause(e, budget)}") from e
        finally:
            http_network.ENDS_AT.reset(reset)
        return Response(
            method=method,
            url=str(request.url),
            status=answer.status_code,
            headers=answer.headers,
            body=body,
            elapsed_ms=(time.monotonic() - began) * 1000,
            truncated=truncated,
            certificate=certificate,
        )

    def _build(self, method: str, url: str, *, json: object, **kwargs: Any) -> httpx.Request:
        try:
            if json is not None:
                kwargs["json"] = json
            return self._client.build_request(method, url, extensions={**self._extensions}, **kwargs)
        except httpx.InvalidURL as e:
            raise Unreachable(f"{method} {url}: not a valid URL ({e})") from e

    def _read(self, answer: httpx.Response, ends_at: float) -> tuple[bytes, bool]:
        """Read the undecoded body up to the limit, and not beyond the deadline."""
        body = bytearray()
        with contextlib.closing(answer):
            for block in _blocks(answer):
                body += block
                if len(body) > self.body_cap:
                    return bytes(body[: self.body_cap]), True
                if time.monotonic() > ends_at:
                    raise httpx.ReadTimeout("the body did not end in time")
        return bytes(body), False

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _certificate(answer: httpx.Response) -> Mapping[str, Any]:
    """Return the server's certificate from the open connection; empty without TLS."""
    stream = answer.extensions.get("network_stream")
    tls = stream.get_extra_info("ssl_object") if stream is not None else None
    return (tls.getpeercert() if tls is not None else None) or {}


def _blocks(answer: httpx.Response) -> Iterator[bytes]:
    if answer.is_stream_consumed:  # the response of a mock transport is already read
        yield answer.content
    else:
        yield from answer.iter_raw()


@cache
def _network_errors() -> tuple[type[Exception], ...]:
    return (
        httpx.HTTPError,
        httpx.InvalidURL,
        httpcore.NetworkError,
        httpcore.ProtocolError,
        httpcore.TimeoutException,
        OSError,
        ValueError,
        RuntimeError,
    )


_CAUSES: Final[tuple[tuple[type[BaseException], str], ...]] = (
    (ssl.SSLCertVerificationError, "its TLS certificate is not trusted"),
    (ssl.SSLError, "TLS failed"),
    (ConnectionRefusedError, "connection refused: nothing is listening"),
    (ConnectionResetError, "the connection was reset"),
    (BrokenPipeError, "the connection was closed while sending"),
    (socket.gaierror, "the host name cannot be resolved"),
)


def _cause(error: BaseException, budget: float) -> str:
    """Return the first known cause in the exception chain as a sentence."""
    chain = [error]
    while (inner := chain[-1].__cause__ or chain[-1].__context__) is not None and inner not in chain:
        chain.append(inner)
    for kind, words in _CAUSES:
        for link in chain:
            if isinstance(link, kind):
                detail = getattr(link, "verify_message", "") or (str(link) if kind is ssl.SSLError else "")
                return f"{words} ({detail})" if detail else words
    if any(
        isinstance(link, (httpx.TimeoutException, httpcore.TimeoutException, TimeoutError)) for link in chain
    ):
        return f"no complete response within {budget:g} s"
    if any(isinstance(link, (httpx.ProtocolError, httpcore.ProtocolError)) for link in chain):
        return f"incomplete or invalid HTTP response ({chain[0]})"
    return f"{chain[0] or type(chain[0]).__name__}"
