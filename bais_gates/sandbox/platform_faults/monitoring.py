"""Faults of the monitoring: of the rules and routes that are loaded, of scrape targets and receivers."""

from __future__ import annotations

import http.client
import json
import os
import signal
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from bais_gates.sandbox.errors import SandboxError
from bais_gates.sandbox.files import read_object
from bais_gates.sandbox.platform_faults.changes import await_that, replaced
from bais_gates.sandbox.platform_faults.model import fault

if TYPE_CHECKING:
    from bais_gates.sandbox.platform_faults.changes import Platform

_LOADS: Final = {
    "rules": "prometheus_url",
    "prometheus.yaml": "prometheus_url",
    "alertmanager.yaml": "alertmanager_url",
}
"""Who loads a file again, by the environment file's key; files of secrets are read at each notification."""


_IN_EFFECT: Final = timedelta(seconds=2)
"""After this a scrape is by the new configuration: the one under way ends with the old."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A text in a file of the sandbox's monitoring: the first match is replaced, and the file reloaded."""

    file: str
    pattern: str
    replacement: str

    def make(self, platform: Platform) -> str:  # noqa: D102 - see Change
        path = platform.directory / "monitoring" / self.file
        if not path.exists():
            raise SandboxError("the sandbox's monitoring is not up: `bais-gates sandbox up` starts it")
        former = path.read_text(encoding="utf-8")
        self._write(platform, replaced(former, self.pattern, self.replacement, self.file))
        return former

    def undo(self, platform: Platform, former: str) -> None:  # noqa: D102 - see Change
        self._write(platform, former)

    def _write(self, platform: Platform, text: str) -> None:
        (platform.directory / "monitoring" / self.file).write_text(text, encoding="utf-8")
        key = _LOADS.get(self.file.partition("/")[0])
        if key is not None:
            url = str(platform.value("monitoring", key))
            _request(url, "POST", "/-/reload")
            since = datetime.now(UTC) + _IN_EFFECT
            if self.file == "prometheus.yaml":
                await_that(lambda: _all_scraped(url, since), "the targets are not scraped again")
            elif key == "prometheus_url":
                await_that(lambda: _all_evaluated(url, since), "the rules are not evaluated again")


@dataclass(frozen=True, slots=True)
class Stopped:
    """A process of the sandbox's monitoring that hangs: it is stopped by a signal."""

    part: str
    job: str
    """Its scrape job."""

    def make(self, platform: Platform) -> None:  # noqa: D102 - see Change
        self._signal(platform, signal.SIGSTOP)
        await_that(lambda: not self._is_up(platform), f"{self.part} is still up for Prometheus")

    def undo(self, platform: Platform, former: Any) -> None:  # noqa: ARG002, D102 - see Change
        self._signal(platform, signal.SIGCONT)
        await_that(lambda: self._is_up(platform), f"{self.part} is not up again for Prometheus")

    def _is_up(self, platform: Platform) -> bool:
        targets = _targets(str(platform.value("monitoring", "prometheus_url")))
        return all(one["health"] == "up" for one in targets if one["labels"]["job"] == self.job)

    def _signal(self, platform: Platform, number: signal.Signals) -> None:
        try:
            pid = read_object(platform.directory / "state.json")["parts"][self.part]["pid"]
            os.kill(pid, number)
        except (OSError, KeyError) as error:
            raise SandboxError(f"the sandbox has no process {self.part}") from error


def _request(url: str, method: str, path: str) -> str:
    """Return what Prometheus or Alertmanager responds with. Raises ``SandboxError``."""
    with closing(http.client.HTTPConnection(url.partition("://")[2], timeout=20)) as connection:
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            text = answer.read().decode("utf-8", "replace")
        except (OSError, http.client.HTTPException) as error:
            raise SandboxError(f"{method} {url}{path}: {error}") from error
    if answer.status != 200:
        raise SandboxError(f"{method} {url}{path} was refused: {text[:300].strip()}")
    return text


def _targets(url: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(_request(url, "GET", "/api/v1/targets?state=active"))["data"][
        "activeTargets"
    ]
    return found


def _all_scraped(url: str, since: datetime) -> bool:
    """Return whether every target was scraped after a moment; none before its discovery is a target."""
    targets = _targets(url)
    moments = [datetime.fromisoformat(one["lastScrape"]) for one in targets]
    jobs = {one["labels"]["job"] for one in targets}
    return "bais-api" in jobs and all(moment > since for moment in moments)


def _all_evaluated(url: str, since: datetime) -> bool:
    """Return whether every group of rules was evaluated after a moment: what was removed is gone then."""
    groups = json.loads(_request(url, "GET", "/api/v1/rules"))["data"]["groups"]
    return all(datetime.fromisoformat(one["lastEvaluation"]) > since for one in groups)


_ALERT: Final = r"      - alert: ApiErrorRateHigh\n(?:        .*\n)+"

FAULTS: Final = (
    fault(
        "monitoring_rule_deleted",
        "An alert is no longer among the loaded rules.",
        "monitoring.rules_loaded",
        Loaded("rules/application.yaml", _ALERT, ""),
    ),
    fault(
        "monitoring_comparison_flipped",
        "An alert compares the wrong way round.",
        "monitoring.rules_loaded",
        Loaded(
            "rules/application.yaml",
            r"job:http_errors:ratio_rate5m > 0\.01",
            "job:http_errors:ratio_rate5m < 0.01",
        ),
    ),
    fault(
        "monitoring_alert_without_pager",
        "An alert has lost the priority by which it pages.",
        "monitoring.rules_loaded",
        Loaded(
            "rules/application.yaml",
            r"(- alert: ApiErrorRateHigh\n(?:        .*\n)*?        labels: \{.*priority: )P1",
            r"\g<1>P3",
        ),
    ),
    fault(
        "monitoring_target_hangs",
        "The cache's exporter does not respond.",
        "monitoring.targets_up",
        Stopped("redis-exporter", "redis"),
    ),
    fault(
        "monitoring_target_forgotten",
        "The scrape configuration has no job for the database.",
        "monitoring.targets_up",
        Loaded("prometheus.yaml", r'"job_name": "postgres"', '"job_name": "postgres-former"'),
    ),
    fault(
        "monitoring_metric_dropped",
        "A metric that alerts read is dropped when it is scraped.",
        "monitoring.targets_up",
        Loaded(
            "prometheus.yaml",
            r'"job_name": "bais-api",',
            '"job_name": "bais-api", "metric_relabel_configs": [{"source_labels": ["__name__"], '
            '"regex": "payments_total", "action": "drop"}],',
        ),
    ),
    fault(
        "monitoring_namespace_relabeled",
        "Prometheus renames the namespace of what it scrapes, so that the dashboard selects nothing.",
        "monitoring.dashboard_shows_data",
        Loaded(
            "prometheus.yaml",
            r'"job_name": "kube-state-metrics",',
            r'\g<0> "metric_relabel_configs": [{"source_labels": ["namespace"], "regex": "bais", '
            '"target_label": "namespace", "replacement": "platform"}],',
        ),
    ),
    fault(
        "monitoring_record_deleted",
        "A recording rule that the dashboard shows is no longer among the loaded rules.",
        "monitoring.dashboard_shows_data",
        Loaded(
            "rules/application.yaml",
            r"      - record: job_route:http_request_duration_seconds:p95_5m\n(?:        .*\n)+",
            "",
        ),
    ),
    fault(
        "monitoring_gauge_dropped",
        "A gauge that only the dashboard shows beside an alert is dropped when it is scraped.",
        "monitoring.dashboard_shows_data",
        Loaded(
            "prometheus.yaml",
            r'"job_name": "redis",',
            r'\g<0> "metric_relabel_configs": [{"source_labels": ["__name__"], '
            '"regex": "redis_memory_max_bytes", "action": "drop"}],',
        ),
    ),
    fault(
        "monitoring_receiver_dead",
        "Nothing listens at the address of the chat.",
        "monitoring.routes_deliver",
        Loaded("secrets/slack-url", r"^http://127\.0\.0\.1:\d+/", "http://127.0.0.1:9/"),
    ),
    fault(
        "monitoring_route_shadowed",
        "An earlier route takes every alert that should page.",
        "monitoring.routes_deliver",
        Loaded(
            "alertmanager.yaml",
            r"^( *)- matchers: \['priority=~\"P1\|P2\"'\]$",
            r"\1- receiver: slack\n\g<0>",
        ),
    ),
    fault(
        "monitoring_pager_key_wrong",
        "The pager refuses its key.",
        "monitoring.routes_deliver",
        Loaded("secrets/pagerduty-routing-key", r"^\w+", "YOUR_PAGERDUTY_KEY"),
    ),
)
