"""``bais-gates verify``: the check that a pipeline runs before it deploys."""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bais_gates.attest.keys import public_key
from bais_gates.attest.problems import shown
from bais_gates.attest.verify import VerifyReport
from bais_gates.attest.verify import verify as verify_decision
from bais_gates.cli.common import add_decision
from bais_gates.reports import view
from bais_gates.verdict.codec import format_moment, optional_moment_to_json
from bais_gates.verdict.model import GOLIVE, SCOPES, Decision, Subject, parse_subject
from bais_gates.verdict.signatures import Signature

REFUSED = 1
DESCRIPTION = """\
Verify that DECISION allows a deployment: exit status 0 only for a DEPLOY with this scope, environment, run,
subject and catalog that is signed as the policy requires, consistent and still valid. Names the run that it
judged and, where a file has changed since, what in it. Touches nothing: reads files.

A decision about the sandbox is a rehearsal, which is accepted only with `--env sandbox`."""
_DURATION = re.compile(r"(\d+)([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def duration(text: str) -> timedelta:
    """Read ``90s``, ``30m``, ``12h`` or ``2d``."""
    match = _DURATION.fullmatch(text)
    if match is None:
        msg = f"{text!r} is not a duration such as 90s, 30m, 12h or 2d"
        raise argparse.ArgumentTypeError(msg)
    try:
        return timedelta(**{_UNITS[match[2]]: int(match[1])})
    except (OverflowError, ValueError):  # of more digits than Python converts
        msg = "it is longer than any decision is valid; leave it out"
        raise argparse.ArgumentTypeError(msg) from None


def subject(text: str) -> Subject:
    """Read ``NAME@sha256:<64 hex digits>``."""
    try:
        return parse_subject(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "verify",
        help="verify that a decision allows a deployment",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_decision(parser)
    parser.add_argument(
        "--scope",
        default=GOLIVE,
        choices=SCOPES,
        metavar="SCOPE",
        help="scope that it must have (default: %(default)s)",
    )
    parser.add_argument(
        "--env",
        default="production",
        metavar="NAME",
        help="environment that it must have (default: %(default)s)",
    )
    parser.add_argument("--run-id", metavar="ID", help="run that it must come from")
    parser.add_argument(
        "--subject", type=subject, metavar="NAME@sha256:...", help="image that it must be about"
    )
    parser.add_argument(
        "--catalog",
        type=Path,
        metavar="PATH",
        help="catalog that it must have been made with, with policy.yaml and waivers.yaml beside it "
        "(default: gates/catalog.yaml)",
    )
    parser.add_argument(
        "--max-age",
        type=duration,
        metavar="AGE",
        help="maximum age, e.g. 30m or 4h, also of what it imported (default: until its valid_until)",
    )
    parser.add_argument(
        "--key",
        type=Path,
        action="append",
        default=[],
        metavar="PEM",
        help="public key that must have signed it, besides what the policy requires (repeatable)",
    )
    parser.add_argument(
        "--threshold",
        type=_count,
        metavar="N",
        help="people who must have signed, by those keys or else by the policy's (default: 1)",
    )
    parser.add_argument(
        "--history",
        type=Path,
        metavar="DIR",
        help="folder of report folders or records of deploys: refuse a decision that a newer one there has "
        "overtaken, or whose release failed",
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON; codes are stable")
    parser.set_defaults(command=run)


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 20:
        msg = f"{text!r} is not a number of people from 1 to 20"
        raise argparse.ArgumentTypeError(msg)
    return int(text)


def judged(decision: Decision) -> str:
    """Return which run a decision is of, so that nobody takes it for another one's, and what it rests on."""
    about = f"{decision.scope} on {decision.target.name}, subject {view.image(decision)}"
    lines = [
        f"judged: run {decision.run.run_id}, decided {decision.decided_at:%Y-%m-%d %H:%M:%S} UTC: {about}",
        *(f"with results of {each}" for each in view.imports(decision)),
        *(
            f"{exempt.gate.id} is declared not applicable until {exemption.expires:%Y-%m-%d %H:%M} UTC"
            for exempt, exemption in view.exempted(decision)
        ),
    ]
    return "\n".join(map(shown, lines))


def signed_by(signature: Signature) -> str:
    """Return who signed, with which key, when."""
    when = f"{signature.signed_at:%Y-%m-%d %H:%M:%S} UTC" if signature.signed_at else "time not recorded"
    key = f"{signature.name} {signature.keyid}".lstrip()
    return f"signed by: {view.signer(signature)}, {key}, {when}"


def as_json(report: VerifyReport) -> dict[str, object]:
    """Return a report for machines."""
    decision = report.decision
    about = None
    if decision is not None:
        about = {
            "run_id": decision.run.run_id,
            "verdict": decision.verdict.value,
            "scope": decision.scope,
            "environment": decision.target.name,
            "subject": str(decision.subject) if decision.subject else None,
            "decided_at": format_moment(decision.decided_at),
            "valid_until": format_moment(decision.valid_until),
        }
    return {
        "ok": report.ok,
        "problems": [dataclasses.asdict(problem) for problem in report.problems],
        "decision": about,
        "signatures": [
            dataclasses.asdict(signature) | {"signed_at": optional_moment_to_json(signature.signed_at)}
            for signature in report.signatures
        ],
    }


def run(arguments: argparse.Namespace) -> int:
    """Verify, print every problem with its remedy, and return 0 or 1."""
    report = verify_decision(
        arguments.decision,
        scope=arguments.scope,
        env=arguments.env,
        run_id=arguments.run_id,
        subject=arguments.subject,
        catalog=arguments.catalog or Path("gates/catalog.yaml"),
        max_age=arguments.max_age,
        now=datetime.now(UTC),
        keys=[public_key(path) for path in arguments.key],
        threshold=arguments.threshold,
        history=arguments.history,
    )
    if arguments.json:
        print(json.dumps(as_json(report), indent=2))
        return 0 if report.ok else REFUSED
    for problem in report.problems:
        print(f"{problem.code}: {problem.message} {problem.remedy}".rstrip())
    decision = report.decision
    if decision is not None:
        print(judged(decision))
    for signature in report.signatures:
        print(signed_by(signature))
    if report.ok and decision is not None:
        until = f"valid until {decision.valid_until:%Y-%m-%d %H:%M} UTC"
        print(shown(f"DEPLOY {arguments.scope} on {arguments.env}: run {decision.run.run_id}, {until}"))
        return 0
    print(f"REFUSED: {arguments.decision} does not allow a deployment (see the reasons above)")
    return REFUSED
