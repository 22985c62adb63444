"""Internals in a response are found; ordinary words and the caller's own strings are not."""

from __future__ import annotations

import json

import pytest

from bais_gates.rules.internals import extract_strings, find_internals

LEAKING = [
    'Traceback (most recent call last):\n  File "/srv/app/main.py", line 3, in pay\n',
    '  File \\"app.py\\", line 12, in handle',
    "at Object.pay (/app/server.js:12:3)",
    "at com.bais.Payments.take(Payments.java:42)",
    "goroutine 12 [running]:",
    "psycopg.errors.UniqueViolation",
    "builtins.ValueError: bad amount",
    "NullPointerException",
    "SELECT id, amount FROM payments WHERE id = 5",
    "insert into payments (id) values (1)",
    "select id, amount from payments where id = 5",
    "update payments set amount = 5",
    'duplicate key value violates unique constraint "payments_pkey"',
    'relation "payments" does not exist',
    "SQLSTATE[42601]",
    "could not connect to 10.0.0.7:5432",
    "redis://:secret@cache:6379/0",
    "api-7c9.bais.svc.cluster.local",
    "see /usr/lib/python3/dist-packages",
    "root:x:0:0:root:/root:/bin/bash",
    "<app.models.Payment object at 0x7f3a5c0d1e80>",
    "sqlalchemy could not compile the statement",
    "uvicorn said no",
    "DATABASE_URL is not set",
    'failed near "DROP"',
    "WHERE business_id = $1",
    "localhost refused",
]
HARMLESS = [
    '{"error": {"type": "bad_request", "message": "amount must be a number above 0."}}',
    "The file is too large; select a currency from the list, or delete it from your request.",
    "This path does not have that method.",
    "Update your request and set an amount.",
    "Too many requests; Retry-After says when the next one is let in.",
    "Error",
    "An error happened. Exception to the rule: none.",
    "webhook_url must be https, e.g. https://example.com/hooks",
    "exp_month must be 1 to 12, amount at most 999999.99",
    "Mon, 23 Nov 2026 19:33:00 GMT",
    "The body must be application/json.",
    "Idempotency-Key may have 255 characters",
]


@pytest.mark.parametrize("text", LEAKING)
def test_internals_are_found(text: str) -> None:
    """Stack traces, queries, paths, hosts and libraries are found, also inside JSON."""
    assert find_internals(text)
    assert find_internals(json.dumps({"error": {"type": "x", "message": text}}))


@pytest.mark.parametrize("text", HARMLESS)
def test_ordinary_messages_have_no_internals(text: str) -> None:
    """Plain messages of a healthy platform are not findings."""
    assert find_internals(text) == []


def test_strings_of_the_caller_may_be_quoted() -> None:
    """A message that repeats the caller's own text leaks nothing, unless it contains more."""
    sent = "x'; SELECT a FROM b; --"

    assert find_internals(f"unknown period {sent!r}", sent=[sent]) == []
    assert find_internals(f"SELECT 1 FROM payments WHERE id = '{sent}'", sent=[sent])


def test_secret_names_are_found_in_any_form() -> None:
    """A given name is found without a pattern."""
    assert find_internals("role gates_ro may not", secret=["gates_ro"]) == ["a known name (gates_ro)"]
    assert find_internals("role x may not", secret=["gates_ro", ""]) == []


def test_all_strings_of_a_body_are_extracted() -> None:
    """Every string in a JSON body is returned, escaped too; a body that is not JSON has none."""
    found = extract_strings('{"a": ["one", {"b": "t\\nwo"}], "c": 3}')

    assert {"one", "t\nwo", "t\\nwo"} <= set(found)
    assert extract_strings("[" * 100_000) == []
    assert extract_strings("no json") == []
