"""``python -m bais_gates.sandbox.api CONFIG [--fd N ... | --port N]``: serve the reference API."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bais_gates.sandbox.api.config import ConfigError, load
from bais_gates.sandbox.api.server import serve


def main() -> int:
    """Serve; exit status 0 after a stop by signal, 2 for a configuration that can't be used."""
    parser = argparse.ArgumentParser(
        prog="python -m bais_gates.sandbox.api", description="Serve the reference API."
    )
    parser.add_argument("config", type=Path)
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--fd",
        type=int,
        action="append",
        default=[],
        help="an inherited, bound TCP socket (repeatable)",
    )
    where.add_argument("--port", type=int, help="a port instead of the configured one")
    parser.add_argument("--redirect-fd", type=int, help="an inherited TCP socket to redirect http to https")
    arguments = parser.parse_args()
    try:
        settings = load(arguments.config)
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    if "ends_at_start" in settings.defects:
        sys.stderr.write(f"bais-api {settings.version}: the variable LEDGER_URL is not set\n")
        return 1
    # The replicas share a port, on which one that is never ready must not listen: a Service leaves it out.
    fds = arguments.fd[1:] if "never_ready" in settings.defects else arguments.fd
    serve(settings, fds=fds, redirect_fd=arguments.redirect_fd, port=arguments.port)
    return 0


if __name__ == "__main__":
    sys.exit(main())
