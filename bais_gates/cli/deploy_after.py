"""What follows a deploy or rollback: its record is signed, and people are told. The status stands."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from bais_gates.attest.keys import KEY_VARIABLE, public_pem, signing_key
from bais_gates.attest.records import read_deploy, sign, signature_of
from bais_gates.attest.signing import SANDBOX_KEY_FILE
from bais_gates.cli.common import complain, report
from bais_gates.errors import AbsentFileError, GateInputError
from bais_gates.redaction import redact
from bais_gates.reports.files import write_atomically
from bais_gates.rollout.announcement import announce
from bais_gates.rollout.emergency import commands
from bais_gates.rollout.errors import RolloutStatus
from bais_gates.rollout.record import Phase
from bais_gates.verdict.target import is_loopback

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bais_gates.rollout.announcement import Announcement
    from bais_gates.rollout.record import Folder, Record
    from bais_gates.targets.environment import Environment
    from bais_gates.targets.parts import OncallPart

TELL_S: Final = 5.0
"""Seconds that telling people may take, all messages together."""
ROTATION: Final = Path("gates") / "oncall" / "rotation.yaml"


@dataclass(kw_only=True, slots=True)
class Aftermath:
    """What one command knows of its deploy at its end: the last record that it noted."""

    environment: Environment
    folder: Folder
    sign_key: Path | None
    record: Record | None = None

    def note(self, record: Record) -> None:
        """Remember how far the deploy is."""
        self.record = record

    def end(self, status: int) -> None:
        """Sign the record of what ended, tell people, and say what an emergency owes.

        ``status`` is that of the command; of an interrupted one only a rollback is told.
        """
        record = self.record
        if record is None or status == RolloutStatus.REFUSED:
            return
        if not isinstance(status, RolloutStatus):  # interrupted, such as a job that is cancelled
            if record.phase is not Phase.ROLLING_BACK:
                return
            status = RolloutStatus.STUCK
        try:
            if record.finished:
                self.sign(record)
            self._tell(record, announce(record, status))
        except KeyboardInterrupt:
            complain("interrupted while people were told; the status stands")
        if record.emergency and status is RolloutStatus.DEPLOYED:
            run, give = commands(record.environment, record.owed[-1]["image"], record.version)
            complain(f"EMERGENCY: {record.id} has no decision. Owed now: `{run}`, then `{give}`")

    # -- signature --

    def sign(self, record: Record) -> None:
        """Sign a record's file if there is a key; say so if there is none, or it fails."""
        file = self.folder.file(record)
        try:
            own = self.environment.signing.key_file if self.environment.describes("signing") else None
            given = signing_key(self.sign_key, os.environ)
            key = given or (signing_key(own, {}) if own else None)
            if key is None:
                report(f"the record is not signed: there is no key (--sign-key, {KEY_VARIABLE}, signing)")
                return
            if read_deploy(file).outcome != record.phase:
                complain(f"the record is not signed: {file} lacks the phase {record.phase}")
                return
            write_atomically(signature_of(file), sign(file, key))
            if record.rehearsal and given is None:
                write_atomically(file.with_name(SANDBOX_KEY_FILE), public_pem(key.key.public_key()))
        except (GateInputError, OSError) as error:
            complain(redact(f"the record is not signed: {error}"))
        else:
            report(f"signed: {signature_of(file)}")

    # -- messages --

    def _tell(self, record: Record, message: Announcement) -> None:
        """Send what is due, each message once a deploy; a page may be repeated, as it has a key."""
        if not self.environment.describes("oncall"):
            if message.pages:
                complain("nobody was paged: the environment file describes no oncall")
            return
        part = self.environment.oncall
        try:
            first = self.folder.first_time(record, message.what)
        except OSError:  # the folder is full or gone: twice is better than never
            first = True
        if message.pages and part.routing_key is None:
            complain("nobody was paged: the environment file has no oncall.routing_key")
        due = self._messages(part, message, first=first)
        for name, problem in _send(due).items():
            if problem:
                complain(f"{name}: not sent: {problem}")
            else:
                report(f"{name}: sent")

    def _messages(
        self, part: OncallPart, message: Announcement, *, first: bool
    ) -> dict[str, Callable[[], None]]:
        from bais_gates.oncall.chat import post_message  # noqa: PLC0415 - only once something is to be told
        from bais_gates.oncall.pagerduty_events import Events  # noqa: PLC0415 - as above

        about: dict[str, Any] = {"source": message.source, "at": message.at, "details": message.details}

        def events() -> Events:
            self._require_stand_in(part.events_url)
            return Events(part.events_url, part.routing_key or "", deadline_s=TELL_S)

        def post() -> None:
            channel = _channel(part)
            self._require_stand_in(part.chat[channel])
            post_message(part.chat[channel], message.text(), channel=channel, deadline_s=TELL_S)

        due: dict[str, Callable[[], None]] = {}
        if message.pages and part.routing_key:
            due["page"] = lambda: events().page(message.summary, key=message.key, **about)
        if first and part.routing_key:
            due["change event"] = lambda: events().send_change(message.summary, **about)
        if first and part.chat:
            due["chat message"] = post
        return due

    def _require_stand_in(self, url: str) -> None:
        rehearsal = self.record is not None and self.record.rehearsal
        if rehearsal and not is_loopback(urlsplit(url).hostname or ""):
            raise GateInputError("a rehearsal reaches its stand-ins alone, and this address is none.")


def _channel(part: OncallPart) -> str:
    """Return the channel of who is on call, by the rotation; without one, the only channel there is."""
    from bais_gates.oncall.reading import load_rotation  # noqa: PLC0415 - as above

    try:
        channel = load_rotation(part.rotation or ROTATION).oncall_channel
    except AbsentFileError:
        if len(part.chat) != 1:
            raise
        return next(iter(part.chat))
    if channel not in part.chat:
        raise GateInputError(f"the environment file has no webhook of {channel} in oncall.chat.")
    return channel


def _send(due: Mapping[str, Callable[[], None]]) -> dict[str, str]:
    """Send all messages at once; return what went wrong with each, empty for one that was taken.

    A message is given up after ``TELL_S``, whatever holds it up: a name server has no deadline.
    """
    outcome = dict.fromkeys(due, f"no answer within {TELL_S:.0f} s; whether it was sent is not known")

    def run(name: str) -> None:
        try:
            due[name]()
        except GateInputError as error:
            outcome[name] = redact(str(error))
        except Exception as error:  # noqa: BLE001 - whatever it is, the deploy's status stands
            outcome[name] = type(error).__name__
        else:
            outcome[name] = ""

    threads = [threading.Thread(target=run, args=(name,), daemon=True) for name in due]
    for thread in threads:
        thread.start()
    ends_at = time.monotonic() + TELL_S
    for thread in threads:
        thread.join(max(0.0, ends_at - time.monotonic()))
    return dict(outcome)
