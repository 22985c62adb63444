"""Strategies for random and hostile decisions."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime

from hypothesis import strategies as st

from bais_gates.verdict.criteria import CriteriaList, Criterion
from bais_gates.verdict.model import (
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
)

HOSTILE = (
    "<script>alert(1)</script>",
    "]]>",
    "\x1b[2J\x1b[31mred",
    "nul \x00 byte",
    "lone \ud800 surrogate",
    "abc\u202egnp.exe",
    "zero\u200bwidth",
    "| a | b |\n# heading\n[x](javascript:alert(1)) ![i](http://evil.example/x.png) @team",
    '"><img src=x onerror=alert(1)>',
    "' style='position:fixed'",
    "</style></details></svg>",
    "{{ 7 * 7 }}{% raw %}",
    "&lt;b&gt; &amp;",
    "\r\nSet-Cookie: x",
    "\ufffe\uffff\x0b\x85",
    "caf\u00e9 \u6771\u4eac \U0001f680",
)
"""Text that has broken a report somewhere."""

_texts = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=40), st.just("x" * 30_000))
_words = st.one_of(st.sampled_from(HOSTILE), st.text(min_size=1, max_size=12))
_moments = st.integers(min_value=946_684_800, max_value=4_102_444_800).map(
    lambda seconds: datetime.fromtimestamp(seconds, tz=UTC)
)
_scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), _texts
)
_values = st.recursive(
    _scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_words, inner, max_size=3)),
    max_leaves=5,
)
_digests = st.binary(min_size=32, max_size=32).map(lambda raw: f"sha256:{raw.hex()}")
_checks = st.builds(
    Check,
    name=_texts,
    observed=_values,
    op=st.sampled_from(Op),
    limit=_values,
    ok=st.sampled_from((True, False, None)),
    unit=st.none() | _words,
    n=st.none() | st.integers(min_value=0, max_value=10**6),
    n_min=st.none() | st.integers(min_value=0, max_value=10**6),
    source=st.none() | _texts,
    case=st.none() | _words,
)
_attachments = st.builds(Attachment, name=_texts, content_type=_words, text=_texts, truncated=st.booleans())
_waivers = st.builds(
    Waiver,
    gate=_words,
    reason=_texts,
    ticket=_words,
    requested_by=_words,
    approved_by=_words,
    approved_at=_moments,
    expires=_moments,
    environment=_words,
    subject_digest=st.none() | _digests,
)
_subjects = st.builds(Subject, name=st.just("registry.example/api"), digest=_digests)


@st.composite
def _judged_gates(draw: st.DrawFn, index: int) -> JudgedGate:
    phase = draw(st.sampled_from(Phase))
    gate = Gate(
        id=f"{phase.value}.gate_{index}",
        title=draw(_texts),
        phase=phase,
        severity=draw(st.sampled_from(Severity)),
        scopes=("golive",),
        requirement=draw(_texts),
        remedy=draw(_texts),
    )
    result = GateResult(
        gate_id=gate.id,
        outcome=draw(st.sampled_from(Outcome)),
        message=draw(_texts),
        checks=tuple(draw(st.lists(_checks, max_size=3))),
        attachments=tuple(draw(st.lists(_attachments, max_size=2))),
        nodeid=draw(_texts),
        summary=draw(_texts),
        started_at=draw(st.none() | _moments),
        duration_s=draw(st.floats(min_value=0, max_value=1e6)),
        log=draw(_texts),
    )
    return JudgedGate(
        gate=gate,
        result=result,
        waiver=draw(st.none() | _waivers),
        blocking=draw(st.booleans()),
        advisory=draw(st.booleans()),
    )


@st.composite
def decisions(draw: st.DrawFn) -> Decision:
    """Draw a decision whose texts are random or hostile."""
    gates = tuple(draw(_judged_gates(index)) for index in range(draw(st.integers(0, 5))))
    ids = st.sampled_from([judged.gate.id for judged in gates] or ["load.unknown"])
    reasons = st.builds(
        Reason,
        code=st.sampled_from(Code),
        message=_texts,
        gate_id=st.none() | ids,
        remedy=_texts,
    )
    run = st.builds(
        Run,
        run_id=_words,
        started_at=_moments,
        finished_at=st.none() | _moments,
        command=st.lists(_texts, max_size=3).map(tuple),
        workers=st.integers(0, 64),
        versions=st.lists(st.tuples(_words, _words), max_size=3).map(tuple),
        ledger_digest=st.none() | _digests,
    )
    target = st.builds(
        TargetIdentity,
        name=_words,
        rehearsal=st.booleans(),
        environment_digest=_digests,
        facts=st.lists(st.tuples(_words, _texts), max_size=3).map(tuple),
        not_applicable=st.lists(st.tuples(ids, _texts), max_size=2).map(tuple),
        exemptions=st.lists(st.builds(dataclasses.replace, _waivers, gate=ids), max_size=2).map(tuple),
        addresses=st.lists(st.tuples(_words, _texts), max_size=2).map(tuple),
    )
    origins = st.builds(
        Origin,
        run_id=_words,
        decided_at=_moments,
        valid_until=_moments,
        target=target,
        subject=st.none() | _subjects,
    )
    criterion = st.builds(
        Criterion, text=_texts, gate_ids=st.lists(ids | _words, min_size=1, max_size=3).map(tuple)
    )
    criteria = st.builds(
        CriteriaList, title=_texts, criteria=st.lists(criterion, min_size=1, max_size=3).map(tuple)
    )
    previous = st.builds(
        Previous,
        run_id=_words,
        verdict=st.sampled_from(Verdict),
        decided_at=_moments,
        scope=st.sampled_from(("golive", "load")),
        outcomes=st.lists(st.tuples(ids, st.sampled_from(Outcome)), max_size=4).map(tuple),
    )
    return Decision(
        verdict=draw(st.sampled_from(Verdict)),
        exit_status=draw(st.sampled_from(ExitStatus)),
        scope="golive",
        reasons=tuple(draw(st.lists(reasons, max_size=3))),
        gates=gates,
        run=draw(run),
        target=draw(target),
        subject=draw(st.none() | _subjects),
        digests=Digests(catalog=draw(st.none() | _digests), policy=None, waivers=None),
        waivers=tuple(draw(st.lists(_waivers, max_size=2))),
        decided_at=draw(_moments),
        valid_until=draw(_moments),
        previous=draw(st.none() | previous),
        imported=tuple(draw(st.lists(_words, max_size=2))),
        origins=tuple(draw(st.lists(origins, max_size=2))),
        subject_required=draw(st.booleans()),
        criteria=tuple(draw(st.lists(criteria, max_size=2))),
    )
