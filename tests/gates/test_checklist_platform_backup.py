"""The backup: its gate with a real dump and a real PostgreSQL, and red for each way it is no good."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pyrage  # type: ignore[import-untyped] # it brings no types along
import pytest

from bais_gates import sandbox
from bais_gates.probes import backup as backups
from bais_gates.probes import restore
from bais_gates.probes.postgres import Database
from bais_gates.sandbox.backup import take
from bais_gates.targets.environment import load_environment
from bais_gates.targets.parts import BackupPart, DatabasePart, KubernetesPart
from bais_gates.verdict.model import Outcome
from tests.gates.platform_bench import FakeCluster, Result, environment, judge
from tests.rules import platform_objects as objects

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

KEY = pyrage.x25519.Identity.generate()


class Bench:
    """One PostgreSQL with the platform's schema, and one good backup of it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        described = load_environment(directory / "environment.yaml", gates_dir=directory)
        self.live = described.database.url
        self.owner = str(json.loads((directory / "api.json").read_text())["database_url"])
        self.scratch = str(described.backup.scratch_url)

    def take(self, folder: Path) -> None:
        """Take one backup."""
        take(self.owner, str(KEY.to_public()), folder, restore.find_pg_restore().parent)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Start a sandbox for its PostgreSQL."""
    directory = tmp_path_factory.mktemp("bench")
    sandbox.start(directory, owner_pid=os.getpid())
    try:
        yield Bench(directory)
    finally:
        sandbox.stop(directory)


@pytest.fixture(scope="module")
def good(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Take one good backup."""
    folder = tmp_path_factory.mktemp("backups")
    bench.take(folder)
    return folder


@pytest.fixture
def folder(good: Path, tmp_path: Path) -> Path:
    """Give a copy of the good backup, to be spoilt."""
    return shutil.copytree(good, tmp_path / "backups")


def judged(
    bench: Bench,
    folder: Path,
    *,
    cron: Callable[[dict[str, Any]], Any] = lambda _job: None,
    kubernetes: KubernetesPart | None = None,
    **part: Any,
) -> Result:
    """Judge the backups of a folder."""
    everything = objects.platform()
    everything["cron_job"]["status"]["lastSuccessfulTime"] = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    cron(everything["cron_job"])
    stated = {"directory": folder, "identity": str(KEY), "scratch_url": bench.scratch, **part}
    parts: dict[str, Any] = {
        "kubernetes": kubernetes or KubernetesPart(kubeconfig=folder, context="c"),
        "backup": BackupPart(**stated),
        "database": DatabasePart(url=bench.live),
    }
    if everything["cron_job"]["metadata"]["name"] == "gone":
        del everything["cron_job"]
    with Database(bench.live) as database:
        return judge(
            "backup_verified",
            cluster=FakeCluster(everything),
            database=database,
            environment=environment(**parts),
        )


def _about(folder: Path, **over: Any) -> None:
    """Change what is described of the backup."""
    (path,) = folder.glob("*.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | over))


def _dump(folder: Path) -> Path:
    (path,) = folder.glob("*.dump.age")
    return path


def _seal(folder: Path, content: bytes) -> None:
    """Put other bytes in the dump's place, with a description that agrees with them."""
    path = _dump(folder)
    path.write_bytes(content)
    seen = backups.seal(backups.backups(folder)[0])
    path.with_name(f"{path.name}.sha256").write_text(f"{seen.sha256}  {path.name}\n")
    _about(folder, sha256=seen.sha256, size=seen.size)


def _plain(folder: Path) -> bytes:
    plain: bytes = pyrage.decrypt(_dump(folder).read_bytes(), [KEY])
    return plain


def test_a_good_backup_is_restored_and_compared(bench: Bench, folder: Path) -> None:
    """Every check holds, and the scratch database is gone."""
    result = judged(bench, folder)

    assert result.outcome is Outcome.PASS, str(result)
    assert len(result.checks) >= 15
    assert restore.scratch_databases(bench.scratch) == []


def _set(**over: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda job: job["spec"].update(over)


OLD = f"{datetime.now(UTC) - timedelta(hours=3):%Y-%m-%dT%H:%M:%SZ}"


@pytest.mark.parametrize(
    ("cron", "name"),
    [
        pytest.param(_set(suspend=True), "backup schedule", id="suspended"),
        pytest.param(
            _set(concurrencyPolicy="Allow"), "runs that may be late, doubled or endless", id="doubled"
        ),
        pytest.param(
            lambda job: job["status"].update(lastSuccessfulTime=OLD), "last successful backup, age", id="late"
        ),
        pytest.param(lambda job: job.update(status={}), "last successful backup", id="never"),
        pytest.param(lambda job: job["metadata"].update(name="gone"), "CronJob bais-backup", id="absent"),
    ],
)
def test_a_schedule_that_is_not_kept_is_a_failure(
    bench: Bench, folder: Path, cron: Callable[[dict[str, Any]], Any], name: str
) -> None:
    """FAIL, whatever lies in the folder."""
    result = judged(bench, folder, cron=cron)

    assert (result.outcome, result.false) == (Outcome.FAIL, [name]), str(result)


@pytest.mark.parametrize(
    ("spoil", "names"),
    [
        pytest.param(
            lambda f: _about(f, taken_at=(datetime.now(UTC) - timedelta(hours=30)).isoformat()),
            ["newest backup, age"],
            id="old",
        ),
        pytest.param(lambda f: [path.unlink() for path in f.iterdir()], ["backups in the folder"], id="none"),
        pytest.param(lambda f: _dump(f).unlink(), ["dump of the newest backup"], id="dump gone"),
        pytest.param(lambda f: _about(f, sha256="0" * 64), ["checksum"], id="checksum"),
        pytest.param(
            lambda f: _dump(f).with_name(f"{_dump(f).name}.sha256").write_text("0" * 64),
            ["checksum beside it"],
            id="checksum beside it",
        ),
        pytest.param(
            lambda f: _about(f, tables={"public.alembic_version": 1, "public.payments": 7}),
            ["tables whose rows differ"],
            id="rows",
        ),
        pytest.param(
            lambda f: _about(f, schema_revision="0000"), ["schema revision restored"], id="revision"
        ),
        pytest.param(
            lambda f: _seal(f, _plain(f)),
            ["the dump is", "our key", "restoring the newest backup"],
            id="not encrypted",
        ),
        pytest.param(
            lambda f: _seal(f, pyrage.encrypt(_plain(f), [pyrage.x25519.Identity.generate().to_public()])),
            ["our key", "restoring the newest backup"],
            id="for another key",
        ),
        pytest.param(
            lambda f: _seal(f, pyrage.encrypt(_plain(f)[:-2000], [KEY.to_public()])),
            ["restoring the newest backup"],
            id="cut short",
        ),
        pytest.param(
            lambda f: _seal(f, pyrage.encrypt(b"no dump at all", [KEY.to_public()])),
            ["restoring the newest backup"],
            id="no dump",
        ),
    ],
)
def test_a_backup_that_is_no_good_is_a_failure(
    bench: Bench, folder: Path, spoil: Callable[[Path], Any], names: list[str]
) -> None:
    """FAIL, by the checks that are about it; nothing is left behind."""
    spoil(folder)
    result = judged(bench, folder)

    assert (result.outcome, result.false) == (Outcome.FAIL, names), str(result)
    assert restore.scratch_databases(bench.scratch) == []


def test_a_dump_damaged_on_the_way_restores_nothing(bench: Bench, folder: Path) -> None:
    """A wrong byte is found by the checksum and by the cipher; no half of it is taken for a backup."""
    path = _dump(folder)
    damaged = bytearray(path.read_bytes())
    damaged[-20] ^= 1
    path.write_bytes(damaged)
    result = judged(bench, folder)

    assert result.outcome is Outcome.FAIL, str(result)
    assert result.false == ["checksum", "checksum beside it", "our key", "restoring the newest backup"]


def test_a_schema_that_went_on_since_is_a_failure(bench: Bench, folder: Path) -> None:
    """The live database has what no backup holds."""
    with psycopg.connect(bench.owner, autocommit=True) as connection:
        connection.execute("CREATE TABLE added_since (n int PRIMARY KEY)")
        try:
            result = judged(bench, folder)
        finally:
            connection.execute("DROP TABLE added_since")

    assert (result.outcome, result.false) == (Outcome.FAIL, ["differences of the schema, restored and live"])


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ({"identity": None}, "backup.identity"),
        ({"scratch_url": None}, "backup.scratch_url"),
        ({"identity": "AGE-SECRET-KEY-1NONE"}, "age-keygen"),
        ({"scratch_url": "postgresql://nobody:secret-pw-8@127.0.0.1:1/postgres"}, "can't be made"),
    ],
    ids=["no key", "no server", "no such key", "server away"],
)
def test_what_can_not_be_looked_at_is_an_error(
    bench: Bench, folder: Path, part: dict[str, Any], words: str
) -> None:
    """ERROR that says what is missing; never a password."""
    result = judged(bench, folder, **part)

    assert result.outcome is Outcome.ERROR, str(result)
    assert words in str(result.error)
    assert "secret-pw-8" not in str(result.error)


def test_a_folder_that_can_not_be_read_is_an_error(bench: Bench, folder: Path) -> None:
    """Absent, or with a description that says nothing."""
    assert judged(bench, folder / "none").outcome is Outcome.ERROR
    (path,) = folder.glob("*.json")
    path.write_text("{}")
    assert "does not describe a backup" in str(judged(bench, folder).error)


def test_nothing_is_restored_on_a_production_server(bench: Bench, folder: Path) -> None:
    """A read-only target's own server is not written to: another one must be named."""
    part = replace(KubernetesPart(kubeconfig=folder, context="c"), read_only=True)
    result = judged(bench, folder, kubernetes=part)

    assert result.outcome is Outcome.ERROR
    assert "a server of its own" in str(result.error)


def test_the_newest_of_several_is_looked_at(bench: Bench, folder: Path) -> None:
    """By the moment of its snapshot, not by its name or place."""
    bench.take(folder)
    found = backups.backups(folder)

    assert len(found) == 2
    assert found[0].taken_at < found[1].taken_at
