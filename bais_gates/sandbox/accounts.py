"""Accounts for a load on a running sandbox: businesses, each with a user, a workflow and API keys.

To make a thousand keys through the API takes minutes, and counts against its rate limits. So the rows are
written as the API writes them, by the role that it uses, one COPY a table.
"""

from __future__ import annotations

import math
import secrets
import time
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from bais_gates.sandbox import lifecycle
from bais_gates.sandbox.api.accounts.api_keys import new_api_key
from bais_gates.sandbox.api.accounts.passwords import make_hasher
from bais_gates.sandbox.api.messages import digest, new_id
from bais_gates.sandbox.api.payments.workflows import new_public_key
from bais_gates.sandbox.bootstrap.start import locked
from bais_gates.sandbox.errors import SandboxError
from bais_gates.sandbox.files import read_json, read_object, write_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_Row = dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Account:
    """A business, its user and workflow, and its API keys."""

    email: str
    business_id: str
    user_id: str
    workflow_id: str
    api_keys: tuple[str, ...]


def prepare_accounts(
    directory: Path, *, businesses: int = 20, keys: int = 1000, within: float = 30.0
) -> Path:
    """Make accounts in the running sandbox of ``directory``; return the file ``accounts.json`` with them.

    The file contains their password and keys, and is removed with the sandbox. A file with enough businesses
    and keys is returned as it is. Several processes may call this at once. Raises ``SandboxError``.
    """
    directory, deadline = directory.absolute(), time.monotonic() + within
    if not 1 <= businesses <= keys:
        raise SandboxError(
            f"{keys} API keys can't be spread over {businesses} businesses: ask for at least one business, "
            "and for as many keys as businesses"
        )
    info = lifecycle.status(directory)
    if info is None or info.state != "ready":
        raise SandboxError(f"no sandbox is up in {directory}: start one before its accounts are prepared")
    path = directory / "accounts.json"
    try:
        with locked(directory / "accounts.lock", deadline, what="accounts"):
            if not _suffices(path, businesses, keys):
                _make(directory, path, businesses, keys, deadline)
    except (OSError, ValueError) as error:
        raise SandboxError(
            f"the accounts could not be prepared in {directory}: {error}. Check that the sandbox is still up "
            f"(`bais-gates sandbox status --dir {directory}`) and that its disk has space"
        ) from error
    return path


def _suffices(path: Path, businesses: int, keys: int) -> bool:
    content = read_json(path)
    made = content["businesses"] if isinstance(content, dict) else []
    return len(made) >= businesses and sum(len(one["api_keys"]) for one in made) >= keys


def _make(directory: Path, path: Path, businesses: int, keys: int, deadline: float) -> None:
    """Insert new accounts, then write the file. Raises ``SandboxError``, ``OSError`` or ``ValueError``."""
    settings = read_object(directory / "api.json")
    password = f"Aa1-{secrets.token_urlsafe(18)}"  # of every kind of character that the API demands
    password_hash = make_hasher(settings["password_passes"]).hash(password)
    accounts = list(_new_accounts(businesses, keys))
    _insert(settings["database_url"], [_rows(one, password_hash) for one in accounts], deadline)
    content = [
        {
            "email": one.email,
            "password": password,
            "business_id": one.business_id,
            "workflow_id": one.workflow_id,
            "api_keys": one.api_keys,
        }
        for one in accounts
    ]
    write_json(path, {"businesses": content})


def _new_accounts(businesses: int, keys: int) -> Iterator[_Account]:
    api_keys = tuple(new_api_key() for _ in range(keys))
    for number in range(businesses):
        yield _Account(
            email=f"load-{number}-{secrets.token_hex(8)}@example.com",
            business_id=new_id("biz"),
            user_id=new_id("usr"),
            workflow_id=new_id("wf"),
            api_keys=api_keys[number::businesses],
        )


def _rows(account: _Account, password_hash: str) -> dict[str, list[_Row]]:
    """Return an account's rows by table, with the columns that the API sets; tables in order of reference."""
    owner: _Row = {"business_id": account.business_id}
    user: _Row = {
        "id": account.user_id,
        "email": account.email,
        "password_hash": password_hash,
        "contact_name": "Load",
        "verification_hash": digest(secrets.token_urlsafe(32)),
    }
    workflow: _Row = {
        "id": account.workflow_id,
        "name": "Load",
        "payment_provider": "stripe",
        "amount": Decimal("19.99"),
        "currency": "USD",
        "webhook_url": "https://example.com/webhook",
        "metadata": "{}",
        "public_key": new_public_key(),
    }
    key: _Row = {"user_id": account.user_id, "name": "load"}
    return {
        "businesses": [{"id": account.business_id, "name": "Load"}],
        "users": [user | owner],
        "workflows": [workflow | owner],
        "api_keys": [{"id": new_id("key"), "hash": digest(one)} | key | owner for one in account.api_keys],
    }


def _insert(url: str, accounts: Sequence[dict[str, list[_Row]]], deadline: float) -> None:
    """Insert the rows of all accounts in one transaction. Raises ``SandboxError``."""
    left = max(deadline - time.monotonic(), 1.0)
    try:
        with (
            psycopg.connect(
                url, connect_timeout=math.ceil(left), options=f"-c statement_timeout={left * 1000:.0f}"
            ) as connection,
            connection.cursor() as cursor,
        ):
            for table in accounts[0]:
                _copy(cursor, table, [row for account in accounts for row in account[table]])
    except psycopg.Error as error:
        raise SandboxError(
            f"the sandbox's PostgreSQL did not accept the accounts: {' '.join(str(error).split())}. See "
            "whether it runs: `bais-gates sandbox status`"
        ) from error


def _copy(cursor: psycopg.Cursor[Any], table: str, rows: Sequence[_Row]) -> None:
    columns = sql.SQL(", ").join(map(sql.Identifier, rows[0]))
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table), columns)
    with cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(tuple(row.values()))
