"""Test the API client: its requests, redaction and comparison of responses."""

from __future__ import annotations

import json
from collections.abc import Callable

import httpx
import pytest

from bais_gates.bais.answers import contains_card_number, differences, unknown_id
from bais_gates.bais.api import Api, TargetRefused, register_business, require_field
from bais_gates.bais.contract import Contract
from bais_gates.probes.http import HttpClient, Response
from bais_gates.redaction import redact
from bais_gates.targets.target import Unique

Handler = Callable[[httpx.Request], httpx.Response]


def _api(handler: Handler) -> Api:
    contract = Contract({"openapi": "3.1.0", "paths": {}})
    return Api(http=HttpClient("https://target", transport=httpx.MockTransport(handler)), contract=contract)


def _echo(request: httpx.Request) -> httpx.Response:
    headers = {name: value for name, value in request.headers.items() if name.startswith(("auth", "idem"))}
    return httpx.Response(200, json={"headers": headers, "body": request.content.decode()})


def _answer(status: int = 404, body: object = None, path: str = "/x", **headers: str) -> Response:
    raw = body if isinstance(body, str) else json.dumps(body)
    return Response(
        method="GET",
        url=f"https://target{path}",
        status=status,
        headers=httpx.Headers({name.replace("_", "-"): value for name, value in headers.items()}),
        body=raw.encode(),
        elapsed_ms=1.0,
    )


class TestApi:
    """Test the client of a target."""

    def test_a_token_is_sent_as_bearer_and_redacted(self) -> None:
        """A bound client sends its token, a token per request replaces it, and both are redacted."""
        api = _api(_echo).with_token("first-token-1234")
        assert api.get("/x").field("headers", "authorization") == "Bearer first-token-1234"
        assert api.get("/x", token="other-token-5678").field("headers", "authorization").endswith("5678")
        assert "first-token-1234" not in redact("so first-token-1234 leaked")

    def test_an_authorization_header_replaces_the_token(self) -> None:
        """The client does not override a gate's own Authorization header."""
        api = _api(_echo).with_token("first-token-1234")
        assert (
            api.get("/x", headers={"authorization": "Basic x"}).field("headers", "authorization") == "Basic x"
        )

    def test_an_anonymous_client_sends_no_authorization(self) -> None:
        """A client without a token sends no Authorization header."""
        assert _api(_echo).get("/x").field("headers") == {}

    def test_secrets_in_answers_and_requests_are_redacted(self) -> None:
        """Passwords in requests and tokens in responses are redacted."""
        api = _api(
            lambda _request: httpx.Response(200, json={"tokens": [{"access_token": "deep-token-abcdef"}]})
        )
        api.login("a@example.com", "Pass-word-9876!")
        assert redact("deep-token-abcdef Pass-word-9876!") == "[redacted] [redacted]"

    def test_responses_are_recorded_on_request(self) -> None:
        """Every response to a recording business is appended to the list."""
        answers: list[Response] = []
        business = register_business(_api(_signs_in), Unique("run")).recording_to(answers)
        business.payment("p1")
        business.pay("w1", key="k1")
        assert [answer.method for answer in answers] == ["GET", "POST"]

    def test_a_business_is_registered_and_bound_to_its_token(self) -> None:
        """Registering yields a business whose client sends its access token."""
        business = register_business(_api(_signs_in), Unique("run-42"))
        assert business.email.startswith("gate-run42-")
        assert business.api.token == "access-token-1"

    def test_a_refusal_is_reported_with_its_response(self) -> None:
        """A missing field is an error with status and body, not a None later on."""
        with pytest.raises(TargetRefused, match=r"expected status 201 with 'user_id'.*answered 500: oops"):
            register_business(_api(lambda _request: httpx.Response(500, text="oops")), Unique("run"))

    def test_an_id_that_is_not_text_is_refused(self) -> None:
        """An id of null counts as missing."""
        with pytest.raises(TargetRefused):
            require_field(_answer(201, {"id": None}), 201, "id")


def _signs_in(request: httpx.Request) -> httpx.Response:
    if request.url.path.endswith("register"):
        return httpx.Response(201, json={"user_id": "u1", "verification_token": "v"})
    return httpx.Response(200, json={"access_token": "access-token-1", "refresh_token": "refresh-token-1"})


class TestUnique:
    """Test the generator of test data."""

    def test_values_are_unique_and_carry_the_run_id(self) -> None:
        """No value repeats, and each contains the run's id."""
        unique = Unique("CI/Run.7")
        values = {unique.email() for _ in range(50)}
        assert len(values) == 50
        assert all("cirun7" in value for value in values)

    def test_a_password_is_strong(self) -> None:
        """Passwords have both cases, a digit and a symbol."""
        password = Unique("r").password()
        assert len(password) >= 10
        assert any(c.isupper() for c in password)
        assert any(c.islower() for c in password)


class TestDifferences:
    """Test the comparison of responses."""

    def test_own_ids_and_request_ids_are_ignored(self) -> None:
        """Two refusals that differ only in their own ids are equal."""
        one = _answer(404, {"error": {"message": "no abc", "id": "r1"}}, "/x/abc", x_request_id="r1")
        other = _answer(404, {"error": {"message": "no xyz", "id": "r2"}}, "/x/xyz", x_request_id="r2")
        assert differences(one, other) == []

    def test_status_body_and_headers_are_compared(self) -> None:
        """Differences in status, body and headers are reported."""
        one = _answer(403, "a", retry_after="1")
        assert [line.partition(":")[0] for line in differences(one, _answer(404, "b"))] == [
            "body",
            "header retry-after",
            "status",
        ]

    @pytest.mark.parametrize("known", ["pay_0f3c1a2b4d5e", "zzzzzzzzzzzz", "1", "wf_ZyXwVuTsRqPo"])
    def test_an_unknown_id_has_the_same_length(self, known: str) -> None:
        """The generated id has the form of the known one and differs from it."""
        generated = unknown_id(known)
        assert len(generated) == len(known)
        assert generated != known

    def test_a_card_number_is_found_in_every_notation(self) -> None:
        """A card number is found plain, in groups and in a header."""
        card = "4242424242424242"
        assert contains_card_number(_answer(200, {"card": "4242 4242 4242 4242"}), card)
        assert contains_card_number(_answer(200, {"card": int(card)}), card)
        assert contains_card_number(_answer(200, {}, x_debug="4242-4242-4242-4242"), card)
        assert not contains_card_number(_answer(200, {"last4": "4242", "id": "424242424242424"}), card)
