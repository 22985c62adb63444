"""What the node agent remembers of a pod: of each container, where it stands."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bais_gates.sandbox.cluster.controllers.objects import Object, name_of, namespace_of, spec_of

if TYPE_CHECKING:
    from collections.abc import Mapping

Observed = dict[str, Any]
"""One container as the runtime lists it."""


@dataclass(slots=True)
class Answers:
    """What a probe of a container found: ``last`` is when (monotonic), ``ok`` None before the first."""

    last: float = 0.0
    ok: bool | None = None
    failures: int = 0
    message: str = ""
    asking: bool = False


@dataclass(slots=True, kw_only=True)
class Container:
    """One container of a pod.

    ``id`` is the runtime's. ``waiting`` is why it does not run (reason, message), None while it does or has
    ended. ``not_before`` (monotonic) is when to try again.
    """

    name: str
    id: str
    spec: Mapping[str, Any]
    kind: str = ""
    launched: bool = False
    restarts: int = 0
    waiting: tuple[str, str] | None = ("ContainerCreating", "")
    ended: Object | None = None
    last_ended: Object | None = None
    pull_failures: int = 0
    not_before: float = 0.0
    shown_until: float = 0.0
    crashes: int = 0
    asked_to_stop: bool = False
    patience_until: float = 0.0
    run: int = 0
    """Counts the processes started for it: an answer to a probe of an earlier one is not taken."""
    startup: Answers = field(default_factory=Answers)
    readiness: Answers = field(default_factory=Answers)
    liveness: Answers = field(default_factory=Answers)

    def started(self, now: float) -> None:
        """Take note of a new process, of which no probe has asked yet."""
        self.launched, self.waiting, self.ended = True, None, None
        self.run += 1
        self.patience_until = now
        self.reset_answers()

    def reset_answers(self) -> None:
        """Forget what the probes found of an earlier process."""
        self.startup, self.readiness, self.liveness = Answers(), Answers(), Answers()


@dataclass(slots=True, kw_only=True)
class Record:
    """One pod and its containers; ``reported`` holds the warnings that are not to be repeated."""

    pod: Object
    containers: list[Container]
    reported: set[str] = field(default_factory=set)
    ip: str = ""
    mount_failures: int = 0


def new_record(pod: Object) -> Record:
    """Return the record of a pod that has just come to this node."""
    stem = f"{namespace_of(pod)}/{name_of(pod)}"
    return Record(
        pod=pod,
        containers=[
            Container(name=one["name"], id=f"{stem}/{one['name']}", spec=one)
            for one in spec_of(pod).get("containers") or ()
        ],
    )


def terminated(observed: Observed, spec: Mapping[str, Any], *, tail: str = "") -> Object:
    """Return how a container ended, as ``state.terminated`` has it."""
    code = observed.get("exit_code")
    number = 137 if code is None else int(code)
    if number < 0:
        number = 128 - number
    found: Object = {
        "exitCode": number,
        "reason": "Completed" if number == 0 else "Error",
        "startedAt": observed.get("started_at"),
        "finishedAt": observed.get("ended_at") or observed.get("started_at"),
        "containerID": container_id(observed),
    }
    if number > 128:
        found["signal"] = number - 128
    if number and tail and spec.get("terminationMessagePolicy") == "FallbackToLogsOnError":
        found["message"] = tail[-2048:]
    return found


def container_id(observed: Observed) -> str:
    """Return the name of one process of a container, which no other ever has."""
    return f"sandbox://{str(observed.get('id', '')).replace('/', '.')}.{observed.get('pid', 0)}"
