"""Look up a pod's security settings and format refusals for the controls of the Pod Security Standards.

A field that is null counts as absent, and a bad value in one container refuses the pod. Init containers come
first, then containers, then ephemeral containers. Source:
kubernetes.io/docs/concepts/security/pod-security-standards, and the behaviour of Kubernetes 1.36.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bais_gates.rules.kubernetes.objects import containers_of, dig


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a control refuses a pod, in the API server's words."""

    reason: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A security setting of the pod (``container`` is None) or of a container."""

    container: str | None
    value: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class PodView:
    """A pod's annotations and spec, and the version of the policy."""

    annotations: Mapping[str, str]
    spec: Mapping[str, Any]
    minor: int
    """The N of the policy version v1.N."""

    def container_settings(self, *keys: str) -> list[Setting]:
        """Return a field of each container's security context; None where it is absent."""
        return [
            Setting(container=str(container.get("name", "")), value=dig(container, "securityContext", *keys))
            for container in containers_of(self.spec)
        ]

    def pod_setting(self, *keys: str) -> Setting:
        """Return a field of the pod's security context; None if it is absent."""
        return Setting(container=None, value=dig(self.spec, "securityContext", *keys))

    def settings(self, *keys: str) -> list[Setting]:
        """Return a field of the security context of the pod and of each container."""
        return [self.pod_setting(*keys), *self.container_settings(*keys)]

    @property
    def is_windows(self) -> bool:
        """Return whether the pod's os.name is windows."""
        return bool(dig(self.spec, "os", "name") == "windows")

    @property
    def has_user_namespace(self) -> bool:
        """Return whether the pod runs in a user namespace (hostUsers is false)."""
        return self.spec.get("hostUsers") is False


Control = Callable[[PodView], Refusal | None]


def quoted(items: list[str]) -> str:
    """Return the items, quoted and separated by commas."""
    return ", ".join(f'"{item}"' for item in items)


def plural(count: int, one: str, many: str) -> str:
    """Return the singular for a count of one, else the plural."""
    return one if count == 1 else many


def container_names(settings: list[Setting]) -> list[str]:
    """Return the container names of the settings."""
    return [setting.container for setting in settings if setting.container is not None]


def format_containers(settings: list[Setting]) -> str:
    """Return the containers of the settings as part of a sentence."""
    names = container_names(settings)
    return f"{plural(len(names), 'container', 'containers')} {quoted(names)}"


def format_setters(settings: list[Setting]) -> str:
    """Return the pod and the containers of the settings as part of a sentence."""
    parts = ["pod"] if any(setting.container is None for setting in settings) else []
    return " and ".join([*parts, *([format_containers(settings)] if container_names(settings) else [])])


def bad_values(settings: list[Setting]) -> list[str]:
    """Return the different values of the settings, sorted."""
    return sorted({str(setting.value or "") for setting in settings})
