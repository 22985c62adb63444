"""The plan of a load run on BAIS, and the file of its accounts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bais_gates.bais.load import HEALTH_N, plan_for, read_accounts
from bais_gates.errors import GateInputError
from bais_gates.targets.environment import Environment
from bais_gates.targets.parts import CapacityPart, LoadPart


def environment(**parts: Any) -> Environment:
    """Return the value of an environment file that describes these parts."""
    return Environment(name="shop", path=Path("shop.yaml"), digest="", parts=parts)


@given(st.floats(20, 2000), st.integers(10, 5000), st.floats(5, 600))
def test_whatever_is_promised(rate: float, users: int, seconds: float) -> None:
    """The promised rate is asked, each user sends once before it counts, and /health often enough."""
    promised = CapacityPart(requests_per_s=rate, users=users)

    plan = plan_for(environment(capacity=promised), measured_s=seconds)

    assert plan.asked_per_s >= 1.04 * rate
    assert plan.users == users
    assert plan.warm_up_s >= plan.period_s
    asked = plan.asked_per_s * seconds
    assert plan.mix["health"] / sum(plan.mix.values()) * asked >= 0.99 * min(HEALTH_N, asked / 2)
    assert all(isinstance(weight, int) for weight in plan.mix.values())


def test_what_the_environment_says() -> None:
    """A mix replaces weights one by one, a lower rate that of a sandbox; what a caller gives comes last."""
    part = LoadPart(mix=(("payment", 50),), rate_per_s=200)

    plan = plan_for(environment(load=part), users=10)

    assert (plan.mix["payment"], plan.mix["status"], plan.rate_per_s, plan.users) == (50, 40, 200, 10)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"businesses": [{}]}', '{"businesses": []}', "\x00"])
def test_accounts_that_can_not_be_used(tmp_path: Path, text: str) -> None:
    """A file of another shape is refused with its name and the command that writes it."""
    file = tmp_path / "accounts.json"
    file.write_text(text, encoding="utf-8")

    with pytest.raises(GateInputError, match="bais-gates load prepare") as refused:
        read_accounts(file)
    assert str(file) in str(refused.value)


def test_accounts(tmp_path: Path) -> None:
    """Accounts are read with their keys."""
    one = {"email": "a@b.c", "password": "p", "workflow_id": "w", "api_keys": ["k1", "k2"]}
    file = tmp_path / "accounts.json"
    file.write_text(json.dumps({"businesses": [one]}), encoding="utf-8")

    assert [account.api_keys for account in read_accounts(file)] == [("k1", "k2")]
