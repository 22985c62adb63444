"""Which kinds are served now: the built-in ones and those of the CustomResourceDefinitions."""

from __future__ import annotations

from collections.abc import Iterable

from bais_gates.sandbox.cluster.apiserver.kinds.builtin import built_in_kinds
from bais_gates.sandbox.cluster.apiserver.kinds.custom import kinds_of
from bais_gates.sandbox.cluster.apiserver.kinds.kind import Kind, Obj


class KindRegistry:
    """The kinds of one API server, by group, version and plural."""

    def __init__(self) -> None:
        """Start with the built-in kinds."""
        self._kinds = {(kind.group, kind.version, kind.plural): kind for kind in built_in_kinds()}
        self._by_definition: dict[str, list[Kind]] = {}

    def find(self, group: str, version: str, plural: str) -> Kind | None:
        """Return the kind that is served under these names."""
        return self._kinds.get((group, version, plural))

    def find_kind(self, api_version: str, kind: str) -> Kind | None:
        """Return the kind that an object's ``apiVersion`` and ``kind`` name."""
        for known in self._kinds.values():
            if known.kind == kind and known.api_version == api_version:
                return known
        return None

    def all(self) -> Iterable[Kind]:
        """Return every kind, built-in ones first."""
        return tuple(self._kinds.values())

    def register_crd(self, crd: Obj) -> list[Kind]:
        """Serve what a CustomResourceDefinition describes, in place of what it described before."""
        self.unregister_crd(crd["metadata"]["name"])
        made = kinds_of(crd)
        self._by_definition[crd["metadata"]["name"]] = made
        self._kinds.update({(kind.group, kind.version, kind.plural): kind for kind in made})
        return made

    def unregister_crd(self, name: str) -> None:
        """Serve the kinds of this CustomResourceDefinition no longer."""
        for kind in self._by_definition.pop(name, []):
            self._kinds.pop((kind.group, kind.version, kind.plural), None)
