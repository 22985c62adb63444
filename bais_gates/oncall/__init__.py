"""On-call as code: runbooks that are checked, and where incidents are told; here the names for gates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bais_gates.lazy import lazy_exports

if TYPE_CHECKING:
    from bais_gates.oncall.chat import post_message
    from bais_gates.oncall.runbook_checks import Platform, check_runbooks, read_platform
    from bais_gates.oncall.status_page import StatusPage
else:
    __getattr__ = lazy_exports(__name__, "chat", "runbook_checks", "status_page")

__all__ = ["Platform", "StatusPage", "check_runbooks", "post_message", "read_platform"]
