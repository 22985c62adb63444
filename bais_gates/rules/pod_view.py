"""A pod as the controls of the Pod Security Standards look at it, and the words in which they refuse it.

A control takes a pod (annotations and spec) and says what it refuses, in the words of the API server's own
admission. A field that is null counts as absent, and a bad value of one container refuses the pod. Init
containers (sidecars with them) come first, then containers, then ephemeral containers.

Source: kubernetes.io/docs/concepts/security/pod-security-standards, and the behaviour of Kubernetes 1.36.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

CONTAINER_LISTS = ("initContainers", "containers", "ephemeralContainers")


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a control refuses a pod: the short reason, the detail in brackets, the paths of the fields."""

    reason: str
    detail: str
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One place where a value can be set: the pod (container None) or a container by name."""

    container: str | None
    path: str
    value: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class PodView:
    """A pod as the controls look at it."""

    annotations: Mapping[str, str]
    spec: Mapping[str, Any]
    minor: int
    """The policy's version: the N of v1.N."""

    def containers(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield every container with its path, in the order of the API server's messages."""
        for key in CONTAINER_LISTS:
            for index, container in enumerate(self.spec.get(key) or ()):
                yield f"spec.{key}[{index}]", container

    def container_settings(self, *keys: str) -> list[Setting]:
        """Look a field of each container's security context up; absent is None."""
        return [
            Setting(
                container=str(container.get("name", "")),
                path=".".join((path, "securityContext", *keys)),
                value=dig(container, "securityContext", *keys),
            )
            for path, container in self.containers()
        ]

    def pod_setting(self, *keys: str) -> Setting:
        """Look a field of the pod's own security context up; absent is None."""
        path = ".".join(("spec", "securityContext", *keys))
        return Setting(container=None, path=path, value=dig(self.spec, "securityContext", *keys))

    def settings(self, *keys: str) -> list[Setting]:
        """Look a field of the pod's and of each container's security context up."""
        return [self.pod_setting(*keys), *self.container_settings(*keys)]

    @property
    def is_windows(self) -> bool:
        """Whether the pod says that it runs on Windows."""
        return bool(dig(self.spec, "os", "name") == "windows")

    @property
    def has_user_namespace(self) -> bool:
        """Whether the pod's users are not the host's."""
        return self.spec.get("hostUsers") is False


Control = Callable[[PodView], Refusal | None]


def dig(value: object, *keys: str) -> Any:
    """Follow keys through nested mappings; None where one is absent or no mapping."""
    for key in keys:
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value


def quoted(items: list[str]) -> str:
    """Quote each item and join them by commas."""
    return ", ".join(f'"{item}"' for item in items)


def plural(count: int, one: str, many: str) -> str:
    """Choose the word for a count."""
    return one if count == 1 else many


def container_names(settings: list[Setting]) -> list[str]:
    """Name the containers among the settings."""
    return [setting.container for setting in settings if setting.container is not None]


def say_containers(settings: list[Setting]) -> str:
    """Name the containers among the settings in a sentence."""
    names = container_names(settings)
    return f"{plural(len(names), 'container', 'containers')} {quoted(names)}"


def say_setters(settings: list[Setting]) -> str:
    """Name the pod and the containers among the settings in a sentence."""
    parts = ["pod"] if any(setting.container is None for setting in settings) else []
    return " and ".join([*parts, *([say_containers(settings)] if container_names(settings) else [])])


def paths(settings: list[Setting]) -> tuple[str, ...]:
    """List where the settings stand."""
    return tuple(setting.path for setting in settings)


def bad_values(settings: list[Setting]) -> list[str]:
    """List the different values of the settings, sorted."""
    return sorted({str(setting.value or "") for setting in settings})
