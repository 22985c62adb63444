"""``python -m bais_gates.sandbox.cluster.apiserver CONFIG.json``: serve until SIGTERM."""

from __future__ import annotations

import argparse
import gc
import socket
import sys
from pathlib import Path

import uvicorn

from bais_gates.sandbox.cluster.apiserver.app import App
from bais_gates.sandbox.cluster.apiserver.config import Config, ConfigError, load


class Server(uvicorn.Server):
    """uvicorn, whose watches end when the server does."""

    def __init__(self, config: uvicorn.Config, app: App) -> None:
        super().__init__(config)
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the watches, then what uvicorn ends."""
        self._app.core.store.close()
        await super().shutdown(sockets)


def serve(config: Config) -> None:
    """Serve until SIGTERM or SIGINT."""
    app = App(config)
    settings = uvicorn.Config(
        app,
        host=config.host,
        port=config.port,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ssl_certfile=config.tls_cert,
        ssl_keyfile=config.tls_key,
        timeout_keep_alive=90,
        timeout_graceful_shutdown=1,
    )
    sockets = None if config.fd is None else [socket.socket(fileno=config.fd)]
    gc.freeze()  # what start-up made lives as long as the server does
    Server(settings, app).run(sockets=sockets)


def main(arguments: list[str] | None = None) -> int:
    """Read the configuration and serve; 2 when it can't be used."""
    parser = argparse.ArgumentParser(
        prog="python -m bais_gates.sandbox.cluster.apiserver", description=__doc__
    )
    parser.add_argument("config", type=Path, help="JSON file with tls_cert, tls_key, tokens, port or fd")
    given = parser.parse_args(arguments)
    try:
        config = load(given.config)
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    serve(config)
    return 0


if __name__ == "__main__":
    sys.exit(main())
