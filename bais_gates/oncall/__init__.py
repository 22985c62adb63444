"""On-call as code: who is on call, runbooks that are checked, where incidents are told; names for gates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bais_gates.lazy import lazy_exports

if TYPE_CHECKING:
    from bais_gates.oncall import readiness, records, shifts
    from bais_gates.oncall.chat import ChatError, post_message
    from bais_gates.oncall.fixtures import Oncall
    from bais_gates.oncall.pagerduty import PagerDuty
    from bais_gates.oncall.provider import (
        OncallError,
        Page,
        PageEvent,
        Person,
        Policy,
        Provider,
        Service,
        Shift,
    )
    from bais_gates.oncall.reading import load_rotation
    from bais_gates.oncall.rotation import Rotation, Tier
    from bais_gates.oncall.runbook_checks import Platform, check_runbooks, read_platform
    from bais_gates.oncall.status_page import StatusPage, StatusPageError
else:
    __getattr__ = lazy_exports(
        __name__,
        *("shifts", "readiness", "records", "provider", "reading", "rotation", "pagerduty"),
        *("chat", "runbook_checks", "status_page", "fixtures"),
    )

__all__ = [
    "ChatError",
    "Oncall",
    "OncallError",
    "Page",
    "PageEvent",
    "PagerDuty",
    "Person",
    "Platform",
    "Policy",
    "Provider",
    "Rotation",
    "Service",
    "Shift",
    "StatusPage",
    "StatusPageError",
    "Tier",
    "check_runbooks",
    "load_rotation",
    "post_message",
    "read_platform",
    "readiness",
    "records",
    "shifts",
]
