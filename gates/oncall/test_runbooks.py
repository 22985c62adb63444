"""Check that whoever is woken knows what to do: the runbooks, the links to them, and whom to ask outside."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import pytest

from bais_gates import Evidence
from bais_gates.oncall import Oncall, Platform, Rotation, check_runbooks, read_platform
from bais_gates.probes import HttpClient, Prometheus, Unreachable

if TYPE_CHECKING:
    from collections.abc import Sequence

MANIFESTS: Final = Path("staging/manifests/overlays/production")


@pytest.mark.gate("oncall.runbooks")
def test_runbooks(oncall: Oncall, prometheus: Prometheus, evidence: Evidence) -> None:
    """Every alert has a runbook that is whole, reviewed and can be pasted; links and contacts open."""
    rotation = oncall.rotation
    check_files(oncall.runbooks, platform_of(rotation, oncall.gates_dir), datetime.now(UTC).date(), evidence)
    rules = [rule for group in prometheus.rule_groups() for rule in group["rules"]]
    links = {url for rule in rules if (url := runbook_of(rule))}
    without = [str(rule["name"]) for rule in rules if rule["type"] == "alerting" and not runbook_of(rule)]
    evidence.check("loaded alerts without a link to a runbook", without, "==", [], n=len(rules), n_min=1)
    pages_url = oncall.part.pages_url
    check_addresses("runbook links that do not open", links, pages_url, evidence)
    contacts = {one.url: one.name for one in rotation.emergency_contacts}
    check_addresses("emergency contacts whose address does not open", contacts, pages_url, evidence)


def platform_of(rotation: Rotation, gates_dir: Path) -> Platform:
    """Return what the runbooks are held to: alerts, metrics, manifests, teams and times."""
    times: dict[str, tuple[float, float]] = {
        name: (one.acknowledge_within_s, one.recover_within_s) for name, one in rotation.severities.items()
    }
    return read_platform(
        gates_dir / "monitoring", gates_dir / MANIFESTS, teams=rotation.teams, severities=times
    )


def check_files(folder: Path, platform: Platform, today: date, evidence: Evidence) -> None:
    """Check each runbook; what is judged is in README.md, part Runbooks."""
    found = check_runbooks(folder, platform, today=today)
    lines = [f"{Path(one.place.path).name}:{one.place.line}: {one.message}" for one in found]
    count = len(platform.alerts)
    evidence.check("findings about the runbooks", lines, "==", [], n=count, source=str(folder))


def runbook_of(rule: Mapping[str, Any]) -> str:
    """Return the link of a loaded rule to its runbook; "" without one."""
    return str((rule.get("annotations") or {}).get("runbook_url", ""))


def check_addresses(name: str, urls: Iterable[str], pages_url: str | None, evidence: Evidence) -> None:
    """Check that each address answers with a page; a redirect to a sign-in is a page."""
    by_origin: defaultdict[str, list[str]] = defaultdict(list)
    for url in sorted(set(urls)):
        parts = urlsplit(url)
        by_origin[f"{parts.scheme}://{parts.netloc}"].append(url)
    count = sum(map(len, by_origin.values()))
    dead = [line for origin, of_it in by_origin.items() for line in silent(origin, of_it, pages_url)]
    evidence.check(name, dead, "==", [], n=count, n_min=1)


def silent(origin: str, urls: Sequence[str], pages_url: str | None) -> list[str]:
    """Return those addresses of one origin that answer with no page, each with the reason."""
    asked = origin if pages_url is None else f"{pages_url}/{urlsplit(origin).netloc}"
    found = []
    with HttpClient(asked) as http:
        for url in urls:
            try:
                status = http.request("GET", url.removeprefix(origin) or "/").status
            except Unreachable as e:
                found.append(f"{url}: {e}")
                break  # the others of this origin would each wait for the same
            if status >= 400:
                found.append(f"{url}: status {status}")
    return found
