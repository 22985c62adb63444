"""The ways in which the sandbox's API can be made wrong on purpose, each as a real release might be.

A gate that has never been seen to fail proves nothing: every fault here turns exactly the gates it names
red. A fault is switched on by its name standing in the API's ``faults_file`` (a
JSON list), also while it runs. The API asks ``faults.active("name")`` where it behaves wrongly; while a
fault is off nothing differs.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_LOOK_EVERY_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One way to be wrong: its name, what happens, and the ids of the gates that must notice."""

    name: str
    description: str
    gates: tuple[str, ...]


_BY_GATE: Final[Mapping[str, Mapping[str, str]]] = {
    "health_endpoint": {
        "health_version_missing": "/health does not say which release answers.",
        "health_names_other_environment": "/health names another environment: the wrong cluster answers.",
        "health_status_unknown": "/health answers 200 with status unknown instead of healthy.",
        "health_touches_database_slowly": "/health asks the database first, which takes 120 ms.",
    },
    "user_registration": {
        "weak_password_accepted": "Any password of one character or more is good enough.",
        "duplicate_email_accepted": "A second registration of an e-mail address answers 201.",
        "email_case_distinguished": "Addresses that differ in letter case only are two accounts.",
        "registration_answers_password": "The answer to a registration repeats the password.",
    },
    "user_authentication": {
        "none_signature_accepted": 'A token with "alg": "none" and no signature is accepted.',
        "tampered_token_accepted": "The signature of an access token is not verified.",
        "refresh_token_reusable": "A refresh token keeps working after it was exchanged.",
        "unknown_email_answers_faster": "For an unknown e-mail no password is hashed: the time tells.",
        "unknown_email_told_apart": "Sign-in says whether it was the e-mail address that was wrong.",
        "revoked_api_key_accepted": "An API key works on after it was revoked.",
        "expired_api_key_accepted": "An API key works on after it has expired.",
        "sign_in_never_closes": "Passwords may be guessed without end.",
    },
    "payment_workflow_creation": {
        "workflow_amount_rounded": "A workflow's amount is answered in whole units: its cents are gone.",
        "workflow_negative_amount_accepted": "A workflow with an amount of 0 or less is accepted.",
        "workflow_visible_to_other_businesses": "Any business can read any workflow.",
        "workflow_plain_http_accepted": "A workflow's webhook_url may be http to a public address.",
    },
    "payment_processing": {
        "idempotency_key_ignored": "A repeat with the same Idempotency-Key takes a second payment.",
        "idempotency_body_not_compared": "A used Idempotency-Key with another body gets the first answer.",
        "decline_reported_as_completed": "A declined card is answered as a completed payment.",
        "amount_through_binary_float": "The amount of a payment goes through a float: 19.99 becomes 19.98.",
        "asynchronous_failure_forgotten": "A payment that fails later stays pending; only a webhook tells.",
        "card_number_in_answer": "A payment's answer holds the whole card number.",
        "other_business_workflow_payable": "A payment may be taken through another business's workflow.",
    },
    "webhook_delivery": {
        "webhook_signature_missing": "Deliveries carry no webhook-signature.",
        "webhook_signature_over_other_bytes": "The signature is over other bytes than those sent.",
        "webhook_timestamp_stale": "webhook-timestamp lies an hour back.",
        "webhook_new_id_on_retry": "Each attempt of a delivery has another webhook-id.",
        "webhook_not_retried": "A delivery that was answered 500 is given up.",
        "webhook_sent_to_disabled_hook": "A webhook that was configured inactive receives events.",
        "webhook_sent_after_410": "A webhook that answered 410 goes on receiving events.",
        "webhook_private_address_accepted": "A webhook's url may point into a private network.",
    },
    "analytics_dashboard_data": {
        "analytics_counts_other_businesses": "The dashboard of 30 days counts every business's payments.",
        "analytics_stale": "The dashboard of 7 days shows for a minute what it showed first.",
        "analytics_success_rate_as_fraction": "success_rate is 0 to 1 instead of 0 to 100.",
        "analytics_volume_counts_failures": "total_volume includes declined and failed payments.",
        "analytics_unknown_period_accepted": "An unknown period is taken for 7d.",
    },
    "rate_limiting": {
        "rate_limit_switched_off": "No request is ever refused.",
        "rate_limit_higher_than_promised": "Half as many requests again as promised are let in.",
        "rate_limit_never_refills": "A caller that was refused once stays refused.",
        "retry_after_lies": "Retry-After is always 1, whatever the wait.",
        "retry_after_missing": "A 429 for too many requests has no Retry-After.",
        "limit_shared_by_all_callers": "While one caller is over its limit, everybody is refused.",
    },
    "error_handling": {
        "stack_trace_in_errors": "The answer to malformed JSON holds a stack trace.",
        "malformed_json_crashes": "Malformed JSON is answered 500.",
        "sql_text_in_errors": "A quote in an id is answered 500 with the SQL statement.",
        "unknown_path_answers_html": "An unknown path is answered with a web server's HTML page.",
        "huge_body_crashes": "A body that is too large is answered 500.",
    },
    "performance_response_time": {
        "slow_payments_tail": "Every eighth payment takes half a second longer.",
        "slow_workflow_reads": "Reading a workflow takes 300 ms longer.",
        "slow_analytics": "The dashboard takes 300 ms longer.",
    },
    "database_connectivity": {
        "status_invents_connections": "The status page shows invented numbers of database connections.",
        "status_claims_database_disconnected": "The status page calls a working database disconnected.",
        "slow_database": "Each query of the status page takes 130 ms: the database is overloaded.",
    },
    "cache_functionality": {
        "cache_returns_stale": "Reading the cache gives the value before the last one written.",
        "cache_shared_by_all_callers": "All callers share one value in the cache.",
        "status_invents_hit_rate": "The status page shows an invented hit rate of the cache.",
        "slow_cache": "Each operation of the cache takes 30 ms.",
    },
    "concurrent_requests": {
        "concurrent_writes_lost": "With many requests at once, some writes are answered and never stored.",
        "business_data_crossed": "With many requests at once, a reader is given another business's data.",
        "concurrent_requests_refused": "With many requests at once, some are answered 503.",
    },
}

_ALSO: Final[Mapping[str, tuple[str, ...]]] = {
    # Both gates hold GET /health to its time: one in typical, the other in the 95 of 100.
    "health_touches_database_slowly": ("acceptance.performance_response_time",),
}

FAULTS: Final[Mapping[str, Fault]] = MappingProxyType(
    {
        name: Fault(name=name, description=description, gates=(f"acceptance.{gate}", *_ALSO.get(name, ())))
        for gate, faults in _BY_GATE.items()
        for name, description in faults.items()
    }
)
"""Every fault by its name."""


class Switch:
    """Says which faults are on.

    Reads its file again when it has changed; looks at most ten times a second.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._active: frozenset[str] = frozenset()
        self._stamp: tuple[int, int, int] | None = None
        self._look_at = 0.0

    def active(self, name: str) -> bool:
        """Whether the fault ``name`` is on. Raises ``KeyError`` for a name that no fault has."""
        if self._path is not None and (now := time.monotonic()) >= self._look_at:
            self._look_at = now + _LOOK_EVERY_S
            self._look(self._path)
        if not self._active:
            return False
        return FAULTS[name].name in self._active

    def _look(self, path: Path) -> None:
        try:
            status = path.stat()
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            if stamp == self._stamp:
                return
            names = json.loads(path.read_bytes())
        except FileNotFoundError:
            self._active, self._stamp = frozenset(), None
            return
        except (OSError, ValueError):
            return  # half written: what it says is read with the next look
        if isinstance(names, list):
            self._active, self._stamp = frozenset(name for name in names if name in FAULTS), stamp
