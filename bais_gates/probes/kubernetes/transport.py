"""Send requests to an API server, each with a deadline, through a guard that allows only reading.

The guard is at the connection pool, below the official client, so that it also applies to requests that use
the client or an API object of it directly.
"""

from __future__ import annotations

import json
import ssl
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

from bais_gates.extras import optional
from bais_gates.probes.deadline import TookTooLong, within
from bais_gates.probes.kubernetes.access import ClusterAccess, ClusterUnreachable, configuration_for
from bais_gates.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Mapping

    import kubernetes.client
    import urllib3
else:
    kubernetes = optional("kubernetes", extra="cluster")
    urllib3 = optional("urllib3", extra="cluster")

BODY_CAP: Final = 64 * 1024 * 1024
"""Maximum size of an answer in bytes; a page of a list is much smaller."""
_REVIEWS: Final = frozenset(
    {
        "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
        "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews",
    }
)
_CONNECTING: Final = frozenset({"attach", "exec", "portforward", "proxy"})
"""Subresources that have effects even with GET."""
_DRY_RUN: Final = frozenset({"", "scale", "status"})
"""Subresources whose dry run has no effects."""
_SLACK_S: Final = 1.0
_AGAIN_S: Final = 0.5
"""Seconds between a read without an answer and the next attempt."""


class WriteRefused(Exception):  # noqa: N818 - it names what was done to the request
    """The guard refused a request that does not only read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer of an API server."""

    status: int
    content_type: str
    body: bytes
    date: str = ""
    """The header Date: the server's time, to the second."""

    @property
    def text(self) -> str:
        """The body decoded as UTF-8, with invalid bytes replaced."""
        return self.body.decode("utf-8", "replace")

    @property
    def json(self) -> Any:
        """The body as JSON; None if it is not JSON."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None


def why_refused(method: str, url: str) -> str | None:
    """Return why a request may not be sent to a read-only cluster; None if it may.

    Allowed are GET and HEAD, except of subresources with effects (exec, attach, portforward, proxy); POST,
    PUT and PATCH with ``dryRun=All`` of an object, its status or scale; and the two reviews of one's own
    permissions. DELETE with ``dryRun=All`` is refused: a body makes the API server ignore that parameter.
    """
    parts = urlsplit(url)
    segments = [unquote(one) for one in parts.path.rstrip("/").split("/")[1:]]
    what = f"{method} {parts.path}"
    if any(one in {"", ".", ".."} or "/" in one for one in segments):
        return f"{what}: the path is not canonical"
    subresource = _subresource(segments)
    if method in {"GET", "HEAD"}:
        return f"{what}: {subresource} has effects" if subresource in _CONNECTING else None
    if method == "POST" and "/" + "/".join(segments) in _REVIEWS:
        return None
    dry = parse_qs(parts.query, keep_blank_values=True).get("dryRun") == ["All"]
    if method in {"POST", "PUT", "PATCH"} and dry and subresource in _DRY_RUN:
        return None
    return f"{what}: it writes"


def _subresource(segments: list[str]) -> str:
    """Return the subresource in a path; empty for an object, a list or anything else."""
    below = segments[2:] if segments[:1] == ["api"] else segments[3:]
    if below[:1] == ["watch"]:
        below = below[1:]
    namespaced = below[:1] == ["namespaces"] and len(below) > 3
    of_object = below[2:] if namespaced else below
    if len(below) == 3 and below[0] == "namespaces":  # a list in the namespace, or its own subresource
        return below[2] if below[2] in {"status", "finalize"} else ""
    return "/".join(of_object[2:]).partition("/")[0]


class Transport:
    """The official client for a :class:`ClusterAccess`; safe to share between threads.

    ``writes`` disables the guard: only :mod:`bais_gates.probes.kubernetes.writer` sets it.
    """

    def __init__(self, access: ClusterAccess, *, writes: bool = False) -> None:
        configuration, tls = configuration_for(access)
        self.access = access
        self.address = str(configuration.host)
        self._client = kubernetes.client.ApiClient(configuration)
        self._client.user_agent = "bais-gates"
        pool = self._client.rest_client.pool_manager
        if tls is not None:
            pool.connection_pool_kw["ssl_context"] = tls
        if not writes:
            _guard(pool)

    def send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: object = None,
        content_type: str | None = None,
        timeout_s: float | None = None,
    ) -> Answer:
        """Send one request and return the answer, whatever its status.

        A read is sent again for ``access.patience_s``. Raises :class:`ClusterUnreachable` without an answer
        in time, :class:`WriteRefused` for a request that the guard refuses.
        """
        seconds = self.access.request_timeout_s if timeout_s is None else timeout_s
        headers = {"Accept": "application/json, */*"}
        headers |= {"Content-Type": content_type} if content_type is not None else {}

        def call() -> Answer:
            return self._exchange(method, path, query or {}, headers, body, seconds)

        gives_up_at = time.monotonic() + (self.access.patience_s if method == "GET" else 0.0)
        while True:
            try:
                return within(seconds + _SLACK_S, call)
            except TookTooLong:
                error = self._unreachable(f"no answer within {seconds:g} s")
            except ClusterUnreachable as e:
                error = e
            if time.monotonic() >= gives_up_at:
                raise error from None
            time.sleep(_AGAIN_S)

    def _exchange(  # noqa: PLR0917 - the arguments of the client
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        headers: dict[str, str],
        body: object,
        seconds: float,
    ) -> Answer:
        try:
            request = self._client.param_serialize(
                method,
                path,
                query_params=list(query.items()),
                header_params=headers,
                body=body,
                auth_settings=["BearerToken"],
            )
            answer = self._client.call_api(*request, _request_timeout=seconds).response
            try:
                read = answer.read(BODY_CAP + 1)
            finally:
                answer.release_conn()
        except (urllib3.exceptions.HTTPError, OSError, kubernetes.client.ApiException) as e:
            raise self._unreachable(_cause(e, seconds)) from None
        except (kubernetes.client.OpenApiException, ValueError, TypeError) as e:
            raise self._unreachable(f"the request is not valid ({type(e).__name__})") from None
        if len(read) > BODY_CAP:
            raise self._unreachable(f"an answer of more than {BODY_CAP} bytes")
        return Answer(
            status=answer.status,
            content_type=str(answer.headers.get("Content-Type", "")),
            body=read,
            date=str(answer.headers.get("Date", "")),
        )

    def _unreachable(self, cause: str) -> ClusterUnreachable:
        return ClusterUnreachable(
            f"The cluster of context {self.access.context!r} at {self.address} is unreachable: {cause}. "
            f"Check that it is running, that {self.access.kubeconfig} is its kubeconfig, and that this "
            "machine can reach it."
        )

    def close(self) -> None:
        """Close all connections."""
        self._client.close()  # type: ignore[no-untyped-call] # the client's own has no types


def _guard(pool: Any) -> None:
    """Make ``pool`` refuse requests that do not only read, before a connection is opened."""
    original = pool.urlopen

    def urlopen(method: str, url: str, *args: Any, **kwargs: Any) -> Any:
        why = why_refused(method.upper(), url)
        if why is not None:
            raise WriteRefused(f"{why}. This cluster is read-only for gates; nothing was sent.")
        return original(method, url, *args, **kwargs)

    pool.urlopen = urlopen


_CAUSES: Final[tuple[tuple[type[BaseException], str], ...]] = (
    (ConnectionRefusedError, "connection refused: nothing is listening"),
    (ConnectionResetError, "the connection was reset"),
    (BrokenPipeError, "the connection was closed while sending"),
)


def _cause(error: BaseException, seconds: float) -> str:
    """Return the first known cause in the exception chain as a sentence."""
    chain = [error]
    while (inner := _inner(chain[-1])) is not None and inner not in chain:
        chain.append(inner)
    text = redact(" ".join(str(error).split()))[:300]
    for link in chain:
        if isinstance(link, ssl.SSLCertVerificationError):
            return (
                f"its certificate is not issued by the CA in the kubeconfig ({link.verify_message}): it is "
                "another cluster, or its CA was renewed"
            )
    for kind, words in _CAUSES:
        if any(isinstance(link, kind) for link in chain):
            return words
    if any(isinstance(link, urllib3.exceptions.NameResolutionError) for link in chain):
        return "the host name cannot be resolved"
    if any(isinstance(link, urllib3.exceptions.TimeoutError | TimeoutError) for link in chain):
        return f"no answer within {seconds:g} s"
    if any(isinstance(link, ssl.SSLError | urllib3.exceptions.SSLError) for link in chain):
        return f"TLS failed ({text})"
    return f"incomplete or invalid HTTP response ({text or type(error).__name__})"


def _inner(error: BaseException) -> BaseException | None:
    reason = getattr(error, "reason", None)
    if isinstance(reason, BaseException):
        return reason
    inner = error.__cause__ or error.__context__
    if inner is None and error.args and isinstance(error.args[-1], BaseException):
        return error.args[-1]
    return inner
