"""Why staging did not come up, told apart: one code a cause, one paragraph a person can act on."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from bais_gates import redaction


class StageCode(StrEnum):
    """What kept the staging environment from coming up, or from going."""

    NAMESPACE_FOREIGN = "NAMESPACE_FOREIGN"
    NAMESPACE_TERMINATING = "NAMESPACE_TERMINATING"
    UNREACHABLE = "UNREACHABLE"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    FORBIDDEN = "FORBIDDEN"
    KIND_MISSING = "KIND_MISSING"
    INVALID = "INVALID"
    IMMUTABLE = "IMMUTABLE"
    CONFLICT = "CONFLICT"
    QUOTA = "QUOTA"
    POD_SECURITY = "POD_SECURITY"
    ADMISSION = "ADMISSION"
    SERVER = "SERVER"
    SECRET_MISSING = "SECRET_MISSING"  # noqa: S105 - the name of a cause
    MANIFESTS = "MANIFESTS"
    IMAGE_PULL = "IMAGE_PULL"
    CONTAINER_CONFIG = "CONTAINER_CONFIG"
    CRASH_LOOP = "CRASH_LOOP"
    UNSCHEDULABLE = "UNSCHEDULABLE"
    VOLUME = "VOLUME"
    PROGRESS_DEADLINE = "PROGRESS_DEADLINE"
    JOB_FAILED = "JOB_FAILED"
    JOB_DEADLINE = "JOB_DEADLINE"
    SUSPENDED = "SUSPENDED"
    NOT_READY = "NOT_READY"
    NOT_TORN_DOWN = "NOT_TORN_DOWN"

    @property
    def blames_release(self) -> bool:
        """Whether the release and its manifests are at fault: what was looked at is wrong.

        The other codes are about the surroundings (access, the cluster, a foreign namespace): nothing of the
        release could be looked at.
        """
        return self in _OF_THE_RELEASE


_OF_THE_RELEASE: Final = frozenset(
    {
        StageCode.INVALID,
        StageCode.IMMUTABLE,
        StageCode.QUOTA,
        StageCode.POD_SECURITY,
        StageCode.ADMISSION,
        StageCode.SECRET_MISSING,
        StageCode.IMAGE_PULL,
        StageCode.CONTAINER_CONFIG,
        StageCode.CRASH_LOOP,
        StageCode.UNSCHEDULABLE,
        StageCode.VOLUME,
        StageCode.PROGRESS_DEADLINE,
        StageCode.JOB_FAILED,
        StageCode.JOB_DEADLINE,
        StageCode.SUSPENDED,
        StageCode.NOT_READY,
    }
)

REMEDIES: Final[dict[StageCode, str]] = {
    StageCode.NAMESPACE_FOREIGN: (
        "Choose another namespace (staging.namespace in the environment file, or --namespace); only one "
        "with the label bais-gates/owner of this environment is ever touched."
    ),
    StageCode.NAMESPACE_TERMINATING: (
        "Wait until it is gone; if it stays, `kubectl get namespace NAME -o yaml` names what holds it in "
        "status.conditions."
    ),
    StageCode.UNREACHABLE: (
        "Is the cluster up, and does the kubeconfig's context point at it from this machine?"
    ),
    StageCode.UNAUTHENTICATED: ("Renew the credentials of this context in the kubeconfig."),
    StageCode.FORBIDDEN: (
        "Grant the user of kubernetes.admin_context this verb (`kubectl auth can-i VERB RESOURCE` shows "
        "it), or name another context."
    ),
    StageCode.KIND_MISSING: (
        "Install what serves this kind in the cluster: cert-manager for cert-manager.io, the Prometheus "
        "operator for monitoring.coreos.com."
    ),
    StageCode.INVALID: ("Correct the manifest: the server names the field."),
    StageCode.IMMUTABLE: (
        "The change can't be made to what is there: tear the namespace down with `bais-gates stage "
        "--down` and provision it anew."
    ),
    StageCode.CONFLICT: ("Run it again; if it stays, another controller writes the same field."),
    StageCode.QUOTA: (
        "Raise the namespace's ResourceQuota, or lower the overlay's requests, limits or replicas."
    ),
    StageCode.POD_SECURITY: (
        "Make the pod meet the Pod Security Standard that the namespace enforces: the server names each "
        "field."
    ),
    StageCode.ADMISSION: ("The event says who refused the pod and why; correct the manifest."),
    StageCode.SERVER: ("Look at the API server and its admission webhooks, then run it again."),
    StageCode.SECRET_MISSING: (
        "Name its values under staging.variables in the environment file, or take the reference out of "
        "the manifest."
    ),
    StageCode.MANIFESTS: (
        "Look at staging.overlay in the environment file, or at --overlay and --manifests."
    ),
    StageCode.IMAGE_PULL: (
        "Does this digest exist in the registry, can the nodes reach it, and does the service account "
        "name the pull secret?"
    ),
    StageCode.CONTAINER_CONFIG: (
        "Something that the container's environment or volumes name is not there: compare its names and "
        "keys with the Secrets and ConfigMaps of the namespace."
    ),
    StageCode.CRASH_LOOP: ("The container ends by itself: its last lines say why."),
    StageCode.UNSCHEDULABLE: (
        "No node takes the pod: lower its requests, relax its spread or tolerate the taint, or add a node."
    ),
    StageCode.VOLUME: ("Is there a StorageClass of that name with a provisioner that works?"),
    StageCode.PROGRESS_DEADLINE: (
        "The new pods run but never became ready within progressDeadlineSeconds: look at the readiness "
        "probe and at what it asks."
    ),
    StageCode.JOB_FAILED: (
        "The last lines of its pod say why; correct the migration and provision again: the Job is replaced."
    ),
    StageCode.JOB_DEADLINE: (
        "It took longer than activeDeadlineSeconds: a lock it waits for, or a migration that needs more time."
    ),
    StageCode.SUSPENDED: ("Take the suspension or pause out of the manifest."),
    StageCode.NOT_READY: ("Look at what it waits for; give it more time with --timeout if it only is slow."),
    StageCode.NOT_TORN_DOWN: (
        "Run `bais-gates stage --down` again; `kubectl get namespace NAME -o yaml` names what is left in "
        "status.conditions."
    ),
}


class StageError(Exception):
    """Staging did not come up, or did not go: a code, the step it happened in, and one redacted paragraph."""

    def __init__(self, code: StageCode, message: str, *, step: str = "") -> None:
        self.code = code
        self.step = step
        said = redaction.redact(message.strip().rstrip("."))
        self.paragraph = f"{said}. {REMEDIES[code]}"
        super().__init__(f"{code.value}: {self.paragraph}")

    def at(self, step: str) -> StageError:
        """Return the same error with the step it happened in, unless it names one."""
        self.step = self.step or step
        return self
