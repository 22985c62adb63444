"""Accounts for a load on a real sandbox: what the API makes of them, and who may call at once."""

from __future__ import annotations

import json
import os
import signal
import ssl
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest

from bais_gates import sandbox
from bais_gates.bais.load import read_accounts
from bais_gates.sandbox.accounts import prepare_accounts
from tests.launch import run_command

if TYPE_CHECKING:
    from collections.abc import Iterator

BUSINESSES, KEYS = 3, 31
PREPARE = """
import sys
from pathlib import Path
from bais_gates import sandbox
print(sandbox.prepare_accounts(Path(sys.argv[1]), businesses=int(sys.argv[2]), keys=int(sys.argv[3])))
"""
CARD = {"type": "card", "card_number": "4242424242424242", "exp_month": 12, "exp_year": 2040, "cvc": "123"}
TABLES = ("businesses", "users", "workflows", "api_keys")


class Platform:
    """A sandbox in which several processes have prepared accounts at once, and a client for its API."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.info = sandbox.start(directory, owner_pid=os.getpid())
        command = [sys.executable, "-c", PREPARE, str(directory), str(BUSINESSES), str(KEYS)]
        callers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
        self.printed = [caller.communicate(timeout=60)[0].strip() for caller in callers]
        self.file = directory / "accounts.json"
        self.accounts: list[dict[str, Any]] = json.loads(self.file.read_bytes())["businesses"]
        self.client = httpx.Client(
            base_url=self.info.api_url,
            verify=ssl.create_default_context(cafile=directory / "ca.pem"),
            timeout=20,
            trust_env=False,
        )

    def request(self, method: str, path: str, token: str = "", body: object = None) -> httpx.Response:
        """Send a request, with a bearer token if there is one."""
        headers = {"authorization": f"Bearer {token}"} if token else {}
        return self.client.request(method, f"/api/v1/{path}", headers=headers, json=body)

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Return the rows of a statement, which the API's role runs."""
        url = json.loads((self.directory / "api.json").read_bytes())["database_url"]
        with psycopg.connect(url) as connection:
            return connection.execute(statement.encode()).fetchall()


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    """Yield one platform for the tests of this file; the last of them stops it."""
    with tempfile.TemporaryDirectory(prefix="bais-gates-test-") as parent:
        directory = Path(parent, "sandbox")
        try:
            found = Platform(directory)
            yield found
            found.client.close()
        finally:
            sandbox.stop(directory)


def test_callers_at_once_get_the_same_accounts(platform: Platform) -> None:
    """The accounts are made once, in a private file; the keys are spread evenly, and none is there twice."""
    keys = [key for one in platform.accounts for key in one["api_keys"]]

    assert platform.printed == [str(platform.file)] * 3
    assert stat.S_IMODE(platform.file.stat().st_mode) == 0o600
    assert [len(one["api_keys"]) for one in platform.accounts] == [11, 10, 10]
    assert len(set(keys)) == KEYS
    counts = [platform.rows(f"SELECT count(*) FROM {table}")[0][0] for table in TABLES]
    assert counts == [BUSINESSES, BUSINESSES, BUSINESSES, KEYS]


def test_keys_and_accounts_are_accepted_like_any_other(platform: Platform) -> None:
    """A key reads, takes a payment on its workflow and configures a webhook; its account can sign in."""
    for account in platform.accounts:
        key = account["api_keys"][-1]
        payment = {"amount": 5.25, "currency": "USD", "payment_method": CARD}
        payment["workflow_id"] = account["workflow_id"]
        webhook = {"url": "http://127.0.0.1:9/hook", "events": ["payment.completed"], "active": False}
        credentials = {"email": account["email"], "password": account["password"]}

        read = platform.request("GET", "analytics/dashboard", key)
        workflow = platform.request("GET", f"workflows/payment/{account['workflow_id']}", key)
        paid = platform.request("POST", "payments/process", key, payment)
        configured = platform.request("POST", "webhooks/configure", key, webhook)
        signed_in = platform.request("POST", "auth/login", body=credentials)

        answers = (read, workflow, paid, configured, signed_in)
        assert [one.status_code for one in answers] == [200, 200, 201, 201, 200], [
            one.text for one in answers
        ]
        assert (workflow.json()["status"], workflow.json()["currency"]) == ("active", "USD")
        seen = platform.request("GET", "analytics/dashboard", signed_in.json()["access_token"]).json()
        assert (read.json()["total_payments"], seen["total_payments"]) == (0, 1)


def test_rows_look_like_those_of_the_api(platform: Platform) -> None:
    """In every table, prepared rows have values in the columns, and of the forms, that the API's have."""
    email, password = "made-through-the-api@example.com", "Correct-Horse-9"
    body = {"email": email, "password": password, "business_name": "B", "contact_name": "C"}
    platform.request("POST", "auth/register", body=body)
    signed_in = platform.request("POST", "auth/login", body={"email": email, "password": password})
    token = signed_in.json()["access_token"]
    workflow = {"name": "W", "payment_provider": "stripe", "amount": 1, "currency": "USD"}
    workflow["webhook_url"] = "https://example.com/w"
    key = platform.request("POST", "auth/api-keys", token, {"name": "k"}).json()["api_key"]
    platform.request("POST", "workflows/payment", token, workflow)

    for table in TABLES:
        forms = {form(row) for (row,) in platform.rows(f"SELECT to_jsonb({table}) FROM {table}")}
        assert len(forms) == 1, (table, forms)
    prepared = platform.accounts[0]["api_keys"][0]
    assert (key[:8], len(key)) == (prepared[:8], len(prepared))


def test_load_prepare_makes_accounts_through_the_api(platform: Platform, tmp_path: Path) -> None:
    """`bais-gates load prepare` registers businesses with keys that work, in a file of mode 0600."""
    text = (platform.directory / "environment.yaml").read_text(encoding="utf-8")
    file = tmp_path / "kept" / "accounts.json"
    environment = tmp_path / "environment.yaml"
    environment.write_text(text.replace(str(platform.file), str(file)), encoding="utf-8")

    done = run_command(
        "load", "prepare", f"--env={environment}", "--keys=3", folder=Path(__file__).parents[2]
    )

    assert done.returncode == 0, done.stderr
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    accounts = read_accounts(file)
    keys = [key for one in accounts for key in one.api_keys]
    assert len(keys) == len(set(keys)) == 3
    assert not any(key in done.stdout + done.stderr for key in keys)
    assert platform.request("GET", "system/status", keys[0]).status_code == 200


def form(row: dict[str, Any]) -> tuple[tuple[str, object], ...]:
    """Return each column with what is the same in all rows: prefix and length of what was generated."""

    def form_of(name: str, value: object) -> object:
        if name in {"name", "email", "contact_name", "webhook_url", "amount", "created_at"}:
            return type(value).__name__ if not isinstance(value, (int, float)) else "number"
        if isinstance(value, str) and value.startswith("$argon2"):
            return value.rpartition("p=")[0]  # its parameters, without salt and hash
        return (value[:2], len(value)) if isinstance(value, str) else value

    return tuple((name, form_of(name, value)) for name, value in sorted(row.items()))


def test_more_accounts_than_there_are(platform: Platform) -> None:
    """A file with enough keys is kept, fewer or equal; one with too few is replaced by a larger one."""
    before = platform.file.read_bytes()

    prepare_accounts(platform.directory, businesses=2, keys=KEYS)
    kept = platform.file.read_bytes()
    prepare_accounts(platform.directory, businesses=BUSINESSES, keys=KEYS + 1)
    replaced = json.loads(platform.file.read_bytes())["businesses"]

    assert kept == before
    assert sum(len(one["api_keys"]) for one in replaced) == KEYS + 1
    dashboard = platform.request("GET", "analytics/dashboard", replaced[0]["api_keys"][0])
    assert dashboard.status_code == 200


def test_what_cannot_be_prepared(platform: Platform, tmp_path: Path) -> None:
    """Without a sandbox, or with fewer keys than businesses, the error says what to do."""
    with pytest.raises(sandbox.SandboxError, match="start one before"):
        prepare_accounts(tmp_path)
    with pytest.raises(sandbox.SandboxError, match="as many keys"):
        prepare_accounts(platform.directory, businesses=5, keys=4)


def test_a_database_that_has_ended(platform: Platform) -> None:
    """The error says what did not respond and where to look, without the password of the database."""
    url = json.loads((platform.directory / "api.json").read_bytes())["database_url"]
    os.kill(platform.info.pids["postgres"], signal.SIGQUIT)

    with pytest.raises(sandbox.SandboxError, match=r"PostgreSQL .*sandbox status") as caught:
        prepare_accounts(platform.directory, keys=10 * KEYS, within=5)

    assert str(urlsplit(url).password) not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_file_ends_with_the_sandbox(platform: Platform) -> None:
    """Nothing of the accounts stays in the folder."""
    sandbox.stop(platform.directory)

    assert not platform.directory.exists()
