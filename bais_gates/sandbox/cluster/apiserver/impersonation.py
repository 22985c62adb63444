"""Acting as another user (``kubectl --as``): who may, and who the request is then from.

As kube-apiserver does it: the caller needs the verb ``impersonate`` on each part, and everything after that
is decided for the impersonated user. Source: Kubernetes documentation, "User impersonation".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bais_gates.sandbox.cluster.apiserver.authorization import Attributes
from bais_gates.sandbox.cluster.apiserver.config import User
from bais_gates.sandbox.cluster.apiserver.statuses import Resource, forbidden, internal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bais_gates.sandbox.cluster.apiserver.authorization import Authorizer

_USER, _GROUP, _UID, _EXTRA = ("impersonate-" + part for part in ("user", "group", "uid", "extra-"))
_ACCOUNT = "system:serviceaccount:"
_AUTHENTICATION = "authentication.k8s.io"
SEPARATOR = "\n"
"""Between the values of a header that is there several times."""


def effective_user(authorizer: Authorizer, caller: User, headers: Mapping[str, str]) -> User:
    """Return the user that the headers name, or the caller without any. Raises 403 and 500."""
    asked = {name: headers[name] for name in headers if name.startswith("impersonate-")}
    if not asked:
        return caller
    name = asked.get(_USER, "")
    if not name:
        raise internal(f"requested {sorted(asked)} without impersonating a user")
    groups = tuple(group for group in asked.get(_GROUP, "").split(SEPARATOR) if group)
    for attributes in _needed(name, groups, asked):
        if not authorizer.decide(caller, attributes).allowed:
            where = Resource(group=attributes.group, plural=attributes.full_resource)
            raise forbidden(where, attributes.name, attributes.refusal(caller))
    if not groups and name.startswith(_ACCOUNT):
        namespace = name.removeprefix(_ACCOUNT).partition(":")[0]
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}")
    standing = "unauthenticated" if name == "system:anonymous" else "authenticated"
    return User(
        name=name, uid=asked.get(_UID, ""), groups=tuple(dict.fromkeys([*groups, f"system:{standing}"]))
    )


def _needed(name: str, groups: tuple[str, ...], asked: Mapping[str, str]) -> Iterator[Attributes]:
    """Yield what the caller must be allowed to do."""
    namespace, colon, account = name.removeprefix(_ACCOUNT).partition(":")
    if name.startswith(_ACCOUNT) and colon:
        yield Attributes(verb="impersonate", resource="serviceaccounts", namespace=namespace, name=account)
    else:
        yield Attributes(verb="impersonate", resource="users", name=name)
    for group in groups:
        yield Attributes(verb="impersonate", resource="groups", name=group)
    if uid := asked.get(_UID):
        yield Attributes(verb="impersonate", group=_AUTHENTICATION, resource="uids", name=uid)
    for header, values in asked.items():
        if header.startswith(_EXTRA):
            for value in values.split(SEPARATOR):
                yield Attributes(
                    verb="impersonate",
                    group=_AUTHENTICATION,
                    resource="userextras",
                    subresource=header.removeprefix(_EXTRA),
                    name=value,
                )
