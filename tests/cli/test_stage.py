"""``bais-gates stage``: its help, its exit statuses, and wrong input that ends before any request."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bais_gates.cli.stage_run import CLUSTER_FAILED, REFUSED, RELEASE_FAILED, _report_error
from bais_gates.staging.errors import StageCode, StageError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Cli

KUBERNETES = "kubernetes: {kubeconfig: kube.yaml, context: production, read_only: true}\n"
KUBECONFIG = """\
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: c, user: {token: none}}]
contexts: [{name: c, context: {cluster: c, user: c}}]
"""
STAGING = "staging: {overlay: production}\n"


def test_help_says_what_it_touches(cli: Cli) -> None:
    """The help names the cluster and the namespaces that are changed, and every exit status."""
    output = cli("stage", "--help").stdout

    assert "Touches:" in output
    for status in ("0 the release", "1 the release", "2 the input", "3 the cluster", "130 interrupted"):
        assert status in output


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("name: there\n", "kubernetes is missing"),
        (f"name: there\n{KUBERNETES}{STAGING}", "read_only"),
    ],
    ids=["no cluster", "read only"],
)
def test_unsuitable_environment(cli: Cli, tmp_path: Path, content: str, words: str) -> None:
    """A file without a cluster, or with a read-only one, ends with status 2 and names the key."""
    path = tmp_path / "there.yaml"
    path.write_text(content, encoding="utf-8")

    done = cli("stage", f"--env={path}")

    assert done.returncode == 2, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "words", [("--timeout=soon",), ("--keep", "--down"), ("--overlay=a", "--manifests=b")]
)
def test_invalid_options(cli: Cli, words: tuple[str, ...]) -> None:
    """A bad value or contradicting options end with status 2 and the usage."""
    done = cli("stage", *words)

    assert done.returncode == 2
    assert "usage:" in done.stderr


@pytest.mark.parametrize("action", [(), ("--down",)], ids=["provision", "down"])
@pytest.mark.parametrize("name", ["UPPER", "a.b", "-a", "a" * 64])
def test_a_name_that_no_namespace_can_have(
    cli: Cli, tmp_path: Path, name: str, action: tuple[str, ...]
) -> None:
    """An invalid namespace is wrong input, on the command line and in the file, before any request."""
    kubeconfig, path = tmp_path / "kubeconfig", tmp_path / "there.yaml"
    kubeconfig.write_text(KUBECONFIG, encoding="utf-8")
    path.write_text(
        f"name: there\nkubernetes: {{kubeconfig: {kubeconfig}, context: c}}\nstaging: {{overlay: sandbox}}\n",
        encoding="utf-8",
    )

    done = cli("stage", f"--env={path}", f"--namespace={name}", *action)

    assert done.returncode == 2, done.stderr
    assert "--namespace" in done.stderr
    assert "can't name a namespace" in done.stderr


@pytest.mark.parametrize(
    "words", [("--down", "--image=a"), ("--list", "--namespace=b"), ("--list", "--timeout=5")]
)
def test_options_without_effect(cli: Cli, words: tuple[str, ...]) -> None:
    """An option that the action does not use ends with status 2, and names both."""
    done = cli("stage", *words)

    assert done.returncode == 2
    for word in words:
        assert word.partition("=")[0] in done.stderr


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (StageCode.IMAGE_PULL, RELEASE_FAILED),
        (StageCode.JOB_FAILED, RELEASE_FAILED),
        (StageCode.NAMESPACE_FOREIGN, REFUSED),
        (StageCode.NAMESPACE_HELD, REFUSED),
        (StageCode.MANIFESTS, REFUSED),
        (StageCode.FORBIDDEN, CLUSTER_FAILED),
        (StageCode.KIND_MISSING, CLUSTER_FAILED),
        (StageCode.NOT_TORN_DOWN, CLUSTER_FAILED),
    ],
)
def test_exit_status_of_an_error(capsys: pytest.CaptureFixture[str], code: StageCode, status: int) -> None:
    """The status tells the release, the input and the cluster apart; the message has step and code."""
    assert _report_error(StageError(code, "It stopped", step="database")) == status
    assert f"in the step database: {code}: It stopped." in capsys.readouterr().err
