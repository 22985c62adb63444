"""A library that is not installed: an error that names the extra, for those who use it alone."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from bais_gates import sandbox
from bais_gates.cli import main
from bais_gates.errors import GateInputError
from bais_gates.extras import optional
from bais_gates.load.drive import Aim, run_load
from bais_gates.load.plan import Plan
from bais_gates.monitoring.promql import parse
from bais_gates.probes.kubernetes.access import ClusterAccess
from bais_gates.probes.kubernetes.cluster import Cluster
from bais_gates.probes.postgres import Database
from bais_gates.probes.redis import Cache
from bais_gates.probes.tls import read_certificate
from bais_gates.rules import secret_text
from bais_gates.rules.kubernetes.cronjobs import previous_run

if TYPE_CHECKING:
    from collections.abc import Callable

KUBECONFIG = """\
contexts: [{name: c, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: u, user: {}}]
"""


def _cluster(folder: Path) -> object:
    path = folder / "kubeconfig"
    path.write_text(KUBECONFIG, encoding="utf-8")
    return Cluster(ClusterAccess(kubeconfig=path, context="c"))


def _detect_secrets() -> object:
    secret_text._detectors.cache_clear()
    return secret_text.looks_secret("X", "some text")


@pytest.mark.parametrize(
    ("library", "extra", "use"),
    [
        ("psycopg", "database", lambda _: Database("postgresql://reader@127.0.0.1:1/bais")),
        ("redis", "cache", lambda _: Cache("redis://127.0.0.1:1/0")),
        ("kubernetes", "cluster", _cluster),
        ("detect_secrets.plugins.aws", "cluster", lambda _: _detect_secrets()),
        ("cryptography.x509", "tls", lambda _: read_certificate(b"")),
        ("promql_parser", "monitoring", lambda _: parse("up == 0")),
        ("croniter", "bais", lambda _: previous_run("* * * * *", datetime.now(UTC))),
    ],
)
def test_a_library_that_is_not_installed_names_its_extra(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, library: str, extra: str, use: Callable[[Path], object]
) -> None:
    """Whoever uses a part whose library is absent gets the command that installs it."""
    monkeypatch.setitem(sys.modules, library, None)

    with pytest.raises(GateInputError) as error:
        use(tmp_path)

    assert f"needs the library {library}" in str(error.value)
    assert f"pip install 'bais-gates[{extra}]'" in str(error.value)


def test_a_running_sandbox_without_a_library_names_its_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """`sandbox up` from an environment without the extra, while another one has started it."""
    monkeypatch.setattr(sandbox, "status", lambda _: SimpleNamespace(state="ready"))
    monkeypatch.setitem(sys.modules, "psycopg", None)
    monkeypatch.delitem(sys.modules, "bais_gates.sandbox.accounts", raising=False)
    monkeypatch.delattr("bais_gates.sandbox.accounts", raising=False)

    assert main(["sandbox", "up", "--without-cluster", "--dir", str(tmp_path)]) == 2
    assert "needs the library psycopg: pip install 'bais-gates[sandbox]'" in capsys.readouterr().err


def test_a_folder_of_the_name_is_no_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of tests that is called like an absent library is not taken for it."""
    (tmp_path / "absent_library").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(GateInputError, match=r"a folder of that name\)\. Install it: pip install"):
        _ = optional("absent_library", extra="none").something


def test_a_load_run_without_locust_names_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Locust is a process of its own: its absence is found before it is started."""
    monkeypatch.setitem(sys.modules, "locust", None)
    aim = Aim(url="http://127.0.0.1:1", locustfile=tmp_path / "locustfile.py")
    with pytest.raises(GateInputError, match=r"pip install 'bais-gates\[load\]'"):
        run_load(Plan(), aim, tmp_path)


def test_a_library_is_imported_at_its_first_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """Naming a library costs nothing; its attributes are its own."""
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    library = optional("colorsys", extra="none")
    assert "colorsys" not in sys.modules

    assert library.rgb_to_hsv(0, 0, 0) == (0.0, 0.0, 0)

    assert "colorsys" in sys.modules


def test_what_gates_import_loads_no_library() -> None:
    """Collecting gates loads none of the libraries that they use only when they run."""
    program = (
        "import sys\n"
        "from bais_gates.probes import *\n"
        "from bais_gates.rules import *\n"
        "from bais_gates.rules.kubernetes import *\n"
        "print(*sys.modules)\n"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    libraries = {
        "cryptography",
        "detect_secrets",
        "httpcore",
        "httpx",
        "jsonschema",
        "kubernetes",
        "psycopg",
        "redis",
    }
    assert libraries.isdisjoint(answer.stdout.split())
