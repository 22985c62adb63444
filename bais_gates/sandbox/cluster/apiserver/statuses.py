"""What the API server says when it refuses: a ``Status`` object, worded as kube-apiserver words it.

The wording follows ``k8s.io/apimachinery/pkg/api/errors``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Object = dict[str, Any]


class StatusError(Exception):
    """A request that ends with a ``Status`` instead of what was asked for."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        details: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.headers = dict(headers or {})
        self.body: Object = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
        }
        if reason:
            self.body["reason"] = reason
        if details is not None:
            self.body["details"] = dict(details)
        self.body["code"] = code


class PlainError(Exception):
    """A request for a path that nothing serves: kube-apiserver answers those in plain text."""

    def __init__(self, code: int = 404, text: str = "404 page not found\n") -> None:
        super().__init__(text)
        self.code, self.text = code, text


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A group and a plural, as messages name them: ``deployments.apps``, ``pods``."""

    group: str
    plural: str

    def __str__(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural


def success(name: str, resource: Resource, uid: str) -> Object:
    """Return the answer to a deletion that is done."""
    details = {"name": name, "group": resource.group, "kind": resource.plural, "uid": uid}
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {key: value for key, value in details.items() if value},
    }


def _about(resource: Resource, name: str, **more: Any) -> Object:
    details = {"name": name, "group": resource.group, "kind": resource.plural, **more}
    return {key: value for key, value in details.items() if value}


def not_found(resource: Resource, name: str) -> StatusError:
    """404 for an object that isn't there."""
    return StatusError(404, "NotFound", f'{resource} "{name}" not found', details=_about(resource, name))


def already_exists(resource: Resource, name: str) -> StatusError:
    """409 for a name that is taken."""
    return StatusError(
        409, "AlreadyExists", f'{resource} "{name}" already exists', details=_about(resource, name)
    )


def conflict(resource: Resource, name: str, why: str) -> StatusError:
    """409 for a write that was decided on an older version."""
    return StatusError(
        409,
        "Conflict",
        f'Operation cannot be fulfilled on {resource} "{name}": {why}',
        details=_about(resource, name),
    )


MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


def forbidden(resource: Resource, name: str, why: str, *, causes: Sequence[Object] = ()) -> StatusError:
    """403, by the authoriser or by admission."""
    if name:
        message = f'{resource} "{name}" is forbidden: {why}'
    elif resource.plural:
        message = f"{resource} is forbidden: {why}"
    else:
        message = f"forbidden: {why}"
    return StatusError(
        403, "Forbidden", message, details=_about(resource, name, causes=list(causes) if causes else None)
    )


def unauthorized() -> StatusError:
    """401 for a request that proves no identity."""
    return StatusError(401, "Unauthorized", "Unauthorized")


def bad_request(message: str) -> StatusError:
    """400 for a request that makes no sense."""
    return StatusError(400, "BadRequest", message)


def invalid(group: str, kind: str, name: str, causes: Iterable[tuple[str, str, str]]) -> StatusError:
    """422 with every cause: ``(reason, message, field)``."""
    listed = [{"reason": reason, "message": message, "field": field} for reason, message, field in causes]
    messages = list(dict.fromkeys(f"{cause['field']}: {cause['message']}" for cause in listed))
    what = f"{kind}.{group}" if group else kind
    message = f'{what} "{name}" is invalid'
    if messages:
        message += f": {messages[0]}" if len(messages) == 1 else f": [{', '.join(messages)}]"
    details: Object = {"name": name, "group": group, "kind": kind, "causes": listed}
    return StatusError(
        422, "Invalid", message, details={key: value for key, value in details.items() if value}
    )


def unsupported_media_type(accepted: Sequence[str]) -> StatusError:
    """415 for a body in a format that isn't taken here."""
    listed = ", ".join(accepted)
    return StatusError(
        415,
        "UnsupportedMediaType",
        f"the body of the request was in an unknown format - accepted media types include: {listed}",
    )


def not_acceptable(accepted: Sequence[str]) -> StatusError:
    """406 for an answer asked for in formats that aren't given here."""
    listed = ", ".join(accepted)
    return StatusError(406, "NotAcceptable", f"only the following media types are accepted: {listed}")


def too_large(limit: int) -> StatusError:
    """413 for a body past ``limit`` bytes."""
    return StatusError(413, "RequestEntityTooLarge", f"Request entity too large: limit is {limit}")


def no_such_resource() -> StatusError:
    """404 for a resource that the API group doesn't have."""
    return StatusError(404, "NotFound", "the server could not find the requested resource", details={})


def not_served(message: str) -> StatusError:
    """404 for what a real server has and this one hasn't."""
    return StatusError(404, "NotFound", message, details={})


def method_not_allowed(
    message: str = "the server does not allow this method on the requested resource",
) -> StatusError:
    """405 for a method that the resource doesn't have."""
    return StatusError(405, "MethodNotAllowed", message, details={})


def expired(message: str) -> StatusError:
    """410 for a version that is no longer kept."""
    return StatusError(410, "Expired", message)


def too_many_requests(message: str, *, retry_after_s: int = 0, causes: Sequence[Object] = ()) -> StatusError:
    """429, which an eviction gets that a disruption budget doesn't permit."""
    details: Object = {"causes": list(causes)} if causes else {}
    if retry_after_s:
        details["retryAfterSeconds"] = retry_after_s
    headers = {"Retry-After": str(retry_after_s)} if retry_after_s else {}
    return StatusError(429, "TooManyRequests", message, details=details, headers=headers)


def too_large_version(asked: int, current: int) -> StatusError:
    """504 for a version that the server hasn't reached."""
    cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    return StatusError(
        504,
        "Timeout",
        f"Too large resource version: {asked}, current: {current}",
        details={"causes": [cause], "retryAfterSeconds": 1},
        headers={"Retry-After": "1"},
    )


def internal(message: str) -> StatusError:
    """500: a fault of the server; what happened is in its log."""
    return StatusError(500, "InternalError", f"Internal error occurred: {message}", details={})
