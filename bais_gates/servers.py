"""Where the servers and exporters of monitoring come from: a variable, the PATH, or an unpacked package.

No package index ships them; distributions do. An installed package would start a system service, so
``bais-gates sandbox fetch`` unpacks it into a folder of the user's cache instead, without root.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

from bais_gates.errors import GateInputError

COMMANDS: Final = {
    "prometheus": ("prometheus",),
    "alertmanager": ("prometheus-alertmanager", "alertmanager"),
    "node_exporter": ("prometheus-node-exporter", "node_exporter"),
    "postgres_exporter": ("prometheus-postgres-exporter", "postgres_exporter"),
    "redis_exporter": ("prometheus-redis-exporter", "redis_exporter"),
}
"""The names under which each may be installed: Debian's and Ubuntu's, and upstream's."""


def find_server(name: str) -> Path:
    """Return the program ``name``, a key of :data:`COMMANDS`; raise GateInputError where there is none.

    Looks at the variable ``BAIS_GATES_<NAME>``, then in the PATH, then in the unpacked packages.
    """
    variable = f"BAIS_GATES_{name.upper()}"
    if given := os.environ.get(variable):
        if os.access(given, os.X_OK) and Path(given).is_file():
            return Path(given)
        raise GateInputError(f"{variable}: there is no program {given}. Correct the variable, or unset it.")
    for command in COMMANDS[name]:
        found = shutil.which(command) or shutil.which(command, path=str(unpacked_folder() / "usr/bin"))
        if found:
            return Path(found)
    raise GateInputError(
        f"There is no {COMMANDS[name][-1]} here. Fetch it with `bais-gates sandbox fetch` (Debian, Ubuntu; "
        f"no root needed), or install it and set {variable} to its path."
    )


def unpacked_folder() -> Path:
    """Return the folder of the unpacked packages."""
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "bais-gates" / "servers"
