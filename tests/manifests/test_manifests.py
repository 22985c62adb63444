"""Rendering kustomizations: the output of kubectl, and errors for what is not supported."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from bais_gates.errors import GateInputError
from bais_gates.manifests import image_references, is_cluster_scoped, render
from bais_gates.rules.kubernetes import exposure, hygiene, ingresses, plaintext, rbac, resilience, wiring
from bais_gates.rules.kubernetes.network_policies import Network, dangling_findings, isolation_findings
from bais_gates.rules.kubernetes.pod_security import POD_KINDS, violations

OVERLAYS = Path(__file__).parents[2] / "gates" / "staging" / "manifests" / "overlays"
NAMES = ("production", "sandbox", "sandbox-staging", "staging")
POD = """\
apiVersion: v1
kind: Pod
metadata: {name: p}
spec: {containers: [{name: c, image: "host:5000/a/b:1"}]}
"""
PATCH = "resources: [p.yaml]\npatches: [{patch: '- {op: remove, path: %s}', target: {kind: %s}}]\n"


def by_identity(objects: list[dict[str, Any]]) -> dict[tuple[str, str, str], dict[str, Any]]:
    """Return objects by their identity."""
    return {(one["apiVersion"], one["kind"], one["metadata"]["name"]): one for one in objects}


def written(folder: Path, **files: str) -> Path:
    """Write a kustomization folder with a YAML file for each keyword."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return folder


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="compares with the output of kubectl")
@pytest.mark.parametrize("overlay", NAMES)
def test_rendering_equals_that_of_kubectl(overlay: str) -> None:
    """Every overlay renders to the objects of kubectl kustomize."""
    done = subprocess.run(
        ["kubectl", "kustomize", str(OVERLAYS / overlay)], capture_output=True, check=True, text=True
    )

    theirs = by_identity(list(yaml.safe_load_all(done.stdout)))

    assert by_identity(render(OVERLAYS / overlay)) == theirs


@pytest.mark.parametrize("overlay", NAMES)
def test_every_image_has_a_digest(overlay: str) -> None:
    """No pod of any overlay runs an image by a tag that can be moved."""
    images = image_references(render(OVERLAYS / overlay))

    assert images
    assert all("@sha256:" in image for image in images)


RULES = (
    plaintext.literal_secrets,
    hygiene.missing_resources,
    hygiene.unpinned_images,
    hygiene.writable_root,
    hygiene.account_findings,
    hygiene.root_users,
    rbac.binding_findings,
    exposure.exposed_services,
    exposure.host_access,
    exposure.ingress_tls,
    exposure.snippets,
    exposure.dangling_services,
    ingresses.annotation_findings,
    resilience.probe_findings,
    resilience.spread_findings,
    resilience.budget_findings,
    resilience.scaler_findings,
    resilience.replicas_with_autoscaler,
    resilience.cron_job_findings,
    wiring.dangling_monitors,
    wiring.missing_accounts,
    wiring.removed_apis,
    wiring.in_default_namespace,
)


@pytest.mark.parametrize("overlay", NAMES)
def test_our_manifests_have_no_findings(overlay: str) -> None:
    """Every overlay satisfies all rules, and the Pod Security level restricted."""
    objects = render(OVERLAYS / overlay)
    network = Network.of(objects)

    findings = [finding for rule in RULES for finding in rule(objects)]
    findings += isolation_findings(network) + dangling_findings(network)
    refused = [one for obj in objects if obj["kind"] in POD_KINDS for one in violations(obj, "restricted")]

    assert (findings, refused) == ([], [])


def test_the_namespace_is_replaced() -> None:
    """All namespaced objects are in the given namespace, and the Namespace object has its name."""
    objects = render(OVERLAYS / "staging", namespace="elsewhere")

    assert {one["metadata"]["name"] for one in objects if one["kind"] == "Namespace"} == {"elsewhere"}
    assert {one["metadata"].get("namespace") for one in objects if not is_cluster_scoped(one)} == {
        "elsewhere"
    }
    assert {one["metadata"].get("namespace") for one in objects if is_cluster_scoped(one)} == {None}


def test_an_image_is_replaced_in_all_pods() -> None:
    """A given reference replaces the image of that name, and no other."""
    name, wanted = "registry.bais.example/bais-api", "registry.bais.example/bais-api@sha256:" + "a" * 64

    images = image_references(render(OVERLAYS / "staging", images={name: wanted}))

    assert {image for image in images if image.startswith(name)} == {wanted}
    assert len(images) == 3


def test_the_port_of_a_registry_is_not_a_tag(tmp_path: Path) -> None:
    """The name of host:5000/a/b:1 is host:5000/a/b."""
    folder = written(tmp_path, kustomization="resources: [p.yaml]\n", p=POD)

    assert image_references(render(folder, images={"host:5000/a/b": "x@sha256:1"})) == {"x@sha256:1"}


def test_replicas_and_labels_are_set(tmp_path: Path) -> None:
    """The objects have the replicas and labels of the kustomization."""
    deployment = (
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\n"
        "spec: {template: {spec: {containers: [{name: c, image: a}]}}}\n"
    )
    text = "resources: [d.yaml]\nreplicas: [{name: d, count: 4}]\nlabels: [{pairs: {team: pay}}]\n"

    (made,) = render(written(tmp_path, kustomization=text, d=deployment))

    assert made["spec"]["replicas"] == 4
    assert made["metadata"]["labels"] == {"team": "pay"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("resources: [p.yaml]\nhelmCharts: []\n", "helmCharts"),
        ("resources: [absent.yaml]\n", "absent.yaml"),
        ("resources: [p.yaml, p.yaml]\n", "duplicate"),
        ("resources: [.]\n", "includes itself"),
        ("resources: [p.yaml]\nimages: [{name: a, digest: sha256:12}]\n", "64 hex digits"),
        ("resources: [p.yaml]\nimages: [{name: a, tag: b}]\n", "newTag"),
        ("resources: [p.yaml]\nreplicas: [{name: q, count: 2}]\n", "replicas"),
        (PATCH % ("/spec/absent", "Pod"), "cannot be applied"),
        (PATCH % ("/spec", "Job"), "not in resources"),
        ("resources: [p.yaml]\npatches: [{path: q.yaml}]\n", "no Pod other"),
        ("resources: [p.yaml]\npatches: [{path: list.yaml}]\n", "to patch a list"),
        ("resources: [text.yaml]\n", "apiVersion"),
        ("resources: [double.yaml]\n", "duplicate key, first in line"),
        ("resources: [p.yaml]\nresources: [p.yaml]\n", "duplicate key, first in line"),
        ("- a\n", "list"),
        ("", "one kustomization"),
    ],
)  # fmt: skip
def test_an_unsupported_kustomization_is_an_error(tmp_path: Path, text: str, message: str) -> None:
    """The message names file and key; nothing is silently ignored."""
    folder = written(
        tmp_path,
        kustomization=text,
        p=POD,
        q="apiVersion: v1\nkind: Pod\nmetadata: {name: other}\nspec: {hostname: a}\n",
        list="apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: []}\n",
        text="a: 1\n",
        double="kind: Pod\nkind: Job\n",
    )

    with pytest.raises(GateInputError, match=message) as error:
        render(folder)

    assert str(tmp_path) in str(error.value)


def test_a_folder_without_kustomization_is_an_error(tmp_path: Path) -> None:
    """The message names the missing file."""
    with pytest.raises(GateInputError, match=r"no kustomization\.yaml"):
        render(tmp_path)


def test_line_numbers_count_over_documents(tmp_path: Path) -> None:
    """An error in the second document of a file has the line of the file."""
    folder = written(tmp_path, kustomization="resources: [p.yaml]\n", p=f"{POD}---\na: yes\n")

    with pytest.raises(GateInputError, match=r"p\.yaml:6"):
        render(folder)
