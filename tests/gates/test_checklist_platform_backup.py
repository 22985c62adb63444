"""Test that each fault of a real dump, restored on a real PostgreSQL, fails the gate of the backup."""

from __future__ import annotations

import json
import os
import re
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
from tests.rules.kubernetes import platform_objects as objects

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
    """Return a copy of the good backup, to be damaged."""
    return shutil.copytree(good, tmp_path / "backups")


def run_gate(
    bench: Bench,
    folder: Path,
    *,
    cron: Callable[[dict[str, Any]], Any] = lambda _job: None,
    kubernetes: KubernetesPart | None = None,
    **part: Any,
) -> Result:
    """Run the gate on the backups of a folder."""
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


def named(result: Result) -> list[str]:
    """Return the names of the checks that did not hold, without those of the backup's files."""
    return [re.sub(r",?( of)? \d{8}T\d+Z(\.dump\.age)?", "", name) for name in result.false]


def _about(folder: Path, **over: Any) -> None:
    """Change the description of the backup."""
    (path,) = folder.glob("*.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | over))


def _dump(folder: Path) -> Path:
    (path,) = folder.glob("*.dump.age")
    return path


def _replace_dump(folder: Path, content: bytes) -> None:
    """Replace the dump's bytes and its description accordingly."""
    path = _dump(folder)
    path.write_bytes(content)
    dump = backups.inspect_dump(backups.list_backups(folder)[0])
    path.with_name(f"{path.name}.sha256").write_text(f"{dump.sha256}  {path.name}\n")
    _about(folder, sha256=dump.sha256, size=dump.size)


def _plain(folder: Path) -> bytes:
    plain: bytes = pyrage.decrypt(_dump(folder).read_bytes(), [KEY])
    return plain


def test_a_good_backup_is_restored_and_compared(bench: Bench, folder: Path) -> None:
    """Every check holds, and the scratch database is gone."""
    result = run_gate(bench, folder)

    assert result.outcome is Outcome.PASS, str(result)
    assert len(result.checks) >= 15
    assert restore.list_scratch_databases(bench.scratch) == []


def _set(**over: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda job: job["spec"].update(over)


FILES = "faults of the backups' files"
OLD = f"{datetime.now(UTC) - timedelta(hours=3):%Y-%m-%dT%H:%M:%SZ}"


@pytest.mark.parametrize(
    ("cron", "name"),
    [
        pytest.param(_set(suspend=True), "schedule of CronJob bais-backup", id="suspended"),
        pytest.param(
            _set(concurrencyPolicy="Allow"),
            "faults of CronJob bais-backup",
            id="doubled",
            marks=pytest.mark.nightly,
        ),
        pytest.param(
            lambda job: job["status"].update(lastSuccessfulTime=OLD),
            "age of the last success of CronJob bais-backup",
            id="late",
        ),
        pytest.param(
            lambda job: job.update(status={}),
            "last success of CronJob bais-backup",
            id="never",
            marks=pytest.mark.nightly,
        ),
        pytest.param(lambda job: job["metadata"].update(name="gone"), "CronJob bais-backup", id="absent"),
    ],
)
def test_a_faulty_schedule_fails(
    bench: Bench, folder: Path, cron: Callable[[dict[str, Any]], Any], name: str
) -> None:
    """FAIL, whatever the folder contains."""
    result = run_gate(bench, folder, cron=cron)

    assert (result.outcome, named(result)) == (Outcome.FAIL, [name]), str(result)


@pytest.mark.parametrize(
    ("inject", "names"),
    [
        pytest.param(
            lambda f: _about(f, taken_at=(datetime.now(UTC) - timedelta(hours=30)).isoformat()),
            ["age of the newest backup", "header"],
            id="old",
        ),
        pytest.param(
            lambda f: _about(f, taken_at=(datetime.now(UTC) + timedelta(hours=2)).isoformat()),
            ["time in the future of the newest backup", "header"],
            id="of the future",
            marks=pytest.mark.nightly,
        ),
        pytest.param(
            lambda f: _about(f, database="other"), ["header"], id="database", marks=pytest.mark.nightly
        ),
        pytest.param(
            lambda f: [path.unlink() for path in f.iterdir()], ["backups in the directory"], id="none"
        ),
        pytest.param(lambda f: _dump(f).unlink(), [FILES, "dump"], id="dump gone"),
        pytest.param(lambda f: _about(f, sha256="0" * 64), ["dump: checksum"], id="checksum"),
        pytest.param(
            lambda f: _dump(f).with_name(f"{_dump(f).name}.sha256").write_text("0" * 64),
            ["dump: checksum in the .sha256 file"],
            id="checksum beside it",
            marks=pytest.mark.nightly,
        ),
        pytest.param(
            lambda f: _about(f, tables={"public.alembic_version": 1, "public.payments": 7}),
            ["tables with a different row count"],
            id="rows",
        ),
        pytest.param(
            lambda f: _about(f, schema_revision="0000"), ["schema revision (restored)"], id="revision"
        ),
        pytest.param(
            lambda f: _replace_dump(f, _plain(f)),
            [
                FILES,
                "dump: encryption",
                "dump: decryption with backup.identity",
                "header",
                "restore",
            ],
            id="not encrypted",
        ),
        pytest.param(
            lambda f: _replace_dump(
                f, pyrage.encrypt(_plain(f), [pyrage.x25519.Identity.generate().to_public()])
            ),
            [
                "dump: decryption with backup.identity",
                "header",
                "restore",
            ],
            id="for another key",
            marks=pytest.mark.nightly,
        ),
        pytest.param(
            lambda f: _replace_dump(f, pyrage.encrypt(_plain(f)[:-2000], [KEY.to_public()])),
            ["header", "restore"],
            id="cut short",
        ),
        pytest.param(
            lambda f: _replace_dump(f, pyrage.encrypt(b"no dump at all", [KEY.to_public()])),
            ["header", "restore"],
            id="no dump",
            marks=pytest.mark.nightly,
        ),
    ],
)
def test_each_fault_of_a_backup_fails_its_checks(
    bench: Bench, folder: Path, inject: Callable[[Path], Any], names: list[str]
) -> None:
    """FAIL, by the fault's own checks; no scratch database is left behind."""
    inject(folder)
    result = run_gate(bench, folder)

    assert (result.outcome, named(result)) == (Outcome.FAIL, names), str(result)
    assert restore.list_scratch_databases(bench.scratch) == []


def test_a_damaged_dump_is_not_restored(bench: Bench, folder: Path) -> None:
    """A wrong byte is detected by the checksum and by the cipher; a part is never restored."""
    path = _dump(folder)
    damaged = bytearray(path.read_bytes())
    damaged[-20] ^= 1
    path.write_bytes(damaged)
    result = run_gate(bench, folder)

    assert result.outcome is Outcome.FAIL, str(result)
    assert named(result) == [
        "dump: checksum",
        "dump: checksum in the .sha256 file",
        "dump: decryption with backup.identity",
        "header",
        "restore",
    ]


ROWS = """
INSERT INTO businesses VALUES ('b1', 'one', now() - interval '1 h') ON CONFLICT DO NOTHING;
INSERT INTO audit_log (at, request_id, business_id, actor, action, object, address, allowed)
SELECT now() - interval '1 h', 'r', 'b1', 'a', 'x', 'o', '127.0.0.1', true FROM generate_series(1, 20)
"""


def test_rows_are_compared_with_the_live_database_of_the_backups_time(bench: Bench, folder: Path) -> None:
    """What was written since does not matter; an older dump lacks rows, and a changed row is seen."""
    with psycopg.connect(bench.owner, autocommit=True) as connection:
        connection.execute(ROWS)
        bench.take(folder)
        connection.execute(f"UPDATE businesses SET name = 'two'; {ROWS}")
        unchanged = run_gate(bench, folder)

        first, second = backups.list_backups(folder)
        record = second.path.with_name(second.path.name.replace(".dump.age", ".json"))
        before = json.loads(record.read_text())
        record.write_text(json.dumps(before | {"snapshot_xmin": before["snapshot_xmin"] + 2**20}))
        changed = run_gate(bench, folder)

        shutil.copy(first.path, second.path)
        dump = backups.inspect_dump(second)
        second.path.with_name(f"{second.path.name}.sha256").write_text(dump.sha256)
        tables = dict(first.tables)
        record.write_text(json.dumps(before | {"sha256": dump.sha256, "size": dump.size, "tables": tables}))
        older = run_gate(bench, folder)

    assert unchanged.outcome is Outcome.PASS, str(unchanged)
    assert "businesses: 1 of 1 sampled rows have other values" in str(changed)
    assert "audit_log: 20 of 40 rows of the backup's time are missing" in str(changed)
    assert "audit_log: 20 of 20 rows of the backup's time are missing" in str(older)
    assert "a copy of" in str(older)


def test_a_schema_changed_since_the_backup_fails(bench: Bench, folder: Path) -> None:
    """The live database has a table that the backup lacks."""
    with psycopg.connect(bench.owner, autocommit=True) as connection:
        connection.execute("CREATE TABLE added_since (n int PRIMARY KEY)")
        try:
            result = run_gate(bench, folder)
        finally:
            connection.execute("DROP TABLE added_since")

    assert (result.outcome, result.false) == (Outcome.FAIL, ["schema differences (restored, live)"])


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ({"identity": None}, "backup.identity"),
        ({"scratch_url": None}, "backup.scratch_url"),
        ({"identity": "AGE-SECRET-KEY-1NONE"}, "age-keygen"),
        (
            {"scratch_url": "postgresql://nobody:secret-pw-8@127.0.0.1:1/postgres"},
            "cannot create the scratch database",
        ),
    ],
    ids=["no key", "no server", "no such key", "server away"],
)
def test_a_backup_that_cannot_be_checked_is_an_error(
    bench: Bench, folder: Path, part: dict[str, Any], words: str
) -> None:
    """ERROR that names what is missing, without a password."""
    result = run_gate(bench, folder, **part)

    assert result.outcome is Outcome.ERROR, str(result)
    assert words in str(result.error)
    assert "secret-pw-8" not in str(result.error)


def test_a_folder_that_cannot_be_read_is_an_error(bench: Bench, folder: Path) -> None:
    """Absent: an error; with an empty description, or a time before the calendar: a fault of that file."""
    assert run_gate(bench, folder / "none").outcome is Outcome.ERROR
    (path,) = folder.glob("*.json")
    _about(folder, taken_at="0001-01-01T00:00:00+14:00")
    assert f"{path.name} is not the description of a backup: date value" in str(run_gate(bench, folder))
    path.write_text("{}")
    assert f"{path.name} is not the description of a backup" in str(run_gate(bench, folder))


def test_nothing_is_restored_on_a_production_server(bench: Bench, folder: Path) -> None:
    """For a read-only target, scratch_url must be another server."""
    part = replace(KubernetesPart(kubeconfig=folder, context="c"), read_only=True)
    result = run_gate(bench, folder, kubernetes=part)

    assert result.outcome is Outcome.ERROR
    assert "to another server" in str(result.error)


def test_backups_are_sorted_by_age(bench: Bench, folder: Path) -> None:
    """By the time of the snapshot, not by name."""
    bench.take(folder)
    found = backups.list_backups(folder)

    assert len(found) == 2
    assert found[0].taken_at < found[1].taken_at
