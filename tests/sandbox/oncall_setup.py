"""A command for the start of a sandbox: it brings a policy and a service to the stand-in for PagerDuty."""

from __future__ import annotations

import json
import sys
import urllib.request
from pathlib import Path
from typing import Any

import yaml


def main() -> None:
    """Read the environment file, and create both."""
    part = yaml.safe_load(Path(sys.argv[1]).read_text(encoding="utf-8"))["oncall"]
    user = call(part, "/users?query=oncall-gates")["users"][0]
    target = {"id": user["id"], "type": "user_reference"}
    rules = [{"escalation_delay_in_minutes": 5, "targets": [target]}]
    given = {"type": "escalation_policy", "name": "BAIS", "escalation_rules": rules}
    policy = call(part, "/escalation_policies", {"escalation_policy": given})["escalation_policy"]
    reference = {"id": policy["id"], "type": "escalation_policy_reference"}
    service = {"type": "service", "name": "bais-api", "escalation_policy": reference}
    call(part, "/services", {"service": service})


def call(part: dict[str, Any], target: str, given: Any = None) -> Any:
    """Return the JSON of a reply."""
    headers = {
        "Authorization": f"Token token={part['token']}",
        "Accept": "application/vnd.pagerduty+json;version=2",
        "Content-Type": "application/json",
        "From": part["sender"],
    }
    body = None if given is None else json.dumps(given).encode()
    with urllib.request.urlopen(urllib.request.Request(part["api_url"] + target, body, headers)) as answer:
        return json.loads(answer.read())


if __name__ == "__main__":
    main()
