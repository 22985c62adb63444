"""Check that customers can be told of an incident: a rehearsal is published on the status page."""

from __future__ import annotations

from typing import Final

import pytest

from bais_gates import Environment, Evidence, Unique
from bais_gates.oncall import Oncall, StatusPage, StatusPageError

PACE_S: Final = 1.0
"""Seconds between two requests that Statuspage asks for; the sandbox's page does not."""
TEXT: Final = "A rehearsal before a go-live. Nothing is wrong, and nobody is notified of it."


@pytest.mark.gate("oncall.status_page")
def test_status_page(oncall: Oncall, environment: Environment, unique: Unique, evidence: Evidence) -> None:
    """The status page has its components; a rehearsal is published, nobody notified, and resolved."""
    part = oncall.part.status_page
    if part is None:
        raise environment.missing("oncall.status_page")
    pace_s = 0.0 if environment.rehearsal else PACE_S
    with StatusPage(part.page, part.token, api_url=part.api_url, pace_s=pace_s) as page:
        check_page(page, list(oncall.rotation.components), unique.word("golive"), evidence)


def check_page(page: StatusPage, components: list[str], name: str, evidence: Evidence) -> None:
    """Check the components; then publish a rehearsal, and check that it was shown and none is left open."""
    try:
        there = {one.name: one.status for one in page.components()}
    except StatusPageError as error:
        evidence.require("state of the status page", str(error), "==", "readable")
        return
    missing = [one for one in components if one not in there]
    evidence.check("components missing from the status page", missing, "==", [], n=len(components))
    shown = "not published"
    try:
        with page.rehearsal(name, TEXT, [one for one in components if one in there]) as incident:
            shown = incident.status
        left = [one.name for one in page.open_rehearsals()]
    except StatusPageError as error:
        shown, left = str(error), []
    evidence.check("status of the rehearsal once published", shown, "==", "investigating", n=1)
    evidence.check("rehearsals that are still open", left, "==", [], n=1)
