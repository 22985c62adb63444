"""Check what people open in an incident: each address answers, and the log search finds a request."""

from __future__ import annotations

import time
from typing import Final
from urllib.parse import urlsplit

import pytest

from bais_gates import Environment, Evidence
from bais_gates.bais import Api
from bais_gates.probes import Alertmanager, HttpClient, Unreachable

FOUND_WITHIN_S: Final = 20.0
"""Seconds within which a log search must find a request that was just sent."""


@pytest.mark.gate("monitoring.addresses_answer")
def test_addresses_answer(
    alertmanager: Alertmanager, api: Api, environment: Environment, evidence: Evidence
) -> None:
    """Dashboard, status page and log search answer, and the log search finds a request that was just sent."""
    alertmanager.configuration()  # it is up: the sandbox starts its monitoring for who asks
    part = environment.monitoring
    if not part.addresses and part.log_query_url is None:
        raise environment.missing("monitoring.addresses")
    silent = [f"{name}: {fault}" for name, url in part.addresses if (fault := fault_of(url))]
    evidence.check("addresses that do not answer", silent, "==", [], n=len(part.addresses), n_min=0)
    if part.log_query_url is not None:
        request_id = api.get("/health").headers["x-request-id"]
        url = part.log_query_url.replace("{request_id}", request_id)
        ends_at = time.monotonic() + FOUND_WITHIN_S
        while not (found := request_id in text_of(url)) and time.monotonic() < ends_at:
            time.sleep(0.3)
        hits = int(found)
        evidence.check("requests just sent that the log search finds", hits, "==", 1, n=1)


def fault_of(url: str) -> str | None:
    """Return why an address answers with no page; None if it does. A redirect to a sign-in is a page."""
    parts = urlsplit(url)
    try:
        with HttpClient(f"{parts.scheme}://{parts.netloc}") as http:
            answer = http.request("GET", url.partition(parts.netloc)[2] or "/")
    except Unreachable as e:
        return str(e)
    return None if answer.status < 400 else f"GET {url} answered {answer.status}"


def text_of(url: str) -> str:
    """Return what a log search answers; nothing while it answers with an error."""
    parts = urlsplit(url)
    with HttpClient(f"{parts.scheme}://{parts.netloc}") as http:
        answer = http.request("GET", url.partition(parts.netloc)[2])
    return answer.text if answer.status == 200 else ""
