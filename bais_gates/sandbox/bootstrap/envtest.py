"""A real Kubernetes API server for the sandbox: kube-apiserver and etcd of the folder KUBEBUILDER_ASSETS.

The convention, and most of these arguments, are those of controller-runtime's envtest. There is no kubelet
and no controller manager: the sandbox's own node agent and controllers take their places, as beside the
stand-in.
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
    """Who may ask the API server: a bearer token and the user and groups that it stands for."""

    token: str
    user: str
    groups: Sequence[str] = ()

    def as_json(self) -> dict[str, object]:
        """Give it as the stand-in's configuration has it."""
        return {"token": self.token, "user": self.user, "uid": self.user, "groups": list(self.groups)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Where the three sockets are."""

    api: int
    etcd: int
    etcd_peer: int


def commands(
    assets: Path, home: Path, *, ports: Ports, certificates: Certificates, accounts: Sequence[Account]
) -> Mapping[str, Sequence[str | Path]]:
    """Write what the two programs read into ``home``, and give their command lines by name, etcd first.

    ``assets`` is the folder with ``etcd`` and ``kube-apiserver``. Raises ``SandboxError`` without them.
    """
    for name in ("etcd", "kube-apiserver"):
        if not (assets / name).is_file():
            raise SandboxError(
                f"KUBEBUILDER_ASSETS names {assets}, and there is no {name} in it: name the folder that "
                "setup-envtest prints, or unset the variable to use the sandbox's own stand-in"
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
        # Nobody makes the default ServiceAccounts' tokens; Pod Security is on by default.
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
