"""What every part of the server works on: objects, kinds, who may do what, the options of a write."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from bais_gates.sandbox.cluster.apiserver import kinds
from bais_gates.sandbox.cluster.apiserver.authorization import Authorizer
from bais_gates.sandbox.cluster.apiserver.statuses import Resource, StatusError, bad_request, invalid
from bais_gates.sandbox.cluster.apiserver.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable

    from bais_gates.sandbox.cluster.apiserver.config import PodSecurity
    from bais_gates.sandbox.cluster.apiserver.kinds import Kind
    from bais_gates.sandbox.cluster.apiserver.request import Request
    from bais_gates.sandbox.cluster.apiserver.store import Key, Type

Object = dict[str, Any]


@dataclass(slots=True, kw_only=True)
class Core:
    """The server's state."""

    store: Store = field(default_factory=Store)
    registry: kinds.KindRegistry = field(default_factory=kinds.KindRegistry)
    pod_security: PodSecurity | None = None
    authorizer: Authorizer = field(init=False)

    def __post_init__(self) -> None:
        self.authorizer = Authorizer(self.store)


def now() -> str:
    """Return the time as metadata carries it: UTC, whole seconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def type_of(kind: Kind) -> Type:
    """Return what the kind's objects are kept under."""
    return kind.group, kind.plural


def resource_of(kind: Kind) -> Resource:
    """Return the kind as messages name it."""
    return Resource(group=kind.group, plural=kind.plural)


def key_of(kind: Kind, namespace: str, name: str) -> Key:
    """Return what an object is kept under."""
    return (namespace if kind.namespaced else "", name)


def check_identity(kind: Kind, metadata: Object, namespace: str, name: str) -> None:
    """Refuse (400) a body that names another object, or another namespace, than the path does."""
    named = metadata.get("name") or name
    if named != name:
        raise bad_request(f"the name of the object ({named}) does not match the name on the URL ({name})")
    if kind.namespaced and (metadata.get("namespace") or namespace) != namespace:
        raise bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteOptions:
    """The options of one write, from its query (or, of a deletion, its body)."""

    dry_run: bool = False
    validation: str = "Warn"
    manager: str = "unknown"
    force: bool | None = None

    @property
    def strict(self) -> bool:
        """Whether an unknown field is refused."""
        return self.validation == "Strict"


def write_options(request: Request, options_kind: str) -> WriteOptions:
    """Read the options of a write; raises 422 for values that are none, naming ``options_kind``."""
    causes = []
    dry_run = request.query.get("dryRun", [])
    if any(value != "All" for value in dry_run):
        listed = ",".join(f'"{value}"' for value in dry_run)
        causes.append(
            (
                "FieldValueNotSupported",
                f'Unsupported value: [{listed}]: supported values: "All"',
                "dryRun",
            )
        )
    validation = request.option("fieldValidation") or "Warn"
    if validation not in {"Strict", "Warn", "Ignore"}:
        causes.append(
            (
                "FieldValueNotSupported",
                f'Unsupported value: "{validation}": supported values: "", "Ignore", "Strict", "Warn"',
                "fieldValidation",
            )
        )
    manager = request.option("fieldManager")
    if len(manager) > 128:
        causes.append(("FieldValueTooLong", "Too long: may not be more than 128 bytes", "fieldManager"))
    if causes:
        raise invalid("meta.k8s.io", options_kind, "", causes)
    return WriteOptions(
        dry_run=bool(dry_run),
        validation=validation,
        manager=manager or _manager_of(request.headers.get("user-agent", "")),
        force=request.flag("force") if "force" in request.query else None,
    )


def _manager_of(agent: str) -> str:
    """Name the manager by the first word of the user agent, as managedFields of unnamed clients do."""
    return agent.split("/", 1)[0][:128] or "unknown"


def prepared(
    request: Request, kind: Kind, options: WriteOptions, name: str, make: Callable[[], kinds.Prepared]
) -> kinds.Prepared:
    """Call the kind's rules, tell their warnings to the client and their refusals as a Status."""
    try:
        made = make()
    except kinds.KindError as error:
        raise refused(kind, name, error) from error
    for warning in made.warnings:
        if options.validation == "Ignore" and warning.startswith(("unknown field ", "duplicate field ")):
            continue
        request.warnings.append(warning)
    return made


def refused(kind: Kind, name: str, error: kinds.KindError) -> StatusError:
    """Return the Status for what the kind's rules raised."""
    if isinstance(error, kinds.Invalid):
        causes = [(cause.reason, cause.message, cause.field) for cause in error.causes]
        return invalid(kind.group, kind.kind, name, causes)
    if isinstance(error, kinds.ApplyConflict):
        listed = [
            {"reason": cause.reason, "message": cause.message, "field": cause.field} for cause in error.causes
        ]
        return StatusError(409, "Conflict", error.message, details={"causes": listed})
    if isinstance(error, kinds.Unprocessable):
        message = "the server rejected our request due to an error in our request"
        return StatusError(422, "Invalid", message, details={})
    if isinstance(error, kinds.Failed):
        return StatusError(500, "", str(error))
    message = str(error)
    if " cannot be handled as a " not in message and "error decoding patch" not in message:
        message = f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: {message}'
    return bad_request(message)
