"""What a refusal says has changed since the decision: names and values, and never a secret."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bais_gates.verdict.inputs import key_digests, part_of

if TYPE_CHECKING:
    from tests.attest.conftest import Project

CANARY = "canary-4711-of-production"


def changes(project: Project, code: str) -> tuple[str, ...]:
    """Verify and return what is said to have changed in the file of this code."""
    problem = next(each for each in project.verify().problems if each.code == code)
    assert all(clause in problem.message for clause in problem.changes[:10])
    return problem.changes


def edit(project: Project, file: str, old: str, new: str) -> None:
    """Replace a text, which must be there, in a file of the project."""
    path = project.catalog.parent / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("acceptance.d", "acceptance.e", ("acceptance.e added", "acceptance.d removed")),
        ("severity: P1", "severity: P2", ("acceptance.a changed (severity P1 -> P2)",)),
        ("title: Gate b", "title: Gate bee", ("acceptance.b changed (title)",)),
        ("title: Gate b", "title: Gate b\n    deadline_s: 9", ("acceptance.b changed",)),
        ("\ngates:", "\n# later\ngates:", ("only comments, order or spelling",)),
        ("It is ready.", "It is nearly ready.", ("criteria changed",)),
        ("[acceptance.a, acceptance.c]", "[acceptance.a]", ("criteria changed",)),
    ],
)
def test_gates_of_the_catalog(project: Project, old: str, new: str, expected: tuple[str, ...]) -> None:
    """Gates that were added, removed or changed are named, with the fields and a severity's values."""
    edit(project, "catalog.yaml", old, new)

    assert changes(project, "CATALOG_OTHER") == expected


def test_a_gate_outside_the_scope_is_named_too(project: Project) -> None:
    """A decision keeps a digest of every gate in the catalog, also of those that it does not judge."""
    edit(project, "catalog.yaml", "    severity: P4\n    scopes: [golive]\n", "    severity: P4\n")
    project.judge()
    edit(project, "catalog.yaml", "title: Gate d", "title: Gate dee")

    assert changes(project, "CATALOG_OTHER") == ("acceptance.d changed",)


def test_values_of_the_policy(project: Project) -> None:
    """A changed value is shown with the old one, and a rule that was added by name."""
    edit(project, "policy.yaml", "validity_s: 3600", "validity_s: 7200\nsubject: not_required")
    edit(project, "policy.yaml", "P3: 30", "P3: 31, P4: 1")
    edit(project, "policy.yaml", "blocking:", "signatures: {sandbox: {required: 2}}\nblocking:")

    assert set(changes(project, "POLICY_OTHER")) == {
        "validity_s 3600 -> 7200",
        "subject required -> not_required",
        "waiver_max_days.P3 30 -> 31",
        "waiver_max_days.P4 added",
        "signatures.sandbox added",
    }


def test_waivers(project: Project) -> None:
    """A waiver that differs is named by ticket, gate and environment."""
    edit(project, "waivers.yaml", "ticket: BAIS-1", "ticket: BAIS-2")

    assert changes(project, "WAIVERS_OTHER") == (
        "waiver BAIS-2 of acceptance.c on production added",
        "waiver BAIS-1 of acceptance.c on production removed or changed",
    )


def test_keys_of_the_environment_and_no_value(project: Project) -> None:
    """Changed keys are named two levels deep; no decision or refusal has a value or its whole digest."""
    before = (
        f"name: production\ndatabase: {{url: 'postgresql://u:{CANARY}@db/x'}}\ncache: {{url: 'redis://c'}}\n"
    )
    path = project.catalog.parent / "environments" / "production.yaml"
    path.write_text(before)
    project.judge()
    path.write_text(before.replace(CANARY, f"new-{CANARY}").replace("cache: ", "metrics: "))

    report = project.verify()
    assert changes(project, "ENVIRONMENT_OTHER") == (
        "metrics.url added",
        "cache.url removed",
        "database.url changed",
    )
    assert CANARY not in str(report)
    assert CANARY not in project.decision.read_text()
    assert report.decision is not None
    assert {len(digest) for digest in part_of(report.decision.inputs, "environment").values()} == {4}
    digests = dict(key_digests({"a": {}, "b": {"c": 1, "d": [1]}, "e": 1}))
    assert list(digests) == ["a", "b.c", "b.d", "e"]
    assert digests["b.c"] == digests["e"] != digests["b.d"]


def test_a_decision_of_an_older_version(project: Project) -> None:
    """A decision that kept nothing to compare is refused in the same words, without a list."""
    document = project.judge()
    del document["inputs"]
    project.forge(document)
    assert project.codes() == []
    edit(project, "policy.yaml", "validity_s: 3600", "validity_s: 3601")
    assert changes(project, "POLICY_OTHER") == ()
