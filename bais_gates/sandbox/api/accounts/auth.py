"""Registration, sign-in, and refresh tokens."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import msgspec

from bais_gates.sandbox.api import values
from bais_gates.sandbox.api.errors import bad_request, conflict, too_many, unauthorized
from bais_gates.sandbox.api.messages import Principal, Request, Response, digest, json_response, new_id

if TYPE_CHECKING:
    from bais_gates.sandbox.api.services import Services


class Registration(msgspec.Struct, frozen=True):
    """The body of POST /api/v1/auth/register."""

    email: str
    password: str
    business_name: str
    contact_name: str
    phone: str | None = None


class Login(msgspec.Struct, frozen=True):
    """The body of POST /api/v1/auth/login."""

    email: str
    password: str


class Refresh(msgspec.Struct, frozen=True):
    """The body of POST /api/v1/auth/refresh."""

    refresh_token: str


_REGISTER = """
WITH inserted AS (
  INSERT INTO users (id, business_id, email, password_hash, contact_name, phone, verification_hash)
  VALUES (%(user_id)s, %(business_id)s, %(email)s, %(password_hash)s, %(contact_name)s, %(phone)s,
          %(verification)s)
  ON CONFLICT (email) DO NOTHING RETURNING business_id
)
INSERT INTO businesses (id, name) SELECT business_id, %(business_name)s FROM inserted RETURNING id
"""
_USER = "SELECT id, business_id, password_hash FROM users WHERE email = %(email)s"
_INSERT_REFRESH = """
INSERT INTO refresh_tokens (hash, user_id, business_id, expires_at)
VALUES (%(new)s, %(user_id)s, %(business_id)s, now() + make_interval(secs => %(ttl_s)s))
"""
_ROTATE = """
WITH used AS (
  UPDATE refresh_tokens SET used_at = now()
  WHERE hash = %(old)s AND used_at IS NULL AND expires_at > now() RETURNING user_id, business_id
)
INSERT INTO refresh_tokens (hash, user_id, business_id, expires_at)
SELECT %(new)s, user_id, business_id, now() + make_interval(secs => %(ttl_s)s) FROM used
RETURNING user_id, business_id
"""
_ROTATE_USED = _ROTATE.replace("used_at IS NULL AND", "")


async def register(request: Request, services: Services) -> Response:
    """Respond 201 with ``user_id`` and ``verification_token``, 400, or 409 for a registered address."""
    body = request.parse(Registration)
    address = values.email(body.email)
    if request.faults.active("email_case_distinguished"):
        address = body.email
    if not (request.faults.active("weak_password_accepted") and body.password):
        values.password(body.password)
    parameters: dict[str, object] = {
        "user_id": new_id("usr"),
        "business_id": new_id("biz"),
        "email": address,
        "business_name": values.text(body.business_name, "business_name", maximum=200),
        "contact_name": values.text(body.contact_name, "contact_name", maximum=200),
        "phone": None if body.phone is None else values.phone(body.phone),
    }
    verification = secrets.token_urlsafe(32)
    parameters["verification"] = digest(verification)
    parameters["password_hash"] = await services.passwords.hash(body.password)
    inserted = await services.database.row(_REGISTER, parameters)
    user_id = str(parameters["user_id"])
    if inserted is None and not request.faults.active("duplicate_email_accepted"):
        services.audit.record(request, "user.register", "", allowed=False)
        raise conflict("email_taken", "This e-mail address is registered already.")
    services.audit.record(request, "user.register", user_id, actor=user_id)
    services.metrics.registrations.inc()
    content = {"user_id": user_id, "verification_token": verification}
    if request.faults.active("registration_answers_password"):
        content["password"] = body.password
    return json_response(201, content)


async def login(request: Request, services: Services) -> Response:
    """Respond 200 with a pair of tokens, 401, or 429 while the account is locked.

    An invalid address is a 400, as at registration: that reveals nothing about accounts. A known and an
    unknown address receive the same response after the same work.
    """
    body = request.parse(Login)
    address = values.email(body.email)
    if request.faults.active("email_case_distinguished"):
        address = body.email
    if not 0 < len(body.password) <= 128:
        raise bad_request("password must have 1 to 128 characters.", field_name="password")
    guarded = not request.faults.active("sign_in_never_closes")
    if guarded and (wait_s := await services.sign_in_guard.locked_for(address)):
        raise _locked(request, services, wait_s)
    stored = await services.database.row(_USER, {"email": address})
    if stored is None and request.faults.active("unknown_email_answers_faster"):
        matches = False
    else:
        matches = await services.passwords.verify(body.password, None if stored is None else stored[2])
    if guarded and (
        wait_s := await services.sign_in_guard.record(address, success=matches, attempt=request.request_id)
    ):
        raise _locked(request, services, wait_s)
    if stored is None or not matches:
        services.metrics.sign_ins.labels("wrong").inc()
        services.audit.record(request, "user.login", "" if stored is None else stored[0], allowed=False)
        if stored is None and request.faults.active("unknown_email_told_apart"):
            raise unauthorized("No account has this e-mail address.", "unknown_email")
        raise unauthorized("The e-mail address or the password is wrong.", "invalid_credentials")
    user_id, business_id, _ = stored
    services.metrics.sign_ins.labels("success").inc()
    request.principal = Principal(business_id=business_id, user_id=user_id, subject=user_id, token_id="")
    refresh_token = secrets.token_urlsafe(32)
    row = {"user_id": user_id, "business_id": business_id, "ttl_s": services.settings.refresh_token_ttl_s}
    await services.database.rows(_INSERT_REFRESH, row | {"new": digest(refresh_token)})
    services.audit.record(request, "user.login", user_id)
    return _tokens(services, user_id, business_id, refresh_token)


async def refresh(request: Request, services: Services) -> Response:
    """Respond 200 with a new pair, or 401; of two concurrent uses of one token only one succeeds."""
    old = request.parse(Refresh).refresh_token
    reusable = request.faults.active("refresh_token_reusable")
    refresh_token = secrets.token_urlsafe(32)
    owner = await services.database.row(
        _ROTATE_USED if reusable else _ROTATE,
        {
            "old": digest(old),
            "new": digest(refresh_token),
            "ttl_s": services.settings.refresh_token_ttl_s,
        },
    )
    if owner is None:
        services.audit.record(request, "user.refresh", "", allowed=False)
        raise unauthorized("The refresh token is not valid.", "invalid_refresh_token")
    user_id, business_id = owner
    request.principal = Principal(business_id=business_id, user_id=user_id, subject=user_id, token_id="")
    services.audit.record(request, "user.refresh", user_id)
    return _tokens(services, user_id, business_id, refresh_token)


def _locked(request: Request, services: Services, wait_s: int) -> Exception:
    services.metrics.sign_ins.labels("closed").inc()
    services.audit.record(request, "user.login", "", allowed=False)
    return too_many("Too many wrong passwords; sign-in to this account is closed for a while.", wait_s)


def _tokens(services: Services, user_id: str, business_id: str, refresh_token: str) -> Response:
    tokens = services.access_tokens
    content = {
        "access_token": tokens.issue(user_id=user_id, business_id=business_id),
        "refresh_token": refresh_token,
        "token_type": "bearer",
        "expires_in": tokens.ttl_s,
    }
    return json_response(200, content)
