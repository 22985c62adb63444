"""Error responses in the contract's shape; none of them reveals internals."""

from __future__ import annotations

from dataclasses import dataclass, field

Details = dict[str, str] | None


@dataclass(slots=True)
class ApiError(Exception):
    """An error response: HTTP ``status``, snake_case ``kind``, a sentence, and optional details."""

    status: int
    kind: str
    message: str
    details: Details = None
    headers: tuple[tuple[bytes, bytes], ...] = field(default=())


def bad_request(message: str, *, field_name: str | None = None, kind: str = "invalid_request") -> ApiError:
    """Return a 400; ``field_name`` is the invalid JSON field, header or query parameter."""
    return ApiError(400, kind, message, None if field_name is None else {"field": field_name})


def unauthorized(message: str = "A valid bearer token is required.", kind: str = "unauthorized") -> ApiError:
    """Return a 401, the same whatever is wrong with the token."""
    return ApiError(401, kind, message, headers=((b"www-authenticate", b"Bearer"),))


def not_found() -> ApiError:
    """Return a 404, the same for what does not exist and for what belongs to another business."""
    return ApiError(404, "not_found", "There is no such resource.")


def conflict(kind: str, message: str) -> ApiError:
    """Return a 409: the e-mail is taken, or the Idempotency-Key was used with another body."""
    return ApiError(409, kind, message)


def too_many(message: str, retry_after_s: int | None) -> ApiError:
    """Return a 429 with Retry-After in whole seconds."""
    headers = () if retry_after_s is None else ((b"retry-after", b"%d" % retry_after_s),)
    return ApiError(429, "rate_limited", message, headers=headers)


def unavailable(part: str) -> ApiError:
    """Return a 503: ``part`` ("database", "cache", "sign-in") does not respond in time."""
    return ApiError(
        503,
        "service_unavailable",
        f"The platform's {part} does not respond; try again shortly.",
        headers=((b"retry-after", b"2"),),
    )
