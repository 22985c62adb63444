"""``bais-gates stage``: its help, and how wrong input ends before any cluster is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bais_gates.cli.stage_run import NOT_AS_IT_SHOULD_BE, REFUSED, SURROUNDINGS, _told
from bais_gates.staging.errors import StageCode, StageError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Cli

KUBERNETES = "kubernetes: {kubeconfig: kube.yaml, context: production, read_only: true}\n"
STAGING = "staging: {overlay: production}\n"


def test_help_says_what_it_touches(cli: Cli) -> None:
    """The help names the cluster and the namespaces that are touched, and every exit status."""
    text = cli("stage", "--help").stdout

    assert "Touches:" in text
    for status in ("0 it came up", "1 the release", "2 the input", "3 the cluster", "130 interrupted"):
        assert status in text


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("name: there\n", "kubernetes is missing"),
        (f"name: there\n{KUBERNETES}{STAGING}", "read_only"),
    ],
    ids=["no cluster", "read only"],
)
def test_an_environment_that_can_not_be_staged_in(cli: Cli, tmp_path: Path, content: str, words: str) -> None:
    """A file without a cluster, or with one that may only be read, ends with 2 and what to do."""
    path = tmp_path / "there.yaml"
    path.write_text(content, encoding="utf-8")

    done = cli("stage", f"--env={path}")

    assert done.returncode == 2, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "words", [("--timeout=soon",), ("--keep", "--down"), ("--overlay=a", "--manifests=b")]
)
def test_words_that_exclude_each_other(cli: Cli, words: tuple[str, ...]) -> None:
    """What makes no sense ends with 2 and the usage."""
    done = cli("stage", *words)

    assert done.returncode == 2
    assert "usage:" in done.stderr


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (StageCode.IMAGE_PULL, NOT_AS_IT_SHOULD_BE),
        (StageCode.JOB_FAILED, NOT_AS_IT_SHOULD_BE),
        (StageCode.NAMESPACE_FOREIGN, REFUSED),
        (StageCode.MANIFESTS, REFUSED),
        (StageCode.FORBIDDEN, SURROUNDINGS),
        (StageCode.KIND_MISSING, SURROUNDINGS),
        (StageCode.NOT_TORN_DOWN, SURROUNDINGS),
    ],
)
def test_the_exit_status_says_whose_fault_it_is(
    capsys: pytest.CaptureFixture[str], code: StageCode, status: int
) -> None:
    """The release, the input, or the surroundings; the error names the step and the code."""
    assert _told(StageError(code, "It stopped", step="database")) == status
    assert f"at the step database: {code}: It stopped." in capsys.readouterr().err
