"""The processes of the sandbox's cluster, started by the supervisor: API server, controllers, node agent."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bais_gates.sandbox import configuration
from bais_gates.sandbox.bootstrap import envtest
from bais_gates.sandbox.bootstrap.envtest import Account
from bais_gates.sandbox.files import read_object, write_json
from bais_gates.sandbox.processes import (
    Part,
    bound_socket,
    end_together,
    fork_module,
    free_port,
    spawn,
)
from bais_gates.sandbox.releases import by_reference

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bais_gates.sandbox.configuration import Platform

READER = "bais-gates"
"""The user of gates; the manifests define what it may read (bais-gates-reader)."""
ADMIN = "bais-gates-admin"
_AGENT_USER = "bais-gates-node-agent"
_AGENT = "node-agent"
_AGENT_MODULE = "bais_gates.sandbox.cluster.node.__main__"
_STAND_IN_MODULE = "bais_gates.sandbox.cluster.apiserver.__main__"
_MASTERS = ("system:masters",)
_NODES = 3
_STOP_SIGNALS = ((15, 3.0), (9, 2.0))


class ControlPlane:
    """Starts the cluster's processes at the first request, and again if they have ended."""

    def __init__(self, directory: Path, platform: Platform) -> None:
        self._directory, self._home, self._platform = directory, directory / "cluster", platform
        self._accounts = {
            name: Account(token=secrets.token_urlsafe(32), user=name, groups=groups)
            for name, groups in ((READER, ()), (ADMIN, _MASTERS), (_AGENT_USER, _MASTERS))
        }
        self._port, self._kind = 0, ""
        self._secrets: dict[str, dict[str, str]] = {}
        self.parts: dict[str, Part] = {}

    def start(self, request: dict[str, Any]) -> dict[str, Any]:
        """Respond to ``{"op": "cluster", "assets": <folder or null>}``.

        Returns the API server's URL, its kind, the tokens, and the platform's Secrets; ``fresh`` is true if
        this request started it. Raises ``SandboxError`` and ``OSError``.
        """
        servers = [part for name, part in self.parts.items() if name != _AGENT]
        fresh = not servers or any(part.status is not None for part in servers)
        if fresh:
            end_together([(part, _STOP_SIGNALS) for part in self.parts.values()])
            self.parts.clear()
            self._start(request.get("assets"))
        return {
            "url": f"https://127.0.0.1:{self._port}",
            "kind": self._kind,
            "fresh": fresh,
            "tokens": {name: account.token for name, account in self._accounts.items()},
            "secrets": self._secrets,
            "images": self._platform.images.by_name(),
            "image": self._platform.images.api,
        }

    def _start(self, assets: str | None) -> None:
        self._home.mkdir(mode=0o700, exist_ok=True)
        if not self._secrets:
            key = str(read_object(self._directory / "api.json")["secret_key"])
            self._secrets = configuration.cluster_secrets(self._platform, key)
        if assets:
            self._kind = "real"
            self._start_real(Path(assets))
        else:
            self._kind = "standin"
            self._start_stand_in()

    def start_node_agent(self, request: dict[str, Any]) -> dict[str, Any]:
        """Respond to ``{"op": "node-agent"}``: start the nodes and controllers of a ready API server."""
        del request
        running = self.parts.get(_AGENT)
        if running is None or running.status is not None:
            self._start_node_agent()
        return {}

    def _start_node_agent(self) -> None:
        config, images = self._home / "node-agent.json", self._platform.images
        pullable = [image for image, one in by_reference(images.api).items() if one.pullable]
        write_json(
            config,
            {
                "api_server": f"https://127.0.0.1:{self._port}",
                "ca_file": str(self._platform.certificates.ca),
                "token": self._accounts[_AGENT_USER].token,
                "runtime_socket": str(self._directory / "runtime.sock"),
                "directory": str(self._directory),
                "registry": [*images.all(), *pullable],
                "nodes": _NODES,
                "cluster_kind": self._kind,
                "adopted_namespace": "bais",
            },
        )
        self._fork(_AGENT, _AGENT_MODULE, config)

    def _start_stand_in(self) -> None:
        config, certificates = self._home / "api-server.json", self._platform.certificates
        with bound_socket() as bound:
            self._port = int(bound.getsockname()[1])
            write_json(
                config,
                {
                    "fd": bound.fileno(),
                    "tls_cert": str(certificates.certificate),
                    "tls_key": str(certificates.key),
                    "audit_log": str(self._home / "audit.log"),
                    "tokens": [account.as_json() for account in self._accounts.values()],
                    "pod_security": "bais_gates.rules.kubernetes.pod_security:violations",
                },
            )
            self._fork("kube-apiserver", _STAND_IN_MODULE, config, pass_fds=(bound.fileno(),))

    def _start_real(self, assets: Path) -> None:
        ports = envtest.Ports(api=free_port(), etcd=free_port(), etcd_peer=free_port())
        self._port = ports.api
        commands = envtest.commands(
            assets,
            self._home,
            ports=ports,
            certificates=self._platform.certificates,
            accounts=tuple(self._accounts.values()),
        )
        for name, command in commands.items():
            self.parts[name] = spawn(name, command, log=self._log(name), directory=self._home)

    def _fork(self, name: str, module: str, config: Path, *, pass_fds: Sequence[int] = ()) -> None:
        log, home = self._log(name), self._home
        self.parts[name] = fork_module(name, module, [config], log=log, directory=home, pass_fds=pass_fds)

    def _log(self, name: str) -> Path:
        return self._directory / "logs" / f"{name}.log"
