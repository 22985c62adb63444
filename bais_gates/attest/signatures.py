"""Whether a decision is signed by whom it must be, before it is judged again.

Every signature in the file must be valid, by a key that is known and in its time, also where none is
demanded; then the signatures of different people are counted for each demand. A rehearsal, which deploys
nothing, may bring the public key of its sandbox along.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from bais_gates.attest import dsse
from bais_gates.attest.keys import KEYS_FILE, PublicKey, load_keys, public_key
from bais_gates.attest.problems import Problem
from bais_gates.attest.signing import SANDBOX_KEY_FILE, STATEMENTS_FILE, expected, parse_envelopes
from bais_gates.errors import AbsentFileError, GateInputError
from bais_gates.redaction import redact
from bais_gates.strict import parse_json
from bais_gates.verdict.model import Decision
from bais_gates.verdict.outcomes import name_some
from bais_gates.verdict.policy import Policy
from bais_gates.verdict.signatures import Signature

_SIGN = "bais-gates attest sign DECISION --key FILE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """How many people must have signed, by which keys."""

    required: int
    keys: frozenset[str]
    """Key ids."""
    by: str
    """Who asks for it, for messages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """The keys that are known here, and what is demanded of them."""

    keys: tuple[PublicKey, ...] = ()
    demands: tuple[Demand, ...] = ()
    problems: tuple[Problem, ...] = ()


def trust(
    *,
    env: str,
    policy: Policy | None,
    gates: Path | None,
    given: Sequence[PublicKey] = (),
    threshold: int | None = None,
) -> Trust:
    """Return who must have signed: what the policy says for ``env``, and ``threshold`` of the keys given.

    ``gates`` is the folder with ``keys.yaml``. Without keys a threshold raises what the policy requires.
    """
    problems: list[Problem] = []
    listed: tuple[PublicKey, ...] = ()
    if gates is not None:
        try:
            listed = load_keys(gates / KEYS_FILE)
        except GateInputError as error:
            problems.append(Problem(code="KEYS_INVALID", message=str(error)))
    ids = {key.keyid for key in listed}  # whose key it is and until when, keys.yaml knows better
    known = (*listed, *(key for key in given if key.keyid not in ids))
    demands = []
    rule = policy.signatures.get(env) if policy is not None else None
    by_name = {key.name: key.keyid for key in listed}
    if rule is not None:
        missing = [name for name in rule.keys if name not in by_name]
        if missing and not problems:
            text = f"The policy names keys that {KEYS_FILE} doesn't list: {name_some(missing)}."
            remedy = "List them there, or correct the policy."
            problems.append(Problem(code="KEYS_INVALID", message=text, remedy=remedy))
        names = [by_name[name] for name in rule.keys if name in by_name] if rule.keys else by_name.values()
        required = rule.required if given else max(rule.required, threshold or 0)
        demands.append(Demand(required=required, keys=frozenset(names), by="the policy"))
    if given:
        ids = {key.keyid for key in given}
        demands.append(Demand(required=threshold or 1, keys=frozenset(ids), by="--key"))
    elif threshold is not None and rule is None:
        demands.append(Demand(required=threshold, keys=frozenset(by_name.values()), by="--threshold"))
    return Trust(keys=known, demands=tuple(demands), problems=tuple(problems))


def examine(
    path: Path, decision: Decision, file_digest: str, trusted: Trust, now: datetime
) -> tuple[list[Problem], tuple[Signature, ...]]:
    """Return what is wrong with the signatures of the decision file ``path``, and those that are in order."""
    beside = path.with_name(STATEMENTS_FILE)
    try:
        envelopes = parse_envelopes(beside)
    except AbsentFileError:
        return [_absent(beside, demand) for demand in trusted.demands[:1]], ()
    except GateInputError as error:
        return [Problem(code="ATTESTATION_UNPARSABLE", message=str(error))], ()
    other = _other(beside, expected(decision, file_digest), envelopes)
    if other is not None:
        return [other], ()
    problems: list[Problem] = []
    valid: list[tuple[Signature, str]] = []
    known = {key.keyid: key for key in (*_of_sandbox(path, decision), *trusted.keys)}
    for signatures in zip(*(envelope.signatures for envelope in envelopes), strict=True):
        key = known.get(signatures[0].keyid)
        if key is None:
            problems.append(_unlisted(signatures[0].keyid))
            continue
        pairs = zip(envelopes, signatures, strict=True)
        moments = [decision.decided_at, now, *(each.signed_at for each in signatures if each.signed_at)]
        if not all(dsse.is_valid(envelope, each, key) for envelope, each in pairs):
            problems.append(_invalid(key))
        elif (untimely := _untimely(key, moments)) is not None:
            problems.append(untimely)
        else:
            valid.append((_signature(key, signatures[0].signed_at), key.person))
    for demand in trusted.demands:
        problems += _too_few(demand, valid, known, len(envelopes[0].signatures))
    return problems, tuple(signature for signature, _ in valid)


def _signature(key: PublicKey, at: datetime | None) -> Signature:
    return Signature(keyid=key.keyid, name=key.name, owner=redact(key.owner), signed_at=at)


def after_signing(
    path: Path, decision: Decision, file_digest: str, own: PublicKey, *, gates: Path
) -> tuple[list[Problem], tuple[Signature, ...]]:
    """Return what ``verify`` would refuse in the signatures of a decision file, and those that are in order.

    Owners are as in ``gates/keys.yaml``; ``own`` is the key that has just signed, listed or not. Raises
    GateInputError.
    """
    listed = load_keys(gates / KEYS_FILE)
    is_known = own.keyid in {key.keyid for key in (*listed, *_of_sandbox(path, decision))}
    trusted = Trust(keys=listed if is_known else (own, *listed))
    problems, signatures = examine(path, decision, file_digest, trusted, decision.decided_at)
    return [*problems, *([] if is_known else [_unlisted(own.keyid)])], signatures


def _of_sandbox(path: Path, decision: Decision) -> tuple[PublicKey, ...]:
    """Return the key that a run on its sandbox left beside a rehearsal; none beside anything else."""
    if not decision.target.rehearsal:
        return ()
    try:
        key = public_key(path.with_name(SANDBOX_KEY_FILE))
    except GateInputError:
        return ()
    return (replace(key, owner="the sandbox itself"),)


def _other(beside: Path, payloads: Sequence[bytes], envelopes: Sequence[dsse.Envelope]) -> Problem | None:
    """Return why the statements are not about this decision."""
    for envelope, payload in zip(envelopes, payloads, strict=True):
        if envelope.payload != payload:
            what = name_some(list(_differing(envelope.payload, payload)) or ["the form"])
            return Problem(
                code="ATTESTATION_OTHER",
                message=f"{beside} is not about this decision: {what} differ.",
                remedy="Keep the files of one run together, or sign the decision again.",
            )
    return None


def _differing(payload: bytes, wanted: bytes) -> Iterator[str]:
    """Yield the keys of a statement that differ."""
    try:
        found, due = parse_json(payload), parse_json(wanted)
        pairs = [(found, due, key) for key in due if key != "predicate"]
        pairs += [(found["predicate"], due["predicate"], key) for key in due["predicate"]]
        yield from (key for one, two, key in pairs if one.get(key) != two.get(key))
    except (ValueError, KeyError, TypeError, AttributeError):
        yield "statements"


def _absent(beside: Path, demand: Demand) -> Problem:
    return Problem(
        code="ATTESTATION_ABSENT",
        message=f"The decision is not signed: {demand.by} requires {demand.required} signature"
        f"{'s' if demand.required > 1 else ''}, and there is no {beside}.",
        remedy=f"Read the sign-off page, then sign it: `{_SIGN}`.",
    )


def _unlisted(keyid: str) -> Problem:
    return Problem(
        code="SIGNATURE_UNLISTED",
        message=f"The decision is signed by {keyid[:60]}, a key that is not listed here.",
        remedy=f"If you know whose it is, list it in {KEYS_FILE} or give it by --key; else sign anew.",
    )


def _invalid(key: PublicKey) -> Problem:
    return Problem(
        code="SIGNATURE_INVALID",
        message=f"The signature of {key.name} is not valid: statement, time or signature was changed.",
        remedy=f"Sign the decision again: `{_SIGN}`.",
    )


def _untimely(key: PublicKey, moments: Iterable[datetime]) -> Problem | None:
    """Return why a key may not sign at one of these moments."""
    every = list(moments)
    if max(every) >= key.not_after:
        code, text = "KEY_EXPIRED", f"expired at {key.not_after:%Y-%m-%d %H:%M} UTC"
    elif min(every) < key.not_before:
        code, text = "KEY_NOT_YET_VALID", f"is valid only from {key.not_before:%Y-%m-%d %H:%M} UTC"
    else:
        return None
    message = f"The key {key.name} of the signature {text}."
    return Problem(code=code, message=message, remedy="Have a key sign that is valid, and list it.")


def _too_few(
    demand: Demand, valid: Iterable[tuple[Signature, str]], known: dict[str, PublicKey], found: int
) -> Iterator[Problem]:
    people = {person for signature, person in valid if signature.keyid in demand.keys}
    if len(people) >= demand.required:
        return
    names = [key.name for key in known.values() if key.keyid in demand.keys]
    who = f"keys that count: {name_some(names)}" if names else f"{KEYS_FILE} lists no key that counts"
    yield Problem(
        code="SIGNATURES_TOO_FEW",
        message=f"{len(people)} of {demand.required} people whom {demand.by} requires have signed "
        f"({found} signatures in the file; {who}).",
        remedy=f"Have the others sign: `{_SIGN}`.",
    )
