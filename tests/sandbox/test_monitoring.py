"""The sandbox's monitoring with the real programs: what it exposes, whom it tells, and how it ends."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
import yaml

from bais_gates import sandbox, servers
from bais_gates.sandbox.monitoring import JOBS
from bais_gates.sandbox.monitoring.stack import _postgres_options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.sandbox.conftest import Machine

GATES = Path(__file__).parents[2] / "gates"
ARTEFACTS = GATES / "monitoring"
KEY = "that of the sandbox"
EVENT = {
    "routing_key": KEY,
    "event_action": "trigger",
    "payload": {"summary": "s", "source": "x", "severity": "critical"},
}
_WITHIN_S = 30.0


class Stack:
    """A sandbox with its cluster and monitoring."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.info = sandbox.start(directory, owner_pid=os.getpid())
        overlay = GATES / "staging" / "manifests" / "overlays" / "sandbox"
        sandbox.start_cluster(directory, manifests=overlay)
        setup: list[str | Path] = [
            sys.executable,
            Path(__file__).parent / "oncall_setup.py",
            self.info.environment_file,
        ]
        sandbox.start_monitoring(directory, artefacts=ARTEFACTS, provision=setup)
        self.about = yaml.safe_load(self.info.environment_file.read_text(encoding="utf-8"))
        self.monitoring: dict[str, Any] = self.about["monitoring"]
        self.own = self.monitoring["inbox_url"].removesuffix("/inbox")

    def get(self, url: str) -> Any:
        """Return the JSON of an address."""
        with urllib.request.urlopen(url, timeout=10) as response:
            return json.load(response)

    def state(self, part: str) -> str:
        """Return what the supervisor says of a part."""
        info = sandbox.status(self.directory)
        assert info is not None
        return info.parts[part]

    def prometheus(self, path: str, **query: str) -> Any:
        """Return the data of an answer of Prometheus."""
        url = f"{self.monitoring['prometheus_url']}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        return self.get(url)["data"]

    def post(self, path: str, content: object) -> tuple[int, str]:
        """Return status and text of a receiver's answer; bytes are sent as they are."""
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        request = urllib.request.Request(self.own + path, data=body, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                return int(response.status), response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """Yield one stack for the tests of this file; the last of them kills it."""
    if absent := servers.missing():
        pytest.skip(f"there is no {', '.join(absent)} here: run `bais-gates sandbox fetch`")
    parent = Path(tempfile.mkdtemp(prefix="bais-gates-test-"))
    try:
        yield Stack(parent / "sandbox")
    finally:
        sandbox.stop(parent / "sandbox")
        shutil.rmtree(parent)


def test_every_job_is_up(stack: Stack, machine: Machine) -> None:
    """Each scrape job has targets, and all of them are up."""

    def down() -> dict[str, str]:
        targets = stack.prometheus("targets")["activeTargets"]
        found = {one["labels"]["job"]: one["lastError"] for one in targets if one["health"] != "up"}
        return found | dict.fromkeys({*JOBS} - {one["labels"]["job"] for one in targets}, "no target")

    machine.eventually(lambda: not down(), _WITHIN_S)
    assert down() == {}
    assert sorted(stack.monitoring["jobs"]) == sorted(JOBS)


def test_every_metric_of_the_catalogue_is_exposed(stack: Stack, machine: Machine) -> None:
    """Each is there under its job, with its labels and no others; rules fail nowhere."""
    catalogue = yaml.safe_load((ARTEFACTS / "metrics.yaml").read_text(encoding="utf-8"))
    wanted = [one for one in catalogue["metrics"] if "sandbox" not in one.get("absent", {})]
    assert len(wanted) > 50

    def differing() -> dict[str, str]:
        found = {}
        for one in wanted:
            name = one["name"] + ("_count" if one["type"] == "histogram" else "")
            series = stack.prometheus("series", **{"match[]": f'{name}{{job="{one["job"]}"}}'})
            required = {"__name__", *one.get("labels", ())} - {*one.get("optional", ())}
            allowed = {"__name__", *catalogue["target_labels"], *one.get("labels", ())}
            labels = set().union(*series)  # an empty label of one series, as of the API's core group, is none
            if not required <= labels <= allowed:
                found[one["name"]] = f"labels {sorted(labels)}"
        return found

    machine.eventually(lambda: not differing(), _WITHIN_S)
    assert differing() == {}
    failing = {
        rule["name"]: rule["lastError"]
        for group in stack.prometheus("rules")["groups"]
        for rule in group["rules"]
        if rule.get("lastError")
    }
    assert failing == {}


@pytest.mark.parametrize(
    ("path", "content", "status"),
    [
        ("/v2/enqueue", EVENT, 202),
        ("/v2/enqueue", {**EVENT, "event_action": "resolve", "dedup_key": "k"}, 202),
        ("/v2/enqueue", {**EVENT, "event_action": "resolve"}, 400),
        ("/v2/enqueue", {**EVENT, "event_action": "close"}, 400),
        ("/v2/enqueue", {**EVENT, "routing_key": "short"}, 400),
        ("/v2/enqueue", {**EVENT, "routing_key": "0" * 32}, 400),
        ("/v2/enqueue", {**EVENT, "payload": {"summary": "s", "source": "x", "severity": "P1"}}, 400),
        ("/v2/enqueue", {**EVENT, "payload": {"source": "x", "severity": "info"}}, 400),
        ("/v2/enqueue", [], 400),
        ("/v2/enqueue", b"{", 400),
        ("/slack/slack-url", {"text": "hello"}, 200),
        ("/slack/slack-url", {"attachments": [{"text": "hello"}]}, 200),
        ("/slack/slack-url", {"attachments": []}, 400),
        ("/slack/slack-url", {"channel": "#a"}, 400),
        ("/slack/slack-url", b"payload", 400),
        ("/watchdog", {"alerts": []}, 200),
        ("/watchdog", {"alerts": {}}, 400),
        ("/elsewhere", {}, 404),
    ],
)
def test_receivers_accept_and_refuse_as_documented(
    stack: Stack, path: str, content: object, status: int
) -> None:
    """An accepted message is in the inbox without its key, a refused one is not."""
    before = stack.get(stack.monitoring["inbox_url"])["received"]
    note = f"{path} {time.monotonic_ns()}"
    if isinstance(content, dict) and content.get("routing_key") == KEY:
        content = {**content, "routing_key": stack.about["oncall"]["routing_key"]}

    answered, text = stack.post(path, {**content, "note": note} if isinstance(content, dict) else content)

    received = stack.get(stack.monitoring["inbox_url"])["received"][len(before) :]
    kept = [one for one in received if one["body"].get("note") == note]
    assert answered == status, text
    assert len(kept) == (status < 300)
    assert all("routing_key" not in one["body"] for one in kept)


def test_an_alert_reaches_its_receivers(stack: Stack, machine: Machine) -> None:
    """A P1 alert is delivered to PagerDuty and Slack; the Watchdog of the rules to its receiver."""
    labels = {
        "alertname": "Probe",
        "synthetic": "true",
        "priority": "P1",
        "severity": "critical",
        "component": "api",
        "team": "platform",
    }
    body = json.dumps([{"labels": labels, "annotations": {"summary": "only a test"}}]).encode()
    request = urllib.request.Request(
        f"{stack.monitoring['alertmanager_url']}/api/v2/alerts",
        data=body,
        headers={"Content-Type": "application/json"},
    )
    urllib.request.urlopen(request, timeout=10).close()

    def told() -> set[str]:
        received = stack.get(stack.monitoring["inbox_url"])["received"]
        found = {one["receiver"] for one in received if "only a test" in json.dumps(one)}
        return found | {one["receiver"] for one in received if one["body"].get("alerts")}

    wanted = {"pagerduty", "slack/slack-url", "watchdog"}
    machine.eventually(lambda: told() >= wanted, _WITHIN_S)
    assert told() == wanted


def test_an_alert_pages_who_is_on_call(stack: Stack, machine: Machine) -> None:
    """An event opens an incident at the stand-in, and the person on call is notified and acknowledges."""
    part = stack.about["oncall"]
    key = f"page {time.monotonic_ns()}"
    stack.post("/v2/enqueue", EVENT | {"routing_key": part["routing_key"], "dedup_key": key})
    headers = {
        "Authorization": f"Token token={part['token']}",
        "Accept": "application/vnd.pagerduty+json;version=2",
    }

    def asked(target: str) -> Any:
        request = urllib.request.Request(part["api_url"] + target, headers=headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read())

    def incident() -> Any:
        return asked(f"/incidents?incident_key={urllib.parse.quote(key)}")["incidents"][0]

    machine.eventually(lambda: incident()["status"] == "acknowledged", _WITHIN_S)
    entries = asked(f"/incidents/{incident()['id']}/log_entries")["log_entries"]
    assert [one["type"] for one in entries[::-1]] == [
        "trigger_log_entry",
        "assign_log_entry",
        "notify_log_entry",
        "notify_log_entry",
        "acknowledge_log_entry",
    ]


def test_the_chat_and_the_status_page_are_served(stack: Stack) -> None:
    """A message to a channel is in the inbox; the page answers to its token alone."""
    part = stack.about["oncall"]
    path = urllib.parse.urlsplit(part["chat"]["#bais-oncall"]).path
    assert stack.post(path, {"text": "hello from a test"}) == (200, "ok")
    received = stack.get(stack.monitoring["inbox_url"])["received"]
    assert {"#bais-oncall"} == {
        one["receiver"].partition("/")[2] for one in received if one["body"] == {"text": "hello from a test"}
    }
    page = part["status_page"]
    request = urllib.request.Request(
        f"{page['api_url']}/pages/{page['page']}", headers={"Authorization": f"OAuth {page['token']}"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert json.loads(answer.read())["id"] == page["page"]
    with pytest.raises(urllib.error.HTTPError, match="401") as refused:
        urllib.request.urlopen(f"{page['api_url']}/pages", timeout=10)
    refused.value.close()


def test_passwords_stay_out_of_sight(stack: Stack, machine: Machine) -> None:
    """No password of the platform, and no key of a receiver, is in a command line, log or the state."""
    about = yaml.safe_load(stack.info.environment_file.read_text(encoding="utf-8"))
    urls = [about["database"]["url"], about["cache"]["url"]]
    passwords = [urllib.parse.urlsplit(url).password for url in urls]
    keys = [path.read_text() for path in (stack.directory / "monitoring/secrets").glob("pagerduty*")]
    files = [*(stack.directory / "logs").rglob("*"), *(stack.directory / "monitoring").glob("*.*")]
    seen = [
        path.read_text(errors="replace")
        for path in [*files, stack.directory / "state.json"]
        if path.is_file()
    ]
    for process in machine.processes_of(stack.directory):
        with contextlib.suppress(psutil.NoSuchProcess, FileNotFoundError):  # it has ended meanwhile
            seen.append(" ".join(process.cmdline()))

    assert len(keys) == 1
    assert len(seen) > 20
    for secret in [*passwords, *keys]:
        assert secret
        assert not any(secret in text for text in seen)


def test_a_program_that_is_absent(stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error is one paragraph with the remedy."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    with pytest.raises(sandbox.SandboxError, match=r"no prometheus here.*sandbox fetch") as caught:
        sandbox.start_monitoring(stack.directory, artefacts=ARTEFACTS)

    assert "\n" not in str(caught.value)


NEWER_EXPORTER = """\
#!/bin/sh
[ "$1" != --help ] || exec echo "--collector.stat_statements"
echo "can not serve with $*"
exit 1
"""


def test_an_exporter_that_ends(
    stack: Stack, machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is named with the end of its log: here one of PostgreSQL that takes no queries any more."""
    info = sandbox.status(stack.directory)
    assert info is not None
    os.kill(info.pids["postgres-exporter"], signal.SIGKILL)
    assert machine.eventually(lambda: stack.state("postgres-exporter").startswith("ended"), 10)
    program = tmp_path / "postgres_exporter"
    program.write_text(NEWER_EXPORTER)
    program.chmod(0o755)
    monkeypatch.setenv("BAIS_GATES_POSTGRES_EXPORTER", str(program))

    with pytest.raises(sandbox.SandboxError, match="postgres-exporter ended while") as caught:
        sandbox.start_monitoring(stack.directory, artefacts=ARTEFACTS)

    assert "--collector.stat_statements --collector.database_wraparound" in str(caught.value)
    assert "--extend.query-path" not in str(caught.value)
    monkeypatch.undo()
    sandbox.start_monitoring(stack.directory, artefacts=ARTEFACTS)


@pytest.mark.parametrize(
    ("version", "known", "options"),
    [
        ("0.11", ["collector.bgwriter", "extend.query-path"], ["no-collector.bgwriter", "extend.query-path"]),
        (
            "0.15",
            [
                "collector.stat_bgwriter",
                "collector.replication",
                "collector.replication_slot",
                "extend.query-path",
            ],
            ["no-collector.stat_bgwriter", "no-collector.replication", "extend.query-path"],
        ),
        (
            "without queries",
            ["collector.stat_bgwriter", "collector.replication"],
            ["no-collector.stat_bgwriter", "collector.stat_statements", "collector.database_wraparound"],
        ),
    ],
)
def test_options_of_an_exporter(version: str, known: list[str], options: list[str], tmp_path: Path) -> None:
    """Whatever version the distribution has, it exports what the rules read of PostgreSQL 17, and once."""
    given = _postgres_options("".join(f"      --{one} Whatever.\n" for one in known), tmp_path)

    assert [one.removeprefix("--").partition("=")[0] for one in given] == options, version


def test_it_ends_with_its_supervisor(stack: Stack, machine: Machine) -> None:
    """Also where that is killed, no process of the stack is left."""
    info = sandbox.status(stack.directory)
    assert info is not None
    parts = [psutil.Process(pid) for pid in info.pids.values()]
    assert {"prometheus", "alertmanager", "monitoring", "redis-exporter"} <= info.pids.keys()

    os.kill(info.pids["supervisor"], signal.SIGKILL)

    assert machine.eventually(lambda: not machine.alive(parts), 10)
    sandbox.stop(stack.directory)
    assert not stack.directory.exists()
