"""The rules for what a backup holds."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bais_gates.rules import backup_job, backups

TAKEN = datetime(2026, 11, 30, 1, 35, 34, tzinfo=UTC)
LISTING = """\
;
; Archive created at 2026-11-30 01:35:34 UTC
;     dbname: bais
;     TOC Entries: 90
;     Compression: gzip
;     Dumped from database version: 17.10
;     Dumped by pg_dump version: 17.10
;
231; 1259 16591 TABLE public audit_log bais_app
2701; 0 0 ACL public TABLE audit_log bais_app
230; 1259 16590 SEQUENCE public audit_log_id_seq bais_app
221; 1259 16435 TABLE public with space bais_app
2689; 0 16591 TABLE DATA public audit_log bais_app
2690; 0 16435 TABLE DATA public with space bais_app
2711; 0 0 SEQUENCE SET public audit_log_id_seq bais_app
2097; 826 16392 DEFAULT ACL - DEFAULT PRIVILEGES FOR SCHEMAS bais_app
3000; 2613 16500 BLOB METADATA - 16500..16600 bais_app
2; 3079 16393 EXTENSION - pg_stat_statements
"""
LIVE = backups.Catalog(
    tables=("public.audit_log", "public.with space", "public.created_since"),
    sequences=("public.audit_log_id_seq",),
    granted=2,
    default_grants=1,
    large_objects=3,
)


def header(listing: str = LISTING, **over: Any) -> list[str]:
    """Return the faults of a header, with its own description and the live database."""
    given: dict[str, Any] = {
        "taken_at": TAKEN,
        "recorded": "bais",
        "live": "bais",
        "live_version": "17.4 (Debian)",
    } | over
    return backups.header_faults(backups.parse_listing(listing), **given)


@pytest.mark.parametrize("late_s", [-9, 0, 290])
def test_a_dump_of_its_own_time_has_no_faults(late_s: float) -> None:
    """The clocks of pg_dump and the server may differ by seconds."""
    assert header(taken_at=TAKEN - timedelta(seconds=late_s)) == []


@pytest.mark.parametrize(
    ("over", "words"),
    [
        ({"taken_at": TAKEN + timedelta(seconds=11)}, "the dump of another time"),
        ({"taken_at": TAKEN - timedelta(hours=1)}, "the dump of another time"),
        ({"listing": LISTING.replace("Archive created", "Archive")}, "no creation time"),
        ({"listing": LISTING.replace("dbname: bais", "dbname: other")}, "a dump of the database other"),
        ({"recorded": "other"}, "its description names the database other"),
        ({"live": "other", "recorded": None}, "a dump of the database bais, the live one is other"),
        ({"live_version": "16.9"}, "dumped from PostgreSQL 17.10"),
    ],
)
def test_a_dump_of_another_time_or_database(over: dict[str, Any], words: str) -> None:
    """Each contradiction is named."""
    (fault,) = header(**over)
    assert words in fault


def _without(*words: str) -> str:
    return "".join(f"{line}\n" for line in LISTING.splitlines() if not any(word in line for word in words))


@pytest.mark.parametrize(
    ("listing", "found"),
    [
        (LISTING, []),
        (_without("TABLE DATA public audit_log"), ["no data of table public.audit_log"]),
        (_without("TABLE DATA public with"), ["no data of table public.with space"]),
        (_without("SEQUENCE SET"), ["no value of sequence public.audit_log_id_seq"]),
        (_without(" ACL public"), ["no grants (pg_dump --no-privileges?)"]),
        (_without("DEFAULT ACL"), ["no default privileges"]),
        (_without("BLOB"), ["no large objects"]),
    ],
)
def test_content_that_a_dump_lacks(listing: str, found: list[str]) -> None:
    """A table of later is no fault of the dump; what an option of pg_dump left out is."""
    faults = backups.missing_content(backups.parse_listing(listing), LIVE)

    assert [fault.startswith(words) for fault, words in zip(faults, found, strict=True)] == [True] * len(
        found
    )


def test_a_missing_table_stands_for_its_parts() -> None:
    """Its columns, constraints and indexes are not listed; those of others are."""
    kept = ["table public.users", "column public.users.id text"]
    lost = [
        "table public.pay",
        "column public.pay.id text",
        "index CREATE INDEX i ON public.pay USING btree (id)",
    ]

    assert backups.schema_differences([*kept, *lost, "column public.payx.id text"], kept) == [
        "missing: table public.pay",
        "missing: column public.payx.id text",
    ]
    assert backups.schema_differences(kept, [*kept, "column public.users.x text"]) == [
        "additional: column public.users.x text"
    ]


def file(name: str, **over: Any) -> backups.FolderFile:
    """Return a file of the folder, as a good backup has it."""
    head = b"age-encryption.org/v1\n" if ".age" in name and "sha256" not in name else b"{"
    given: dict[str, Any] = {"name": name, "mode": 0o600, "size": 10, "age_s": 60.0, "head": head}
    return backups.FolderFile(**given | over)


GOOD = (file(".", mode=0o700), file("1.dump.age"), file("1.dump.age.sha256"), file("1.json"))
OLD = 10 * 3600.0


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (GOOD, None),
        ((*GOOD, file("lost+found", mode=0o700), file("README.md", mode=0o644)), None),
        ((*GOOD, file("README.md", mode=0o646)), "README.md: mode 0646"),
        ((*GOOD, file("2.dump.age.part", mode=0o644), file("3.dump.age", age_s=5.0)), None),
        ((file(".", mode=0o755), *GOOD[1:]), "the folder: mode 0755"),
        ((*GOOD[:3], file("1.json", mode=0o604)), "1.json: mode 0604"),
        ((*GOOD, file("2.dump", head=b"PGDMP")), "2.dump: a dump that is not encrypted"),
        ((*GOOD, file("notes", head=b"--\n-- PostgreSQL database dump")), "notes: a dump"),
        ((*GOOD, file("2.sql.gz", head=b"\x1f\x8b")), "2.sql.gz: a dump"),
        ((GOOD[0], file("1.dump.age", head=b"PGDMP"), *GOOD[2:]), "1.dump.age: not encrypted"),
        ((GOOD[0], file("1.dump.age", head=b"", size=0), *GOOD[2:]), "1.dump.age: empty"),
        ((*GOOD, file("key", head=b"# x\nAGE-SECRET-KEY-1QQ")), "key: contains an age secret key"),
        ((*GOOD, file("2.dump.age")), "2.dump.age: without its description 2.json"),
        ((*GOOD, file("2.dump.age.part", age_s=OLD)), "left behind by a backup that failed"),
        ((*GOOD, file("2.json")), "2.json: describes a dump that is not there"),
    ],
)
def test_the_files_of_the_folder(files: tuple[backups.FolderFile, ...], words: str | None) -> None:
    """Only encrypted dumps with their descriptions, which no other account may read."""
    faults = backups.folder_faults(files)

    assert (len(faults), words is None or words in faults[0]) == (0 if words is None else 1, True)


def test_a_copy_and_another_size_are_seen() -> None:
    """No two backups have one digest."""
    described = [("1.dump.age", 10, "aa"), ("2.dump.age", 11, "bb"), ("3.dump.age", 10, "aa")]

    assert backups.record_faults(described, [file(name) for name, _, _ in described]) == [
        "2.dump.age: 10 bytes, 11 in its description",
        "3.dump.age: a copy of 1.dump.age",
    ]


@pytest.mark.parametrize(
    ("last", "highest", "found"),
    [(None, None, 0), (5, 5, 0), (9, 5, 0), (4, 5, 1), (None, 5, 1), (1, None, 0)],
)
def test_sequences_are_not_behind_their_rows(last: int | None, highest: int | None, found: int) -> None:
    """The next value would be a duplicate."""
    assert len(backups.sequence_faults([("s", "t.id", last, highest)])) == found


SAME = backups.Compared(
    table="payments",
    due=10,
    restored=12,
    sampled=10,
    absent=0,
    differing=0,
    newest=TAKEN,
    restored_sampled=12,
    known=10,
)


@pytest.mark.parametrize(
    ("over", "missing", "differing", "foreign"),
    [
        ({}, 0, 0, 0),
        ({"due": None, "restored": None}, 0, 0, 0),
        ({"restored": 9}, 1, 0, 0),
        ({"absent": 1}, 1, 0, 0),
        ({"differing": 2}, 0, 1, 0),
        ({"newest": TAKEN + timedelta(seconds=50)}, 0, 0, 0),
        ({"newest": TAKEN + timedelta(seconds=70)}, 0, 0, 1),
        ({"known": 0}, 0, 0, 1),
        ({"known": 0, "restored_sampled": 0, "newest": None}, 0, 0, 0),
    ],
)
def test_rows_of_the_backups_time(over: dict[str, Any], missing: int, differing: int, foreign: int) -> None:
    """Rows that were deleted since may be in the backup; rows that existed must be."""
    tables = [replace(SAME, **over)]

    assert len(backups.missing_rows(tables)) == missing
    assert len(backups.differing_rows(tables)) == differing
    assert len(backups.foreign_rows(tables, taken_at=TAKEN)) == foreign


OWN, OTHER = f"age1{'q' * 58}", f"age1{'p' * 58}"


def cron_job(env: list[dict[str, Any]], volume: dict[str, Any], **over: Any) -> dict[str, Any]:
    """Return a CronJob with one container."""
    mounts = [{"name": "backups", "mountPath": "/backups"}, {"name": "tmp", "mountPath": "/tmp"}]
    container = {"name": "backup", "env": env, "volumeMounts": mounts, **over}
    volumes = [{"name": "backups", **volume}, {"name": "tmp", "emptyDir": {}}]
    pod = {"containers": [container], "volumes": volumes}
    return {"metadata": {"name": "b"}, "spec": {"jobTemplate": {"spec": {"template": {"spec": pod}}}}}


@pytest.mark.parametrize(
    ("value", "found"),
    [(OWN, False), (OTHER, True), (f"{OTHER},{OWN}", False), ("", False)],
)
def test_the_next_backups_are_for_the_own_key(value: str, *, found: bool) -> None:
    """As a value, by a key of a Secret, and by all keys of one; another recipient besides is free."""
    secret = {"metadata": {"name": "s"}, "data": {"KEY": base64.b64encode(value.encode()).decode()}}
    by_key = {"name": "AGE", "valueFrom": {"secretKeyRef": {"name": "s", "key": "KEY"}}}
    for env, over in (
        ([{"name": "KEY", "value": value}], {}),
        ([by_key], {}),
        ([], {"envFrom": [{"secretRef": {"name": "s"}}]}),
    ):
        job = cron_job(env, {}, **over)
        assert backup_job.secret_references(job) == (set() if env and "value" in env[0] else {"s"})
        findings = backup_job.recipient_faults(job, [secret], OWN)
        assert bool(findings) is found
        assert all("KEY" in one and OTHER not in one for one in findings)


def test_backups_outlive_their_pod() -> None:
    """A folder in an emptyDir is found, one for temporary files is not."""
    env = [{"name": "DIRECTORY", "value": "/backups"}, {"name": "TMPDIR", "value": "/tmp"}]
    claim = {"persistentVolumeClaim": {"claimName": "c"}}

    assert backup_job.volume_faults(cron_job(env, claim)) == []
    (fault,) = backup_job.volume_faults(cron_job(env, {"emptyDir": {}}))
    assert fault.startswith("DIRECTORY is /backups")
    assert len(backup_job.volume_faults(cron_job([], {"emptyDir": {}}, args=["--to=/backups/x"]))) == 1
