"""Test the validation of responses against an OpenAPI 3.1 document."""

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


def test_a_documented_response_has_no_violations() -> None:
    """A response conforms by its real path with a query, and by the template."""
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
        (_answer(204, raw=b"x"), "has a body, but 204 is documented without a body"),
        (_answer(404, body={"detail": "x"}), "'error' is a required property"),
    ],
)
def test_each_violation_is_one_line(response: Response, words: str) -> None:
    """Each kind of violation yields one line that names it."""
    violations = _violations(response)
    assert len(violations) == 1
    assert words in violations[0]


def test_a_literal_path_precedes_a_template() -> None:
    """/things/special does not match /things/{id}."""
    assert _violations(_answer(content_type="text/plain", raw=b"hello"), "/things/special") == []


def test_an_unknown_operation_is_a_violation() -> None:
    """An undocumented path or method is reported."""
    contract = Contract(DOCUMENT)
    assert contract.violations(_answer(), "GET", "/other") == ["GET /other is not in the contract"]
    assert contract.violations(_answer(), "DELETE", "/things/t1") == [
        "DELETE /things/t1 is not in the contract"
    ]
    assert contract.violations(_answer(), "GET", "/things/t1/more") != []


def test_a_long_value_is_shortened() -> None:
    """A violation has at most 240 characters."""
    violations = _violations(_answer(body={**GOOD, "amount": "9" * 10_000}))
    assert max(map(len, violations)) <= 240


def test_a_value_is_validated_against_a_named_schema() -> None:
    """Any JSON value can be validated against one of the contract's schemas."""
    contract = Contract(DOCUMENT)
    assert contract.schema_violations({"error": {}}, "Error") == []
    assert contract.schema_violations({}, "Error") == ["$: 'error' is a required property"]
    with pytest.raises(ContractError, match="components/schemas/Nope"):
        contract.schema_violations({}, "Nope")


@pytest.mark.parametrize("text", ["[]", "openapi: 3.0.0\npaths: {}", "a: [", "\x00"])
def test_an_unusable_document_is_refused(tmp_path: Path, text: str) -> None:
    """A document that is missing or not OpenAPI 3.1 is an error, not a contract without rules."""
    path = tmp_path / "contract.yaml"
    path.write_text(text)
    with pytest.raises(ContractError):
        Contract.load(path)
    with pytest.raises(ContractError, match="cannot be read"):
        Contract.load(tmp_path / "absent.yaml")


def test_the_projects_contract_is_usable() -> None:
    """The contract in the gates folder loads, and every reference in it resolves."""
    path = Path(__file__).parents[2] / "gates" / "contract" / "bais-api.openapi.yaml"
    contract = Contract.load(path)
    for template, operations in contract.document["paths"].items():
        for method, operation in operations.items():
            for status in (
                operation["responses"] if isinstance(operation, dict) and "responses" in operation else ()
            ):
                response = _answer(int(status), raw=b"{}")
                assert isinstance(contract.violations(response, method, template), list)
