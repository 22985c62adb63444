"""Ask an HTTP target one thing and get an answer, or a plain cause, in bounded time.

Nothing a server does can hold a gate: one deadline covers the whole exchange (connect, TLS, a header that
drips byte by byte, the body), the body is read up to a cap, redirects are answers like any other, and the
environment's proxy settings are not used. What is no HTTP answer is :class:`Unreachable`.
"""

from __future__ import annotations

import contextlib
import json as jsonlib
import socket
import ssl
import time
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import httpcore
import httpx

from bais_gates.probes.http_network import ENDS_AT, DeadlineTransport

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from types import TracebackType
    from typing import Self

DEADLINE_S: Final = 10.0
"""Seconds that one exchange may take from the first byte sent to the last one read."""
BODY_CAP: Final = 1024 * 1024
"""Bytes of a body that are read; the rest is left unread and the connection closed."""


class Unreachable(Exception):  # noqa: N818 - it names what was found out about the target, not a programming error
    """The target gave no HTTP answer. The message says who was asked what, and the plain cause."""


@dataclass(frozen=True, kw_only=True)
class Response:
    """One answer, wholly read (or cut at the cap, see ``truncated``)."""

    method: str
    url: str
    status: int
    headers: httpx.Headers
    body: bytes
    elapsed_ms: float
    """Milliseconds from the first byte sent to the last one read, connecting included."""
    truncated: bool = False
    """True when the body was longer than the cap; ``json`` is None then."""
    certificate: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """The server's TLS certificate as ``ssl`` describes it, when it was asked for."""

    @property
    def text(self) -> str:
        """The body as UTF-8, undecodable bytes replaced."""
        return self.body.decode("utf-8", "replace")

    @cached_property
    def json(self) -> Any:
        """The body as JSON, or None when it is none (also: NaN, a key twice in one object, too deep)."""
        return self._parse(parse_float=float)

    @cached_property
    def exact(self) -> Any:
        """The body as JSON with every number an exact ``Decimal``: for money."""
        return self._parse(parse_float=Decimal, parse_int=Decimal)

    def _parse(self, **how: Any) -> Any:
        if self.truncated:
            return None
        try:
            return jsonlib.loads(
                self.body, parse_constant=_refuse_constant, object_pairs_hook=_refuse_twice, **how
            )
        except (ValueError, RecursionError):
            return None

    def field(self, *path: str | int) -> Any:
        """Give the value at ``path`` in the JSON body, None when anything on the way is missing."""
        return dig(self.json, *path)

    def money(self, *path: str | int) -> str | None:
        """Give the number at ``path`` as exact decimal text ("19.9"); None if it is no number."""
        value = dig(self.exact, *path)
        return decimal_text(value) if isinstance(value, Decimal) else None

    def describe(self, limit: int = 300) -> str:
        """Say what an error message needs of it: request, status and the beginning of the body."""
        start = self.text[:limit] + ("..." if len(self.body) > limit else "")
        return f"{self.method} {self.url} answered {self.status}: {start}"


def dig(value: Any, *path: str | int) -> Any:
    """Follow ``path`` (keys and indexes) into parsed JSON; None when anything on the way is missing."""
    for step in path:
        if isinstance(step, str) and isinstance(value, dict):
            value = value.get(step)
        elif isinstance(step, int) and isinstance(value, list) and -len(value) <= step < len(value):
            value = value[step]
        else:
            return None
    return value


def decimal_text(value: Decimal) -> str:
    """Plain notation without needless zeros: 1E+2 is "100", 19.90 is "19.9"."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _refuse_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


class HttpClient:
    """A small synchronous client of one origin, safe to share between threads.

    ``transport`` replaces the network in tests (``httpx.MockTransport``). ``ca_file`` is the only trust
    anchor when given; there is no way to switch verification off. ``server_name`` is whom the certificate
    must be for, where that is not the address's own host (a pod, asked by its IP).
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
            transport=transport or DeadlineTransport(ca_file),
            follow_redirects=False,
            trust_env=False,
            timeout=deadline_s,
            # Asking for no compression keeps the cap true: a few bytes can not become gigabytes.
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
        """Send one request to ``base_url + path``, read the answer; raise :class:`Unreachable` if none came.

        ``json`` is sent as JSON unless it is None; ``content`` sends bytes as they are.
        """
        url = self.base_url + path
        budget = self.deadline_s if deadline_s is None else deadline_s
        request = self._build(method, url, headers=headers, json=json, content=content, params=params)
        began = time.monotonic()
        reset = ENDS_AT.set(began + budget)
        try:
            answer = self._client.send(request, stream=True)
            certificate = _certificate(answer) if with_certificate else {}
            body, truncated = self._read(answer, began + budget)
        except (
            httpx.HTTPError,
            httpx.InvalidURL,
            httpcore.NetworkError,
            OSError,
            ValueError,
            RuntimeError,
        ) as e:
            raise Unreachable(f"{method} {url}: {_cause(e, budget)}") from e
        except (httpcore.TimeoutException, httpcore.ProtocolError) as e:
            raise Unreachable(f"{method} {url}: {_cause(e, budget)}") from e
        finally:
            ENDS_AT.reset(reset)
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
            raise Unreachable(f"{method} {url}: not a URL that can be asked ({e})") from e

    def _read(self, answer: httpx.Response, ends_at: float) -> tuple[bytes, bool]:
        """Read the body as it came over the wire, up to the cap and not beyond the deadline."""
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
    """Ask the connection, while it is open, for the certificate that it was made with."""
    stream = answer.extensions.get("network_stream")
    tls = stream.get_extra_info("ssl_object") if stream is not None else None
    return (tls.getpeercert() if tls is not None else None) or {}


def _blocks(answer: httpx.Response) -> Iterator[bytes]:
    if answer.is_stream_consumed:  # a mock transport's answer comes wholly read
        yield answer.content
    else:
        yield from answer.iter_raw()


_NETWORK_ERRORS: Final = (
    httpx.HTTPError,
    httpx.InvalidURL,
    httpx.StreamError,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.TimeoutException,
    httpcore.UnsupportedProtocol,
)
_CAUSES: Final[tuple[tuple[type[BaseException], str], ...]] = (
    (ssl.SSLCertVerificationError, "its TLS certificate is not trusted"),
    (ssl.SSLError, "TLS failed"),
    (ConnectionRefusedError, "connection refused: nothing listens there"),
    (ConnectionResetError, "the connection was reset"),
    (BrokenPipeError, "the connection was closed while sending"),
    (socket.gaierror, "the host name does not resolve"),
)


def _cause(error: BaseException, budget: float) -> str:
    """One plain sentence for what went wrong, from the innermost known cause outwards."""
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
        return f"no complete answer within {budget:g} s"
    if any(isinstance(link, (httpx.ProtocolError, httpcore.ProtocolError)) for link in chain):
        return f"what came back is not a complete HTTP answer ({chain[0]})"
    return f"{chain[0] or type(chain[0]).__name__}"
