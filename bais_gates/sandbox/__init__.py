"""The sandbox: the whole platform in small (API, PostgreSQL, Redis) on loopback; the default target.

``start`` brings one up in a folder of its own and returns when it is ready; ``stop`` takes it down and
empties the folder. A detached supervisor does both, and takes everything down by itself when its owner
dies. Several sandboxes can be up side by side. Linux only.
"""

from __future__ import annotations

from bais_gates.sandbox.errors import SandboxError
from bais_gates.sandbox.lifecycle import SandboxInfo, check_faults, set_faults, start, status, stop

__all__ = ["SandboxError", "SandboxInfo", "check_faults", "set_faults", "start", "status", "stop"]
