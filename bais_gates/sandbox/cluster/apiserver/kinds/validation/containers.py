"""What holds for the containers of a pod."""

from __future__ import annotations

from typing import Any

from bais_gates.sandbox.cluster.apiserver.kinds.errors import (
    Cause,
    duplicate,
    forbidden,
    invalid,
    not_found,
    not_supported,
    required,
)
from bais_gates.sandbox.cluster.apiserver.kinds.kind import Obj
from bais_gates.sandbox.cluster.apiserver.kinds.quantity import value_of
from bais_gates.sandbox.cluster.apiserver.kinds.validation import names
from bais_gates.sandbox.cluster.apiserver.kinds.validation.meta import NOT_NEGATIVE, not_negative, one_of

PROTOCOLS = ("SCTP", "TCP", "UDP")
PULL_POLICIES = ("Always", "IfNotPresent", "Never")
MESSAGE_POLICIES = ("FallbackToLogsOnError", "File")
SECCOMP = ("Localhost", "RuntimeDefault", "Unconfined")
PROPAGATION = ("Bidirectional", "HostToContainer", "None")
HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc", "sleep")
FIELD_PATHS = (
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
)
VALUE_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")
WHOLE_NUMBERS = ("cpu", "memory", "ephemeral-storage")


def all_causes(spec: Obj, volumes: dict[str, Obj], field: str) -> list[Cause]:
    """Return what is wrong with the containers of a pod's specification."""
    found: list[Cause] = []
    main, init = spec.get("containers") or [], spec.get("initContainers") or []
    if not main:
        found.append(required(f"{field}.containers"))
    seen: set[str] = set()
    found += _listed(main, volumes, f"{field}.containers", seen, spec)
    found += _listed(init, volumes, f"{field}.initContainers", seen, spec)
    return found


def _listed(
    containers: list[Obj], volumes: dict[str, Obj], field: str, seen: set[str], spec: Obj
) -> list[Cause]:
    found: list[Cause] = []
    init = field.endswith("initContainers")
    for index, container in enumerate(containers):
        here = f"{field}[{index}]"
        name = container.get("name", "")
        if not name:
            found.append(required(f"{here}.name"))
        else:
            found += [invalid(f"{here}.name", name, said) for said in names.dns_label(name)]
        if name and name in seen:
            found.append(duplicate(f"{here}.name", name))
        seen.add(name)
        found += _container(container, volumes, here, spec)
        restart = container.get("restartPolicy")
        if init and restart != "Always":
            for handler in ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe"):
                if handler in container:
                    said = "may not be set for init containers without restartPolicy=Always"
                    found.append(forbidden(f"{here}.{handler}", said))
        if init and restart is not None and restart not in {"Always", "Never", "OnFailure"}:
            found.append(not_supported(f"{here}.restartPolicy", restart, ("Always", "Never", "OnFailure")))
    found += _host_ports(containers, field)
    return found


def _container(container: Obj, volumes: dict[str, Obj], here: str, spec: Obj) -> list[Cause]:
    found: list[Cause] = []
    image = container.get("image", "")
    if not image:
        found.append(required(f"{here}.image"))
    elif image != image.strip():
        found.append(invalid(f"{here}.image", image, "must not have leading or trailing whitespace"))
    found += one_of(
        container.get("terminationMessagePolicy"), MESSAGE_POLICIES, f"{here}.terminationMessagePolicy"
    )
    found += _ports(container.get("ports") or [], f"{here}.ports", spec)
    found += _env(container.get("env") or [], f"{here}.env")
    found += _env_from(container.get("envFrom") or [], f"{here}.envFrom")
    found += _mounts(container.get("volumeMounts") or [], volumes, f"{here}.volumeMounts")
    found += one_of(container.get("imagePullPolicy"), PULL_POLICIES, f"{here}.imagePullPolicy")
    found += resources(container.get("resources") or {}, f"{here}.resources")
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if name in container:
            found += _probe(container[name], f"{here}.{name}", success_is_one=name != "readinessProbe")
    for name in ("postStart", "preStop"):
        hook = (container.get("lifecycle") or {}).get(name)
        if hook is not None:
            found += _handler(hook, f"{here}.lifecycle.{name}")
    found += _security(container.get("securityContext") or {}, f"{here}.securityContext")
    return found


def seccomp(profile: Any, here: str) -> list[Cause]:
    """Return what is wrong with a seccomp profile."""
    if profile is None:
        return []
    kind, file = profile.get("type", ""), profile.get("localhostProfile")
    if not kind:
        return [required(f"{here}.type", "type is required when seccompProfile is set")]
    if kind not in SECCOMP:
        return [not_supported(f"{here}.type", kind, SECCOMP)]
    if kind == "Localhost" and not file:
        said = "must be set when seccomp type is Localhost"
        return [required(f"{here}.localhostProfile", said)]
    if kind != "Localhost" and file is not None:
        said = "can only be set when seccomp type is Localhost"
        return [invalid(f"{here}.localhostProfile", file, said)]
    return []


def _security(context: Obj, here: str) -> list[Cause]:
    found = []
    for name in ("runAsUser", "runAsGroup"):
        value = context.get(name)
        if isinstance(value, int) and not 0 <= value < 2**31:
            found.append(invalid(f"{here}.{name}", value, "must be between 0 and 2147483647, inclusive"))
    if context.get("allowPrivilegeEscalation") is False and context.get("privileged"):
        said = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
        found.append(invalid(here, context, said))
    return found + seccomp(context.get("seccompProfile"), f"{here}.seccompProfile")


def _ports(ports: list[Obj], field: str, spec: Obj) -> list[Cause]:
    found: list[Cause] = []
    seen: set[str] = set()
    for index, port in enumerate(ports):
        here = f"{field}[{index}]"
        name = port.get("name", "")
        if name:
            wrong = names.port_name(name)
            found += [invalid(f"{here}.name", name, said) for said in wrong]
            if not wrong and name in seen:
                found.append(duplicate(f"{here}.name", name))
            seen.add(name)
        number, host = port.get("containerPort", 0), port.get("hostPort", 0)
        if not number:
            found.append(required(f"{here}.containerPort"))
        else:
            found += [invalid(f"{here}.containerPort", number, said) for said in names.port_number(number)]
        if host:
            found += [invalid(f"{here}.hostPort", host, said) for said in names.port_number(host)]
            if spec.get("hostNetwork") and host != number:
                said = "must match `hostPort` when `hostNetwork` is true"
                found.append(invalid(f"{here}.containerPort", number, said))
        found += one_of(port.get("protocol"), PROTOCOLS, f"{here}.protocol")
    return found


def _host_ports(containers: list[Obj], field: str) -> list[Cause]:
    found: list[Cause] = []
    seen: set[str] = set()
    for index, container in enumerate(containers):
        for place, port in enumerate(container.get("ports") or ()):
            if port.get("hostPort"):
                key = f"{port.get('protocol')}/{port.get('hostIP', '')}/{port['hostPort']}"
                if key in seen:
                    found.append(duplicate(f"{field}[{index}].ports[{place}].hostPort", key))
                seen.add(key)
    return found


def _env(entries: list[Obj], field: str) -> list[Cause]:
    found: list[Cause] = []
    for index, entry in enumerate(entries):
        here = f"{field}[{index}]"
        name = entry.get("name", "")
        if not name:
            found.append(required(f"{here}.name"))
        else:
            found += [invalid(f"{here}.name", name, said) for said in names.env_name(name)]
        source = entry.get("valueFrom")
        if source is not None:
            found += _value_from(source, entry.get("value"), f"{here}.valueFrom")
    return found


def _value_from(source: Obj, value: Any, here: str) -> list[Cause]:
    found: list[Cause] = []
    given = [name for name in VALUE_SOURCES if source.get(name) is not None]
    if "fieldRef" in given:
        path = source["fieldRef"].get("fieldPath", "")
        plain = path.partition("[")[0] in {"metadata.labels", "metadata.annotations"} and "[" in path
        if not path:
            found.append(required(f"{here}.fieldRef.fieldPath"))
        elif path not in FIELD_PATHS and not plain:
            known = path.startswith(("metadata.", "spec.", "status."))
            cause = (
                not_supported(f"{here}.fieldRef.fieldPath", path, FIELD_PATHS)
                if known
                else invalid(
                    f"{here}.fieldRef.fieldPath",
                    path,
                    f"error converting fieldPath: field label not supported: {path}",
                )
            )
            found.append(cause)
    if "resourceFieldRef" in given and not source["resourceFieldRef"].get("resource"):
        found.append(required(f"{here}.resourceFieldRef.resource"))
    for name in ("configMapKeyRef", "secretKeyRef"):
        if name in given:
            found += _key_ref(source[name], f"{here}.{name}")
    if not given:
        said = (
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or "
            "`fileKeyRef`"
        )
        found.append(invalid(here, "", said))
    elif value:
        found.append(invalid(here, "", "may not be specified when `value` is not empty"))
    elif len(given) > 1:
        found.append(invalid(here, "", "may not have more than one field specified at a time"))
    return found


def _key_ref(ref: Obj, here: str) -> list[Cause]:
    key = ref.get("key", "")
    found = [] if ref.get("name") else [required(f"{here}.name")]
    if not key:
        return [*found, required(f"{here}.key")]
    return found + [invalid(f"{here}.key", key, said) for said in names.config_key(key)]


def _env_from(entries: list[Obj], field: str) -> list[Cause]:
    found: list[Cause] = []
    for index, entry in enumerate(entries):
        here = f"{field}[{index}]"
        prefix = entry.get("prefix", "")
        if prefix:
            found += [invalid(f"{here}.prefix", prefix, said) for said in names.env_name(prefix)]
        given = [name for name in ("configMapRef", "secretRef") if entry.get(name) is not None]
        for name in given:
            if not entry[name].get("name"):
                found.append(required(f"{here}.{name}.name"))
        if not given:
            found.append(invalid(field, "", "must specify one of: `configMapRef` or `secretRef`"))
        elif len(given) > 1:
            found.append(invalid(field, "", "may not have more than one field specified at a time"))
    return found


def _mounts(mounts: list[Obj], volumes: dict[str, Obj], field: str) -> list[Cause]:
    found: list[Cause] = []
    paths: set[str] = set()
    for index, mount in enumerate(mounts):
        here = f"{field}[{index}]"
        name, path = mount.get("name", ""), mount.get("mountPath", "")
        if not name:
            found.append(required(f"{here}.name"))
        if name not in volumes:
            found.append(not_found(f"{here}.name", name))
        if not path:
            found.append(required(f"{here}.mountPath"))
        if path in paths:
            found.append(invalid(f"{here}.mountPath", path, "must be unique"))
        paths.add(path)
        sub = mount.get("subPath", "")
        if sub.startswith("/"):
            found.append(invalid(f"{here}.subPath", sub, "must be a relative path"))
        if ".." in sub.split("/"):
            found.append(invalid(f"{here}.subPath", sub, "must not contain '..'"))
        found += one_of(mount.get("mountPropagation"), PROPAGATION, f"{here}.mountPropagation")
    return found


def resources(given: Obj, here: str) -> list[Cause]:
    """Return what is wrong with requests and limits."""
    found: list[Cause] = []
    limits, requests = given.get("limits") or {}, given.get("requests") or {}
    for side, amounts in (("limits", limits), ("requests", requests)):
        for name, amount in sorted(amounts.items()):
            field = f"{here}.{side}[{name}]"
            if "/" not in name and name not in WHOLE_NUMBERS and not name.startswith("hugepages-"):
                found.append(invalid(field, name, "must be a standard resource type or fully qualified"))
            number = value_of(str(amount))
            if number is not None and number < 0:
                found.append(invalid(field, amount, NOT_NEGATIVE))
    for name, amount in sorted(requests.items()):
        limit = limits.get(name)
        asked, cap = value_of(str(amount)), value_of(str(limit)) if limit is not None else None
        if asked is not None and cap is not None and asked > cap:
            said = f"must be less than or equal to {name} limit of {limit}"
            found.append(invalid(f"{here}.requests", amount, said))
    return found


def _probe(probe: Obj, here: str, *, success_is_one: bool) -> list[Cause]:
    found = _handler(probe, here)
    for name in (
        "initialDelaySeconds",
        "timeoutSeconds",
        "periodSeconds",
        "successThreshold",
        "failureThreshold",
    ):
        found += not_negative(probe.get(name), f"{here}.{name}")
    grace = probe.get("terminationGracePeriodSeconds")
    if isinstance(grace, int) and grace <= 0:
        said = "must be greater than 0"
        found.append(invalid(f"{here}.terminationGracePeriodSeconds", grace, said))
    if success_is_one and probe.get("successThreshold") != 1:
        found.append(invalid(f"{here}.successThreshold", probe.get("successThreshold"), "must be 1"))
    return found


def _handler(action: Obj, here: str) -> list[Cause]:
    given = [name for name in HANDLERS if action.get(name) is not None]
    found = [forbidden(f"{here}.{extra}", "may not specify more than 1 handler type") for extra in given[1:]]
    if not given:
        return [required(here, "must specify a handler type")]
    first = action[given[0]]
    if given[0] == "exec" and not first.get("command"):
        found.append(required(f"{here}.exec.command"))
    if given[0] == "httpGet":
        if not first.get("path"):
            found.append(required(f"{here}.httpGet.path"))
        found += port(first.get("port"), f"{here}.httpGet.port")
        found += one_of(first.get("scheme"), ("HTTP", "HTTPS"), f"{here}.httpGet.scheme")
        for index, header in enumerate(first.get("httpHeaders") or ()):
            name = header.get("name", "")
            found += [
                invalid(f"{here}.httpGet.httpHeaders[{index}].name", name, said)
                for said in names.header_name(name)
            ]
    if given[0] == "tcpSocket":
        found += port(first.get("port"), f"{here}.tcpSocket.port")
    if given[0] == "grpc":
        number = first.get("port", 0)
        found += [invalid(f"{here}.grpc.port", number, said) for said in names.port_number(number)]
    return found


def port(value: Any, field: str) -> list[Cause]:
    """Return what is wrong with a port's number or name."""
    if isinstance(value, str):
        return [invalid(field, value, said) for said in names.port_name(value)]
    number = value or 0
    return [invalid(field, number, said) for said in names.port_number(number)]
