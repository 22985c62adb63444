"""The errors of staging: one code a cause, and one paragraph that ends with the remedy."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from bais_gates import redaction


class StageCode(StrEnum):
    """Why staging could not be provisioned, or not be torn down."""

    NAMESPACE_FOREIGN = "NAMESPACE_FOREIGN"
    NAMESPACE_HELD = "NAMESPACE_HELD"
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
    SECRET_MISSING = "SECRET_MISSING"  # noqa: S105 - the name of a code
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
        """Whether the release or its manifests are at fault.

        The other codes are about the cluster (access, availability, a foreign namespace): they prove nothing
        about the release.
        """
        return self in _RELEASE_CODES


_RELEASE_CODES: Final = frozenset(
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
        "Choose another namespace (staging.namespace in the environment file, or --namespace): only one with "
        "the label bais-gates/owner of this environment is ever changed."
    ),
    StageCode.NAMESPACE_HELD: (
        "Wait until that run has ended, or choose another namespace (--namespace). A run that was killed is "
        "past a minute after it last renewed this."
    ),
    StageCode.NAMESPACE_TERMINATING: (
        "Wait until it is gone. If it stays, read status.conditions for what blocks it: `kubectl get "
        "namespace NAME -o yaml`."
    ),
    StageCode.UNREACHABLE: (
        "Check that the cluster is up and that the kubeconfig's context points at it: `kubectl --context "
        "CONTEXT cluster-info`."
    ),
    StageCode.UNAUTHENTICATED: "Renew the credentials of this context in the kubeconfig.",
    StageCode.FORBIDDEN: (
        "Grant the user of kubernetes.admin_context this verb (check it with `kubectl auth can-i VERB "
        "RESOURCE`), or name another context."
    ),
    StageCode.KIND_MISSING: (
        "Install the operator that serves this kind: cert-manager for cert-manager.io, the Prometheus "
        "operator for monitoring.coreos.com."
    ),
    StageCode.INVALID: "Correct the manifest: the server names the field.",
    StageCode.IMMUTABLE: (
        "Recreate the namespace, as this change can't be made to an existing object: `bais-gates stage "
        "--down`, then provision again."
    ),
    StageCode.CONFLICT: (
        "Run the command again. If it fails again, find the controller that writes the same field: `kubectl "
        "get KIND NAME -o yaml --show-managed-fields`."
    ),
    StageCode.QUOTA: (
        "Raise the namespace's ResourceQuota, or lower the overlay's requests, limits or replicas."
    ),
    StageCode.POD_SECURITY: (
        "Make the pod meet the namespace's Pod Security Standard: the server names each field."
    ),
    StageCode.ADMISSION: "Correct the manifest: the event names the admission webhook and its reason.",
    StageCode.SERVER: "Check the API server and its admission webhooks, then run the command again.",
    StageCode.SECRET_MISSING: (
        "Name its values under staging.variables in the environment file, or remove the reference from the "
        "manifest."
    ),
    StageCode.MANIFESTS: (
        "Check staging.overlay in the environment file, or the options --overlay and --manifests."
    ),
    StageCode.IMAGE_PULL: (
        "Check that the registry has this digest, that the nodes reach the registry, and that the service "
        "account names the pull secret."
    ),
    StageCode.CONTAINER_CONFIG: (
        "Compare the names and keys in the container's environment and volumes with the namespace's Secrets "
        "and ConfigMaps: one is absent."
    ),
    StageCode.CRASH_LOOP: "Read the container's last lines for why it exits: `kubectl logs POD --previous`.",
    StageCode.UNSCHEDULABLE: (
        "Lower the pod's requests, relax its topology spread, tolerate the taint, or add a node: no node "
        "accepts it."
    ),
    StageCode.VOLUME: (
        "Check that the claim's StorageClass exists and that its provisioner works: `kubectl describe pvc`."
    ),
    StageCode.PROGRESS_DEADLINE: (
        "Check the readiness probe and what it depends on: the new pods run, but were not ready within "
        "progressDeadlineSeconds."
    ),
    StageCode.JOB_FAILED: (
        "Correct the migration (its pod's last lines state the reason) and run the command again."
    ),
    StageCode.JOB_DEADLINE: (
        "Find the lock that the migration waits for, or raise activeDeadlineSeconds if it needs more time."
    ),
    StageCode.SUSPENDED: "Remove the suspension or pause from the manifest.",
    StageCode.NOT_READY: "Check what it waits for; raise --timeout if it is only slow.",
    StageCode.NOT_TORN_DOWN: (
        "Run `bais-gates stage --down` again. If it fails again, read status.conditions for what is left: "
        "`kubectl get namespace NAME -o yaml`."
    ),
}


class StageError(Exception):
    """Staging was not provisioned or torn down: a code, the step, and one redacted paragraph."""

    def __init__(self, code: StageCode, message: str, *, step: str = "") -> None:
        self.code = code
        self.step = step
        self.paragraph = f"{redaction.redact(message.strip().rstrip('.'))}. {REMEDIES[code]}"
        super().__init__(f"{code.value}: {self.paragraph}")

    def at(self, step: str) -> StageError:
        """Return this error with the step, unless it names one already."""
        self.step = self.step or step
        return self
