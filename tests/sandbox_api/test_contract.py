"""The API's paths are the contract's, and an independent tool checks its responses against it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from bais_gates.sandbox.api.app import RESOURCES

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.sandbox_api.conftest import AnotherApi, Platform

CONTRACT = Path(__file__).parents[2] / "gates/contract/bais-api.openapi.yaml"


def test_paths_are_those_of_the_contract() -> None:
    """Every documented operation is served, and nothing else is."""
    paths = yaml.safe_load(CONTRACT.read_text())["paths"]
    methods = {"get", "post", "put", "patch", "delete"}
    documented = {
        (path, method.upper()) for path, item in paths.items() for method in item if method in methods
    }
    served = {(one.template, method) for one in RESOURCES for method in one.operations}
    assert served == documented


@pytest.mark.nightly  # in every run the gates of acceptance hold the responses to the contract
def test_schemathesis_finds_nothing(
    platform: Platform, another_api: Callable[..., AnotherApi], tmp_path: Path
) -> None:
    """Requests of every kind receive documented responses of the documented shape, never a 500."""
    limits = {"per_token": 1_000_000, "per_address": 1_000_000, "window_s": 60}
    # A Redis database of its own: the buckets of API processes with lower limits lie in the first.
    api = another_api(rate_limit=limits, redis_url=platform.config["redis_url"].removesuffix("/0") + "/1")
    business = replace(platform, client=api.client).business()
    payment_id = business.pay().json()["payment_id"]
    config = tmp_path / "schemathesis.toml"
    config.write_text(
        f'[parameters]\n"path.workflow_id" = "{business.workflow_id}"\n"path.payment_id" = "{payment_id}"\n'
    )
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", config, "run", CONTRACT),
            *("--url", str(api.client.base_url)),
            *("--header", f"Authorization: Bearer {business.tokens['access_token']}"),
            *("--phases", "examples,coverage,fuzzing", "--max-examples", "50", "--seed", "1"),
            *("--checks", "all", "--exclude-checks", _NOT_APPLICABLE),
            *("--suppress-health-check", "all", "--request-timeout", "10", "--continue-on-failure"),
        ],
        capture_output=True,
        text=True,
        timeout=180,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    statuses = Counter(
        json.loads(line)["status"] for line in (api.logs / "access.jsonl").read_text().splitlines()
    )
    assert {200, 201, 400, 401, 404, 405, 415} <= set(statuses)


_NOT_APPLICABLE = ",".join(
    (
        "positive_data_acceptance",  # a random workflow_id is a 404, a random currency no ISO code
        "negative_data_rejection",  # unknown fields and parameters are let pass
        "use_after_free",
        "ensure_resource_availability",
        "object_level_authorization",
    )
)
