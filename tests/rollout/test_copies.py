"""Copies of a Job and a Deployment that touch nothing of the live platform, and the way to their pods."""

from __future__ import annotations

import copy
import sys
from pathlib import Path

import pytest

from bais_gates.errors import GateInputError
from bais_gates.rollout import copies, scratch
from tests.rollout.proof_cluster import API, CACHE, JOB, Object, from_secret


def test_copies_share_no_label_with_the_platform() -> None:
    """And what they need of the original is there, with one pod and its own cache first."""
    labels = copies.labels_of("bais-api")
    live: Object = {"metadata": {"name": "bais-api"}, "spec": {"template": {"spec": {"containers": [API]}}}}
    live["spec"]["template"]["spec"]["affinity"] = {"podAntiAffinity": {}}

    made = copies.deployment_of(live, labels, "secret", CACHE)

    template = made["spec"]["template"]
    assert template["metadata"]["labels"] == made["spec"]["selector"]["matchLabels"] == labels
    assert labels == {"app.kubernetes.io/name": "bais-gates-proof", "bais-gates/proof": "bais-api"}
    cache, api = template["spec"]["containers"]
    assert (cache["image"], cache["command"]) == ("valkey:8", ["valkey-server"])
    names = {one["name"]: one["valueFrom"]["secretKeyRef"]["name"] for one in api["env"]}
    assert names == {"DATABASE_URL": "secret", "REDIS_URL": "secret", "SECRET_KEY": "bais-api"}
    assert "lifecycle" not in api
    assert "affinity" not in template["spec"]
    assert "lifecycle" in API  # the original is left alone
    assert copies.job_of(JOB, labels, "secret")["spec"]["template"]["metadata"] == {"labels": labels}


@pytest.mark.parametrize("env", [[], from_secret("OTHER_URL")])
def test_a_copy_that_could_use_the_live_database_is_refused(env: list[Object]) -> None:
    """Its address comes from elsewhere, so that it can't be replaced."""
    job = copy.deepcopy(JOB)
    job["spec"]["template"]["spec"]["containers"][0] |= {"env": env, "envFrom": [{"secretRef": {}}]}

    with pytest.raises(GateInputError, match="the Job bais-migrate-1 names DATABASE_URL in its env"):
        copies.job_of(job, {}, "secret")


@pytest.mark.parametrize(
    ("selector", "types", "expected"),
    [
        ({}, ["Egress"], True),
        ({"matchLabels": {"bais-gates/proof": "bais-api"}}, ["Ingress", "Egress"], True),
        ({"matchLabels": {"app.kubernetes.io/name": "bais-api"}}, ["Egress"], False),
        ({"matchExpressions": [{"key": "a", "operator": "Exists"}]}, ["Egress"], False),
        ({}, ["Ingress"], False),
    ],
)
def test_which_policies_isolate(selector: Object, types: list[str], expected: bool) -> None:
    """Those that select the pods and are about egress; an expression is not evaluated, and proves nothing."""
    policy = {"spec": {"podSelector": selector, "policyTypes": types}}
    assert copies.isolates(policy, copies.labels_of("bais-api")) is expected


def test_a_pod_is_reached_by_kubectl(tmp_path: Path) -> None:
    """The port is the one that it prints; it ends with the block."""
    program = tmp_path / "kubectl"
    program.write_text(
        "import time\nprint('Forwarding from 127.0.0.1:43210 -> 8443', flush=True)\ntime.sleep(60)\n"
    )

    with scratch.forwarded([sys.executable, str(program)]) as port:
        assert port == 43210


def test_a_refused_forwarding_says_why(tmp_path: Path) -> None:
    """The right that is missing, or the program."""
    with (
        pytest.raises(GateInputError, match=r"pods is forbidden.*needs the right to create pods/portforward"),
        scratch.forwarded([sys.executable, "-c", "print('error: pods is forbidden')"]),
    ):
        pass
    with pytest.raises(GateInputError, match="Install it"), scratch.forwarded([str(tmp_path / "none")]):
        pass
