"""What a kind is: the words by which the API names it and what can be done to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bais_gates.sandbox.cluster.apiserver.kinds.schema import Node

Obj = dict[str, Any]
"""An API object, or a part of one, as JSON gives it."""

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind that the API serves: ``apps``/``v1`` ``Deployment``, served as ``deployments``.

    ``subresources`` are of ``status`` and ``scale``. ``node`` is its schema; a kind from a
    CustomResourceDefinition also has ``definition`` (its version's entry of that CRD).
    """

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool
    node: Node
    short_names: tuple[str, ...] = ()
    subresources: frozenset[str] = frozenset()
    verbs: tuple[str, ...] = ALL_VERBS
    categories: tuple[str, ...] = ()
    singular: str = ""
    list_kind: str = ""
    definition: Obj | None = None

    @property
    def api_version(self) -> str:
        """``v1`` or ``apps/v1``, as objects carry it."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def custom(self) -> bool:
        """Whether a CustomResourceDefinition brought it."""
        return self.definition is not None
