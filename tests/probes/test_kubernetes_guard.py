"""The requests that may be sent to a read-only cluster, by method, path and query."""

from __future__ import annotations

import pytest

from bais_gates.probes.kubernetes.transport import why_refused

HOST = "https://cluster.example:6443"
POD = "/api/v1/namespaces/bais/pods/a"
DEPLOYMENT = "/apis/apps/v1/namespaces/bais/deployments/a"

PASSES = [
    ("GET", "/version"),
    ("GET", "/version/"),
    ("GET", POD),
    ("GET", POD + "/log?tailLines=5"),
    ("GET", "/api/v1/pods?watch=true"),
    ("HEAD", "/readyz"),
    ("PATCH", DEPLOYMENT + "?dryRun=All&fieldManager=x"),
    ("PATCH", DEPLOYMENT + "/scale?dryRun=All"),
    ("PUT", DEPLOYMENT + "/status?dryRun=All"),
    ("POST", "/apis/apps/v1/namespaces/bais/deployments?dryRun=All"),
    ("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"),
    ("POST", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"),
]
REFUSED = [
    ("POST", "/api/v1/namespaces"),
    ("PUT", DEPLOYMENT),
    ("PATCH", DEPLOYMENT),
    ("PATCH", DEPLOYMENT + "/scale"),
    ("DELETE", POD),
    ("DELETE", POD + "?dryRun=All"),
    ("DELETE", "/api/v1/namespaces/bais/pods"),
    ("OPTIONS", POD),
    ("PATCH", DEPLOYMENT + "?dryRun="),
    ("PATCH", DEPLOYMENT + "?dryRun=all"),
    ("PATCH", DEPLOYMENT + "?dryRun=All&dryRun=None"),
    ("PATCH", DEPLOYMENT + "#?dryRun=All"),
    ("POST", POD + "/eviction?dryRun=All"),
    ("POST", POD + "/binding?dryRun=All"),
    ("POST", POD + "/exec?command=rm&dryRun=All"),
    ("POST", "/api/v1/namespaces/bais/serviceaccounts/a/token?dryRun=All"),
    ("PUT", "/api/v1/namespaces/bais/finalize?dryRun=All"),
    ("GET", POD + "/exec?command=rm"),
    ("GET", POD + "/attach"),
    ("GET", POD + "/portforward"),
    ("GET", POD + "/proxy/shutdown"),
    ("GET", "/api/v1/nodes/n1/proxy/run/bais/a/api"),
    ("GET", "/api/v1/namespaces/bais/services/https:a:443/proxy/"),
    ("GET", POD + "/%65xec"),
    ("GET", "/api/v1/namespaces/bais/pods/b/../a/exec"),
    ("GET", "/api/v1//namespaces/bais/pods"),
    ("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews"),
    ("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews/x"),
    ("POST", "/apis/authentication.k8s.io/v1/tokenreviews"),
]


@pytest.mark.parametrize(("method", "path"), PASSES)
def test_reading_is_allowed(method: str, path: str) -> None:
    """Get, list, watch, logs, dry runs of objects and reviews of one's own permissions are allowed."""
    assert why_refused(method, HOST + path) is None


@pytest.mark.parametrize(("method", "path"), REFUSED)
def test_everything_else_is_refused(method: str, path: str) -> None:
    """Requests that write, have effects, or have a path that is not canonical are refused."""
    assert why_refused(method, HOST + path) is not None
