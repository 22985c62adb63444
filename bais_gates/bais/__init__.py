"""What knows BAIS: its API's client, the contract that answers are held to, businesses, and a smoke test."""

from bais_gates.bais.answers import differences, holds_card, not_answered, unknown_like, unlike
from bais_gates.bais.api import (
    ACCEPTED,
    DECLINED,
    FAILS_LATER,
    Api,
    Business,
    TargetRefused,
    card_method,
    needed,
    open_api,
    register_business,
)
from bais_gates.bais.contract import Contract, ContractError
from bais_gates.bais.smoke import ExpectedIdentity, SmokeObjects, check_health, run_smoke_test

__all__ = [
    "ACCEPTED",
    "DECLINED",
    "FAILS_LATER",
    "Api",
    "Business",
    "Contract",
    "ContractError",
    "ExpectedIdentity",
    "SmokeObjects",
    "TargetRefused",
    "card_method",
    "check_health",
    "differences",
    "holds_card",
    "needed",
    "not_answered",
    "open_api",
    "register_business",
    "run_smoke_test",
    "unknown_like",
    "unlike",
]
