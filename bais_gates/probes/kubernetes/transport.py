"""What goes over the wire to an API server: one request, one deadline, a guard that lets only reading out.

The guard stands at the connection pool, below the official client: whoever gets hold of the client, or of an
API object made from it, is held to it as well.
"""

from __future__ import annotations

import json
import ssl
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
"""Bytes of an answer that are read; a page of a list is far smaller."""
_REVIEWS: Final = frozenset(
    {
        "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
        "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews",
    }
)
_ACTING: Final = frozenset({"attach", "exec", "portforward", "proxy"})
"""Subresources that act even when they are asked for with GET."""
_DRY: Final = frozenset({"", "scale", "status"})
"""Subresources whose dry run stores nothing and starts nothing."""
_SLACK_S: Final = 1.0


class WriteRefused(Exception):  # noqa: N818 - it names what was done to the request
    """A request that is more than reading was about to leave for a cluster that may only be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer of an API server; ``json`` is None when the body is none."""

    status: int
    content_type: str
    body: bytes

    @property
    def text(self) -> str:
        """The body as UTF-8, undecodable bytes replaced."""
        return self.body.decode("utf-8", "replace")

    @property
    def json(self) -> Any:
        """The body as JSON, None when it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None


def why_refused(method: str, url: str) -> str | None:
    """Say why a request may not leave for a cluster that may only be read; None when it may.

    It may: GET and HEAD, except of subresources that act (exec, attach, portforward, proxy); POST, PUT and
    PATCH with ``dryRun=All`` of an object, its status or scale; and the two reviews of one's own rights. A
    dry DELETE may not: a body makes the API server overlook the ``dryRun`` of its address.
    """
    parts = urlsplit(url)
    segments = [unquote(one) for one in parts.path.rstrip("/").split("/")[1:]]
    what = f"{method} {parts.path}"
    if any(one in {"", ".", ".."} or "/" in one for one in segments):
        return f"{what}: a path that is not plain"
    subresource = _subresource(segments)
    if method in {"GET", "HEAD"}:
        return f"{what}: {subresource} acts" if subresource in _ACTING else None
    if method == "POST" and "/" + "/".join(segments) in _REVIEWS:
        return None
    dry = parse_qs(parts.query, keep_blank_values=True).get("dryRun") == ["All"]
    if method in {"POST", "PUT", "PATCH"} and dry and subresource in _DRY:
        return None
    return f"{what}: it writes"


def _subresource(segments: list[str]) -> str:
    """Give the subresource that a path names, empty for an object, a list or anything else."""
    below = segments[2:] if segments[:1] == ["api"] else segments[3:]
    if below[:1] == ["watch"]:
        below = below[1:]
    namespaced = below[:1] == ["namespaces"] and len(below) > 3
    of_object = below[2:] if namespaced else below
    if len(below) == 3 and below[0] == "namespaces":  # a list in it, or a subresource of it
        return below[2] if below[2] in {"status", "finalize"} else ""
    return "/".join(of_object[2:]).partition("/")[0]


class Transport:
    """The official client, made from a :class:`ClusterAccess`; safe to share between threads.

    ``writes`` leaves the guard out: only :mod:`bais_gates.probes.kubernetes.writer` does that.
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
        """Send one request and read the answer, whatever its status.

        Raises :class:`ClusterUnreachable` when there is none in time, :class:`WriteRefused` for a request
        that the guard keeps back.
        """
        seconds = self.access.request_timeout_s if timeout_s is None else timeout_s
        headers = {"Accept": "application/json, */*"}
        headers |= {"Content-Type": content_type} if content_type is not None else {}

        def call() -> Answer:
            return self._exchange(method, path, query or {}, headers, body, seconds)

        try:
            return within(seconds + _SLACK_S, call)
        except TookTooLong:
            raise self._unreachable(f"no answer within {seconds:g} s") from None

    def _exchange(  # noqa: PLR0917 - the parts of one request, as the client takes them
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
            raise self._unreachable(f"the request cannot be made ({type(e).__name__})") from None
        if len(read) > BODY_CAP:
            raise self._unreachable(f"an answer of more than {BODY_CAP} bytes")
        return Answer(
            status=answer.status, content_type=str(answer.headers.get("Content-Type", "")), body=read
        )

    def _unreachable(self, cause: str) -> ClusterUnreachable:
        return ClusterUnreachable(
            f"The cluster of context {self.access.context!r} at {self.address} can not be asked: {cause}. "
            f"Is it up, does {self.access.kubeconfig} name this cluster, and may this machine reach it?"
        )

    def close(self) -> None:
        """Close all connections."""
        self._client.close()  # type: ignore[no-untyped-call] # the client's own has no types


def _guard(pool: Any) -> None:
    """Have ``pool`` refuse whatever is more than reading, before a connection is opened for it."""
    passed_on = pool.urlopen

    def urlopen(method: str, url: str, *args: Any, **kwargs: Any) -> Any:
        why = why_refused(method.upper(), url)
        if why is not None:
            raise WriteRefused(f"{why}. This cluster may only be read here; nothing was sent.")
        return passed_on(method, url, *args, **kwargs)

    pool.urlopen = urlopen


_CAUSES: Final[tuple[tuple[type[BaseException], str], ...]] = (
    (ConnectionRefusedError, "connection refused: nothing listens there"),
    (ConnectionResetError, "the connection was reset"),
    (BrokenPipeError, "the connection was closed while sending"),
)


def _cause(error: BaseException, seconds: float) -> str:
    """One plain sentence for what went wrong, from the innermost known cause outwards."""
    chain = [error]
    while (inner := _inner(chain[-1])) is not None and inner not in chain:
        chain.append(inner)
    text = redact(" ".join(str(error).split()))[:300]
    for link in chain:
        if isinstance(link, ssl.SSLCertVerificationError):
            return (
                f"its certificate does not chain to the CA in the kubeconfig ({link.verify_message}): that "
                "is another cluster, or one whose CA was renewed"
            )
    for kind, words in _CAUSES:
        if any(isinstance(link, kind) for link in chain):
            return words
    if any(isinstance(link, urllib3.exceptions.NameResolutionError) for link in chain):
        return "the host name does not resolve"
    if any(isinstance(link, urllib3.exceptions.TimeoutError | TimeoutError) for link in chain):
        return f"no answer within {seconds:g} s"
    if any(isinstance(link, ssl.SSLError | urllib3.exceptions.SSLError) for link in chain):
        return f"TLS failed ({text})"
    return f"what came back is not a complete HTTP answer ({text or type(error).__name__})"


def _inner(error: BaseException) -> BaseException | None:
    reason = getattr(error, "reason", None)
    if isinstance(reason, BaseException):
        return reason
    inner = error.__cause__ or error.__context__
    if inner is None and error.args and isinstance(error.args[-1], BaseException):
        return error.args[-1]
    return inner
