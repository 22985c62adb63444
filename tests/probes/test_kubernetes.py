"""Requests to a cluster: faults of the kubeconfig or the server are errors in time, with a remedy."""

from __future__ import annotations

import base64
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt as independent
import pytest
import trustme
import yaml

from bais_gates.errors import GateInputError
from bais_gates.probes.kubernetes.cluster import (
    Cluster,
    ClusterAccess,
    ClusterRefused,
    ClusterUnreachable,
    WriteRefused,
    version_number,
)
from bais_gates.probes.kubernetes.transport import Transport
from bais_gates.probes.kubernetes.writer import ClusterWriter
from tests.probes.api_server import TOKEN, ApiServer, status_of

TIMEOUT_S = 0.6
Changed = dict[str, Any]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Return the CA of the clusters."""
    return trustme.CA()


@pytest.fixture(scope="module")
def tls(authority: trustme.CA) -> ssl.SSLContext:
    """Return the TLS context of the servers."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.fixture
def serve(tls: ssl.SSLContext) -> Iterator[Callable[[dict[str, tuple[int, object]]], ApiServer]]:
    """Return a function that starts an API server with given answers."""
    servers: list[ApiServer] = []

    def start(answers: dict[str, tuple[int, object]]) -> ApiServer:
        servers.append(ApiServer(tls, answers))
        threading.Thread(
            target=servers[-1].serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        ).start()
        return servers[-1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@contextmanager
def talking(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """Call ``answer`` with each connection; yield the port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        stop = threading.Event()

        def accept() -> None:
            while not stop.is_set():
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    try:
                        answer(connection)
                    except OSError:
                        continue

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        stop.set()
        listening.shutdown(socket.SHUT_RDWR)
        thread.join(5)


@pytest.fixture
def kubeconfig(tmp_path: Path, authority: trustme.CA) -> Callable[..., ClusterAccess]:
    """Return a function that writes a kubeconfig for a port, with changes to its user and cluster."""

    def write(port: int, *, user: Changed | None = None, cluster: Changed | None = None) -> ClusterAccess:
        path = tmp_path / "kubeconfig"
        ca = base64.b64encode(authority.cert_pem.bytes()).decode()
        document = {
            "clusters": [
                {
                    "name": "c",
                    "cluster": {
                        "server": f"https://127.0.0.1:{port}",
                        "certificate-authority-data": ca,
                        **(cluster or {}),
                    },
                }
            ],
            "users": [{"name": "u", "user": {"token": TOKEN} if user is None else user}],
            "contexts": [{"name": "named", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "another",
        }
        path.write_text(yaml.safe_dump(document))
        return ClusterAccess(kubeconfig=path, context="named", request_timeout_s=TIMEOUT_S)

    return write


# -- the file --


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no such kubeconfig"),
        ("users: [unclosed\n  secret-0123456789", "not YAML in line"),
        ("just words", "not a kubeconfig"),
        ("\x00\x01", "not YAML"),
        ("contexts: []\n", "there is no 'named' in its contexts (none)"),
        ("contexts: [{name: other, context: {}}]\n", "(other)"),
        ("contexts: [{name: named, context: {cluster: c, user: u}}]\n", "there is no 'c' in its clusters"),
        ("contexts: [{name: named}]\n", "the context is empty"),
        (
            "contexts: [{name: named, context: {cluster: c, user: u}}]\nclusters: [{name: c, cluster: {}}]\n",
            "has no server",
        ),
    ],
)
def test_an_invalid_kubeconfig(tmp_path: Path, text: str | None, message: str) -> None:
    """The message has the path and nothing of the content."""
    path = tmp_path / "kubeconfig"
    if text is not None:
        path.write_text(text)
    with pytest.raises(GateInputError) as error:
        Cluster(ClusterAccess(kubeconfig=path, context="named"))
    assert message in str(error.value)
    assert str(path) in str(error.value)
    assert "secret-0123456789" not in str(error.value)


def test_credentials_that_have_expired(
    kubeconfig: Callable[..., ClusterAccess], authority: trustme.CA
) -> None:
    """An expired token or client certificate is an error with its expiry, before a request is sent."""
    gone = datetime.now(UTC) - timedelta(days=1)
    token = independent.encode({"exp": int(gone.timestamp())}, "a key that nobody knows at all, long enough")
    with pytest.raises(GateInputError, match=rf"its token expired on {gone:%Y-%m-%d}"):
        Cluster(kubeconfig(9, user={"token": token}))

    issued = authority.issue_cert("u.example", not_before=gone - timedelta(days=9), not_after=gone)
    user = {
        "client-certificate-data": base64.b64encode(issued.cert_chain_pems[0].bytes()).decode(),
        "client-key-data": base64.b64encode(issued.private_key_pem.bytes()).decode(),
    }
    with pytest.raises(GateInputError, match=rf"client certificate expired on {gone:%Y-%m-%d}"):
        Cluster(kubeconfig(9, user=user))


@pytest.mark.parametrize(
    ("user", "cluster", "message"),
    [
        ({"client-certificate-data": "AAAA", "client-key-data": "AAAA"}, {}, "client certificate is not PEM"),
        ({"token": "t" * 20}, {"certificate-authority-data": "AAAA"}, "certificate-authority is not"),
        ({"token": "t" * 20}, {"insecure-skip-tls-verify": True}, "would not be verified"),
        ({"token": "t" * 20}, {"server": "http://cluster.example"}, "would not be verified"),
        ({"token": "t" * 20}, {"server": "cluster.example:6443"}, "not a URL"),
        ({"exec": {"apiVersion": "v1", "command": "no-such-program"}}, {}, "is not installed"),
        ({"exec": {"apiVersion": "v1", "command": "true"}}, {}, "Run that program by hand"),
        ({"tokenFile": "/nowhere/token"}, {}, "cannot be read"),
    ],
)
def test_credentials_that_do_not_work(
    kubeconfig: Callable[..., ClusterAccess], user: Changed, cluster: Changed, message: str
) -> None:
    """The fault of the file is an error, before a request fails."""
    with pytest.raises(GateInputError, match=message):
        Cluster(kubeconfig(9, user=user, cluster=cluster))


# -- the server --


def _nothing(connection: socket.socket) -> None:
    connection.settimeout(3 * TIMEOUT_S)
    while connection.recv(4096):
        pass


def _garbage(connection: socket.socket) -> None:
    connection.recv(4096)
    connection.sendall(b"\x00\xff not TLS at all \r\n\r\n")


@pytest.mark.parametrize(("answer", "message"), [(_nothing, "no answer within"), (_garbage, "TLS failed")])
def test_a_server_that_hangs_or_is_not_tls(
    kubeconfig: Callable[..., ClusterAccess], answer: Callable[[socket.socket], None], message: str
) -> None:
    """No answer and an answer that is not TLS are errors within the timeout, without a retry."""
    began = time.monotonic()
    with talking(answer) as port, pytest.raises(ClusterUnreachable, match=message):
        Cluster(kubeconfig(port)).version()
    assert time.monotonic() - began < 2 * TIMEOUT_S + 2


def test_a_server_that_answers_slowly(kubeconfig: Callable[..., ClusterAccess], tls: ssl.SSLContext) -> None:
    """An answer byte by byte ends with the deadline of the whole request."""

    def drip(connection: socket.socket) -> None:
        with tls.wrap_socket(connection, server_side=True) as secured:
            secured.recv(4096)
            for byte in b"HTTP/1.1 200 O":
                secured.sendall(bytes([byte]))
                time.sleep(TIMEOUT_S / 4)

    began = time.monotonic()
    with talking(drip) as port:
        with pytest.raises(ClusterUnreachable, match="no answer within"):
            Cluster(kubeconfig(port)).version()
        assert time.monotonic() - began < TIMEOUT_S + 2


def test_a_refused_connection(kubeconfig: Callable[..., ClusterAccess]) -> None:
    """A refused connection is an error with the context and the kubeconfig."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(ClusterUnreachable, match="connection refused") as error:
        Cluster(kubeconfig(port)).version()
    assert "'named'" in str(error.value)


def test_a_patient_client_outlasts_a_cut(
    kubeconfig: Callable[..., ClusterAccess], tls: ssl.SSLContext
) -> None:
    """A read whose answers are lost is sent again for as long as the access says, a write never."""
    requests: list[bytes] = []

    def lose_two(connection: socket.socket) -> None:
        with tls.wrap_socket(connection, server_side=True) as secured:
            requests.append(secured.recv(4096).split(b" ")[0])
            if len(requests) > 2:
                body = b'{"gitVersion": "v1.36.2"}'
                secured.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    with talking(lose_two) as port:
        assert Cluster(replace(kubeconfig(port), patience_s=30.0)).version() == "v1.36.2"
    assert requests == [b"GET"] * 3

    requests.clear()
    with talking(lose_two) as port, pytest.raises(ClusterUnreachable):
        Transport(replace(kubeconfig(port), patience_s=30.0), writes=True).send("PATCH", "/api")
    assert requests == [b"PATCH"]


def test_another_clusters_certificate(
    kubeconfig: Callable[..., ClusterAccess], serve: Callable[..., ApiServer]
) -> None:
    """A server with a certificate of another CA is another cluster, and receives no token."""
    server = serve({})
    other = base64.b64encode(trustme.CA().cert_pem.bytes()).decode()
    with pytest.raises(ClusterUnreachable, match="it is another cluster"):
        Cluster(kubeconfig(server.server_port, cluster={"certificate-authority-data": other})).version()
    assert server.asked == []


@pytest.mark.parametrize(
    "answer", [(200, b"<html>login</html>"), (200, []), (200, {"gitVersion": "sixth"}), (302, b"")]
)
def test_a_web_server_is_no_api_server(
    kubeconfig: Callable[..., ClusterAccess], serve: Callable[..., ApiServer], answer: tuple[int, object]
) -> None:
    """Its answers are an error."""
    with pytest.raises(ClusterUnreachable, match="not a Kubernetes API server"):
        Cluster(kubeconfig(serve({"*": answer}).server_port)).version()


def test_a_wrong_token_and_a_missing_permission(
    kubeconfig: Callable[..., ClusterAccess], serve: Callable[..., ApiServer]
) -> None:
    """401 and 403 are errors with the request and a remedy, without the token."""
    forbidden = status_of(403, "Forbidden", 'pods is forbidden: User "u" cannot list resource "pods"')
    server = serve({"/api/v1": (200, PODS), "*": (403, forbidden)})
    wrong = Cluster(kubeconfig(server.server_port, user={"token": "wrong-token-9876543210"}))
    with pytest.raises(ClusterRefused, match="wrong, revoked or expired") as error:
        wrong.version()
    assert (error.value.status, error.value.reason) == (401, "Unauthorized")
    assert "wrong-token-9876543210" not in str(error.value)
    with pytest.raises(ClusterRefused, match="bais-gates-reader") as error:
        Cluster(kubeconfig(server.server_port)).list("v1", "Pod", "bais")
    assert (error.value.verb, error.value.resource, error.value.status) == ("list", "Pod", 403)


# -- objects --

PODS = {
    "resources": [
        {"name": "pods", "kind": "Pod", "namespaced": True},
        {"name": "pods/log", "kind": "Pod", "namespaced": True},
        {"name": "namespaces", "kind": "Namespace", "namespaced": False},
    ]
}


def test_lists_are_read_to_their_end(
    kubeconfig: Callable[..., ClusterAccess], serve: Callable[..., ApiServer]
) -> None:
    """All pages are read, each object has its kind, and an empty list may be null."""
    first = "/api/v1/namespaces/bais/pods?limit=500"
    server = serve(
        {
            "/api/v1": (200, PODS),
            first: (200, {"metadata": {"continue": "t1"}, "items": [{"metadata": {"name": "a"}}]}),
            first + "&continue=t1": (200, {"metadata": {}, "items": [{"metadata": {"name": "b"}}]}),
            "/api/v1/pods?limit=500": (200, {"metadata": {}, "items": None}),
        }
    )
    cluster = Cluster(kubeconfig(server.server_port))
    found = cluster.list("v1", "Pod", "bais")
    assert [(one["kind"], one["metadata"]["name"]) for one in found] == [("Pod", "a"), ("Pod", "b")]
    assert cluster.list("v1", "Pod") == []


def test_absent_objects_and_kinds(
    kubeconfig: Callable[..., ClusterAccess], serve: Callable[..., ApiServer]
) -> None:
    """An absent object is None; a kind that is not served is an error of its own."""
    absent = status_of(404, "NotFound", 'pods "x" not found', name="x", kind="pods")
    server = serve({"/api/v1": (200, PODS), "/api/v1/namespaces/bais/pods/x": (404, absent)})
    cluster = Cluster(kubeconfig(server.server_port))
    assert cluster.named("v1", "Pod", "x", "bais") is None

    with pytest.raises(ClusterRefused, match="CustomResourceDefinition") as error:
        cluster.named("cert-manager.io/v1", "Certificate", "x", "bais")
    assert error.value.kind_missing
    with pytest.raises(ClusterUnreachable, match="kube-system"):
        Cluster(kubeconfig(serve({"/api/v1": (200, PODS), "*": (200, {})}).server_port)).uid()


def test_a_reader_cannot_write(
    kubeconfig: Callable[..., ClusterAccess], serve: Callable[..., ApiServer]
) -> None:
    """The guard also applies to the official client of a reader."""
    from kubernetes.client import CoreV1Api  # noqa: PLC0415 - a second, for this test alone

    server = serve({"/api/v1": (200, PODS), "*": (200, {"kind": "Pod", "metadata": {"name": "a"}})})
    cluster = Cluster(kubeconfig(server.server_port))
    assert not {"apply", "create", "delete", "patch"} & set(dir(cluster))
    with pytest.raises(WriteRefused):
        CoreV1Api(cluster._transport._client).delete_namespaced_pod("a", "bais")
    assert [method for method, _, _ in server.asked if method != "GET"] == []


def test_a_writer_needs_a_writable_access(
    kubeconfig: Callable[..., ClusterAccess], serve: Callable[..., ApiServer]
) -> None:
    """A read-only access is an error; another one sends the requests."""
    server = serve({"/api/v1": (200, PODS), "*": (200, {"kind": "Pod", "metadata": {"name": "a"}})})
    access = kubeconfig(server.server_port)
    with pytest.raises(GateInputError, match="read_only"):
        ClusterWriter(access)
    writer = ClusterWriter(
        ClusterAccess(kubeconfig=access.kubeconfig, context=access.context, read_only=False)
    )
    assert writer.delete("v1", "Pod", "a", "bais", uid="u1")
    writer.patch("v1", "Pod", "a", {"metadata": {"labels": {"a": "b"}}}, "bais")
    methods = [(method, body) for method, _, body in server.asked if method != "GET"]
    assert [method for method, _ in methods] == ["DELETE", "PATCH"]
    assert methods[0][1]["preconditions"] == {"uid": "u1"}  # type: ignore[index] # the body of a DELETE is a dict


@pytest.mark.parametrize(
    ("text", "number"),
    [("v1.36.2", (1, 36)), ("1.20", (1, 20)), ("v1.29.3-gke.1", (1, 29)), ("v1", None), ("", None)],
)
def test_versions_are_compared_as_numbers(text: str, number: tuple[int, int] | None) -> None:
    """So that 1.9 is older than 1.20."""
    assert version_number(text) == number
