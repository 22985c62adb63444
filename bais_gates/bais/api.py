"""The BAIS API as a gate speaks to it: small verbs that return answers, and businesses that use them.

Every secret that is sent or received is made known to redaction here, before anything can print it.
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
"""Where the API's contract lies in the folder of the gates."""
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
    """The target did not do what a gate needs before it can judge; the message holds its answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """A client of the target, anonymous or bound to a bearer token. Safe to share between threads."""

    http: HttpClient
    contract: Contract
    token: str | None = None
    answers: list[Response] | None = None
    """Where every answer is kept, when a gate wants to look through all of them."""

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
        """Send one request and read the answer; :class:`Unreachable` when none comes in time.

        ``token`` takes the place of the client's own for this request. ``content`` sends raw bytes.
        """
        register_secrets(json)
        bearer = token if token is not None else self.token
        sent = dict(headers or {})
        if bearer is not None and not any(name.lower() == "authorization" for name in sent):
            redaction.register(bearer)
            sent["Authorization"] = f"Bearer {bearer}"
        response = self.http.request(
            method, path, headers=sent, json=json, content=content, params=params, deadline_s=deadline_s
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
        """Return how ``response`` breaks the contract for ``method path``; an empty list when it does not."""
        return self.contract.violations(response, method, path)

    # -- signing in --

    def register(self, **fields: object) -> Response:
        """POST a registration with exactly these fields."""
        return self.post("/api/v1/auth/register", json=fields)

    def login(self, email: str, password: str) -> Response:
        """POST a sign-in."""
        return self.post("/api/v1/auth/login", json={"email": email, "password": password})

    def refresh(self, refresh_token: str) -> Response:
        """POST a refresh token for a new pair."""
        return self.post("/api/v1/auth/refresh", json={"refresh_token": refresh_token})


@dataclass(frozen=True, slots=True, kw_only=True)
class Business:
    """A business that registered and signed in through the API; ``api`` is bound to its access token."""

    email: str
    password: str
    user_id: str
    access_token: str
    refresh_token: str
    api: Api
    unique: Unique

    def kept_in(self, answers: list[Response]) -> Business:
        """Return the same business with every answer it gets kept in ``answers``."""
        return replace(self, api=replace(self.api, answers=answers))

    def api_key(self, *, name: str | None = None, expires_in: int | None = None) -> Response:
        """Ask for an API key (``expires_in`` seconds)."""
        body: dict[str, object] = {"name": name or self.unique.word("agent")}
        if expires_in is not None:
            body["expires_in"] = expires_in
        return self.api.post("/api/v1/auth/api-keys", json=body)

    def workflow(self, *, amount: object = 49.99, currency: object = "USD", **fields: object) -> Response:
        """Set up a payment workflow; ``fields`` replace or, as None, leave out what is sent."""
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
        """Set up a workflow and give its id; :class:`TargetRefused` if the target does not."""
        return needed(self.workflow(amount=amount, currency=currency), 201, "workflow_id")

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
        """Take a payment, with ``key`` as Idempotency-Key; ``fields`` replace or, as None, leave out."""
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

    def hook(self, url: str, *, events: object = ("payment.completed",), **fields: object) -> Response:
        """Configure a webhook."""
        sent = list(events) if isinstance(events, tuple) else events
        return self.api.post("/api/v1/webhooks/configure", json={"url": url, "events": sent, **fields})


def open_api(target: Target, http: HttpClient | None = None) -> Api:
    """Return an anonymous client of the target's API, or of the one that ``http`` reaches.

    Raises GateInputError when the environment file has no ``api``, ContractError for a contract that can't be
    used.
    """
    contract = Contract.load(target.gates_dir / CONTRACT)
    if http is None:
        part = target.environment.api
        http = HttpClient(part.url, ca_file=part.ca_file)
    return Api(http=http, contract=contract)


def card_method(number: str) -> dict[str, object]:
    """Make the payment_method of a test card."""
    return {"type": "card", "card_number": number, "exp_month": 12, "exp_year": 2030, "cvc": "123"}


def register_business(api: Api, unique: Unique) -> Business:
    """Register a business and sign it in; :class:`TargetRefused` with the answer if the target does not."""
    email, password = unique.email(), unique.password()
    registered = api.register(
        email=email,
        password=password,
        business_name=unique.word("business"),
        contact_name="Gate Keeper",
        phone="+1-555-0123",
    )
    user_id = needed(registered, 201, "user_id")
    signed_in = api.login(email, password)
    access = needed(signed_in, 200, "access_token")
    return Business(
        email=email,
        password=password,
        user_id=user_id,
        access_token=access,
        refresh_token=needed(signed_in, 200, "refresh_token"),
        api=api.with_token(access),
        unique=unique,
    )


def needed(response: Response, status: int, key: str) -> str:
    """Return the text at ``key`` of an answer that must have ``status``; :class:`TargetRefused` otherwise."""
    value = response.field(key)
    if response.status == status and isinstance(value, str) and value:
        return value
    raise TargetRefused(f"needed {status} with {key!r} to go on, but {response.describe()}")


def register_secrets(value: object) -> None:
    """Make every secret below the known keys of a JSON value known to redaction."""
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
