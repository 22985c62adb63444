"""The decision as JSON: lossless, validated by its schema, robust."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bais_gates.errors import AbsentFileError, GateInputError
from bais_gates.verdict.criteria import CriteriaList, Criterion
from bais_gates.verdict.decide import undecided
from bais_gates.verdict.document import (
    document_digest,
    from_document,
    load_decision,
    load_previous,
    to_document,
)
from bais_gates.verdict.model import (
    SCOPES,
    Attachment,
    Check,
    Code,
    Decision,
    Digests,
    ExitStatus,
    Gate,
    GateResult,
    JudgedGate,
    Op,
    Origin,
    Outcome,
    Phase,
    Previous,
    Reason,
    Run,
    Severity,
    Subject,
    TargetIdentity,
    Verdict,
    Waiver,
    parse_subject,
)
from bais_gates.verdict.schema import schema_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.verdict.conftest import World, Write

text = st.text(max_size=8)
names = st.text(min_size=1, max_size=8)
maybe_text = st.none() | text
counts = st.none() | st.integers(0, 10**6)
texts = st.lists(text, max_size=2).map(tuple)
pairs = st.lists(st.tuples(text, text), max_size=2).map(tuple)
digests = st.text(alphabet="0123456789abcdef", min_size=64, max_size=64).map("sha256:".__add__)
zones = st.integers(-720, 720).map(lambda minutes: timezone(timedelta(minutes=minutes)))
moments = st.datetimes(min_value=datetime(1990, 1, 1), max_value=datetime(2200, 1, 1), timezones=zones)  # noqa: DTZ001  # hypothesis wants naive bounds
DIGEST = "sha256:" + "0a" * 32
finite = st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | finite | text,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(text, inner, max_size=2),
    max_leaves=4,
)
waivers = st.builds(
    Waiver,
    gate=text,
    reason=text,
    ticket=text,
    requested_by=text,
    approved_by=text,
    approved_at=moments,
    expires=moments,
    environment=text,
    subject_digest=maybe_text,
)
checks = st.builds(
    Check,
    name=text,
    observed=values,
    op=st.sampled_from(Op),
    limit=values,
    ok=st.sampled_from([True, False, None]),
    unit=maybe_text,
    n=counts,
    n_min=counts,
    source=maybe_text,
    case=maybe_text,
)
attachments = st.builds(Attachment, name=text, content_type=text, text=text, truncated=st.booleans())


@st.composite
def judged_gates(draw: st.DrawFn) -> JudgedGate:
    """Generate a judged gate; the id of gate and result are one."""
    gate_id = draw(text)
    gate = st.builds(
        Gate,
        id=st.just(gate_id),
        title=text,
        phase=st.sampled_from(Phase),
        severity=st.sampled_from(Severity),
        scopes=texts,
        requirement=text,
        remedy=text,
        cases=texts,
        needs=texts,
        exclusive=st.booleans(),
        mutates=st.booleans(),
        environments=texts,
        evidence_from=texts,
    )
    result = st.builds(
        GateResult,
        gate_id=st.just(gate_id),
        outcome=st.sampled_from(Outcome),
        message=text,
        checks=st.lists(checks, max_size=2).map(tuple),
        attachments=st.lists(attachments, max_size=1).map(tuple),
        cases=texts,
        needs_not_passed=texts,
        nodeid=text,
        summary=text,
        started_at=st.none() | moments,
        duration_s=finite,
        worker=text,
        attempts=st.integers(0, 3),
        log=text,
        imported_from=maybe_text,
    )
    return JudgedGate(
        gate=draw(gate),
        result=draw(result),
        waiver=draw(st.none() | waivers),
        blocking=draw(st.booleans()),
        advisory=draw(st.booleans()),
    )


targets = st.builds(
    TargetIdentity,
    name=text,
    rehearsal=st.booleans(),
    environment_digest=text,
    facts=pairs,
    not_applicable=pairs,
    exemptions=st.lists(waivers, max_size=1).map(tuple),
    addresses=pairs,
    provisioned=st.booleans(),
    without_tenant=st.booleans(),
    allow=st.lists(text, max_size=2).map(tuple),
)
subjects = st.none() | st.builds(Subject, name=names, digest=digests)
origins = st.builds(
    Origin,
    run_id=text,
    decided_at=moments,
    valid_until=moments,
    target=targets,
    subject=subjects,
    contract=maybe_text,
)
decisions = st.builds(
    Decision,
    verdict=st.sampled_from(Verdict),
    exit_status=st.sampled_from(ExitStatus),
    scope=st.sampled_from(SCOPES),
    reasons=st.lists(
        st.builds(Reason, code=st.sampled_from(Code), message=text, gate_id=maybe_text, remedy=text),
        max_size=2,
    ).map(tuple),
    gates=st.lists(judged_gates(), max_size=2).map(tuple),
    run=st.builds(
        Run,
        run_id=names,
        started_at=moments,
        finished_at=st.none() | moments,
        command=texts,
        workers=st.integers(0, 9),
        versions=pairs,
        ledger_digest=maybe_text,
    ),
    target=targets,
    subject=subjects,
    subject_required=st.booleans(),
    digests=st.builds(
        Digests, catalog=maybe_text, policy=maybe_text, waivers=maybe_text, contract=maybe_text
    ),
    waivers=st.lists(waivers, max_size=2).map(tuple),
    decided_at=moments,
    valid_until=moments,
    previous=st.none()
    | st.builds(
        Previous,
        run_id=text,
        verdict=st.sampled_from(Verdict),
        decided_at=moments,
        scope=text,
        outcomes=st.lists(st.tuples(text, st.sampled_from(Outcome)), max_size=2).map(tuple),
    ),
    imported=texts,
    origins=st.lists(origins, max_size=2).map(tuple),
    criteria=st.lists(
        st.builds(
            CriteriaList,
            title=text.map(str.strip),
            criteria=st.lists(st.builds(Criterion, text=text.map(str.strip), gate_ids=texts), max_size=2).map(
                tuple
            ),
        ),
        max_size=2,
    ).map(tuple),
)


@given(decision=decisions)
def test_round_trip_is_lossless(decision: Decision) -> None:
    """Whatever a decision holds, writing it as JSON text and reading it back gives the same decision."""
    document = json.loads(json.dumps(to_document(decision), ensure_ascii=False, allow_nan=False))

    assert from_document(document) == decision
    assert to_document(from_document(document)) == document


def test_document_is_readable(world: World) -> None:
    """Moments are RFC 3339 in UTC, enums are text, and a gate is one flat object."""
    decision = world.decide(world.result(outcome="FAIL", message="Too slow."))
    document: dict[str, Any] = to_document(decision)
    (gate,) = document["gates"]

    assert (document["schema_version"], document["verdict"], document["exit_status"]) == ("1", "BLOCK", 20)
    assert document["decided_at"] == "2026-03-02T12:00:00Z"
    assert (gate["id"], gate["outcome"], gate["severity"]) == ("acceptance.a", "FAIL", "P2")
    assert (gate["blocking"], gate["message"], gate["waived_by"]) == (True, "Too slow.", None)
    assert gate["checks"][0]["op"] == "<="
    assert document["reasons"][0]["code"] == "FAILED"


def test_undecided_round_trips(world: World) -> None:
    """The decision that is written before anything else is a document like any other."""
    reason = Reason(code=Code.RUN_INCOMPLETE, message="The run has not ended.")
    decision = undecided(scope="golive", run=world.run(finished_at=None), reason=reason)
    assert from_document(to_document(decision)) == decision


def test_hostile_values_do_not_break_it(world: World) -> None:
    """Half surrogates and numbers that are not finite are replaced; the document stays JSON text."""
    check = world.check(observed=[float("nan"), {"\ud800": float("-inf")}], name="\udfff<script>\0")
    document = to_document(world.decide(world.result(checks=(check,), log="\ud83d")))
    written = json.dumps(document, ensure_ascii=False, allow_nan=False).encode("utf-8")

    (read,) = from_document(json.loads(written)).gates[0].result.checks
    assert read.observed == ["nan", {"\ufffd": "-inf"}]
    assert read.name == "\ufffd<script>\0"


def test_previous_decision_is_read_in_short(world: World, write: Write) -> None:
    """The decision before is read as its run, verdict and outcomes; one that judged nothing, as its own."""
    first = world.decide(world.result())
    kept = Previous(
        run_id=first.run.run_id,
        verdict=first.verdict,
        decided_at=first.decided_at,
        scope=first.scope,
        outcomes=tuple((judged.gate.id, judged.result.outcome) for judged in first.gates),
    )
    unfinished = undecided(
        scope="golive", run=first.run, reason=Reason(code=Code.RUN_INCOMPLETE, message=""), previous=kept
    )

    for decision in (first, unfinished):
        assert load_previous(write(json.dumps(to_document(decision)), "decision.json")) == kept


def test_previous_decision_that_was_edited_is_refused(world: World, write: Write) -> None:
    """What the next decision keeps is held to the digest, as the whole is."""
    document = to_document(world.decide(world.result())) | {"scope": "staging"}

    with pytest.raises(GateInputError, match="digest: does not match"):
        load_previous(write(json.dumps(document), "decision.json"))


@pytest.mark.parametrize("code", Code)
def test_schema_knows_every_code(code: Code) -> None:
    """The published schema lists every code, outcome and scope that the model has."""
    definitions = json.loads(schema_text("decision"))["$defs"]

    assert code.value in definitions["reason"]["properties"]["code"]["enum"]
    assert definitions["outcome"]["enum"] == [outcome.value for outcome in Outcome]
    assert definitions["scope"]["enum"] == list(SCOPES)


@pytest.mark.parametrize("name", ["catalog", "policy", "waivers", "decision", "metrics", "freezes"])
def test_schemas_are_schemas_with_words(name: str) -> None:
    """Every published schema is valid by its meta-schema, closed, and has a description."""
    from jsonschema import Draft202012Validator  # noqa: PLC0415  # only this test needs it

    schema = json.loads(schema_text(name))
    Draft202012Validator.check_schema(schema)
    objects = [schema, *schema.get("$defs", {}).values()]

    assert schema["title"]
    assert schema["description"]
    assert all(part["additionalProperties"] is False for part in objects if part.get("type") == "object")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda document: document.update(verdict="MAYBE"), "verdict: must be DEPLOY or BLOCK"),
        (lambda document: document.update(extra=1), "extra: unknown key"),
        (lambda document: document.pop("digest"), "digest is missing"),
        (lambda document: document.update(schema_version="2"), "schema_version: must be 1"),
        (lambda document: document.update(decided_at="2026-03-02"), "decided_at: must be a date and time"),
        (lambda document: document.update(verdict="DEPLOY"), "digest: does not match the content"),
        (lambda document: document["gates"].clear(), "digest: does not match"),
        (lambda document: document["gates"][0].update(duration_s=float("inf")), "out of range"),
    ],
)
def test_wrong_documents_are_refused(
    world: World, change: Callable[[dict[str, Any]], object], words: str
) -> None:
    """A document that does not hold to the schema, or was edited, is refused with the key."""
    document = json.loads(json.dumps(to_document(world.decide(world.result(outcome="FAIL")))))
    change(document)
    with pytest.raises(GateInputError) as caught:
        from_document(document)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "invalid JSON (line 1"),
        ('{"a": 1', "invalid JSON"),
        ('{"a": 1, "a": 2}', "duplicate key"),
        ('{"a": NaN}', "NaN is not a JSON number"),
        ("[" * 100_000, "nested too deep"),
        ('{"a": ' + "9" * 5000 + "}", "invalid JSON"),
        (b"\xff\xfe", "not UTF-8"),
        ("[]", "must be keys and values"),
        ("{}", "are missing"),
    ],
)
def test_unreadable_files_are_refused(write: Write, content: str | bytes, words: str) -> None:
    """A file that is not a decision is refused in one paragraph."""
    with pytest.raises(GateInputError) as caught:
        load_decision(write(content, "decision.json"))
    assert words in str(caught.value)


def test_decision_file_is_read(world: World, write: Write, tmp_path: Path) -> None:
    """A decision that was written is read back; an absent file raises an error of its own."""
    decision = world.decide(world.result())
    path = write(json.dumps(to_document(decision)))

    assert load_decision(path) == decision
    assert decision.decided_at.tzinfo is UTC
    with pytest.raises(AbsentFileError):
        load_decision(tmp_path / "nothing.json")


def test_digest_is_of_canonical_json() -> None:
    """The digest does not depend on the order of keys, the spacing or itself."""
    assert document_digest({"a": 1, "b": "é", "digest": "x"}) == document_digest({"b": "é", "a": 1})


@pytest.mark.parametrize("name", ["bais-api", "registry.example.com:5000/team/bais-api", "bais/api:1.2"])
def test_subject_is_read(name: str) -> None:
    """A name and a digest are read, and written back the same."""
    subject = parse_subject(f"{name}@{DIGEST}")
    assert (subject.name, subject.digest, str(subject)) == (name, DIGEST, f"{name}@{DIGEST}")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "bais-api",
        "bais-api:1.0",
        f"@{DIGEST}",
        f"a@{DIGEST}0",
        f"a@{DIGEST.upper()}",
        f"a b@{DIGEST}",
        f"a@{DIGEST}\n",
    ],
)
def test_anything_less_is_refused(text: str) -> None:
    """A tag, a short digest or stray characters are refused with what to write."""
    with pytest.raises(ValueError, match="64 lower-case hex digits"):
        parse_subject(text)
