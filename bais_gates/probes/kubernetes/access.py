"""Whom to ask in a Kubernetes cluster, with which credentials: a kubeconfig and one named context of it.

Nothing is defaulted: the file and the context are given, ``current-context``, ``$KUBECONFIG`` and
``~/.kube/config`` are never looked at. The official client reads the file; what it would find out by failing
later (an expired client certificate or token, a CA that is none) is found out here, before anything is sent.

::

    Exception
    ├── GateInputError          the kubeconfig cannot be used as it is; the message says what to do
    └── ClusterError            the cluster was asked
        ├── ClusterUnreachable  no answer in time, TLS failed, or what came back is not Kubernetes
        └── ClusterRefused      the API server said no: 401, 403, 404 (kind not served), 409, 422, 5xx ...
"""

from __future__ import annotations

import ssl
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import yaml

from bais_gates import redaction
from bais_gates.errors import AbsentFileError, GateInputError
from bais_gates.extras import optional
from bais_gates.probes import jwt
from bais_gates.probes.deadline import TookTooLong, within

if TYPE_CHECKING:
    from pathlib import Path

    import kubernetes.client
    import kubernetes.config
    import kubernetes.config.kube_config
    from kubernetes.client import Configuration
else:
    kubernetes = optional("kubernetes", extra="cluster")

REQUEST_TIMEOUT_S: Final = 5.0
_LOAD_S: Final = 5.0
"""Seconds that reading a kubeconfig may take: it may start a program for the credentials."""
_FILE_CAP: Final = 4 * 1024 * 1024


class ClusterError(Exception):
    """The cluster was asked, and gave no answer that can be judged."""


class ClusterUnreachable(ClusterError):  # noqa: N818 - it names what was found out about the cluster
    """No answer in time, no trusted TLS, or an answer that no API server gives. The message says which."""


class ClusterRefused(ClusterError):  # noqa: N818 - it names what the cluster did
    """The API server said no. Everything it said is in the attributes; the message is one paragraph.

    ``status`` is the HTTP status, ``reason`` the Status object's reason (``Forbidden``, ``Invalid`` ...;
    empty when there was none), ``message`` what it said, ``verb`` and ``resource`` what was asked for,
    ``causes`` the details of an ``Invalid``. ``kind_missing``: the server does not serve such a kind at all.
    """

    def __init__(
        self,
        text: str,
        *,
        status: int,
        reason: str,
        message: str,
        verb: str,
        resource: str,
        causes: tuple[str, ...] = (),
        kind_missing: bool = False,
    ) -> None:
        super().__init__(text)
        self.status = status
        self.reason = reason
        self.message = message
        self.verb = verb
        self.resource = resource
        self.causes = causes
        self.kind_missing = kind_missing


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterAccess:
    """A kubeconfig, the context of it that is meant, and whether anything may be written there."""

    kubeconfig: Path
    context: str
    read_only: bool = True
    verified: bool = True
    """Whether a kubeconfig that does not have the server's certificate verified is refused."""
    request_timeout_s: float = REQUEST_TIMEOUT_S
    """Seconds that one request may take, connecting included."""


def configuration_for(access: ClusterAccess) -> tuple[Configuration, ssl.SSLContext | None]:
    """Read the kubeconfig: the official client's configuration, and the TLS context (None for plain http).

    Raises GateInputError, one paragraph with the remedy, for a file that is absent, unreadable or no
    kubeconfig, a context that is not in it, credentials that have expired or do not fit together.
    """
    document = _document(access)
    user = _check_shape(access, document)
    configuration = kubernetes.client.Configuration()
    configuration.retries = False  # a second try would take a second time-out
    try:
        tls = within(_LOAD_S, lambda: _load(access, document, configuration))
    except TookTooLong:
        raise _error(
            access, f"reading the credentials took more than {_LOAD_S:g} s. Run its exec command by hand."
        ) from None
    host = urlsplit(str(configuration.host))
    if host.hostname in {"localhost", "127.0.0.1", "::1"}:
        configuration.proxy = None  # as kubectl does: a proxy does not know this machine's loopback
    if access.verified and (tls is None or tls.verify_mode is ssl.CERT_NONE):
        raise _error(
            access,
            "the server's certificate would not be verified, so anybody could answer in its place. Give an "
            "https server and its certificate-authority in the kubeconfig.",
        )
    _check_token(access, configuration, user)
    return configuration, tls


def _error(access: ClusterAccess, what: str) -> GateInputError:
    return GateInputError(f"{access.kubeconfig}, context {access.context!r}: {what}")


def _document(access: ClusterAccess) -> dict[str, Any]:
    path = access.kubeconfig
    try:
        with path.open("rb") as file:
            text = file.read(_FILE_CAP + 1)
    except FileNotFoundError:
        raise AbsentFileError(
            f"{path}: there is no such kubeconfig. Fetch it where the gates run (for example with your "
            "provider's get-credentials), or correct kubernetes.kubeconfig in the environment file."
        ) from None
    except OSError as e:
        raise GateInputError(f"{path}: the kubeconfig cannot be read ({e.strerror}).") from None
    try:
        document = yaml.safe_load(text) if len(text) <= _FILE_CAP else None
    except (yaml.YAMLError, ValueError, RecursionError) as e:
        mark = getattr(e, "problem_mark", None)
        line = f" in line {mark.line + 1}" if mark is not None else ""
        raise GateInputError(
            f"{path}: the kubeconfig is not YAML{line}. Fetch it anew; do not edit it by hand."
        ) from None
    if not isinstance(document, dict):
        raise GateInputError(f"{path}: this is not a kubeconfig (clusters, users, contexts). Fetch it anew.")
    return document


def _check_shape(access: ClusterAccess, document: dict[str, Any]) -> dict[str, Any]:
    """See that the context is there with its cluster and user; give the user's entry."""
    context = _entry(access, document, "contexts", access.context).get("context")
    if not isinstance(context, dict):
        raise _error(access, "the context is empty. Fetch the kubeconfig anew.")
    cluster = _entry(access, document, "clusters", context.get("cluster")).get("cluster")
    if not isinstance(cluster, dict) or not isinstance(cluster.get("server"), str):
        raise _error(access, "its cluster names no server. Fetch the kubeconfig anew.")
    server = urlsplit(cluster["server"])
    if server.scheme not in {"https", "http"} or not server.hostname:
        raise _error(access, "its cluster's server is not an address like https://host:6443.")
    user = _entry(access, document, "users", context.get("user")).get("user")
    return user if isinstance(user, dict) else {}


def _entry(access: ClusterAccess, document: dict[str, Any], kind: str, name: object) -> dict[str, Any]:
    entries = document.get(kind)
    known = [one for one in entries if isinstance(one, dict)] if isinstance(entries, list) else []
    found = [one for one in known if one.get("name") == name]
    if len(found) == 1:
        return found[0]
    names = ", ".join(sorted(str(one.get("name")) for one in known)) or "none"
    how = "is there more than once" if found else f"is not in it (there are: {names})"
    remedy = "Name one of them as kubernetes.context." if kind == "contexts" else "Fetch the kubeconfig anew."
    raise _error(access, f"{name!r} {how} among its {kind}. {remedy}")


def _load(
    access: ClusterAccess, document: dict[str, Any], configuration: Configuration
) -> ssl.SSLContext | None:
    """Have the official client fill ``configuration``; the certificates it unpacks stay on disk no longer."""
    with tempfile.TemporaryDirectory(prefix="bais-gates-") as folder:
        path = str(access.kubeconfig.absolute())
        node = kubernetes.config.kube_config.ConfigNode(path, document, path)  # type: ignore[no-untyped-call] # the client has no types here
        try:
            loader = kubernetes.config.kube_config.KubeConfigLoader(  # type: ignore[no-untyped-call] # the client's loader has no types
                config_dict=node,
                active_context=access.context,
                config_base_path=str(access.kubeconfig.absolute().parent),
                temp_file_path=folder,
            )
            loader.load_and_set(configuration)  # type: ignore[no-untyped-call] # as above
        except kubernetes.config.ConfigException as e:
            raise _error(access, f"{redaction.redact(str(e))[:300]}. Fetch the kubeconfig anew.") from None
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as e:
            raise _error(
                access, f"its credentials cannot be read ({type(e).__name__}). Fetch the kubeconfig anew."
            ) from None
        if urlsplit(str(configuration.host)).scheme != "https":
            return None
        return _tls(access, configuration)


def _tls(access: ClusterAccess, configuration: Configuration) -> ssl.SSLContext:
    """Make the TLS context from the files in ``configuration``, and forget the files."""
    try:
        context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
    except (OSError, ssl.SSLError):
        raise _error(
            access, "its certificate-authority is not a PEM certificate. Fetch the kubeconfig anew."
        ) from None
    if not configuration.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if configuration.cert_file:
        _check_certificate(access, str(configuration.cert_file))
        try:
            context.load_cert_chain(configuration.cert_file, configuration.key_file)
        except (OSError, ssl.SSLError, TypeError):
            raise _error(
                access, "its client certificate and key do not fit together. Fetch the kubeconfig anew."
            ) from None
    configuration.ssl_ca_cert = configuration.cert_file = configuration.key_file = None
    return context


def _check_certificate(access: ClusterAccess, file: str) -> None:
    """Refuse a client certificate that has expired: the API server would only say 401."""
    from cryptography import x509  # noqa: PLC0415 - only where a certificate is used

    try:
        with open(file, "rb") as opened:  # noqa: PTH123 - the client names files as text
            certificate = x509.load_pem_x509_certificate(opened.read())
    except (OSError, ValueError):
        raise _error(access, "its client certificate is not PEM. Fetch the kubeconfig anew.") from None
    ends = certificate.not_valid_after_utc
    if ends <= datetime.now(UTC):
        raise _error(
            access, f"its client certificate expired on {ends:%Y-%m-%d %H:%M} UTC. Have a new one issued."
        )


def _check_token(access: ClusterAccess, configuration: Configuration, user: dict[str, Any]) -> None:
    """Register the token with redaction, and refuse one whose own expiry has passed."""
    text = str(configuration.api_key.get("BearerToken") or "")
    token = text.partition(" ")[2] or text
    if not token:
        if "exec" in user or "auth-provider" in user:
            raise _error(
                access, "the program that it names for credentials gave none. Run that program by hand."
            )
        return
    redaction.register(token)
    left = jwt.seconds_left(jwt.claims(token) or {})
    if left <= 0:
        ended = datetime.fromtimestamp(datetime.now(UTC).timestamp() + left, UTC)
        raise _error(
            access, f"its token expired on {ended:%Y-%m-%d %H:%M} UTC. Sign in again, or issue a new one."
        )
