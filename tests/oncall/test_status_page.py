"""The status page: components are created once, rehearsals notify nobody and are resolved in any case."""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterator
from typing import Any

import pytest

from bais_gates.oncall.status_page import StatusPage, StatusPageError
from tests.oncall.web import Answer, Asked, Server, serving

TOKEN = "canary-token-of-the-page"


class _Page:
    """A page that keeps its state; ``first`` are answers that it gives before any other."""

    def __init__(self) -> None:
        self.components = [
            {"id": f"c{number}", "name": f"Part {number}", "status": "operational"} for number in range(150)
        ]
        self.incidents: list[dict[str, Any]] = []
        self.first: list[Answer] = []

    def __call__(self, asked: Asked) -> Answer:
        """Answer a request."""
        if self.first:
            return self.first.pop(0)
        assert asked.token == f"OAuth {TOKEN}"
        path, _, query = asked.path.removeprefix("/v1/pages/p1").partition("?")
        if path == "/components":
            return self._components(asked, query)
        if path == "/incidents/unresolved":
            return Answer(200, json.dumps([one for one in self.incidents if one["status"] != "resolved"]))
        if path == "/incidents":
            self.incidents.append({"id": f"i{len(self.incidents)}", **asked.body["incident"]})
            return Answer(201, json.dumps(self.incidents[-1]))
        incident = next(one for one in self.incidents if path == f"/incidents/{one['id']}")
        incident.update(asked.body["incident"])
        return Answer(200, json.dumps(incident))

    def _components(self, asked: Asked, query: str) -> Answer:
        if asked.method == "GET":
            number = int(query.partition("page=")[2].partition("&")[0])
            return Answer(200, json.dumps(self.components[100 * (number - 1) : 100 * number]))
        self.components.append({"id": f"c{len(self.components)}", **asked.body["component"]})
        return Answer(201, json.dumps(self.components[-1]))


@pytest.fixture
def state() -> _Page:
    """Return the page's state."""
    return _Page()


@pytest.fixture
def server(state: _Page) -> Iterator[Server]:
    """Serve the page."""
    with serving(state) as made:
        yield made


def _client(server: Server, token: str = TOKEN, waits: list[float] | None = None) -> StatusPage:
    sleep = (lambda _: None) if waits is None else waits.append
    return StatusPage("p1", token, api_url=f"{server.url}/v1", pace_s=0.0, sleep=sleep)


def test_components_are_created_once(server: Server, state: _Page) -> None:
    """All pages of the list are read; what is missing is created, and the second time nothing is."""
    with _client(server) as page:
        assert page.create_missing(["Part 149", "API", "API", "Payments"]) == ["API", "Payments"]
        before = len(server.asked)
        assert page.create_missing(["Part 149", "API", "Payments"]) == []

    assert len(state.components) == 152
    assert [one.method for one in server.asked[before:]] == ["GET", "GET"]


def test_a_rehearsal_notifies_nobody_and_ends(server: Server, state: _Page) -> None:
    """It is published without notifications and resolved, also when what happens between fails."""
    with _client(server) as page:
        with pytest.raises(ZeroDivisionError):
            _rehearse_and_fail(page)
        assert page.open_rehearsals() == []

    published, resolved = (one.body["incident"] for one in server.asked if one.body)
    assert published["deliver_notifications"] is resolved["deliver_notifications"] is False
    assert published["name"] == "Rehearsal: go-live"
    assert published["component_ids"] == ["c7"]
    assert "components" not in published  # a component that is really down stays so
    assert state.incidents[0]["status"] == "resolved"


def _rehearse_and_fail(page: StatusPage) -> None:
    with page.rehearsal("go-live", "Nothing is wrong.", ["Part 7"]) as incident:
        assert [one.id for one in page.open_rehearsals()] == [incident.id]
        _ = 1 / 0


def test_real_incidents_are_no_rehearsals(server: Server, state: _Page) -> None:
    """An open incident of people is not in the list of what a killed run left behind."""
    state.incidents = [
        {"id": "i0", "name": "API down", "status": "investigating"},
        {"id": "i1", "name": "Rehearsal: go-live", "status": "investigating"},
    ]
    with _client(server) as page:
        assert [one.id for one in page.open_rehearsals()] == ["i1"]


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ([Answer(401, "{}")], "status 401: the token is not accepted"),
        ([Answer(404, "{}")], "status 404: there is no such page"),
        ([Answer(500, TOKEN)], "status 500: it failed"),
        ([Answer(200, "<html>")], "it answered no JSON"),
        ([Answer(200, "{}")], "it answered no list"),
        ([Answer(200, '[{"id": 1}]')], "an entry lacks id or name or status"),
        ([Answer(420, "{}")] * 4, "status 420: its rate limit"),
        ([Answer(429, "{}", {"Retry-After": "90"})], "status 429: its rate limit"),
    ],
)
def test_faults_are_told_without_the_token(
    server: Server, state: _Page, answers: list[Answer], words: str
) -> None:
    """Each refusal names the request and the remedy; no error has the token or an unknown body."""
    state.first = list(answers)
    with _client(server) as page, pytest.raises(StatusPageError) as caught:
        page.components()

    assert str(caught.value).startswith("status page, GET /components: ")
    assert words in str(caught.value)
    assert "canary" not in "".join(traceback.format_exception(caught.value))
    assert len(server.asked) == len(answers)


def test_a_limited_request_is_sent_again(server: Server, state: _Page) -> None:
    """A write that was refused for the rate limit is repeated after the wait, and carried out once."""
    waits: list[float] = []
    state.first = [Answer(420, "{}"), Answer(429, "{}", {"Retry-After": "7"})]
    with _client(server, waits=waits) as page:
        page.resolve(_published(page, state))

    assert waits == [1.0, 7.0]
    assert [one["status"] for one in state.incidents] == ["resolved"]


def _published(page: StatusPage, state: _Page) -> Any:
    incident = page.publish_rehearsal("x", "y", ["Part 1"])
    assert len(state.incidents) == 1
    return incident


def test_requests_keep_their_pace(server: Server) -> None:
    """Twenty requests may follow each other at once, then one a second, as time that passes allows more."""
    now = 100.0
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        nonlocal now
        waits.append(seconds)
        now += seconds

    with StatusPage("p1", TOKEN, api_url=f"{server.url}/v1", sleep=sleep, clock=lambda: now) as page:
        for _ in range(10):
            page.components()  # two requests
        assert waits == []
        page.components()
        now += 0.75
        page.open_rehearsals()

    assert waits == [1.0, 1.0, 0.25]


def test_an_unreachable_page_and_a_component_that_is_not_there(server: Server, state: _Page) -> None:
    """What may have been carried out is said to be unknown; nothing is published for a wrong component."""
    with _client(server) as page:
        with pytest.raises(StatusPageError, match="the page has no component Pat 1; create it first"):
            page.publish_rehearsal("x", "y", ["Pat 1"])
        incident = _published(page, state)
        server.shutdown()
        server.server_close()
        with pytest.raises(StatusPageError, match=r"PATCH /incidents/i0: .*carried out is unknown"):
            page.resolve(incident)
    with pytest.raises(StatusPageError, match="api_url is no address"):
        StatusPage("p1", TOKEN, api_url="api.statuspage.io")
