"""The audit log: one line of audit.k8s.io/v1 for every request that was answered, at level Metadata."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from bais_gates.sandbox.cluster.apiserver.reviews import user_info
from bais_gates.sandbox.cluster.apiserver.store import encode

if TYPE_CHECKING:
    from pathlib import Path

    from bais_gates.sandbox.cluster.apiserver.request import Request

Object = dict[str, Any]


def instant() -> str:
    """Return the time as audit events carry it: UTC, microseconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class AuditLog:
    """Lines appended to a file; no file, no lines."""

    def __init__(self, path: Path | None) -> None:
        self._file = None if path is None else path.open("ab", buffering=0)

    def note(
        self, request: Request, *, received: str, code: int, status: Object | None = None, stage: str = ""
    ) -> None:
        """Write what was asked, by whom, and how it ended."""
        if self._file is None:
            return
        event = _event(request, received, code, status, stage or "ResponseComplete")
        self._file.write(encode(event) + b"\n")

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


def _event(request: Request, received: str, code: int, status: Object | None, stage: str) -> Object:
    info, response = request.info, {"metadata": {}, "code": code}
    for key in ("status", "message", "reason", "details"):
        if status and status.get("status") == "Failure" and status.get(key):
            response[key] = status[key]
    event: Object = {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": "Metadata",
        "auditID": request.notes.get("audit-id") or str(uuid.uuid4()),
        "stage": stage,
        "requestURI": request.raw_target,
        "verb": info.verb,
        "user": user_info(request.caller) if request.caller else {},
        "sourceIPs": [request.client],
        "userAgent": request.headers.get("user-agent", ""),
    }
    if request.user is not None and request.user is not request.caller:
        event["impersonatedUser"] = user_info(request.user)
    if info.is_resource:
        reference = {
            "resource": info.plural,
            "namespace": info.namespace,
            "name": info.name,
            "apiGroup": info.group,
            "apiVersion": info.version,
            "subresource": info.subresource,
        }
        event["objectRef"] = {key: value for key, value in reference.items() if value}
    event |= {
        "responseStatus": response,
        "requestReceivedTimestamp": received,
        "stageTimestamp": instant(),
    }
    notes = {key: value for key, value in request.notes.items() if key.startswith("authorization.k8s.io/")}
    if notes:
        event["annotations"] = notes
    return event
