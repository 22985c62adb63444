"""The gate of the cluster's prerequisites: the API's name, and one minimum version wherever it is written."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from bais_gates.pytest_plugin.evidence import Evidence, GateFailure
from bais_gates.reports.wording import check_text
from bais_gates.targets.environment import Environment
from bais_gates.targets.parts import ApiPart, KubernetesPart
from tests.gates.conftest import GATES, gate_function

ROOT = GATES.parent
SCHEMA = ROOT / "bais_gates" / "verdict" / "schemas" / "environment.schema.json"
PART = KubernetesPart(kubeconfig=Path("kubeconfig"), context="c")


def _false(api: ApiPart, points: list[dict[str, str]]) -> list[str]:
    """Return the false checks about the name of an API whose Ingress has these points in its status."""
    ingress = {"status": {"loadBalancer": {"ingress": points}}}
    cluster: Any = SimpleNamespace(named=lambda *_reference: ingress)
    environment = Environment(
        name="tests", path=Path("tests.yaml"), digest="", parts={"kubernetes": PART, "api": api}
    )
    evidence = Evidence()
    with suppress(GateFailure):  # a required check was false; it is in the evidence
        gate_function("prerequisites", "staging").__globals__["check_name"](environment, cluster, evidence)
    return [check_text(check) for check in evidence.recorded().checks if check.ok is not True]


@pytest.mark.parametrize("url", ["https://localhost:8443", "https://127.0.0.1:8443", "https://[::1]"])
def test_a_name_of_its_ingress_passes(url: str) -> None:
    """Names of this machine are those of an Ingress on loopback."""
    assert _false(ApiPart(url=url), [{"ip": "127.0.0.1"}]) == []
    assert _false(ApiPart(url=url), [{"hostname": "localhost"}]) == []


def test_a_name_of_another_machine_names_both_addresses() -> None:
    """The message has the name, where it leads to, and where the Ingress is."""
    [false] = _false(ApiPart(url="https://localhost"), [{"ip": "203.0.113.7"}])

    for part in ("localhost", "127.0.0.1", "203.0.113.7"):
        assert part in false


def test_what_the_environment_file_names_takes_precedence() -> None:
    """Behind a CDN the name leads to the CDN; without any address there is nothing to compare."""
    api = ApiPart(url="https://127.0.0.1", ingress_address="localhost")

    assert _false(api, [{"ip": "203.0.113.7"}]) == []
    assert _false(ApiPart(url="https://127.0.0.1", ingress_address="203.0.113.9"), [])
    assert _false(ApiPart(url="https://localhost"), []) == []


def test_a_name_that_nobody_knows_fails() -> None:
    """A name without an address is false, on either side."""
    [false] = _false(ApiPart(url="https://nothing.invalid"), [{"ip": "203.0.113.7"}])
    assert "nothing.invalid" in false
    assert _false(ApiPart(url="https://localhost"), [{"hostname": "nothing.invalid"}])


def test_the_minimum_version_is_the_same_everywhere() -> None:
    """Default, environment files, catalog, schema and README have one version: what the manifests need."""
    versions = {
        name: yaml.safe_load((GATES / "environments" / f"{name}.yaml").read_text(encoding="utf-8"))[
            "kubernetes"
        ]["minimum_version"]
        for name in ("staging", "production")
    }
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    description = schema["properties"]["kubernetes"]["properties"]["minimum_version"]["description"]
    for name, text, pattern in (
        ("schema", description, r"Default: (\d+\.\d+)"),
        ("catalog", (GATES / "catalog.yaml").read_text(encoding="utf-8"), r"Kubernetes (\d+\.\d+) or newer"),
        ("README", (ROOT / "README.md").read_text(encoding="utf-8"), r"need Kubernetes (\d+\.\d+) or newer"),
    ):
        found = re.search(pattern, text)
        assert found is not None, name
        versions[name] = found[1]

    assert versions == dict.fromkeys(versions, PART.minimum_version)
