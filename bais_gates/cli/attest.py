"""``bais-gates attest``: make keys, sign a decision, verify its statements."""

from __future__ import annotations

import argparse
import json
import os
import re
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from bais_gates.attest import dsse
from bais_gates.attest.keys import (
    KEY_VARIABLE,
    PASSPHRASE_VARIABLE,
    generate,
    public_key,
    public_pem,
    signing_key,
)
from bais_gates.attest.records import read_signature
from bais_gates.attest.signatures import after_signing
from bais_gates.attest.signing import STATEMENTS_FILE, parse_envelopes, predicates, signed
from bais_gates.cli.common import add_decision
from bais_gates.cli.verify import REFUSED, judged, signed_by
from bais_gates.errors import GateInputError
from bais_gates.reports.files import write_atomically, write_signoff
from bais_gates.verdict.codec import format_moment
from bais_gates.verdict.document import load_with_digest
from bais_gates.verdict.model import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bais_gates.attest.keys import PublicKey

KEYGEN = f"""\
Make an Ed25519 key: the private half in FILE (mode 0600, never overwritten; encrypted where
{PASSPHRASE_VARIABLE} is set), the public one in FILE.pub. Prints the entry for gates/keys.yaml.
Touches: these two files."""
SIGN = f"""\
Sign DECISION: adds your signature to decision.intoto.jsonl beside it, or begins that file, and names you on
the sign-off page. The key is in FILE, or as PEM in {KEY_VARIABLE}; its passphrase is in
{PASSPHRASE_VARIABLE}.
What is signed is what the file says, also a BLOCK: read the sign-off page first.
Touches: decision.intoto.jsonl, signoff.html and the two predicate files, beside DECISION."""
VERIFY = """\
Verify the signatures of STATEMENTS alone, by the keys given, and print what they are about. Whether a
decision allows a deployment is for `bais-gates verify` to say. Of the record of a deploy (ID.json) the
signature beside it is verified, and that it is about this record. Touches nothing: reads files."""
_YEAR = 365


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's parser, and those of keygen, sign and verify."""
    parser = commands.add_parser("attest", help="make keys, sign a decision, verify its statements")
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)

    def action(name: str, summary: str, text: str) -> argparse.ArgumentParser:
        how = argparse.RawDescriptionHelpFormatter
        return actions.add_parser(name, help=summary, description=text, formatter_class=how)

    keygen = action("keygen", "make a key", KEYGEN)
    keygen.add_argument("--out", type=Path, required=True, metavar="FILE", help="file of the private key")
    keygen.add_argument("--name", type=_name, default="release", help="its name (default: %(default)s)")
    keygen.add_argument("--owner", required=True, help="person or system that holds it")
    keygen.add_argument("--days", type=int, default=_YEAR, help="days it may sign (default: %(default)s)")
    keygen.set_defaults(command=run_keygen)
    sign = action("sign", "add your signature to a decision", SIGN)
    add_decision(sign)
    sign.add_argument("--key", type=Path, metavar="FILE", help=f"private key (default: {KEY_VARIABLE})")
    sign.add_argument(
        "--gates", type=Path, default=Path("gates"), metavar="FOLDER", help="with keys.yaml (%(default)s)"
    )
    sign.set_defaults(command=run_sign)
    verify = action("verify", "verify the signatures alone", VERIFY)
    verify.add_argument(
        "statements",
        nargs="?",
        type=Path,
        default=Path("gate-report", STATEMENTS_FILE),
        metavar="STATEMENTS",
        help="or a record of a deploy (default: %(default)s)",
    )
    verify.add_argument("--key", type=Path, action="append", required=True, metavar="PEM", help="repeatable")
    verify.add_argument("--threshold", type=int, default=1, metavar="N", help="default: %(default)s")
    verify.set_defaults(command=run_verify)


def _name(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,62}", text):  # as keys.schema.json
        msg = f"{text!r} is not a name: use lower-case letters, digits, dots, hyphens and underscores"
        raise argparse.ArgumentTypeError(msg)
    return text


def run_keygen(arguments: argparse.Namespace) -> int:
    """Make a key, print where it is and its entry for keys.yaml, and return 0."""
    if arguments.days < 1:
        raise GateInputError(f"--days {arguments.days}: a key must be valid for a day at least.")
    try:
        end = datetime.now(UTC) + timedelta(days=arguments.days)
    except OverflowError:
        raise GateInputError(f"--days {arguments.days}: too many. A year is usual.") from None
    key = generate(arguments.out, os.environ.get(PASSPHRASE_VARIABLE) or None)
    print(f"# private key: {arguments.out}; keep it secret. Entry for gates/keys.yaml:")
    print(_entry(key, arguments.name, arguments.owner, end))
    return 0


def _entry(key: PublicKey, name: str, owner: str, end: datetime) -> str:
    start, end = (datetime.combine(day, time(), UTC) for day in (datetime.now(UTC), end))
    lines = [
        f"  - name: {json.dumps(name)}",
        f"    owner: {json.dumps(owner, ensure_ascii=False)}",
        "    public_key: |",
        *(f"      {line}" for line in public_pem(key.key).splitlines()),
        f"    not_before: {format_moment(start)}",
        f"    not_after: {format_moment(end)}",
    ]
    return "\n".join(lines)


def run_sign(arguments: argparse.Namespace) -> int:
    """Sign a decision, print what was signed and by whom, and return 0."""
    path: Path = arguments.decision
    key = signing_key(arguments.key)
    if key is None:
        raise GateInputError(f"There is no key. Give one with --key FILE, or as PEM in {KEY_VARIABLE}.")
    decision, digest = load_with_digest(path)
    content, unsigned = signed(path, decision, digest, key), predicates(decision, digest)
    try:
        for name, text in {STATEMENTS_FILE: content, **unsigned}.items():
            write_atomically(path.with_name(name), text)
        own = key.public()
        problems, signatures = after_signing(path, decision, digest, own, gates=arguments.gates)
        write_signoff(decision, path.parent, signatures)
    except OSError as error:
        raise GateInputError(f"{path.parent}: can't be written to ({error.strerror}). Make room.") from None
    print(judged(decision))
    for signature in signatures:
        print(signed_by(signature))
    for problem in problems:
        print(f"verify will refuse it: {problem.code}: {problem.message} {problem.remedy}")
    print(f"{path.with_name(STATEMENTS_FILE)} says {decision.verdict.value}", end="")
    print("" if decision.verdict is Verdict.DEPLOY else ": it does not allow a deployment")
    return 0


def run_verify(arguments: argparse.Namespace) -> int:
    """Verify both envelopes, print what each is about and who signed, and return 0 or 1."""
    keys = [public_key(path) for path in arguments.key]
    path: Path = arguments.statements
    envelopes = (read_signature(path),) if path.suffix == ".json" else parse_envelopes(path)
    for number, envelope in enumerate(envelopes, 1):
        try:
            people = dsse.verify(envelope, keys, max(arguments.threshold, 1))
        except ValueError as error:
            print(f"REFUSED: {path}:{number}: {error}")
            return REFUSED
        for line in _about(envelope.payload):
            print(line)
        print(f"  signed by {', '.join(key.name for key in people)}")
    return 0


def _about(payload: bytes) -> Iterator[str]:
    """Yield what a signed statement is about, in lines; its form may be another tool's."""
    try:
        statement = json.loads(payload)
        predicate = statement["predicate"]
        yield f"{statement['predicateType']}: {predicate.get('verificationResult') or predicate['result']}"
        yield from (f"  about {each['name']} {json.dumps(each['digest'])}" for each in statement["subject"])
    except (ValueError, KeyError, TypeError, AttributeError):
        yield "a statement of a form that is not known here"
