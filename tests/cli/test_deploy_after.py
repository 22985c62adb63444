"""What follows a deploy: its decision is revoked, its record signed, people are told; and emergencies."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bais_gates.cli import deploy_after, deploy_run, main
from bais_gates.cli.stage_run import environment_of
from bais_gates.rollout.errors import RolloutStatus
from bais_gates.rollout.record import Folder, record_on
from tests.cli import test_deploy
from tests.cli.test_deploy import ENVIRONMENT, Project
from tests.oncall.web import Answer, Asked, Server, serving
from tests.rollout.fake_cluster import BROKEN, NEW, OLD

project = test_deploy.project
KEY = "canary0key0of0pagerduty000000000"
HOOK = "/services/T0CANARY/B0CANARY/canarycanarycanary"
CHANGE, PAGE = "/v2/change/enqueue", "/v2/enqueue"
EMERGENCY = ("--emergency", "--approved-by", "Alex Kim", "--reason", "Cards are declined.")
WHERE = ["--env", "production"]
SMOKE = """\
from types import SimpleNamespace

def check(target, unique):
    yield "payment", SimpleNamespace(problem="it is declined", cause="", remedy="", code="X")
    raise RuntimeError("the smoke test failed")
"""


def answer(asked: Asked) -> Answer:
    """Answer as PagerDuty and Slack do."""
    return Answer(200, "ok") if asked.path == HOOK else Answer(202, '{"status": "success"}')


def answer_late(asked: Asked) -> Answer:
    """Answer when nobody waits any more."""
    time.sleep(1)
    return answer(asked)


def describe_oncall(project: Project, url: str) -> None:
    """Describe on-call in the environment file, and decide about it again."""
    part = f'oncall: {{token: t0ken-of-a-test, sender: gates@bais.example, events_url: "{url}", '
    part += f'routing_key: {KEY}, chat: {{"#bais-oncall": "{url}{HOOK}"}}}}\n'
    (project.suite.folder / "environments" / "production.yaml").write_text(ENVIRONMENT + part)
    project.decide()


@pytest.fixture
def server(project: Project, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Yield the server that production's on-call reaches, however busy the machine is."""
    monkeypatch.setattr(deploy_after, "TELL_S", 60.0)
    with serving(answer) as server:
        describe_oncall(project, server.url)
        yield server


def summaries(server: Server, path: str) -> list[str]:
    """Return the first line of what was sent to a path."""
    bodies: list[Any] = [one.body for one in server.asked if one.path == path]
    return [(body.get("text") or body["payload"]["summary"]).splitlines()[0] for body in bodies]


def everything(project: Project) -> str:
    """Return all files of records, and all output."""
    files = [path for path in Path("rollouts").rglob("*") if path.is_file()]
    return "".join(path.read_text() for path in files) + project.output()


def last_file() -> Path:
    """Return the newest record."""
    return max(Path("rollouts/production").glob("*.json"), key=lambda path: path.stat().st_mtime_ns)


def fail_everything(project: Project) -> None:
    """Have the suite's check of what runs fail, also after a rollback."""
    (project.suite.folder / "rollout").mkdir(exist_ok=True)
    (project.suite.folder / "rollout" / "smoke.py").write_text(SMOKE)


# -- revocation --


def test_a_release_that_failed_is_not_deployed_again(project: Project) -> None:
    """Not on the same decision, from no machine, after no other deploy; on a new one it is tried again."""
    project.decide(BROKEN)
    assert project.deploy(image=BROKEN) == 31
    old = project.suite.decision.read_text()
    project.output()
    written = len(project.cluster.written)
    for words in ((), ("--records", "elsewhere"), ("--dry-run",)):
        assert project.deploy(*words, image=BROKEN) == 30
        output = project.output()
        assert "REFUSED (REVOKED): Run run-1 does not allow this deploy. The deploy " in output
        assert " on this decision failed at 20" in output
    assert len(project.cluster.written) == written
    verify = ["verify", str(project.suite.decision), "--env", "production", "--catalog"]
    verify += [str(project.suite.catalog), "--history"]
    assert main([*verify, "rollouts"]) == 1
    assert "REVOKED: The deploy " in project.output()

    project.decide(NEW)
    assert main([*verify, "rollouts/production"]) == 0
    assert project.deploy() == 0
    project.suite.decision.write_text(old)
    assert project.deploy("--records", "elsewhere", image=BROKEN) == 30
    assert "REFUSED (REVOKED)" in project.output()
    project.decide(BROKEN)
    assert project.deploy(image=BROKEN) == 31


def test_an_abort_revokes_nothing(project: Project) -> None:
    """Somebody ended it, and the release was not judged."""
    project.cluster.cut_at = 40
    assert project.deploy() == 33
    project.cluster.cut_at = None
    project.cluster.pass_time(31)
    assert main(["deploy", *WHERE, "--abort"]) == 31

    assert project.deploy() == 0


def test_an_unreadable_record_stops_a_deploy(project: Project) -> None:
    """It may be the one of a failed release on this decision."""
    Path("rollouts/production").mkdir(parents=True)
    Path("rollouts/production/20260302-120000-0a1b2c.json").write_text("{")

    assert project.deploy() == 30
    assert "is not the record of a deploy" in project.output()
    assert project.cluster.written == []


# -- signature --


def test_the_record_is_signed(project: Project) -> None:
    """The statement is about the image and the record's file; a record that was changed is refused."""
    for name in ("key", "other"):
        assert main(["attest", "keygen", "--out", name, "--owner", "The pipeline"]) == 0
    assert project.deploy("--sign-key", "key") == 0
    record = last_file()
    project.output()
    verify = ["attest", "verify", str(record), "--key"]
    assert main([*verify, "key.pub"]) == 0
    output = project.output()
    assert "deploy-record/v1: DEPLOYED" in output
    assert f'about registry.example/bais-api {{"sha256": "{NEW[-64:]}"}}' in output
    assert "signed by key.pub" in output
    assert main([*verify, "other.pub"]) == 1
    record.write_text(record.read_text().replace('"reason": ""', '"reason": "OPS-7"'))
    assert main([*verify, "key.pub"]) == 2
    assert "is about another record" in project.output()

    assert main(["rollback", *WHERE]) == 31
    assert "the record is not signed: there is no key" in project.output()
    assert main(["attest", "verify", str(last_file()), "--key", "key.pub"]) == 2
    assert "is not signed" in project.output()


@pytest.mark.parametrize("break_it", ["absent", "garbage", "folder"])
def test_a_failure_to_sign_is_said_and_changes_nothing(
    project: Project, break_it: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the status nor the record."""
    key = Path("key")
    if break_it == "folder":
        assert main(["attest", "keygen", "--out", "key", "--owner", "The pipeline"]) == 0

        def fail(*_arguments: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(deploy_after, "write_atomically", fail)
    elif break_it == "garbage":
        key.write_text("-----BEGIN PRIVATE KEY-----\ncanary-of-a-key\n-----END PRIVATE KEY-----\n")

    assert project.deploy("--sign-key", "key") == 0
    output = project.output()
    assert "bais-gates: the record is not signed: " in output
    assert "canary-of-a-key" not in output
    assert '"DEPLOYED"' in last_file().read_text()


# -- people --


def test_people_are_told_once(project: Project, server: Server) -> None:
    """Of being stuck and of the end, also after --resume; no secret is in record or output."""
    project.cluster.cut_at = 40
    assert project.deploy("--reason", "OPS-7") == 33
    assert [one.partition(": ")[2] for one in summaries(server, CHANGE)] == [
        "STUCK: it goes neither on nor back by itself"
    ]
    assert summaries(server, HOOK) == summaries(server, CHANGE)
    resume = ["deploy", *WHERE, "--decision", str(project.suite.decision), "--watch", "0", "--resume"]
    for cut_at in (project.cluster.requests + 6, None):  # stuck again where it was, then through
        project.cluster.cut_at = cut_at
        project.cluster.pass_time(31)
        assert main(resume) == (33 if cut_at else 0)
    assert main(resume) == 30

    told = [one.rpartition(": ")[2] for one in summaries(server, CHANGE)]
    assert told == ["it goes neither on nor back by itself", "deployed and verified"]
    assert len(summaries(server, HOOK)) == 2
    assert summaries(server, PAGE) == []
    (body,) = [one.body for one in server.asked if one.path == CHANGE][1:]
    assert body["payload"]["custom_details"]["reason"] == "OPS-7"
    text = everything(project)
    assert "change event: sent" in text
    assert "canary" not in text


def test_a_rollback_that_failed_pages(project: Project, server: Server) -> None:
    """With the key of the deploy, so that it is one incident."""
    fail_everything(project)
    assert project.deploy() == 32

    (page,) = [one.body for one in server.asked if one.path == PAGE]
    record = record_on(project.cluster.one("Deployment", "bais-api"))
    assert record is not None
    assert page["dedup_key"] == f"bais-gates/production/{record.id}"
    assert (page["event_action"], page["payload"]["severity"]) == ("trigger", "critical")
    assert "THE ROLLBACK FAILED" in page["payload"]["summary"]
    assert len(server.asked) == 3
    assert "page: sent" in project.output()


def test_a_rollback_that_is_stuck_pages(project: Project, server: Server) -> None:
    """Also one that could not even begin, as the release has failed already."""
    project.decide(BROKEN)
    reference = project.cluster

    def cut(text: str) -> None:
        if text.startswith("rolling back to"):
            reference.cut_at = reference.requests

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deploy_run, "report", cut)
        assert project.deploy(image=BROKEN) == 33

    (summary,) = summaries(server, PAGE)
    assert "STUCK" in summary


def test_a_rollback_that_is_interrupted_pages(project: Project, server: Server) -> None:
    """A job that is cancelled leaves it half-way; of another interruption nobody is told."""
    project.decide(BROKEN)

    def interrupting(word: str) -> Callable[[str], None]:
        def interrupt(text: str) -> None:
            if text.startswith(word):
                raise KeyboardInterrupt

        return interrupt

    for word, pages in (("ROLLING_OUT: recorded", 0), ("ROLLING_BACK: recorded", 1)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(deploy_run, "report", interrupting(word))
            words = ("--resume",) if pages else ()
            assert project.deploy(*words, image=BROKEN) == 130
        assert len(summaries(server, PAGE)) == pages


def test_nobody_can_be_paged(project: Project) -> None:
    """That is said, as the exit status must do it then."""
    fail_everything(project)

    assert project.deploy() == 32
    assert "nobody was paged: the environment file describes no oncall" in project.output()


@pytest.mark.parametrize(
    ("reply", "words", "tell_s"),
    [
        (lambda _: Answer(500, KEY + HOOK), "PagerDuty, POST /v2/change/enqueue: status 500", 60.0),
        (answer_late, "", 0.2),
    ],
)
def test_a_failure_to_tell_is_said_and_changes_nothing(
    project: Project,
    reply: Callable[[Asked], Answer],
    words: str,
    tell_s: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nor does it wait for an answer for long, nor show a secret."""
    monkeypatch.setattr(deploy_after, "TELL_S", tell_s)
    with serving(reply) as server:
        describe_oncall(project, server.url)
        assert project.deploy() == 0

    text = everything(project)
    assert f"change event: not sent: {words}" in text
    assert "chat message: not sent: " in text
    assert "canary" not in text


def test_a_rehearsal_reaches_its_stand_ins_alone(project: Project) -> None:
    """Whatever its environment file says; nothing is sent to another address."""
    describe_oncall(project, "https://hooks.example")
    assert project.deploy("--dry-run") == 0
    environment = environment_of("production")
    after = deploy_after.Aftermath(environment=environment, folder=Folder(Path("rollouts")), sign_key=None)
    with serving(answer):
        assert project.deploy("--records", "rollouts") == 0  # unreachable, which is said
    record = record_on(project.cluster.one("Deployment", "bais-api"))
    assert record is not None
    after.note(replace(record, id="2", rehearsal=True))
    project.output()
    after.end(RolloutStatus.DEPLOYED)

    assert project.output().count("a rehearsal reaches its stand-ins alone") == 2


# -- emergency --


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--emergency", "--reason", "Cards are declined."), "needs --approved-by PERSON"),
        (("--emergency", "--approved-by", "Alex Kim"), "needs a --reason TEXT"),
        ((*EMERGENCY, "--decision", "d.json"), "--decision has no effect with --emergency"),
        ((*EMERGENCY, "--abort"), "--abort has no effect with --emergency"),
        ((*EMERGENCY, "--override-freeze-by", "Dana"), "--override-freeze-by has no effect"),
        (("--approved-by", "Alex Kim"), "--approved-by has no effect without --emergency"),
    ],
)
def test_an_emergency_needs_its_options(project: Project, words: tuple[str, ...], message: str) -> None:
    """Status 2, and nothing is written."""
    assert main(["deploy", *WHERE, "--subject", NEW, "--version", "1.1.0", *words]) == 2
    assert message in project.output()
    assert project.cluster.written == []


def test_an_emergency_is_loud_and_owes_a_decision(project: Project, server: Server) -> None:
    """Without a decision, in a freeze; then each deploy says so, until the decision is given."""
    test_deploy._frozen(project)
    project.suite.decision.unlink()
    deploy = ["deploy", *WHERE, "--subject", NEW, "--version", "1.1.0", "--watch", "0"]
    assert main([*deploy, *EMERGENCY]) == 0
    output = project.output()
    assert "EMERGENCY: deploying without a decision, in a freeze, approved by Alex Kim: Cards" in output
    last = output.rstrip().splitlines()[-1]
    assert f"`bais-gates run golive --env production --subject {NEW}`, then `bais-gates deploy " in last
    record = json.loads(last_file().read_text())
    assert record["emergency"] == {"approved_by": "Alex Kim", "reason": "Cards are declined."}
    assert record["override"] == {"by": "Alex Kim", "reason": "Cards are declined."}
    assert record["decision"] == {}
    for path in (CHANGE, HOOK):
        assert summaries(server, path)[0].startswith("EMERGENCY: deploy of ")

    (project.suite.folder / "rollout" / "freezes.yaml").unlink()
    project.decide(BROKEN)
    assert project.deploy(image=BROKEN) == 31
    reminder = f"({NEW}) has no decision yet"
    assert reminder in project.output()
    project.decide(NEW)
    assert project.deploy("--dry-run") == 0
    assert reminder in project.output()
    assert project.deploy() == 0
    output = project.output()
    assert "the decision owed for the emergency" in output
    assert reminder not in output
    assert project.deploy() == 0
    output = project.output()
    assert "owed" not in output
    assert "this image runs already" in output


def test_an_emergency_is_rolled_back_as_always(project: Project) -> None:
    """It owes nothing then, and goes on after a kill without being approved again."""
    deploy = ["deploy", *WHERE, "--subject", BROKEN, "--version", "1.1.1", "--watch", "0", *EMERGENCY]
    assert main(deploy) == 31
    assert project.cluster.image == OLD
    project.cluster.cut_at = project.cluster.requests + 40
    assert main(["deploy", *WHERE, "--subject", NEW, "--version", "1.1.0", "--watch", "0", *EMERGENCY]) == 33
    project.cluster.cut_at = None
    project.cluster.pass_time(31)
    project.suite.decision.unlink()
    assert main(["deploy", *WHERE, "--watch", "0", "--resume"]) == 0

    assert project.cluster.image == NEW
    output = project.output()
    assert output.count("EMERGENCY: deploying without a decision, approved by Alex Kim") >= 3
    assert output.rstrip().splitlines()[-1].startswith("bais-gates: EMERGENCY: ")
