"""Imported results keep their age and their target."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from bais_gates.verdict.model import Code, Verdict
from bais_gates.verdict.policy import BUILT_IN

if TYPE_CHECKING:
    from bais_gates.verdict.model import Decision, Origin, TargetIdentity
    from tests.verdict.conftest import World

FACTS = {
    "api.url": "https://api.example.com",
    "database.url": "postgresql://db.example.com/bais",
    "api.version": "1.0.0",
    "tls.serial": "AB",
    "cluster.uid": "u-1",
    "release.image": f"sha256:{'a' * 64}",
}
HOUR = timedelta(hours=1)


def facts(**changed: str | None) -> tuple[tuple[str, str], ...]:
    """Return what a target reports, with some facts changed or, for None, left out."""
    known = FACTS | {key.replace("_", ".", 1): value for key, value in changed.items()}
    return tuple((key, value) for key, value in known.items() if value is not None)


def decide(world: World, *origins: Origin, evidence_from: tuple[str, ...] = (), **fields: Any) -> Decision:
    """Judge gate a, imported from run-0, beside gate b, which passed here."""
    gates = (world.gate("a", evidence_from=evidence_from), world.gate("b"))
    given: dict[str, Any] = {"target": world.target(facts=facts())} | fields  # Any: keywords of decide
    results = world.result("a", imported_from="run-0"), world.result("b")
    return world.decide(*results, gates=gates, origins=origins, **given)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"api_version": "2.0.0"}, "API version 2.0.0, here 1.0.0"),
        ({"api_url": "https://other.example.com"}, "API address https://other.example.com, here"),
        ({"database_url": "postgresql://other/bais"}, "database address postgresql://other/bais, here"),
        ({"tls_serial": "CD"}, "certificate CD, here AB"),
        ({"cluster_uid": "u-2"}, "cluster u-2, here u-1"),
        ({"release_image": "sha256:2"}, f"running image sha256:2, here sha256:{'a' * 64}"),
        ({"api_version": None}, "API version unknown, here 1.0.0"),
        ({"cluster_uid": None}, "cluster unknown, here u-1"),
    ],
)
def test_a_target_that_differs_does_not_count(
    world: World, changed: dict[str, str | None], words: str
) -> None:
    """Every fact of the target must be the same and known on both sides; what differs is named."""
    target = world.target(facts=facts(**changed))
    decision = decide(world, world.origin(target=target))

    assert [reason.code for reason in decision.reasons] == [Code.IMPORT_OTHER_TARGET]
    assert words in decision.reasons[0].message
    back = decide(world, world.origin(target=world.target(facts=facts())), target=target)
    assert back.reasons[0].code is Code.IMPORT_OTHER_TARGET
    same = decide(world, world.origin(target=world.target(facts=facts())))
    assert same.verdict is Verdict.DEPLOY
    assert same.origins[0].target.name == "staging"


def test_each_sandbox_of_a_run_is_another_of_the_same_kind(world: World) -> None:
    """A rehearsal on the sandbox may build on that of an earlier run, which had another certificate."""
    sandbox = world.target(rehearsal=True, provisioned=True, facts=facts())
    earlier = replace(sandbox, facts=facts(tls_serial="CD", api_url="https://127.0.0.1:1", cluster_uid=None))

    assert decide(world, world.origin(target=earlier), target=sandbox).verdict is Verdict.DEPLOY
    newer = replace(earlier, facts=facts(api_version="2.0.0"))
    assert decide(world, world.origin(target=newer), target=sandbox).verdict is Verdict.BLOCK


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"subject": None}, "image none, here registry.example.com/bais-api@sha256:aaa"),
        ({"target.environment_digest": "sha256:other"}, "another environment file of this name"),
        ({"target.rehearsal": True}, "it is a rehearsal, and this run is none"),
    ],
)
def test_an_import_is_about_the_same(world: World, fields: dict[str, Any], words: str) -> None:
    """Another image or environment file, or a rehearsal, does not count."""
    of_target = {key.partition(".")[2]: value for key, value in fields.items() if "." in key}
    own = {key: value for key, value in fields.items() if "." not in key}
    target = world.target(facts=facts(), **of_target)
    decision = decide(world, world.origin(target=target, **own))

    assert [reason.code for reason in decision.reasons] == [Code.IMPORT_OTHER_TARGET]
    assert words in decision.reasons[0].message


def test_another_environment_counts_where_the_catalog_says_so(world: World) -> None:
    """With evidence_from, address, certificate and cluster may differ; image, version, contract may not."""
    elsewhere = world.target(
        name="test",
        environment_digest="sha256:test",
        facts=facts(api_url="https://test.example.com", tls_serial="CD", cluster_uid="u-9"),
    )
    origin = world.origin(target=elsewhere)
    allowed = {"evidence_from": ("test",)}

    assert decide(world, origin, **allowed).verdict is Verdict.DEPLOY
    refused = decide(world, origin)
    assert [(reason.code, reason.gate_id) for reason in refused.reasons] == [
        (Code.IMPORT_OTHER_TARGET, "acceptance.a")
    ]
    other = replace(
        origin,
        subject=world.subject("b"),
        contract="sha256:other",
        target=replace(elsewhere, facts=facts(api_version="2.0.0")),
    )
    message = decide(world, other, **allowed).reasons[0].message
    for words in ("image registry", "contract sha256:other, here none", "API version 2.0.0, here 1.0.0"):
        assert words in message
    rehearsed = replace(origin, target=replace(elsewhere, rehearsal=True))
    assert "it is a rehearsal" in decide(world, rehearsed, **allowed).reasons[0].message
    unknown = replace(origin, target=replace(elsewhere, facts=()))
    assert decide(world, unknown, **allowed, target=world.target()).reasons != ()
    unnamed = replace(BUILT_IN, subject_required=False)
    nameless = decide(world, replace(origin, subject=None), **allowed, subject=None, policy=unnamed)
    assert "no image is named" in nameless.reasons[0].message


OLD = f"sha256:{'0' * 64}"


def about_an_image(world: World, **facts_here: str | None) -> tuple[TargetIdentity, Origin]:
    """Return a target that reports version 1.0.0, and what was decided about 2.0.0 elsewhere."""
    elsewhere = world.target(name="test", facts=facts(api_version="2.0.0"))
    return world.target(facts=facts(**facts_here)), world.origin(target=elsewhere)


def test_before_a_rollout_the_release_is_proven_elsewhere(world: World) -> None:
    """While a target runs the previous release, its own gates judge the platform, and others the image."""
    here, origin = about_an_image(world, release_image=OLD)
    assert decide(world, origin, evidence_from=("test",), target=here).verdict is Verdict.DEPLOY

    after, _ = about_an_image(world)
    (reason,) = decide(world, origin, evidence_from=("test",), target=after).reasons
    assert (reason.code, "API version 2.0.0, here 1.0.0" in reason.message) == (
        Code.IMPORT_OTHER_TARGET,
        True,
    )

    other = replace(origin, subject=world.subject("b"))
    (reason,) = decide(world, other, evidence_from=("test",), target=here).reasons
    assert (reason.code, "image registry" in reason.message) == (Code.IMPORT_OTHER_TARGET, True)


@pytest.mark.parametrize(
    ("running", "rehearsal", "codes"),
    [
        (f"sha256:{'a' * 64}", False, []),
        (OLD, False, [Code.TARGET_RUNS_ANOTHER]),
        (f"sha256:{'a' * 64}, {OLD}", False, [Code.TARGET_RUNS_ANOTHER]),
        (OLD, True, []),
        (None, False, []),
    ],
    ids=["the same", "another", "two at once", "a rehearsal", "unknown"],
)
@pytest.mark.parametrize("evidence_from", [(), ("test",)])
def test_a_decision_about_an_image_needs_pods_that_run_it(
    world: World, running: str | None, rehearsal: bool, codes: list[Code], evidence_from: tuple[str, ...]
) -> None:
    """Where nothing about the image was proven elsewhere, it is none about a target that runs another."""
    target = world.target(facts=facts(release_image=running), rehearsal=rehearsal)
    gates = (world.gate("a", evidence_from=evidence_from), world.gate("b"))
    decision = world.decide(world.result("a"), world.result("b"), gates=gates, target=target)
    assert [reason.code for reason in decision.reasons] == codes
    nameless = world.decide(
        world.result("a"),
        world.result("b"),
        gates=gates,
        target=target,
        subject=None,
        policy=replace(BUILT_IN, subject_required=False),
    )
    assert nameless.reasons == ()


@pytest.mark.parametrize(
    ("outcome", "imported_from", "codes"),
    [
        ("PASS", "run-0", []),
        ("NOT_APPLICABLE", None, []),
        ("PASS", None, [Code.TARGET_RUNS_ANOTHER]),
        ("PASS", "run-1", [Code.TARGET_RUNS_ANOTHER]),
    ],
    ids=["elsewhere", "not applicable", "on the previous release", "on the previous release, earlier"],
)
def test_each_gate_about_the_release_is_proven_elsewhere(
    world: World, outcome: str, imported_from: str | None, codes: list[Code]
) -> None:
    """One that saw the previous release, in this run or an earlier one here, says nothing about the image."""
    here, origin = about_an_image(world, release_image=OLD)
    here = replace(here, not_applicable=(("acceptance.c", "it is"),))
    gates = (*(world.gate(one, evidence_from=("test",)) for one in "ac"), world.gate("b"))
    decision = world.decide(
        world.result("a", imported_from="run-0"),
        world.result("b"),
        world.result("c", outcome, imported_from=imported_from),
        gates=gates,
        target=here,
        origins=[origin, replace(origin, run_id="run-1", target=here)],
    )
    assert [reason.code for reason in decision.reasons] == codes


def test_a_decision_is_valid_no_longer_than_its_oldest_evidence(world: World) -> None:
    """Validity counts from when a result was seen, also where that was several imports ago."""
    target = world.target(facts=facts())
    young = world.origin(target=target, decided_at=world.now - HOUR)
    old = replace(young, decided_at=world.now - 3 * HOUR, valid_until=world.now + HOUR)
    short = replace(young, valid_until=world.now + HOUR / 2)

    assert decide(world, young).valid_until == world.now + 3 * HOUR
    assert decide(world, young, old).valid_until == world.now + HOUR
    assert decide(world, short).valid_until == world.now + HOUR / 2
    rolled_up = replace(old, run_id="rolled-up")  # no gate of the scope names it
    assert decide(world, rolled_up, young).valid_until == world.now + HOUR
    expired = decide(world, replace(young, decided_at=world.now - 4 * HOUR))
    assert [reason.code for reason in expired.reasons] == [Code.IMPORT_EXPIRED]


def test_one_gate_at_least_passes_in_the_run_that_decides(world: World) -> None:
    """A run in which nothing ran, or nothing passed, makes nothing younger."""
    target = world.target(facts=facts())
    origin = world.origin(target=target)
    imported = world.result("a", imported_from="run-0")
    decision = world.decide(imported, origins=[origin], target=target)

    assert [reason.code for reason in decision.reasons] == [Code.ONLY_IMPORTED]
    assert decision.exit_status == 21
    gates = (world.gate("a"), world.gate("b", "P4"))
    failed = world.decide(imported, world.result("b", "FAIL"), gates=gates, origins=[origin], target=target)
    assert [reason.code for reason in failed.reasons] == [Code.ONLY_IMPORTED]
    gates = (world.gate("a"), world.gate("b"))
    failed = world.decide(imported, world.result("b", "FAIL"), gates=gates, origins=[origin], target=target)
    assert [reason.code for reason in failed.reasons] == [Code.FAILED]
