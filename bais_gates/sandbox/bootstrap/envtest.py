"""A real Kubernetes API server for the sandbox: kube-apiserver and etcd of the folder KUBEBUILDER_ASSETS.

The convention, and most of the arguments, are those of controller-runtime's envtest. The sandbox's node agent
and controllers replace the kubelet and the controller manager, as with its own API server.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bais_gates.sandbox.errors import SandboxError
from bais_gates.sandbox.files import write_private

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from bais_gates.sandbox.tls import Certificates

_AUDIT_POLICY = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [{"level": "Metadata"}]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A bearer token of the API server, and its user and groups."""

    token: str
    user: str
    groups: Sequence[str] = ()

    def as_json(self) -> dict[str, object]:
        """Return the entry for the configuration of the sandbox's own API server."""
        return {"token": self.token, "user": self.user, "uid": self.user, "groups": list(self.groups)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The ports of the two programs."""

    api: int
    etcd: int
    etcd_peer: int


def commands(
    assets: Path, home: Path, *, ports: Ports, certificates: Certificates, accounts: Sequence[Account]
) -> Mapping[str, Sequence[str | Path]]:
    """Write the programs' files into ``home``, and return their command lines by name, etcd first.

    ``assets`` is the folder of ``etcd`` and ``kube-apiserver``. Raises ``SandboxError`` without them.
    """
    for name in ("etcd", "kube-apiserver"):
        if not (assets / name).is_file():
            raise SandboxError(
                f"there is no {name} in KUBEBUILDER_ASSETS={assets}: set it to the folder that setup-envtest "
                "prints, or unset it to use the sandbox's own API server"
            )
    lines = [f'{one.token},{one.user},{one.user},"{",".join(one.groups)}"\n' for one in accounts]
    write_private(home / "tokens.csv", "".join(lines))
    write_private(home / "service-accounts.key", _private_key())
    write_private(home / "audit-policy.json", json.dumps(_AUDIT_POLICY))
    etcd_url, peer_url = f"http://127.0.0.1:{ports.etcd}", f"http://127.0.0.1:{ports.etcd_peer}"
    etcd: Sequence[str | Path] = [
        assets / "etcd",
        f"--data-dir={home / 'etcd'}",
        f"--listen-client-urls={etcd_url}",
        f"--advertise-client-urls={etcd_url}",
        f"--listen-peer-urls={peer_url}",
        "--unsafe-no-fsync",
    ]
    return {"etcd": etcd, "kube-apiserver": _api_server(assets, home, ports.api, etcd_url, certificates)}


def _api_server(
    assets: Path, home: Path, port: int, etcd_url: str, certificates: Certificates
) -> Sequence[str | Path]:
    key = home / "service-accounts.key"
    return [
        assets / "kube-apiserver",
        f"--etcd-servers={etcd_url}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        f"--secure-port={port}",
        f"--cert-dir={home / 'certificates'}",
        f"--tls-cert-file={certificates.certificate}",
        f"--tls-private-key-file={certificates.key}",
        f"--token-auth-file={home / 'tokens.csv'}",
        "--authorization-mode=RBAC",
        "--allow-privileged=true",
        "--service-cluster-ip-range=10.0.0.0/24",
        f"--service-account-issuer=https://127.0.0.1:{port}/",
        f"--service-account-key-file={key}",
        f"--service-account-signing-key-file={key}",
        # Nothing creates the default ServiceAccounts' tokens; Pod Security is on by default.
        "--disable-admission-plugins=ServiceAccount",
        f"--audit-policy-file={home / 'audit-policy.json'}",
        f"--audit-log-path={home / 'audit.log'}",
    ]


def _private_key() -> str:
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - only a real API server needs it
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    ).decode()
