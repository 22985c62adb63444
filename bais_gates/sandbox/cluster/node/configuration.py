"""The JSON file that the process is started with."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from bais_gates.sandbox.errors import SandboxError


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Where the API server and the container runtime are, and what the nodes are like.

    ``registry`` lists the image references that can be pulled; a container of any other waits (ErrImagePull).
    ``directory`` is the sandbox's folder: certificates are taken from it, and below ``volumes`` are the data
    of claims. ``adopted_namespace`` is the one whose processes were there before the cluster.
    """

    api_server: str
    ca_file: str
    token: str
    runtime_socket: Path
    directory: Path
    registry: tuple[str, ...] = ()
    nodes: int = 3
    cluster_kind: str = "standin"
    adopted_namespace: str = "bais"


def load(path: Path) -> Config:
    """Read the configuration. Raises ``SandboxError`` naming the file and the key."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return Config(
            api_server=str(content["api_server"]),
            ca_file=str(content["ca_file"]),
            token=str(content["token"]),
            runtime_socket=Path(content["runtime_socket"]),
            directory=Path(content["directory"]),
            registry=tuple(map(str, content.get("registry", ()))),
            nodes=int(content.get("nodes", 3)),
            cluster_kind=str(content.get("cluster_kind", "standin")),
            adopted_namespace=str(content.get("adopted_namespace", "bais")),
        )
    except OSError as error:
        raise SandboxError(f"{path} can't be read: {error.strerror}") from error
    except KeyError as error:
        raise SandboxError(f"{path}: the key {error} is missing") from error
    except (ValueError, TypeError) as error:
        raise SandboxError(f"{path} is not the node agent's configuration: {error}") from None
