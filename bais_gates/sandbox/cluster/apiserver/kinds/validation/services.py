"""What holds for Services, Ingresses, NetworkPolicies and EndpointSlices."""

from __future__ import annotations

import ipaddress
from typing import Any

from bais_gates.sandbox.cluster.apiserver.kinds.errors import (
    Cause,
    duplicate,
    forbidden,
    invalid,
    not_supported,
    required,
)
from bais_gates.sandbox.cluster.apiserver.kinds.kind import Obj
from bais_gates.sandbox.cluster.apiserver.kinds.validation import containers, meta, names

SERVICE_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
BAD_SEQUENCES = ("//", "/./", "/../", "%2f", "%2F")
BAD_SUFFIXES = ("/..", "/.")
POLICY_PROTOCOLS = ("TCP", "UDP", "SCTP")
ADDRESS_TEXT = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
CIDR_TEXT = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"


def service(obj: Obj) -> list[Cause]:
    """Return what is wrong with a Service's specification."""
    spec = obj["spec"]
    found: list[Cause] = []
    kind, ports, address = spec.get("type"), spec.get("ports") or [], spec.get("clusterIP", "")
    if not ports and address != "None" and kind != "ExternalName":
        found.append(required("spec.ports"))
    if kind in {"LoadBalancer", "NodePort"} and address == "None":
        said = f"may not be set to 'None' for {kind} services"
        found.append(invalid("spec.clusterIPs[0]", "None", said))
    if kind == "ExternalName":
        name = spec.get("externalName", "").rstrip(".")
        if not name:
            found.append(required("spec.externalName"))
        else:
            found += [invalid("spec.externalName", name, said) for said in names.dns_subdomain(name)]
    seen: set[str] = set()
    for index, port in enumerate(ports):
        found += _service_port(port, f"spec.ports[{index}]", named=len(ports) > 1, seen=seen)
    found += meta.label_causes(spec.get("selector"), "spec.selector")
    affinity = spec.get("sessionAffinity")
    found += meta.one_of(affinity, ("ClientIP", "None"), "spec.sessionAffinity")
    found += _timeout(spec)
    for index, text in enumerate(spec.get("externalIPs") or ()):
        if not _is_address(text):
            found.append(invalid(f"spec.externalIPs[{index}]", text, ADDRESS_TEXT))
    if kind not in SERVICE_TYPES:
        found.append(not_supported("spec.type", kind, SERVICE_TYPES))
    found += _port_clashes(ports, kind)
    found += _policies(spec, kind)
    if address not in {"", "None"} and not _is_address(address):
        found.append(invalid("spec.clusterIPs[0]", address, "must be empty, 'None', or a valid IP address"))
    return found


def _policies(spec: Obj, kind: str | None) -> list[Cause]:
    found: list[Cause] = []
    outer, inner = spec.get("externalTrafficPolicy"), spec.get("internalTrafficPolicy")
    if outer is not None and kind not in {"NodePort", "LoadBalancer"} and not spec.get("externalIPs"):
        said = "may only be set for externally-accessible services"
        found.append(invalid("spec.externalTrafficPolicy", outer, said))
    else:
        found += meta.one_of(outer, ("Cluster", "Local"), "spec.externalTrafficPolicy")
    return found + meta.one_of(inner, ("Cluster", "Local"), "spec.internalTrafficPolicy")


def _timeout(spec: Obj) -> list[Cause]:
    seconds = ((spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}).get("timeoutSeconds")
    if spec.get("sessionAffinity") == "ClientIP" and seconds is not None and not 0 < seconds <= 86400:
        field = "spec.sessionAffinityConfig.clientIP.timeoutSeconds"
        return [invalid(field, seconds, "must be greater than 0 and less than 86400")]
    return []


def _service_port(port: Obj, here: str, *, named: bool, seen: set[str]) -> list[Cause]:
    found: list[Cause] = []
    name = port.get("name", "")
    if named and not name:
        found.append(required(f"{here}.name"))
    elif name:
        found += [invalid(f"{here}.name", name, said) for said in names.dns_label(name)]
        if name in seen:
            found.append(duplicate(f"{here}.name", name))
        seen.add(name)
    number = port.get("port", 0)
    found += [invalid(f"{here}.port", number, said) for said in names.port_number(number)]
    found += meta.one_of(port.get("protocol"), containers.PROTOCOLS, f"{here}.protocol")
    return found + containers.port(port.get("targetPort"), f"{here}.targetPort")


def _port_clashes(ports: list[Obj], kind: str | None) -> list[Cause]:
    found: list[Cause] = []
    if kind == "ClusterIP":
        found += [
            forbidden(f"spec.ports[{index}].nodePort", "may not be used when `type` is 'ClusterIP'")
            for index, port in enumerate(ports)
            if port.get("nodePort")
        ]
    nodes: set[Any] = set()
    pairs: set[Any] = set()
    for index, port in enumerate(ports):
        node = (port.get("protocol"), port.get("nodePort"))
        if port.get("nodePort") and node in nodes:
            found.append(duplicate(f"spec.ports[{index}].nodePort", port["nodePort"]))
        nodes.add(node)
        pair = (port.get("protocol"), port.get("port"))
        if pair in pairs:
            found.append(duplicate(f"spec.ports[{index}]", {"port": pair[1], "protocol": pair[0]}))
        pairs.add(pair)
        if port.get("nodePort") and not 30000 <= port["nodePort"] <= 32767 and kind != "ClusterIP":
            said = "provided port is not in the valid range. The range of valid ports is 30000-32767"
            found.append(invalid(f"spec.ports[{index}].nodePort", port["nodePort"], said))
    return found


def updated_service(old: Obj, new: Obj) -> list[Cause]:
    """Return what an update of a Service changes though it never changes."""
    before, after = old["spec"], new["spec"]
    if "ExternalName" in {before.get("type"), after.get("type")} or not before.get("clusterIP"):
        return []
    was, has = before.get("clusterIPs") or [before["clusterIP"]], after.get("clusterIPs") or []
    if after.get("clusterIP") != before["clusterIP"]:
        said = "may not change once set"
        return [invalid("spec.clusterIPs[0]", [after.get("clusterIP")], said)]
    return (
        [] if was[0] == (has or was)[0] else [invalid("spec.clusterIPs[0]", has, "may not change once set")]
    )


def ingress(obj: Obj) -> list[Cause]:
    """Return what is wrong with an Ingress' specification."""
    spec = obj["spec"]
    found: list[Cause] = []
    rules, backend = spec.get("rules") or [], spec.get("defaultBackend")
    if not rules and backend is None:
        found.append(invalid("spec", None, "either `defaultBackend` or `rules` must be specified"))
    if backend is not None:
        found += _backend(backend, "spec.defaultBackend")
    for index, rule in enumerate(rules):
        found += _rule(rule, f"spec.rules[{index}]")
    for index, tls in enumerate(spec.get("tls") or ()):
        for place, host in enumerate(tls.get("hosts") or ()):
            check = names.wildcard_subdomain if "*" in host else names.dns_subdomain
            found += [invalid(f"spec.tls[{index}].hosts[{place}]", host, said) for said in check(host)]
        secret = tls.get("secretName", "")
        if secret:
            field = f"spec.tls[{index}].secretName"
            found += [invalid(field, secret, said) for said in names.dns_subdomain(secret)]
    name = spec.get("ingressClassName")
    if name is not None:
        found += [invalid("spec.ingressClassName", name, said) for said in names.dns_subdomain(name)]
    return found


def _rule(rule: Obj, here: str) -> list[Cause]:
    found: list[Cause] = []
    host = rule.get("host", "")
    if host:
        if _is_address(host):
            found.append(invalid(f"{here}.host", host, "must be a DNS name, not an IP address"))
        check = names.wildcard_subdomain if "*" in host else names.dns_subdomain
        found += [invalid(f"{here}.host", host, said) for said in check(host)]
    http = rule.get("http")
    if http is None:
        return found
    paths = http.get("paths") or []
    if not paths:
        found.append(required(f"{here}.http.paths"))
    for index, path in enumerate(paths):
        found += _path(path, f"{here}.http.paths[{index}]")
        found += _backend(path.get("backend") or {}, f"{here}.http.paths[{index}].backend")
    return found


def _path(path: Obj, here: str) -> list[Cause]:
    found: list[Cause] = []
    kind, text = path.get("pathType"), path.get("path", "")
    if kind is None:
        return [required(f"{here}.pathType", "pathType must be specified")]
    if kind not in PATH_TYPES:
        return [not_supported(f"{here}.pathType", kind, PATH_TYPES)]
    if kind in {"Exact", "Prefix"}:
        if not text.startswith("/"):
            found.append(invalid(f"{here}.path", text, "must be an absolute path"))
        if text:
            found += [
                invalid(f"{here}.path", text, f"must not contain '{bad}'")
                for bad in BAD_SEQUENCES
                if bad in text
            ]
            found += [
                invalid(f"{here}.path", text, f"cannot end with '{bad}'")
                for bad in BAD_SUFFIXES
                if text.endswith(bad)
            ]
    elif text and not text.startswith("/"):
        found.append(invalid(f"{here}.path", text, "must be an absolute path"))
    return found


def _backend(backend: Obj, here: str) -> list[Cause]:
    found: list[Cause] = []
    target, resource = backend.get("service"), backend.get("resource")
    if target is not None and resource is not None:
        return [invalid(here, "", "cannot set both resource and service backends")]
    if target is None and resource is None:
        return [invalid(here, "", "resource or service backend is required")]
    if target is not None:
        name, port = target.get("name", ""), target.get("port") or {}
        if not name:
            found.append(required(f"{here}.service.name"))
        else:
            found += [invalid(f"{here}.service.name", name, said) for said in names.dns1035_label(name)]
        if port.get("name") and port.get("number"):
            found.append(invalid(here, "", "cannot set both port name & port number"))
        elif port.get("name"):
            field = f"{here}.service.port.name"
            found += [invalid(field, port["name"], said) for said in names.port_name(port["name"])]
        elif port.get("number"):
            field = f"{here}.service.port.number"
            found += [invalid(field, port["number"], said) for said in names.port_number(port["number"])]
        else:
            found.append(required(here, "port name or number is required"))
    return found


def network_policy(obj: Obj) -> list[Cause]:
    """Return what is wrong with a NetworkPolicy's specification."""
    spec = obj["spec"]
    found = meta.selector(spec.get("podSelector"), "spec.podSelector")
    for side, peers in (("ingress", "from"), ("egress", "to")):
        for index, rule in enumerate(spec.get(side) or ()):
            here = f"spec.{side}[{index}]"
            for place, port in enumerate(rule.get("ports") or ()):
                found += _policy_port(port, f"{here}.ports[{place}]")
            for place, peer in enumerate(rule.get(peers) or ()):
                found += _peer(peer, f"{here}.{peers}[{place}]")
    types = spec.get("policyTypes") or []
    if len(types) > 2:
        return [*found, invalid("spec.policyTypes", types, "may not specify more than two policyTypes")]
    for index, kind in enumerate(types):
        if kind not in {"Ingress", "Egress"}:
            found.append(not_supported(f"spec.policyTypes[{index}]", kind, ("Ingress", "Egress")))
    return found


def _policy_port(port: Obj, here: str) -> list[Cause]:
    found = meta.one_of(port.get("protocol"), POLICY_PROTOCOLS, f"{here}.protocol")
    number, end = port.get("port"), port.get("endPort")
    if number is None:
        if end is not None:
            said = "may not be specified when `port` is not specified"
            found.append(invalid(f"{here}.endPort", end, said))
        return found
    found += containers.port(number, f"{here}.port")
    if end is not None and isinstance(number, str):
        said = "may not be specified when `port` is non-numeric"
        found.append(invalid(f"{here}.endPort", end, said))
    elif end is not None:
        if end < number:
            found.append(invalid(f"{here}.endPort", end, "must be greater than or equal to `port`"))
        found += [invalid(f"{here}.endPort", end, said) for said in names.port_number(end)]
    return found


def _peer(peer: Obj, here: str) -> list[Cause]:
    found: list[Cause] = []
    given = [name for name in ("podSelector", "namespaceSelector", "ipBlock") if peer.get(name) is not None]
    for name in ("podSelector", "namespaceSelector"):
        if name in given:
            found += meta.selector(peer[name], f"{here}.{name}")
    if "ipBlock" in given:
        found += _block(peer["ipBlock"], f"{here}.ipBlock")
    if not given:
        found.append(required(here, "must specify a peer"))
    elif len(given) > 1 and "ipBlock" in given:
        found.append(forbidden(here, "may not specify both ipBlock and another peer"))
    return found


def _block(block: Obj, here: str) -> list[Cause]:
    text = block.get("cidr", "")
    if not text:
        return [required(f"{here}.cidr")]
    net = _network(text)
    if net is None:
        return [invalid(f"{here}.cidr", text, CIDR_TEXT)]
    found = []
    for index, other in enumerate(block.get("except") or ()):
        inner = _network(other)
        field = f"{here}.except[{index}]"
        if inner is None:
            found.append(invalid(field, other, CIDR_TEXT))
        elif inner.version != net.version or not _inside(inner, net) or inner.prefixlen <= net.prefixlen:
            found.append(invalid(field, other, "must be a strict subset of `cidr`"))
    return found


def _inside(inner: Any, outer: Any) -> bool:
    return bool(inner.subnet_of(outer))


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    if "/" not in text:
        return None
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def endpoint_slice(obj: Obj) -> list[Cause]:
    """Return what is wrong with an EndpointSlice."""
    kind = obj.get("addressType", "")
    if not kind:
        return [required("addressType")]
    found = meta.one_of(kind, ("IPv4", "IPv6", "FQDN"), "addressType")
    for index, endpoint in enumerate(obj.get("endpoints") or ()):
        here = f"endpoints[{index}].addresses"
        if not endpoint.get("addresses"):
            found.append(required(here, "must contain at least 1 address"))
        for place, text in enumerate(endpoint.get("addresses") or ()):
            found += _endpoint_address(text, kind, f"{here}[{place}]")
    return found


def _endpoint_address(text: str, kind: str, field: str) -> list[Cause]:
    if kind not in {"IPv4", "IPv6"}:
        return []
    if not _is_address(text):
        return [invalid(field, text, ADDRESS_TEXT)]
    address = ipaddress.ip_address(text)
    if address.is_loopback:
        return [invalid(field, text, "may not be in the loopback range (127.0.0.0/8, ::1/128)")]
    if address.is_unspecified:
        return [invalid(field, text, f"may not be unspecified ({text})")]
    if address.is_link_local:
        return [invalid(field, text, "may not be in the link-local range (169.254.0.0/16, fe80::/10)")]
    return []


def endpoints(obj: Obj) -> list[Cause]:
    """Return what is wrong with Endpoints."""
    found: list[Cause] = []
    for index, subset in enumerate(obj.get("subsets") or ()):
        here = f"subsets[{index}]"
        if not subset.get("addresses") and not subset.get("notReadyAddresses"):
            found.append(required(here, "must specify `addresses` or `notReadyAddresses`"))
        for side in ("addresses", "notReadyAddresses"):
            for place, entry in enumerate(subset.get(side) or ()):
                found += _endpoint_address(entry.get("ip", ""), "IPv4", f"{here}.{side}[{place}].ip")
    return found
