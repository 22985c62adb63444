"""Load a kubeconfig and one named context of it, and check its credentials.

The file and the context must be given: ``current-context``, ``$KUBECONFIG`` and ``~/.kube/config`` are not
used. The official client reads the file. An expired client certificate or token and an invalid CA are errors
here, before a request is sent.

::

    Exception
    ├── GateInputError          the kubeconfig is not usable; the message says what to do
    └── ClusterError            a request to the cluster failed
        ├── ClusterUnreachable  no answer in time, TLS failed, or the answer is not an API server's
        └── ClusterRefused      the API server refused: 401, 403, 404 (kind not served), 409, 422, 5xx ...
"""

from __future__ import annotations

import os
import shutil
import ssl
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import yaml

from bais_gates import redaction
from bais_gates.errors import GateInputError
from bais_gates.extras import optional
from bais_gates.probes import jwt
from bais_gates.probes.deadline import TookTooLong, within
from bais_gates.probes.files import read_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import kubernetes.client
    import kubernetes.config
    import kubernetes.config.kube_config
    from kubernetes.client import Configuration
else:
    kubernetes = optional("kubernetes", extra="cluster")

REQUEST_TIMEOUT_S: Final = 5.0
_LOAD_S: Final = 5.0
"""Seconds that loading a kubeconfig may take: it may run a credential program."""


class ClusterError(Exception):
    """A request to the cluster failed."""


class ClusterUnreachable(ClusterError):  # noqa: N818 - it names the state of the cluster
    """No answer in time, no trusted TLS, or an answer that is not an API server's. The message says which."""


class ClusterRefused(ClusterError):  # noqa: N818 - it names what the cluster did
    """The API server refused a request. The message is one paragraph for people.

    ``status`` is the HTTP status; ``reason`` and ``message`` are those of the Status object (``Forbidden``,
    ``Invalid`` ...; empty without one); ``verb`` and ``resource`` describe the request; ``causes`` are the
    details of an ``Invalid``; ``kind_missing`` is True if the server does not serve the kind.
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
    """A kubeconfig, one of its contexts, and whether writing is allowed."""

    kubeconfig: Path
    context: str
    read_only: bool = True
    verified: bool = True
    """Whether a kubeconfig without verification of the server's certificate is refused."""
    request_timeout_s: float = REQUEST_TIMEOUT_S
    """Seconds that one request may take, connecting included."""
    patience_s: float = 0.0
    """Seconds for which a read without an answer is sent again: what may not stop half-way outlasts a cut."""


def configuration_for(access: ClusterAccess) -> tuple[Configuration, ssl.SSLContext | None]:
    """Return the official client's configuration and the TLS context (None for plain http) of an access.

    Raises GateInputError for an absent or invalid file, a missing context, and for credentials that have
    expired or do not match each other.
    """
    document = _document(access)
    user = _check_shape(access, document)
    configuration = kubernetes.client.Configuration()
    configuration.retries = False  # each retry would take another timeout
    try:
        tls = within(_LOAD_S, lambda: _load(access, document, configuration))
    except TookTooLong:
        raise _error(
            access, f"loading the credentials took more than {_LOAD_S:g} s. Run its exec command by hand."
        ) from None
    host = urlsplit(str(configuration.host))
    if host.hostname in {"localhost", "127.0.0.1", "::1"}:
        configuration.proxy = None  # as kubectl does: a proxy cannot reach this machine's loopback
    if access.verified and (tls is None or tls.verify_mode is ssl.CERT_NONE):
        raise _error(
            access,
            "the server's certificate would not be verified, so another server could answer. Set an https "
            "server and its certificate-authority in the kubeconfig.",
        )
    _check_token(access, configuration, user)
    return configuration, tls


def _error(access: ClusterAccess, what: str) -> GateInputError:
    return GateInputError(f"{access.kubeconfig}, context {access.context!r}: {what}")


def _document(access: ClusterAccess) -> dict[str, Any]:
    path = access.kubeconfig
    content = read_bytes(path, "kubeconfig", "kubernetes.kubeconfig")
    try:
        document = yaml.safe_load(content)
    except (yaml.YAMLError, ValueError, RecursionError) as e:
        mark = getattr(e, "problem_mark", None)
        line = f" in line {mark.line + 1}" if mark is not None else ""
        raise GateInputError(f"{path}: the kubeconfig is not YAML{line}. Fetch it again.") from None
    if not isinstance(document, dict):
        raise GateInputError(f"{path}: not a kubeconfig (clusters, users, contexts). Fetch it again.")
    return document


def _check_shape(access: ClusterAccess, document: dict[str, Any]) -> dict[str, Any]:
    """Check that the context, its cluster and its user exist; return the user's entry."""
    context = _entry(access, document, "contexts", access.context).get("context")
    if not isinstance(context, dict):
        raise _error(access, "the context is empty. Fetch the kubeconfig again.")
    cluster = _entry(access, document, "clusters", context.get("cluster")).get("cluster")
    if not isinstance(cluster, dict) or not isinstance(cluster.get("server"), str):
        raise _error(access, "its cluster has no server. Fetch the kubeconfig again.")
    server = urlsplit(cluster["server"])
    # Readers of URLs disagree about a backslash, and so about the host.
    if server.scheme not in {"https", "http"} or not server.hostname or "\\" in cluster["server"]:
        raise _error(access, "its cluster's server is not a URL like https://host:6443.")
    user = _entry(access, document, "users", context.get("user")).get("user")
    return user if isinstance(user, dict) else {}


def _entry(
    access: ClusterAccess,
    document: dict[str, Any],
    kind: str,
    name: object,
    *,
    key: str = "the context in the environment file",
) -> dict[str, Any]:
    entries = document.get(kind)
    known = [one for one in entries if isinstance(one, dict)] if isinstance(entries, list) else []
    named = [one for one in known if one.get("name") == name]
    if len(named) == 1:
        return named[0]
    names = ", ".join(sorted(str(one.get("name")) for one in known)) or "none"
    fault = f"{name!r} is a duplicate in its" if named else f"there is no {name!r} in its"
    remedy = f"Set {key} to one of them." if kind == "contexts" else "Fetch the kubeconfig again."
    raise _error(access, f"{fault} {kind} ({names}). {remedy}")


def _load(
    access: ClusterAccess, document: dict[str, Any], configuration: Configuration
) -> ssl.SSLContext | None:
    """Let the official client fill ``configuration``; the certificate files that it writes are removed."""
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
            raise _error(access, f"{redaction.redact(str(e))[:300]}. Fetch the kubeconfig again.") from None
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as e:
            raise _error(
                access, f"its credentials cannot be read ({type(e).__name__}). Fetch the kubeconfig again."
            ) from None
        if urlsplit(str(configuration.host)).scheme != "https":
            return None
        return _tls(access, configuration)


def _tls(access: ClusterAccess, configuration: Configuration) -> ssl.SSLContext:
    """Return the TLS context of the files in ``configuration``, and remove the files from it."""
    try:
        context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
    except (OSError, ssl.SSLError):
        raise _error(
            access, "its certificate-authority is not a PEM certificate. Fetch the kubeconfig again."
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
                access, "its client certificate and key do not match. Fetch the kubeconfig again."
            ) from None
    configuration.ssl_ca_cert = configuration.cert_file = configuration.key_file = None
    return context


def _check_certificate(access: ClusterAccess, file: str) -> None:
    """Raise GateInputError for an expired client certificate, as the API server would only answer 401."""
    from cryptography import x509  # noqa: PLC0415 - only where a certificate is used

    try:
        with open(file, "rb") as opened:  # noqa: PTH123 - the client has file names as text
            certificate = x509.load_pem_x509_certificate(opened.read())
    except (OSError, ValueError):
        raise _error(access, "its client certificate is not PEM. Fetch the kubeconfig again.") from None
    ends = certificate.not_valid_after_utc
    if ends <= datetime.now(UTC):
        raise _error(access, f"its client certificate expired on {ends:%Y-%m-%d %H:%M} UTC. Issue a new one.")


def _without_credentials(user: dict[str, Any]) -> str:
    """Return why there are none, and what to do: the client only logs it."""
    settings = user.get("exec")
    program = str(settings.get("command", "")) if isinstance(settings, dict) else ""
    if program and os.sep not in program and shutil.which(program) is None:
        return f"its credential program {program} is not installed. Install it, or correct the PATH."
    return f"its credential program {program} returned no credentials. Run that program by hand."


def check_contexts(access: ClusterAccess, contexts: Mapping[str, str]) -> None:
    """Raise GateInputError if the kubeconfig lacks one of the contexts, by the keys that name them."""
    document = _document(access)
    for key, name in contexts.items():
        _entry(access, document, "contexts", name, key=key)


def _check_token(access: ClusterAccess, configuration: Configuration, user: dict[str, Any]) -> None:
    """Register the token with redaction; raise GateInputError if it has expired."""
    text = str(configuration.api_key.get("BearerToken") or "")
    token = text.partition(" ")[2] or text
    if not token:
        if "exec" in user or "auth-provider" in user:
            raise _error(access, _without_credentials(user))
        return
    redaction.register(token)
    left = jwt.seconds_left(jwt.claims(token) or {})
    if left <= 0:
        ended = datetime.fromtimestamp(datetime.now(UTC).timestamp() + left, UTC)
        raise _error(
            access, f"its token expired on {ended:%Y-%m-%d %H:%M} UTC. Sign in again, or issue a new token."
        )
