"""The check of runbooks: each fault is found at its line, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from bais_gates.errors import GateInputError
from bais_gates.monitoring.findings import Finding
from bais_gates.oncall.runbook_checks import Platform, check_runbooks, read_platform
from tests.oncall import shop

GENERAL = ("incident-timeline", "severity-matrix", "post-mortem-template")
TODAY = date(2026, 11, 30)
Check = Callable[[], list[Finding]]


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Platform:
    """Return what the runbooks of the shop are held to."""
    gates = shop.write(tmp_path_factory.mktemp("platform"))
    overlay = gates / "staging/manifests/overlays/production"
    return read_platform(
        gates / "monitoring",
        overlay,
        teams=["database", "platform"],
        severities={"P1": (300, 300), "P2": (900, 3600), "P3": (28_800, 259_200), "P4": (432_000, 604_800)},
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with runbooks in which nothing is wrong."""
    return shop.write(tmp_path) / "oncall" / "runbooks"


def _found(folder: Path, platform: Platform) -> list[str]:
    return [
        f"{Path(one.place.path).name}:{one.place.line} {one.check}: {one.message}"
        for one in check_runbooks(folder, platform, today=TODAY)
    ]


def _changed(folder: Path, old: str, new: str, name: str = "DatabaseDown") -> None:
    path = folder / f"{name}.md"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_good_runbooks_have_no_findings(folder: Path, platform: Platform) -> None:
    """Nothing is found in a whole folder; placeholders are what the post-mortem template is for."""
    assert _found(folder, platform) == []


@pytest.mark.parametrize(
    ("old", "new", "finding"),
    [
        ("# DatabaseDown", "# Database", "1 title: "),
        ("## Impact\nNobody can pay.\n", "", "1 no-section: the section ## Impact"),
        ("Nobody can pay.", "", "6 empty-section: Impact"),
        ("## Owner", "## Impact\nNone.\n\n## Owner", "20 unknown-section: a second section Impact"),
        ("## Owner", "## History\nNone.\n\n## Owner", "20 unknown-section: History"),
        ("```sh\nkubectl -n shop rollout restart statefulset/database\n```", "Restart.", "15 no-command: "),
        ("kubectl -n shop rollout restart statefulset/database", "# later", "15 no-command: "),
        ("\ndatabase\n", "\nplatform\n", "20 owner: the alert goes to the team database"),
        ("\ndatabase\n", "\nsomebody\n", "20 owner: must be one team's name"),
        ("2026-11-01", "2026-05-01", "23 review: reviewed 213 days ago"),
        ("2026-11-01", "2026-12-01", "23 review: reviewed on 2026-12-01, which is to come"),
        ("2026-11-01", "last week", "23 review: must be a date"),
        ("Nobody can pay.", "TODO", "7 placeholder: TODO"),
        ("Nobody can pay.", "Ask <the owner>.", "7 placeholder: <the owner>"),
        ("Nobody can pay.", "Site specific.", "7 placeholder: Site specific"),
        (
            "statefulset/database",
            "statefulset/databse",
            "17 object: the manifests have no statefulset databse",
        ),
        ("-n shop rollout", "-n shopp rollout", "17 object: the manifests have no namespace shopp"),
        (
            "-n shop rollout",
            "-n kube-system rollout",
            "17 object: statefulset database is in the namespace shop",
        ),
        ("-n shop rollout", "rollout", "17 object: no namespace"),
        ("rollout restart", "rollout restrat", "17 program: "),
        ("kubectl -n shop rollout restart statefulset/database", "reboot", "17 program: reboot is not"),
        ("name=database", "name=databse", "12 object: no object of the manifests has the label"),
        ("```sh\nkubectl", "```\nkubectl", "16 block: name the language"),
        ("kubectl -n shop get", "kubectl -n $SPACE get", "12 variable: $SPACE"),
    ],
)
def test_each_fault_is_found(folder: Path, platform: Platform, old: str, new: str, finding: str) -> None:
    """A change of a good runbook is found at its line, by the check that is about it."""
    _changed(folder, old, new)

    found = _found(folder, platform)

    assert any(one.startswith(f"DatabaseDown.md:{finding}") for one in found), found


@pytest.mark.parametrize(
    ("command", "finding"),
    [
        ("kubectl -n shop logs database-1 -c postgres --tail=20", ""),
        ("kubectl -n shop logs database-2 -c postgres", "no pod database-2"),
        ("kubectl -n shop logs statefulset/database -c nginx", "has no container nginx"),
        ("kubectl -n shop port-forward service/database 5433:5432", ""),
        ("kubectl -n shop port-forward service/database 5433:5434", "has no port 5434"),
        ("kubectl -n shop describe pvc data-database-0", ""),
        ("kubectl -n shop get secret database-owner -o name", ""),
        ("kubectl -n shop get secret database-reader -o name", "no secret database-reader"),
        ("kubectl -n shop get widgets", "widgets is no kind"),
        ("kubectl -n shop get pods -l 'app.kubernetes.io/name in (database, cache)'", "name=cache"),
        ("kubectl describe node worker-1", "write $NODE"),
        ('kubectl cordon "$NODE"', ""),
        ("kubectl -n shop create job by-hand --from=cronjob/backup\nkubectl -n shop logs job/by-hand", ""),
        ("kubectl -n shop create job by-hand --from=cronjob/backups", "no cronjob backups"),
        ("kubectl -n shop exec statefulset/database -- psql -U owner -c 'select 1'", ""),
        ("kubectl -n shop exec statefulset/database -- psq -c 'select 1'", "psq is not a program"),
        ("kubectl -n shop exec statefulset/database -- sh -c 'redis-cli -u \"$URL\" ping'", ""),
        ("kubectl -n shop exec statefulset/database -- sh -c 'redis-cli flushall'", "without a verb"),
        ("kubectl apply -f gates/staging/manifests/overlays/production/objects.yaml", ""),
        ("kubectl apply -f gates/staging/manifests/objects.yaml", "is no file of the manifests"),
        ("curl -sG $PROMETHEUS_URL/api/v1/query --data-urlencode 'query=rate(pg_locks{mode=\"x\"}[5m])'", ""),
        ("curl -sG $PROMETHEUS_URL/api/v1/query --data-urlencode 'query=pg_lock'", "pg_lock is not in"),
        (
            "curl -sG $PROMETHEUS_URL/api/v1/query --data-urlencode 'query=pg_locks{node=\"x\"}'",
            "no label node",
        ),
        ("curl -sG $PROMETHEUS_URL/api/v1/query --data-urlencode 'query=sum('", "not PromQL"),
        ("curl -s '$PROMETHEUS_URL/api/v1/query?query=pg_lock'", "pg_lock is not in"),
        ("curl -s prometheus", "is no address"),
        ("curl -sG http://prometheus.monitoring:9090/api/v1/query --data-urlencode query=pg_up", ""),
        (
            "curl -sG http://prometheus.monitoring:9090/api/v1/query --data-urlencode qery=pg_up",
            "belong together",
        ),
        (
            "curl -sG http://prometheus.monitoring:9090/api/v1/qery --data-urlencode query=pg_up",
            "belong together",
        ),
        ("curl -s http://prometheus.monitorin:9090/api/v1/targets", "prometheus.monitorin is no host"),
        ("curl -s https://api.shop.example/health", ""),
        ("curl -s https://api.shop.exampl/health", "api.shop.exampl is no host"),
        ("openssl s_client -connect api.shop.exampl:443 </dev/null", "api.shop.exampl is no host"),
        ("openssl s_client -connect database.shop:5432 </dev/null", ""),
        ("bais-gates explain any.gate", ""),
    ],
)
def test_what_a_command_names(folder: Path, platform: Platform, command: str, finding: str) -> None:
    """Objects, containers, ports, labels, files and metrics are those of the platform."""
    _changed(folder, "kubectl -n shop rollout restart statefulset/database", command)

    found = _found(folder, platform)

    assert found == [] if not finding else len(found) == 1
    assert finding in "".join(found)


def test_commands_must_be_about_the_alert(folder: Path, platform: Platform) -> None:
    """A metric behind a recording rule, or an object of the component, is the alert's own; others are not."""
    _changed(folder, "get pods -l app.kubernetes.io/name=database", "get events")
    _changed(folder, "rollout restart statefulset/database", "get configmaps")
    found = _found(folder, platform)
    assert [one.partition(": ")[0] for one in found] == ["DatabaseDown.md:1 not-its-own"]
    assert found[0].endswith("database, job:pg_up:min, pg_up")

    _changed(folder, "kubectl -n shop get configmaps", "curl -sG $PROMETHEUS_URL/api/v1/query -d query=pg_up")
    assert _found(folder, platform) == []


def test_runbooks_and_alerts_belong_together(folder: Path, platform: Platform) -> None:
    """An alert without a runbook is found at its rule; a runbook without an alert, at itself."""
    (folder / "DatabaseDown.md").rename(folder / "DatabaseGone.md")
    (folder / "severity-matrix.md").rename(folder / "severities.md")

    found = _found(folder, platform)

    assert sorted(one.partition(";")[0] for one in found if " title: " not in one) == [
        "DatabaseGone.md:1 orphan: there is no alert DatabaseGone",
        "rules.yaml:5 no-runbook: DatabaseDown has no runbook",
        "severities.md:1 orphan: neither an alert nor one of " + ", ".join(GENERAL),
        "severity-matrix.md:1 no-runbook: this general document is missing",
    ]


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("incident-timeline", "## 30 minutes – 4 hours", "## Afterwards"),
        ("severity-matrix", "| P3 |", "| Low |"),
        ("post-mortem-template", "## Root cause", "## Who did it"),
    ],
)
def test_general_documents_are_whole(folder: Path, platform: Platform, name: str, old: str, new: str) -> None:
    """A period, a severity or a part of the template that is missing is found."""
    _changed(folder, old, new, name)

    found = _found(folder, platform)

    assert len(found) == 1
    assert found[0].startswith(f"{name}.md:1 no-section: ")


@pytest.mark.parametrize(
    ("old", "new"), [("an hour", "2 hours"), ("an hour", "soon"), ("15 minutes", "15 hours")]
)
def test_the_severity_matrix_is_that_of_the_rotation(
    folder: Path, platform: Platform, old: str, new: str
) -> None:
    """A row with another time than the rotation's, or without one, is found."""
    _changed(folder, old, new, "severity-matrix")

    (found,) = _found(folder, platform)
    assert found.startswith(
        "severity-matrix.md:6 severity: P2: acknowledge within 900 s and recover within 3600"
    )


def test_our_own_commands_are_judged_by_the_caller(folder: Path, platform: Platform) -> None:
    """Their words are given to the function of whoever knows our command line."""
    _changed(folder, "kubectl -n shop rollout restart statefulset/database", "bais-gates run golivee")
    asked: list[object] = []

    def fault(words: object) -> str:
        asked.append(words)
        return "no such scope"

    found = check_runbooks(folder, platform, today=TODAY, own_fault=fault)

    assert asked == [("run", "golivee")]
    assert [one.message for one in found] == ["bais-gates would refuse it: no such scope"]


def test_what_is_no_folder_of_runbooks(tmp_path: Path, platform: Platform) -> None:
    """An empty folder, no folder, and a file that is not UTF-8 are errors, not passes."""
    (tmp_path / "a.md").write_bytes(b"# a\n\xff")
    for path, words in ((tmp_path / "none", "no runbook"), (tmp_path, r"a\.md:2: not UTF-8")):
        with pytest.raises(GateInputError, match=words):
            check_runbooks(path, platform, today=TODAY)
