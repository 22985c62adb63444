"""The BAIS API's client, its contract, businesses, and a smoke test."""

from bais_gates.bais.answers import (
    contains_card_number,
    differences,
    mismatches,
    unexpected_statuses,
    unknown_id,
)
from bais_gates.bais.api import (
    ACCEPTED,
    DECLINED,
    FAILS_LATER,
    Api,
    Business,
    TargetRefused,
    card_method,
    open_api,
    register_business,
    require_field,
    sign_in,
)
from bais_gates.bais.contract import Contract, ContractError
from bais_gates.bais.load import LoadRun, paid_ids
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
    "LoadRun",
    "SmokeObjects",
    "TargetRefused",
    "card_method",
    "check_health",
    "contains_card_number",
    "differences",
    "mismatches",
    "open_api",
    "paid_ids",
    "register_business",
    "require_field",
    "run_smoke_test",
    "sign_in",
    "unexpected_statuses",
    "unknown_id",
]
