"""`bais-gates load`: a run against a small server, its report and baseline, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.launch import run_command
from tests.load.load_runs import serving

ENVIRONMENT = """\
name: shop
api: {{url: "{url}"}}
rate_limit: {{per_token: 100, per_address: 100, window_s: 60}}
load: {{accounts: accounts.json}}
"""
ACCOUNTS = {
    "businesses": [{"email": "a@b.c", "password": "p", "workflow_id": "w", "api_keys": ["bais_sk_x"]}]
}
LOCUSTFILE = """
from locust import task
from bais_gates.load.generator import ScheduledUser

class One(ScheduledUser):
    @task
    def one(self):
        self.client.get("/a")
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a project with a locustfile and accounts, whose environment file is yet to be written."""
    for folder in ("gates/load", "gates/environments", "gates/contract"):
        (tmp_path / folder).mkdir(parents=True)
    contract = Path(__file__).parents[2] / "gates" / "contract" / "bais-api.openapi.yaml"
    (tmp_path / "gates/contract/bais-api.openapi.yaml").write_text(contract.read_text(encoding="utf-8"))
    (tmp_path / "gates/load/locustfile.py").write_text(LOCUSTFILE, encoding="utf-8")
    (tmp_path / "gates/environments/accounts.json").write_text(json.dumps(ACCOUNTS), encoding="utf-8")
    return tmp_path


def test_run_and_report(project: Path) -> None:
    """A run prints its figures and keeps them; report prints them again and accepts them as the baseline."""
    with serving() as server:
        text = ENVIRONMENT.format(url=server.url) + "capacity: {users: 10, requests_per_s: 20}\n"
        (project / "gates/environments/shop.yaml").write_text(text, encoding="utf-8")
        done = run_command("load", "run", "--env=shop", "--duration=5s", "--ramp=1s", folder=project)

    assert done.returncode == 0, done.stderr
    assert "10 users" in done.stderr
    assert [line.split()[:2] for line in done.stdout.splitlines()][1] == ["window", "1"]
    assert "bais_sk_x" not in done.stdout + done.stderr
    kept = {path.name for path in (project / "gate-report" / "load").iterdir()}
    assert {"requests.jsonl", "locust.html", "load.prom", "plan.json"} <= kept
    again = run_command("load", "report", "--baseline=shop", folder=project)
    assert again.stdout.startswith(done.stdout.splitlines()[0])
    baseline = json.loads((project / "gates/load/baseline.json").read_text(encoding="utf-8"))
    assert baseline["shop"]["/a"]["n"] == pytest.approx(105, abs=15)


@pytest.mark.parametrize("broken", ["accounts", "locustfile"])
def test_a_run_that_fails_leaves_nothing_of_an_older_one(project: Path, broken: str) -> None:
    """A report would read the older run's facts, else, and its page would pass for this run's."""
    url = "http://127.0.0.1:9"
    (project / "gates/environments/shop.yaml").write_text(ENVIRONMENT.format(url=url), encoding="utf-8")
    kept = project / "gate-report" / "load"
    kept.mkdir(parents=True)
    older = ("requests.jsonl", "machine.json", "plan.json", "locust.html", "facts.json", "load.prom")
    for name in (*older, "notes.txt"):
        (kept / name).write_text("{}", encoding="utf-8")
    if broken == "accounts":
        (project / "gates/environments/accounts.json").unlink()
    else:
        (project / "gates/load/locustfile.py").write_text("raise RuntimeError", encoding="utf-8")

    assert run_command("load", "run", "--env=shop", "--duration=5s", folder=project).returncode == 2

    left = {path.name for path in kept.iterdir()}
    assert left - {"plan.json", "locust.log", "machine.json"} == {"notes.txt"}
    assert run_command("load", "report", folder=project).returncode == 2


@pytest.mark.parametrize(
    ("more", "words", "message"),
    [
        ("", ("report", "nowhere"), "nowhere: not the folder of a load run"),
        ("", ("run", "--duration=1s"), "must be 5s at least"),
        ("", ("run", "--rate=-1"), "'-1' is not a number above 0"),
        ("", ("run", "--env=none"), "none"),
        ("load: {accounts: gone.json}\n", ("run", "--env=shop"), "gone.json: no accounts for a load run"),
        ("load: {rate_per_s: 5}\n", ("run", "--env=shop"), "only a sandbox may ask for less"),
        ("load: {}\n", ("run", "--env=shop"), "load.accounts is missing"),
        ("load: {mix: {nosuch: 1}}\n", ("run", "--env=shop"), "load.mix.nosuch: must be analytics"),
    ],
)
def test_what_is_refused(project: Path, more: str, words: tuple[str, ...], message: str) -> None:
    """Wrong input ends with 2 and one paragraph that names it."""
    text = ENVIRONMENT.format(url="http://127.0.0.1:9")
    if more:
        text = text.replace("load: {accounts: accounts.json}\n", more)
    (project / "gates/environments/shop.yaml").write_text(text, encoding="utf-8")

    done = run_command("load", *words, folder=project)

    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_production_without_a_tenant_is_not_loaded(project: Path) -> None:
    """A load run writes, so production without a test tenant is refused."""
    text = ENVIRONMENT.format(url="http://127.0.0.1:9").replace("name: shop", "name: production")
    (project / "gates/environments/production.yaml").write_text(text, encoding="utf-8")

    done = run_command("load", "run", "--env=production", folder=project)

    assert done.returncode == 2
    assert "production has no test_tenant" in done.stderr
