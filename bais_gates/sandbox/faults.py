"""Faults: defects of a release that the sandbox's API can show on purpose.

A gate that has never been seen to fail proves nothing, so each fault fails exactly the gates that it names. A
fault is active while the API's ``faults_file``, a JSON list, contains its name; the file may change at any
time. The API calls ``faults.active("name")`` wherever a fault changes its behaviour.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

_POLL_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One defect: its name, a description, and the ids of the gates that must fail."""

    name: str
    description: str
    gates: tuple[str, ...]


_BY_GATE: Final[Mapping[str, Mapping[str, str]]] = {
    "health_endpoint": {
        "health_version_missing": "/health omits the version.",
        "health_names_other_environment": "/health names another environment, as if of the wrong cluster.",
        "health_status_unknown": "/health responds 200 with status unknown instead of healthy.",
        "health_touches_database_slowly": "/health queries the database first, which takes 120 ms.",
    },
    "user_registration": {
        "weak_password_accepted": "Any password of at least one character is accepted.",
        "duplicate_email_accepted": "A second registration of an e-mail address responds 201.",
        "email_case_distinguished": "E-mail addresses that differ only in case are two accounts.",
        "registration_answers_password": "The response to a registration contains the password.",
    },
    "user_authentication": {
        "none_signature_accepted": 'A token with "alg": "none" and no signature is accepted.',
        "tampered_token_accepted": "The signature of an access token is not verified.",
        "refresh_token_reusable": "A refresh token stays valid after it was used.",
        "unknown_email_answers_faster": "No password is hashed for an unknown e-mail: the time reveals it.",
        "unknown_email_told_apart": "Sign-in reveals whether the e-mail address is unknown.",
        "revoked_api_key_accepted": "A revoked API key is accepted.",
        "expired_api_key_accepted": "An expired API key is accepted.",
        "sign_in_never_closes": "Any number of wrong passwords is accepted: accounts are never locked.",
    },
    "payment_workflow_creation": {
        "workflow_amount_rounded": "A workflow's amount is returned without its cents.",
        "workflow_negative_amount_accepted": "A workflow with an amount of 0 or less is accepted.",
        "workflow_visible_to_other_businesses": "Any business can read any workflow.",
        "workflow_plain_http_accepted": "A workflow's webhook_url may be http to a public address.",
    },
    "payment_processing": {
        "idempotency_key_ignored": "A repeated request with the same Idempotency-Key takes a second payment.",
        "idempotency_body_not_compared": "A used Idempotency-Key with another body gets the first response.",
        "decline_reported_as_completed": "A declined card is reported as a completed payment.",
        "amount_through_binary_float": "The amount of a payment becomes a float: 19.99 turns into 19.98.",
        "asynchronous_failure_forgotten": "A payment that fails later stays pending; only a webhook is sent.",
        "card_number_in_answer": "A payment contains the whole card number.",
        "other_business_workflow_payable": "A payment may be taken through another business's workflow.",
    },
    "webhook_delivery": {
        "webhook_signature_missing": "Deliveries carry no webhook-signature.",
        "webhook_signature_over_other_bytes": "The signature covers other bytes than those sent.",
        "webhook_timestamp_stale": "webhook-timestamp is an hour old.",
        "webhook_new_id_on_retry": "Each attempt of a delivery has a new webhook-id.",
        "webhook_not_retried": "A delivery that receives a 500 is not retried.",
        "webhook_sent_to_disabled_hook": "An inactive webhook receives events.",
        "webhook_sent_after_410": "A webhook that responded 410 still receives events.",
        "webhook_private_address_accepted": "A webhook's url may point into a private network.",
    },
    "analytics_dashboard_data": {
        "analytics_counts_other_businesses": "The 30-day dashboard counts the payments of all businesses.",
        "analytics_stale": "The 7-day dashboard is cached for a minute.",
        "analytics_success_rate_as_fraction": "success_rate is 0 to 1 instead of 0 to 100.",
        "analytics_volume_counts_failures": "total_volume includes declined and failed payments.",
        "analytics_unknown_period_accepted": "An unknown period is treated as 7d.",
    },
    "rate_limiting": {
        "rate_limit_switched_off": "No request is ever refused.",
        "rate_limit_higher_than_promised": "Half as many requests again as promised are accepted.",
        "rate_limit_never_refills": "A caller that was refused once is refused from then on.",
        "retry_after_lies": "Retry-After is always 1, whatever the wait.",
        "retry_after_missing": "A 429 of the rate limit has no Retry-After.",
        "limit_shared_by_all_callers": "While one caller is over its limit, everybody is refused.",
    },
    "error_handling": {
        "stack_trace_in_errors": "The response to malformed JSON contains a stack trace.",
        "malformed_json_crashes": "Malformed JSON receives a 500.",
        "sql_text_in_errors": "A quote in an id receives a 500 with the SQL statement.",
        "unknown_path_answers_html": "An unknown path receives a web server's HTML page.",
        "huge_body_crashes": "A body that is too large receives a 500.",
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
        "cache_returns_stale": "Reading the cache returns the value before the last one written.",
        "cache_shared_by_all_callers": "All callers share one value in the cache.",
        "status_invents_hit_rate": "The status page shows an invented cache hit rate.",
        "slow_cache": "Each operation of the cache takes 30 ms.",
    },
    "concurrent_requests": {
        "concurrent_writes_lost": "With many requests at once, some writes succeed and are not stored.",
        "business_data_crossed": "With many requests at once, a reader receives another business's data.",
        "concurrent_requests_refused": "With many requests at once, some receive a 503.",
    },
}

_OTHER_GATES: Final[Mapping[str, tuple[str, ...]]] = {
    # Both gates limit the latency of GET /health: one its median, the other its p95.
    "health_touches_database_slowly": ("acceptance.performance_response_time",),
}

FAULTS: Final[Mapping[str, Fault]] = MappingProxyType(
    {
        name: Fault(
            name=name, description=description, gates=(f"acceptance.{gate}", *_OTHER_GATES.get(name, ()))
        )
        for gate, faults in _BY_GATE.items()
        for name, description in faults.items()
    }
)
"""The faults by name."""


class Switch:
    """The active faults: those that the file at ``path`` lists. Polls it at most ten times a second.

    ``always`` names the defects of the release itself, which no file switches off.
    """

    def __init__(self, path: Path | None, *, always: Collection[str] = ()) -> None:
        self._path, self._always = path, frozenset(always)
        self._active: frozenset[str] = frozenset()
        self._stamp: tuple[int, int, int] | None = None
        self._next_poll = 0.0

    def active(self, name: str) -> bool:
        """Return whether the fault ``name`` is active. Raises ``KeyError`` for an unknown name."""
        if self._path is not None and (now := time.monotonic()) >= self._next_poll:
            self._next_poll = now + _POLL_S
            self._read(self._path)
        if not self._active and not self._always:
            return False
        return (known := FAULTS[name].name) in self._active or known in self._always

    def _read(self, path: Path) -> None:
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
            return  # not completely written: the next poll reads it
        if isinstance(names, list):
            self._active, self._stamp = frozenset(name for name in names if name in FAULTS), stamp
