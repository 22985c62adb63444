"""A client of the BAIS API, and businesses that use it.

Every secret that is sent or received is registered for redaction here, before anything can print it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bais_gates import redaction
from bais_gates.bais.contract import Contract
from bais_gates.probes.http import HttpClient, Response, Unreachable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bais_gates.targets.target import Target, Unique

__all__ = [
    "ACCEPTED",
    "DECLINED",
    "FAILS_LATER",
    "Api",
    "Business",
    "Response",
    "TargetRefused",
    "Unreachable",
]

CONTRACT: Final = Path("contract", "bais-api.openapi.yaml")
"""Path of the API's contract in the folder of the gates."""
ACCEPTED: Final = "4242424242424242"
"""Public test card that is accepted."""
DECLINED: Final = "4000000000000002"
"""Public test card that is declined at once (402)."""
FAILS_LATER: Final = "4000000000000341"
"""Public test card that is accepted and fails afterwards (payment.failed)."""

_SECRET_KEYS: Final = frozenset(
    {
        "access_token",
        "api_key",
        "card_number",
        "cvc",
        "password",
        "refresh_token",
        "secret",
        "signature_secret",
        "token",
        "verification_token",
    }
)


class TargetRefused(Exception):  # noqa: N818 - it names what the target did
    """The target refused a request that a gate depends on; the message contains its response."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """A client of the target, anonymous or bound to a bearer token. Safe to share between threads."""

    http: HttpClient
    contract: Contract
    token: str | None = None
    answers: list[Response] | None = None
    """List that every response is appended to, None for no record."""

    def with_token(self, token: str | None) -> Api:
        """Return the same client bound to another token (None: anonymous)."""
        if token:
            redaction.register(token)
        return replace(self, token=token)

    def request(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        token: str | None = None,
        params: Mapping[str, str] | None = None,
        deadline_s: float | None = None,
    ) -> Response:
        """Send one request and return the response. Raises :class:`Unreachable` if none arrives in time.

        ``token`` replaces the client's own for this request. ``content`` sends raw bytes.
        """
        register_secrets(json)
        bearer = token if token is not None else self.token
        merged = dict(headers or {})
        if bearer is not None and not any(name.lower() == "authorization" for name in merged):
            redaction.register(bearer)
            merged["Authorization"] = f"Bearer {bearer}"
        response = self.http.request(
            method, path, headers=merged, json=json, content=content, params=params, deadline_s=deadline_s
        )
        register_secrets(response.json)
        if self.answers is not None:
            self.answers.append(response)
        return response

    def get(self, path: str, **kwargs: Any) -> Response:
        """GET ``path``; see :meth:`request`."""
        return self.request("GET", path, **kwargs)

    def post(self, path: str, **kwargs: Any) -> Response:
        """POST to ``path``; see :meth:`request`."""
        return self.request("POST", path, **kwargs)

    def put(self, path: str, **kwargs: Any) -> Response:
        """PUT to ``path``; see :meth:`request`."""
        return self.request("PUT", path, **kwargs)

    def delete(self, path: str, **kwargs: Any) -> Response:
        """DELETE ``path``; see :meth:`request`."""
        return self.request("DELETE", path, **kwargs)

    def conforms(self, response: Response, method: str, path: str) -> list[str]:
        """Return the contract violations of ``response`` to ``method path``; empty if it conforms."""
        return self.contract.violations(response, method, path)

    def register(self, **fields: object) -> Response:
        """POST a registration with exactly these fields."""
        return self.post("/api/v1/auth/register", json=fields)

    def login(self, email: str, password: str) -> Response:
        """POST the credentials of an account."""
        return self.post("/api/v1/auth/login", json={"email": email, "password": password})

    def refresh(self, refresh_token: str) -> Response:
        """POST a refresh token for a new pair."""
        return self.post("/api/v1/auth/refresh", json={"refresh_token": refresh_token})


@dataclass(frozen=True, slots=True, kw_only=True)
class Business:
    """A registered and signed-in business; ``api`` is bound to its access token."""

    email: str
    password: str
    user_id: str
    access_token: str
    refresh_token: str
    api: Api
    unique: Unique

    def recording_to(self, answers: list[Response]) -> Business:
        """Return the same business with every response appended to ``answers``."""
        return replace(self, api=replace(self.api, answers=answers))

    def api_key(self, *, name: str | None = None, expires_in: int | None = None) -> Response:
        """Create an API key (``expires_in`` seconds)."""
        body: dict[str, object] = {"name": name or self.unique.word("agent")}
        if expires_in is not None:
            body["expires_in"] = expires_in
        return self.api.post("/api/v1/auth/api-keys", json=body)

    def workflow(self, *, amount: object = 49.99, currency: object = "USD", **fields: object) -> Response:
        """Create a payment workflow; ``fields`` replace body fields, None removes them."""
        body: dict[str, object] = {
            "name": self.unique.word("workflow"),
            "payment_provider": "stripe",
            "amount": amount,
            "currency": currency,
            "webhook_url": "https://example.com/hooks/bais",
            **fields,
        }
        return self.api.post("/api/v1/workflows/payment", json=_without_none(body))

    def workflow_id(self, *, amount: object = 49.99, currency: object = "USD") -> str:
        """Create a workflow and return its id. Raises :class:`TargetRefused` if the target refuses."""
        return require_field(self.workflow(amount=amount, currency=currency), 201, "workflow_id")

    def pay(
        self,
        workflow_id: str,
        *,
        amount: object = 49.99,
        currency: object = "USD",
        card: str = ACCEPTED,
        key: str | None = None,
        **fields: object,
    ) -> Response:
        """Take a payment, ``key`` as Idempotency-Key; ``fields`` replace body fields, None removes them."""
        body: dict[str, object] = {
            "workflow_id": workflow_id,
            "amount": amount,
            "currency": currency,
            "payment_method": card_method(card),
            "customer_email": "customer@example.com",
            **fields,
        }
        headers = {"Idempotency-Key": key} if key is not None else None
        return self.api.post("/api/v1/payments/process", json=_without_none(body), headers=headers)

    def payment(self, payment_id: str) -> Response:
        """Read a payment."""
        return self.api.get(f"/api/v1/payments/{payment_id}")

    def configure_webhook(
        self, url: str, *, events: object = ("payment.completed",), **fields: object
    ) -> Response:
        """Configure a webhook for ``events``: a tuple, or any JSON value to send as it is."""
        body = {"url": url, "events": list(events) if isinstance(events, tuple) else events, **fields}
        return self.api.post("/api/v1/webhooks/configure", json=body)


def open_api(target: Target, http: HttpClient | None = None) -> Api:
    """Return an anonymous client of the target's API, or of the one that ``http`` reaches.

    Raises GateInputError when the environment file has no ``api``, ContractError for a contract that can't be
    used.
    """
    contract = Contract.load(target.gates_dir / CONTRACT)
    if http is None:
        part = target.environment.api
        http = HttpClient(part.url, ca_file=part.ca_file, server_name=part.server_name)
    return Api(http=http, contract=contract)


def card_method(number: str) -> dict[str, object]:
    """Return the payment_method of a test card."""
    return {"type": "card", "card_number": number, "exp_month": 12, "exp_year": 2030, "cvc": "123"}


def register_business(api: Api, unique: Unique) -> Business:
    """Register a business and sign it in. Raises :class:`TargetRefused` if the target refuses either."""
    email, password = unique.email(), unique.password()
    registered = api.register(
        email=email,
        password=password,
        business_name=unique.word("business"),
        contact_name="Gate Keeper",
        phone="+1-555-0123",
    )
    return sign_in(api, email, password, unique, user_id=require_field(registered, 201, "user_id"))


def sign_in(api: Api, email: str, password: str, unique: Unique, *, user_id: str = "") -> Business:
    """Sign in a business that is registered. Raises :class:`TargetRefused` if the target refuses."""
    signed_in = api.login(email, password)
    access = require_field(signed_in, 200, "access_token")
    return Business(
        email=email,
        password=password,
        user_id=user_id,
        access_token=access,
        refresh_token=require_field(signed_in, 200, "refresh_token"),
        api=api.with_token(access),
        unique=unique,
    )


def require_field(response: Response, status: int, key: str) -> str:
    """Return the text at ``key`` of a response with ``status``. Raises :class:`TargetRefused` otherwise."""
    value = response.field(key)
    if response.status == status and isinstance(value, str) and value:
        return value
    raise TargetRefused(f"expected status {status} with {key!r}, but {response.describe()}")


def register_secrets(value: object) -> None:
    """Register every secret under a known key of a JSON value for redaction."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if isinstance(inner, str) and key in _SECRET_KEYS:
                redaction.register(inner)
            else:
                register_secrets(inner)
    elif isinstance(value, list):
        for inner in value:
            register_secrets(inner)


def _without_none(body: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in body.items() if value is not None}
