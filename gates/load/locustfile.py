"""Users of BAIS, as Locust runs them: businesses' agents that take payments and look at what was taken.

By hand::

    locust -f gates/load/locustfile.py --host https://api.example.com               # web page at port 8089
    locust -f gates/load/locustfile.py --host URL --headless -u 1000 -r 100 -t 10m  # 525 requests/s
    locust ... --processes 4        # or --master and, on other machines, --worker

Each user sends one request every 1.9 seconds at fixed times, a third of its rate limit, so that 1,000 users
are 525 requests/s. Accounts come from the file that `bais-gates load prepare` writes; without one each user
registers a business of its own first. Settings come from the environment variable BAIS_GATES_LOAD, as
`bais-gates load run` sets it; BAIS_GATES_LOAD_SHAPE is steady, ramp, spike or soak.
"""

from __future__ import annotations

import json
import os
import random
import secrets
from functools import cache
from pathlib import Path
from typing import Any, Final

from locust import LoadTestShape, task
from locust.exception import StopUser

from bais_gates.load.generator import PLAN, ScheduledUser, option

CARDS: Final = {"accepted": "4242424242424242", "declined": "4000000000000002"}
SHAPES: Final = {
    "ramp": [(60 * step, 100 * step) for step in range(1, 11)],
    "spike": [(60, 200), (90, 1000), (150, 200)],
    "soak": [(4 * 3600, 1000)],
}
"""Of each shape the moments (seconds) until which so many users are there."""


class Agent(ScheduledUser):
    """One user with an API key of its own."""

    first_path = "/health"

    def on_start(self) -> None:
        """Take an account that was prepared, or make one."""
        self.key, self.workflow = self._prepared() or self._registered()
        self.default_headers = self.client.auth_header = None
        self.client.client.default_headers["Authorization"] = f"Bearer {self.key}"
        self.last: dict[str, Any] | None = None
        super().on_start()

    def _prepared(self) -> tuple[str, str] | None:
        keys = prepared_keys()
        return keys[self.number % len(keys)] if keys else None

    def _registered(self) -> tuple[str, str]:
        """Register a business; these requests are none of the schedule."""
        name = secrets.token_hex(8)
        account = {"email": f"load-{name}@example.com", "password": f"Aa1!{secrets.token_urlsafe(16)}"}
        business = {"business_name": f"load {name}", "contact_name": "Load"}
        self._set_up("/api/v1/auth/register", account | business, "user_id")
        token = self._set_up("/api/v1/auth/login", account, "access_token")
        self.client.client.default_headers["Authorization"] = f"Bearer {token}"
        workflow = {"name": "load", "payment_provider": "stripe", "amount": 49.99, "currency": "USD"}
        hook = {"webhook_url": "https://example.com/hooks/bais"}
        workflow_id = self._set_up("/api/v1/workflows/payment", workflow | hook, "workflow_id")
        return self._set_up("/api/v1/auth/api-keys", {"name": "load"}, "api_key"), workflow_id

    def _set_up(self, path: str, body: dict[str, Any], field: str) -> str:
        with self.client.post(path, json=body, catch_response=True, context={"due": None}) as response:
            value = _json(response).get(field)
            if isinstance(value, str):
                return value
            if response.status_code in {200, 201}:  # otherwise its status, or why there is none, is counted
                response.failure(f"no {field} in the response")
        raise StopUser(f"POST {path} answered {response.status_code} without {field}")

    @task(PLAN.mix["analytics"])
    def analytics(self) -> None:
        """Look at what the business took today."""
        self._get("/api/v1/analytics/dashboard?period=24h", "/analytics/dashboard", "period", "24h")

    @task(PLAN.mix["status"])
    def status(self) -> None:
        """Ask whether the platform works."""
        self._get("/api/v1/system/status", "/system/status", "status")

    @task(PLAN.mix["health"])
    def health(self) -> None:
        """Ask as a load balancer does."""
        self._get("/health", "/health", "status", "healthy")

    @task(PLAN.mix["payment"])
    def payment(self) -> None:
        """Take a payment with an idempotency key."""
        body = self._payment("accepted")
        key = secrets.token_hex(16)
        payment_id = self._pay("/payments/process", body, key)
        if payment_id:
            self.last = {"id": payment_id, "key": key, "body": body}

    @task(PLAN.mix["repeat_payment"])
    def repeat_payment(self) -> None:
        """Send the last payment again, as after a lost response: it must be the same one."""
        if self.last is None:
            self.payment()
        else:
            self._pay("/payments/process (again)", self.last["body"], self.last["key"], self.last["id"])

    @task(PLAN.mix["declined_payment"])
    def declined_payment(self) -> None:
        """Take a payment by a card that is declined: 402 is the right response."""
        with self.client.post(
            "/api/v1/payments/process",
            json=self._payment("declined"),
            headers={"Idempotency-Key": secrets.token_hex(16)},
            name="/payments/process (declined)",
            catch_response=True,
        ) as response:
            if response.status_code == 402:
                response.success()

    @task(PLAN.mix["read_payment"])
    def read_payment(self) -> None:
        """Read the last payment."""
        if self.last is None:
            self.payment()
        else:
            payment_id = self.last["id"]
            self._get(f"/api/v1/payments/{payment_id}", "/payments/{id}", "payment_id", payment_id)

    def _get(self, path: str, name: str, field: str, expected: str | None = None) -> None:
        with self.client.get(path, name=name, catch_response=True) as response:
            value = _json(response).get(field)
            if response.status_code == 200 and (not isinstance(value, str) or expected not in (None, value)):
                response.failure(f"{field} is {value!r}")

    def _pay(self, name: str, body: dict[str, Any], key: str, expected: str | None = None) -> str | None:
        """Return the id of the payment that was taken; None if it was not."""
        with self.client.post(
            "/api/v1/payments/process",
            json=body,
            headers={"Idempotency-Key": key},
            name=name,
            catch_response=True,
        ) as response:
            payment_id = _json(response).get("payment_id")
            if response.status_code not in {200, 201}:
                return None
            if not isinstance(payment_id, str) or expected not in (None, payment_id):
                response.failure(f"payment_id is {payment_id!r}, expected {expected or 'a text'}")
                return None
            response.request_meta["context"]["detail"] = f"{self.workflow} {payment_id}"
            return payment_id

    def _payment(self, card: str) -> dict[str, Any]:
        return {
            "workflow_id": self.workflow,
            "amount": round(random.uniform(1, 500), 2),  # noqa: S311 - no secret
            "currency": "USD",
            "payment_method": {
                "type": "card",
                "card_number": CARDS[card],
                "exp_month": 12,
                "exp_year": 2030,
                "cvc": "123",
            },
            "customer_email": "customer@example.com",
        }


@cache
def prepared_keys() -> list[tuple[str, str]]:
    """Return the API keys of the accounts that were prepared, each with its business's workflow."""
    path = option("accounts")
    if path is None:
        return []
    businesses = json.loads(Path(path).read_text(encoding="utf-8"))["businesses"]
    return [(key, one["workflow_id"]) for one in businesses for key in one["api_keys"]]


def _json(response: Any) -> dict[str, Any]:
    """Return the response's JSON object; {} for anything else."""
    try:
        value = response.json()
    except (ValueError, TypeError, AttributeError):
        return {}
    return value if isinstance(value, dict) else {}


SHAPE: Final = SHAPES.get(os.environ.get("BAIS_GATES_LOAD_SHAPE", ""))

if SHAPE is not None:

    class Shape(LoadTestShape):
        """The number of users over time, as the variable names it."""

        def tick(self) -> tuple[int, float] | None:
            """Return the users and how many start a second; None at the end."""
            passed = self.get_run_time()  # type: ignore[no-untyped-call] # of Locust
            return next(((users, 50.0) for until, users in SHAPE or () if passed < until), None)
