"""What a run finds of its target before the first gate: place, cause and the remedy for that cause."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bais_gates.targets import looks
from bais_gates.targets.environment import load_environment
from tests.targets.conftest import FakeRun

Write = Callable[[str, str], Path]
Serve = Callable[[int, str], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serve one answer to whatever is asked, on a free loopback port; return its URL."""
    servers: list[ThreadingHTTPServer] = []

    def start(status: int, body: str) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_args: object) -> None:
                """Log nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def problems(write: Write, gates_dir: Path, text: str, *parts: str) -> list[str]:
    """Return what is found of these parts of an environment file."""
    path = write("stub", f"name: stub\n{text}\n")
    run = FakeRun(directory=gates_dir, environment="stub")
    found = looks.look(run, load_environment("stub", gates_dir=gates_dir), parts, gates_dir=gates_dir)
    assert all(problem.startswith(f"{path}:") for _, problem in found)
    return [problem.removeprefix(f"{path}:") for _, problem in found]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((200, "<html>Welcome</html>"), "answered 200: <html>Welcome</html>. That has no version"),
        ((401, "{}"), "answered 401: {}. That has no version"),
        (
            (200, '{"environment": "production"}'),
            "reports environment production, and api.environment is stub",
        ),
        ((503, '{"environment": "stub"}'), ""),
        ((200, '{"version": "1"}'), ""),
    ],
)
def test_another_api_is_found_at_once(
    write: Write, gates_dir: Path, serve: Serve, answer: tuple[int, str], words: str
) -> None:
    """Where the file names what /health reports, another product or environment is one problem of api.url."""
    text = f"api: {{url: '{serve(*answer)}', environment: stub}}"
    found = problems(write, gates_dir, text, "target")
    assert [problem.startswith("2: api.url: ") and words in problem for problem in found] == [True] * bool(
        words
    )


def test_an_api_that_names_nothing_is_not_held_to_anything(
    write: Write, gates_dir: Path, serve: Serve
) -> None:
    """A project whose file names neither environment nor version has an API without /health."""
    assert problems(write, gates_dir, f"api: {{url: '{serve(404, 'x')}'}}", "target") == []


def test_both_servers_of_the_monitoring_are_asked(write: Write, gates_dir: Path, serve: Serve) -> None:
    """Prometheus and Alertmanager are a problem each, told on one line although the answer has several."""
    url = serve(404, "page\nnot\nfound\n")
    text = f"monitoring:\n  prometheus_url: {url}\n  alertmanager_url: {url}"
    found = problems(write, gates_dir, text, "monitoring")
    assert [problem.partition(": GET ")[0] for problem in found] == [
        "3: monitoring.prometheus_url",
        "4: monitoring.alertmanager_url",
    ]
    assert all("answered 404: page not found" in problem for problem in found)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((401, "{}"), "2: oncall: PagerDuty does not accept the token (HTTP 401)."),
        ((200, "<html>"), "and no list of users. Check that oncall.api_url"),
        ((200, '{"users": []}'), ""),
        ((429, "{}"), ""),  # the gates wait as it asks
    ],
)
def test_the_account_of_oncall_is_tried(
    write: Write, gates_dir: Path, serve: Serve, answer: tuple[int, str], words: str
) -> None:
    """A token that is not accepted, and an address of something else, are found before a gate pages."""
    text = f"oncall: {{token: canary-of-a-token, sender: a@example.com, api_url: '{serve(*answer)}'}}"
    found = problems(write, gates_dir, text, "oncall")
    assert [words in problem for problem in found] == [True] * bool(words)
    assert "canary" not in "".join(found)


def test_parts_that_are_missing_are_one_problem(write: Write, gates_dir: Path) -> None:
    """A file that describes too little is told once, with all that it lacks."""
    path = write("stub", "name: stub\n")
    run = FakeRun(directory=gates_dir, environment="stub")
    environment = load_environment("stub", gates_dir=gates_dir)
    found = looks.look(run, environment, ["cache", "limits", "database"], gates_dir=gates_dir)
    assert [part for part, _ in found] == ["limits", "database", "cache"]
    (problem,) = {problem for _, problem in found}
    assert problem.startswith(f"{path}: limits, database, cache are missing, and gates need them.")


@pytest.mark.parametrize(
    ("cause", "remedy"),
    [
        ('FATAL:  password authentication failed for user "gates_ro"', "user and password"),
        ('role "gates" does not exist', "user and password"),
        ("NOAUTH Authentication required", "user and password"),
        ('database "bias" does not exist', "name of the database"),
        ('permission denied for database "bais"', "right to connect"),
        ('invalid sslmode value: "verify-ful"', "options of the URL"),
        ("SSL error: certificate verify failed", "options of the URL"),
        ('root certificate file "/a.pem" does not exist', "options of the URL"),
        ("Connection refused", "Check its address"),
        ("no answer within 2 s", "Check its address"),
    ],
)
def test_the_remedy_fits_the_cause(cause: str, remedy: str) -> None:
    """What a database or cache answers decides what there is to do."""
    assert remedy in str(looks.unusable(RuntimeError(f"the database 127.0.0.1:5432/bais: {cause}")))


def test_an_option_of_the_cache_that_does_not_exist_is_no_bug(write: Write, gates_dir: Path) -> None:
    """The client would raise a TypeError at its first command."""
    (problem,) = problems(write, gates_dir, "cache: {url: 'redis://127.0.0.1:1/0?colour=red'}", "cache")
    assert problem.endswith("connection string. Correct the options of the URL.")


def test_each_context_is_looked_up(write: Write, gates_dir: Path) -> None:
    """A context that only some gates use is missed at once, by the key that names it."""
    (gates_dir / "kubeconfig").write_text(
        "clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}]\n"
        "users: [{name: u, user: {}}]\ncontexts: [{name: c, context: {cluster: c, user: u}}]\n"
    )
    text = f"kubernetes: {{kubeconfig: {gates_dir}/kubeconfig, context: c, secrets_context: d}}"
    (problem,) = problems(write, gates_dir, text, "kubernetes")
    assert "there is no 'd' in its contexts (c). Set kubernetes.secrets_context" in problem


def test_a_program_that_the_sandbox_needs_is_missed_before_it_starts(
    write: Write, gates_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the run's own platform the programs of its monitoring are looked up, where gates ask for it."""
    write("stub", "name: stub\nprovision: sandbox\n")
    monkeypatch.setenv("BAIS_GATES_PROMETHEUS", "/nowhere/prometheus")
    environment = load_environment("stub", gates_dir=gates_dir)
    run = FakeRun(directory=gates_dir, environment="stub")
    found = looks.look(run, environment, ["monitoring", "oncall", "cache"], gates_dir=gates_dir)
    assert [part for part, _ in found] == ["monitoring", "oncall"]
    (problem,) = {problem for _, problem in found}
    assert "BAIS_GATES_PROMETHEUS: there is no program /nowhere/prometheus" in problem
