"""What hangs on an object: its scale, a pod's log, binding and eviction, a namespace's end, a token."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from bais_gates.sandbox.cluster.apiserver import bodies, selectors
from bais_gates.sandbox.cluster.apiserver.core import check_identity, now, resource_of, write_options
from bais_gates.sandbox.cluster.apiserver.deletion import delete_object, delete_options
from bais_gates.sandbox.cluster.apiserver.patching import patched
from bais_gates.sandbox.cluster.apiserver.reading import get
from bais_gates.sandbox.cluster.apiserver.statuses import (
    MODIFIED,
    Resource,
    bad_request,
    conflict,
    internal,
    invalid,
    too_many_requests,
    unsupported_media_type,
)
from bais_gates.sandbox.cluster.apiserver.writing import commit, update

if TYPE_CHECKING:
    from bais_gates.sandbox.cluster.apiserver.core import Core
    from bais_gates.sandbox.cluster.apiserver.kinds import Kind
    from bais_gates.sandbox.cluster.apiserver.request import Request

Object = dict[str, Any]
LOG_ANNOTATION = "sandbox.bais-gates/log"
"""Where the node agent notes the file with a container's output; ``<annotation>.<container>`` for several."""
_BUDGETS = ("policy", "poddisruptionbudgets")
_MOST_LOG = 10 * 1024 * 1024


def _part(body: Object, field: str) -> Object:
    """Return an object inside a body, empty when it isn't there; raises 400 when it is none."""
    found = body.get(field)
    if found is not None and not isinstance(found, dict):
        raise bad_request(
            f"json: cannot unmarshal {bodies.go_type(found)} into Go struct field .{field} of type object"
        )
    return found or {}


def scale_of(kind: Kind, obj: Object) -> Object:
    """Return the Scale of an object."""
    metadata, spec, status = obj["metadata"], obj.get("spec") or {}, obj.get("status") or {}
    about = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    selector = _selector_text(spec.get("selector"))
    replicas = int(spec.get("replicas") or 0)
    found: Object = {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: metadata[key] for key in about if key in metadata},
        "spec": {"replicas": replicas} if replicas else {},
        "status": {"replicas": int(status.get("replicas") or 0)},
    }
    if selector and not kind.custom:
        found["status"]["selector"] = selector
    return found


def _selector_text(selector: Any) -> str:
    forms = {"in": "{} in ({})", "notin": "{} notin ({})", "exists": "{}", "!exists": "!{}"}
    terms = [
        f"{each.key}={each.values[0]}"
        if each.op == "in" and len(each.values) == 1
        else forms[each.op].format(each.key, ",".join(sorted(each.values)))
        for each in selectors.from_selector(selector)
    ]
    return ",".join(sorted(terms))


def scale(core: Core, request: Request, kind: Kind, namespace: str, name: str) -> Object:
    """Read or change the scale."""
    old = get(core, kind, namespace, name)
    if request.method == "GET":
        return scale_of(kind, old)
    if request.method == "PUT":
        asked = bodies.read_object(request, kind, api_version="autoscaling/v1", kind_name="Scale")
        options = write_options(request, "UpdateOptions")
    else:
        media = bodies.media_type(request)
        if media not in {bodies.JSON_PATCH, bodies.MERGE_PATCH, bodies.STRATEGIC_PATCH}:
            raise unsupported_media_type(bodies.accepted_patches(kind))
        change = bodies.read_patch(request, kind, media)
        # A Scale has no lists with keys: a strategic merge of one is a plain merge.
        plain = bodies.MERGE_PATCH if media == bodies.STRATEGIC_PATCH else media
        asked = patched(kind, scale_of(kind, old), change, plain)
        options = write_options(request, "PatchOptions")
    metadata = _part(asked, "metadata")
    check_identity(kind, metadata, namespace, name)
    version = metadata.get("resourceVersion")
    if version and version != old["metadata"]["resourceVersion"]:
        raise conflict(resource_of(kind), name, MODIFIED)
    replicas = _part(asked, "spec").get("replicas", 0)
    if not isinstance(replicas, int) or isinstance(replicas, bool):
        raise bad_request(
            'Scale in version "v1" cannot be handled as a Scale: json: cannot unmarshal '
            f"{type(replicas).__name__} into Go struct field ScaleSpec.spec.replicas of type int32"
        )
    if replicas < 0:
        message = f"Invalid value: {replicas}: must be greater than or equal to 0"
        raise invalid("autoscaling", "Scale", name, [("FieldValueInvalid", message, "spec.replicas")])
    new = {**old, "spec": {**old["spec"], "replicas": replicas}}
    return scale_of(kind, update(core, request, kind, old, new, options=options))


def evict(core: Core, request: Request, kind: Kind, namespace: str, name: str) -> Object:
    """Delete a pod unless a PodDisruptionBudget forbids it now (429)."""
    body = bodies.read_object(request, kind, api_version="policy/v1", kind_name="Eviction")
    named = _part(body, "metadata").get("name")
    if named and named != name:
        raise bad_request("name in URL does not match name in Eviction object")
    pod = get(core, kind, namespace, name)
    request.body, request.headers = bodies.as_json(_part(body, "deleteOptions")), {}
    options = delete_options(request)
    phase = (pod.get("status") or {}).get("phase")
    if phase not in {"Succeeded", "Failed", "Pending"} and not pod["metadata"].get("deletionTimestamp"):
        _spend_disruption(core, pod, dry_run=options.dry_run or bool(request.option("dryRun")))
    if not (options.dry_run or request.option("dryRun")):
        delete_object(core, kind, pod, options)
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


def _spend_disruption(core: Core, pod: Object, *, dry_run: bool) -> None:
    metadata = pod["metadata"]
    labels = metadata.get("labels") or {}
    budgets = [
        budget
        for budget in core.store.items(_BUDGETS, metadata["namespace"])
        if (budget["spec"].get("selector") is not None)
        and all(each.matches(labels) for each in selectors.from_selector(budget["spec"]["selector"]))
    ]
    if len(budgets) > 1:
        raise internal("This pod has more than one PodDisruptionBudget, which the eviction subresource does "
                       "not support.")  # fmt: skip
    if not budgets or _unready_and_permitted(pod, budgets[0]):
        return
    budget = budgets[0]
    name, status = budget["metadata"]["name"], budget.get("status") or {}
    if status.get("observedGeneration", 0) < budget["metadata"].get("generation", 0):
        raise too_many_requests(
            "Cannot evict pod as it would violate the pod's disruption budget.",
            retry_after_s=10,
            causes=[
                {
                    "reason": "DisruptionBudget",
                    "message": f"The disruption budget {name} is still being processed by the server.",
                }
            ],
        )
    if status.get("disruptionsAllowed", 0) <= 0:
        message = (
            f"The disruption budget {name} needs {status.get('desiredHealthy', 0)} healthy pods and has "
            f"{status.get('currentHealthy', 0)} currently"
        )
        raise too_many_requests(
            "Cannot evict pod as it would violate the pod's disruption budget.",
            causes=[{"reason": "DisruptionBudget", "message": message}],
        )
    disrupted = {**(status.get("disruptedPods") or {}), metadata["name"]: now()}
    status = {**status, "disruptionsAllowed": status["disruptionsAllowed"] - 1, "disruptedPods": disrupted}
    kind = core.registry.find("policy", "v1", "poddisruptionbudgets")
    if kind is not None:
        commit(core, kind, budget, {**budget, "status": status}, dry_run=dry_run)


def _unready_and_permitted(pod: Object, budget: Object) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or []
    if any(each["type"] == "Ready" and each["status"] == "True" for each in conditions):
        return False
    status = budget.get("status") or {}
    healthy = status.get("currentHealthy", 0) >= status.get("desiredHealthy", 0) > 0
    return bool(healthy) or budget["spec"].get("unhealthyPodEvictionPolicy") == "AlwaysAllow"


def bind(core: Core, request: Request, kind: Kind, namespace: str, name: str) -> Object:
    """Put a pod onto a node: what a scheduler does."""
    body = bodies.read_object(request, kind, api_version="v1", kind_name="Binding")
    if _part(body, "metadata").get("name") != name:
        raise bad_request("name in URL does not match name in Binding object")
    target = _part(body, "target").get("name") or ""
    if not target:
        cause = ("FieldValueRequired", "Required value", "target.name")
        raise invalid("", "Binding", name, [cause])
    pod = get(core, kind, namespace, name)
    if pod["metadata"].get("deletionTimestamp"):
        raise conflict(Resource(group="", plural="pods/binding"), name,
                       f"pod {name} is being deleted, cannot be assigned to a host")  # fmt: skip
    if at := pod["spec"].get("nodeName"):
        why = f'pod {name} is already assigned to node "{at}"'
        raise conflict(Resource(group="", plural="pods/binding"), name, why)
    status = pod.get("status") or {}
    conditions = [each for each in status.get("conditions") or [] if each["type"] != "PodScheduled"]
    scheduled = {"type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": now()}
    bound = {
        **pod,
        "spec": {**pod["spec"], "nodeName": target},
        "status": {**status, "conditions": [*conditions, scheduled]},
    }
    commit(core, kind, pod, bound, dry_run=bool(request.option("dryRun")))
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


def finalize(core: Core, request: Request, kind: Kind, name: str) -> Object:
    """Take the namespace's own finalizers away: how the namespace controller says that it is empty."""
    body = bodies.read_object(request, kind)
    old = get(core, kind, "", name)
    metadata = _part(body, "metadata")
    check_identity(kind, metadata, "", name)
    version = metadata.get("resourceVersion")
    if version and version != old["metadata"]["resourceVersion"]:
        raise conflict(resource_of(kind), name, MODIFIED)
    spec = {**(old.get("spec") or {}), "finalizers": _part(body, "spec").get("finalizers") or []}
    if not spec["finalizers"]:
        spec.pop("finalizers")
    return commit(core, kind, old, {**old, "spec": spec}, dry_run=bool(request.option("dryRun")))


def log(core: Core, request: Request, kind: Kind, namespace: str, name: str) -> bytes:
    """Return a pod's output, from the file that the node agent named in an annotation."""
    pod = get(core, kind, namespace, name)
    names = [each["name"] for each in pod["spec"].get("containers") or []]
    names += [each["name"] for each in pod["spec"].get("initContainers") or []]
    container = request.option("container")
    if not container:
        if len(pod["spec"].get("containers") or []) > 1:
            raise bad_request(
                f"a container name must be specified for pod {name}, choose one of: [{' '.join(names)}]"
            )
        container = names[0]
    elif container not in names:
        raise bad_request(f"container {container} is not valid for pod {name}")
    if not pod["spec"].get("nodeName"):
        return b""
    notes = pod["metadata"].get("annotations") or {}
    file = notes.get(f"{LOG_ANNOTATION}.{container}") or notes.get(LOG_ANNOTATION)
    if not file:
        raise bad_request(f'container "{container}" in pod "{name}" is waiting to start: ContainerCreating')
    if request.flag("previous") and not file:
        raise bad_request(f'previous terminated container "{container}" in pod "{name}" not found')
    return _tail(Path(file), request)


def _tail(file: Path, request: Request) -> bytes:
    try:
        with file.open("rb") as opened:
            opened.seek(0, 2)
            opened.seek(max(0, opened.tell() - _MOST_LOG))
            text = opened.read()
    except OSError:
        return b""
    lines, bytes_ = request.option("tailLines"), request.option("limitBytes")
    if lines.isdecimal():
        kept = text.splitlines(keepends=True)
        text = b"".join(kept[len(kept) - min(int(lines), len(kept)) :])
    return text[: int(bytes_)] if bytes_.isdecimal() else text
