"""The signature that a run puts under its decision, once that is written; a failure leaves it unsigned."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bais_gates.attest.keys import KEY_VARIABLE, PASSPHRASE_VARIABLE, SigningKey, public_pem, signing_key
from bais_gates.attest.signatures import after_signing
from bais_gates.attest.signing import SANDBOX_KEY_FILE, STATEMENTS_FILE, predicates, signed
from bais_gates.errors import GateInputError
from bais_gates.redaction import redact
from bais_gates.reports import DECISION_FILE
from bais_gates.reports.files import write_atomically, write_signoff
from bais_gates.reports.redacted import redacted
from bais_gates.targets.provision import signing_key_file
from bais_gates.verdict.document import MAX_BYTES
from bais_gates.verdict.files import digest_of, read_bytes

if TYPE_CHECKING:
    from bais_gates.pytest_plugin.run_state import RunState
    from bais_gates.verdict.model import Decision
    from bais_gates.verdict.signatures import Signature


@dataclass(slots=True)
class Signer:
    """Signs what its run decides, with the key that it was given or that of the environment."""

    key: SigningKey | None = None
    of_sandbox: bool = False
    """Whether the key is that of a sandbox."""
    signatures: tuple[Signature, ...] = ()
    """Those of the decision that was signed last."""

    def take_key(self, path: Path | None) -> None:
        """Read the key of ``--gate-sign-key`` or the environment; no process of a gate shall inherit it.

        Raises GateInputError.
        """
        try:
            self.key = signing_key(path, os.environ)
        finally:
            for name in (KEY_VARIABLE, PASSPHRASE_VARIABLE):
                os.environ.pop(name, None)

    def sign(self, state: RunState, decision: Decision) -> str | None:
        """Write the statements about the decision in the report folder; return what went wrong.

        None where it is signed, and where there is no key.
        """
        out, self.signatures = state.settings.out, ()
        path, shown = out / DECISION_FILE, redacted(decision)
        try:
            digest = digest_of(read_bytes(path, limit=MAX_BYTES))
            for name, content in predicates(shown, digest).items():
                write_atomically(out / name, content)
            self.key = self.key or self._of_environment(state)
            if self.key is None:
                return None
            if self.of_sandbox:
                write_atomically(out / SANDBOX_KEY_FILE, public_pem(self.key.key.public_key()))
            write_atomically(out / STATEMENTS_FILE, signed(path, shown, digest, self.key))
        except (GateInputError, OSError) as error:
            with suppress(OSError):
                (out / STATEMENTS_FILE).unlink(missing_ok=True)
            return redact(f"The decision is not signed: {error}")
        try:
            own = self.key.public()
            problems, self.signatures = after_signing(path, shown, digest, own, gates=state.gates_dir)
            write_signoff(decision, out, self.signatures)
        except (GateInputError, OSError) as error:
            return redact(f"The sign-off page does not name who signed: {error}")
        return " ".join(f"{problem.message} {problem.remedy}" for problem in problems) or None

    def _of_environment(self, state: RunState) -> SigningKey | None:
        """Return the key that the environment names; the run's own sandbox has made one."""
        try:
            environment = state.environment()
        except GateInputError:
            return None  # the decision says so
        folder = None if state.directory is None else state.directory.path
        path = signing_key_file(environment, folder, gates_dir=state.gates_dir)
        self.of_sandbox = "sandbox" in {environment.provision, environment.name}
        return None if path is None else signing_key(path, {})
