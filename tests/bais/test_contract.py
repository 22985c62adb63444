"""Answers held to an OpenAPI 3.1 document."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest
import yaml

from bais_gates.bais.contract import Contract, ContractError
from bais_gates.probes.http import Response

DOCUMENT = yaml.safe_load("""
openapi: 3.1.0
paths:
  /things/{id}:
    get:
      responses:
        "200":
          headers:
            X-Request-ID: {required: true, schema: {type: string, minLength: 3}}
            Retry-After: {schema: {type: integer, minimum: 1}}
          content: {application/json: {schema: {$ref: "#/components/schemas/Thing"}}}
        "204": {description: nothing}
        4XX: {$ref: "#/components/responses/Bad"}
  /things/special:
    get:
      responses:
        "200": {content: {text/plain: {schema: {type: string}}}}
components:
  responses:
    Bad: {content: {application/json: {schema: {$ref: "#/components/schemas/Error"}}}}
  schemas:
    Error: {type: object, required: [error]}
    Thing:
      type: object
      required: [id, amount, at]
      properties:
        id: {type: string}
        amount: {type: number}
        at: {type: string, format: date-time}
        inner: {$ref: "#/components/schemas/Error"}
""")
GOOD = {"id": "t1", "amount": 1.5, "at": "2026-01-01T00:00:00Z"}


def _answer(status: int = 200, body: object = None, raw: bytes | None = None, **headers: str) -> Response:
    sent = {"content_type": "application/json", "x_request_id": "abc", **headers}
    return Response(
        method="GET",
        url="u",
        status=status,
        headers=httpx.Headers({name.replace("_", "-"): value for name, value in sent.items() if value}),
        body=json.dumps(GOOD if body is None else body).encode() if raw is None else raw,
        elapsed_ms=1,
    )


def _violations(response: Response, path: str = "/things/t1?x=1") -> list[str]:
    return Contract(DOCUMENT).violations(response, "GET", path)


def test_a_good_answer_has_no_violations() -> None:
    """What is as documented passes, also by a real path with a query and by the template."""
    assert _violations(_answer()) == []
    assert _violations(_answer(), "/things/{id}") == []
    assert _violations(_answer(content_type="application/json; charset=utf-8")) == []


@pytest.mark.parametrize(
    ("response", "words"),
    [
        (_answer(500), "status 500 is not documented"),
        (_answer(content_type="text/html"), "content type text/html is not documented"),
        (_answer(content_type=""), "content type (none)"),
        (_answer(raw=b"oops"), "the body is not JSON"),
        (_answer(body={"id": "t1", "amount": 1}), "'at' is a required property"),
        (_answer(body={**GOOD, "amount": "1.5"}), "$.amount: '1.5' is not of type 'number'"),
        (_answer(body={**GOOD, "at": "yesterday"}), "is not a 'date-time'"),
        (_answer(body={**GOOD, "at": "2026-01-01T00:00:00"}), "is not a 'date-time'"),
        (_answer(body={**GOOD, "inner": {}}), "$.inner: 'error' is a required property"),
        (_answer(x_request_id=""), "header X-Request-ID is missing"),
        (_answer(x_request_id="a"), "header X-Request-ID"),
        (_answer(retry_after="soon"), "header Retry-After: $: 'soon' is not of type 'integer'"),
        (_answer(retry_after="0"), "header Retry-After"),
        (_answer(204, raw=b"x"), "documented without a body"),
        (_answer(404, body={"detail": "x"}), "'error' is a required property"),
    ],
)
def test_a_violation_is_told_in_words(response: Response, words: str) -> None:
    """Each way to break the contract is one line that says what."""
    found = _violations(response)
    assert len(found) == 1
    assert words in found[0]


def test_a_literal_path_comes_before_a_template() -> None:
    """/things/special is not taken for /things/{id}."""
    assert _violations(_answer(content_type="text/plain", raw=b"hello"), "/things/special") == []


def test_an_unknown_operation_is_a_violation() -> None:
    """What the contract does not know can not conform to it."""
    contract = Contract(DOCUMENT)
    assert contract.violations(_answer(), "GET", "/other") == ["GET /other is not in the contract"]
    assert contract.violations(_answer(), "DELETE", "/things/t1") == [
        "DELETE /things/t1 is not in the contract"
    ]
    assert contract.violations(_answer(), "GET", "/things/t1/more") != []


def test_a_long_value_is_not_quoted_whole() -> None:
    """A violation stays one readable line, and there are not thousands of them."""
    found = _violations(_answer(body={**GOOD, "amount": "9" * 10_000}))
    assert max(map(len, found)) <= 240


def test_a_value_is_held_to_a_named_schema() -> None:
    """A gate may hold any value to one of the contract's schemas."""
    contract = Contract(DOCUMENT)
    assert contract.schema_violations({"error": {}}, "Error") == []
    assert contract.schema_violations({}, "Error") == ["$: 'error' is a required property"]
    with pytest.raises(ContractError, match="components/schemas/Nope"):
        contract.schema_violations({}, "Nope")


@pytest.mark.parametrize("text", ["[]", "openapi: 3.0.0\npaths: {}", "a: [", "\x00"])
def test_what_is_no_contract_is_refused(tmp_path: Path, text: str) -> None:
    """A document that can not be held against anything is an error, not a contract without rules."""
    path = tmp_path / "contract.yaml"
    path.write_text(text)
    with pytest.raises(ContractError):
        Contract.load(path)
    with pytest.raises(ContractError, match="can not be read"):
        Contract.load(tmp_path / "absent.yaml")


def test_the_projects_contract_can_be_used() -> None:
    """The document in the gates folder is one, and every reference in it leads somewhere."""
    path = Path(__file__).parents[2] / "gates" / "contract" / "bais-api.openapi.yaml"
    contract = Contract.load(path)
    for template, operations in contract.document["paths"].items():
        for method, operation in operations.items():
            for status in (
                operation["responses"] if isinstance(operation, dict) and "responses" in operation else ()
            ):
                response = _answer(int(status), raw=b"{}")
                assert isinstance(contract.violations(response, method, template), list)
