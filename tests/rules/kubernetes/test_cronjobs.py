"""A CronJob's last success is compared with its schedule."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from bais_gates.rules.kubernetes.cronjobs import (
    ScheduleError,
    largest_gap,
    parse_time,
    previous_run,
    run_faults,
    schedule_status,
)


def at(text: str) -> datetime:
    """Return a time of that day, in UTC."""
    return datetime.fromisoformat(f"2026-11-23T{text}+00:00")


def cron_job(
    schedule: str = "15 * * * *", last: str | None = "2026-11-23T21:16:00Z", **spec: Any
) -> dict[str, Any]:
    """Return a CronJob whose runs may take 10 minutes."""
    spec = {"schedule": schedule, "jobTemplate": {"spec": {"activeDeadlineSeconds": 600}}, **spec}
    return {"spec": spec, "status": {"lastSuccessfulTime": last} if last else {}}


@pytest.mark.parametrize(
    ("job", "now", "on_time"),
    [
        (cron_job(), "22:14", True),
        (cron_job(), "22:20", True),  # the run of 22:15 may still be running
        (cron_job(), "22:26", False),  # it must have ended
        (cron_job(last="2026-11-23T22:16:10Z"), "22:26", True),
        (cron_job(startingDeadlineSeconds=600), "22:30", True),
        (cron_job(startingDeadlineSeconds=600), "22:36", False),
        (cron_job("0 2 * * *", "2026-11-23T02:03:00Z"), "22:00", True),
        (cron_job("0 2 * * *", "2026-11-22T02:03:00Z"), "22:00", False),
        (cron_job("0 2 * * *", "2026-11-22T07:03:00Z", timeZone="America/New_York"), "06:00", True),
        (cron_job("0 2 * * 0", "2026-11-22T02:03:00Z"), "22:00", True),
        (cron_job("@daily", "2026-11-22T23:00:00Z"), "22:00", False),
    ],
)
def test_the_last_success_must_not_be_older_than_the_last_due_run(
    job: dict[str, Any], now: str, on_time: bool
) -> None:
    """A run is due when its deadlines to start and to end have passed."""
    seen = schedule_status(job, at(now))

    assert seen.age_s is not None
    assert (seen.age_s <= seen.max_age_s) is on_time


def test_a_run_may_take_an_hour_by_default() -> None:
    """Without an activeDeadlineSeconds of the Job."""
    job = {"spec": {"schedule": "0 * * * *"}, "status": {}}

    assert schedule_status(job, at("12:30")).due == at("11:00")


def test_suspended_and_never_successful() -> None:
    """A CronJob may be suspended, and may have no success."""
    seen = schedule_status(cron_job(last=None, suspend=True), at("12:00"))

    assert (seen.suspended, seen.last_success, seen.age_s) == (True, None, None)


@pytest.mark.parametrize("schedule", ["", "every day", "61 * * * *", "* * * *"])
def test_an_invalid_schedule_is_an_error(schedule: str) -> None:
    """The message quotes it."""
    with pytest.raises(ScheduleError, match="invalid schedule"):
        previous_run(schedule, at("12:00"))


def test_an_unknown_time_zone_and_a_missing_one_are_errors() -> None:
    """UTC is not assumed."""
    with pytest.raises(ScheduleError, match="Mars/Phobos"):
        previous_run("0 2 * * *", at("12:00"), zone="Mars/Phobos")
    with pytest.raises(ScheduleError, match="without a time zone"):
        parse_time("2026-11-23T21:16:00")
    assert parse_time("2026-11-23T22:16:00+01:00") == datetime(2026, 11, 23, 21, 16, tzinfo=UTC)


@pytest.mark.parametrize(
    ("schedule", "zone", "hours"),
    [
        ("15 * * * *", None, 1),
        ("*/5 * * * *", None, 1 / 12),
        ("0 3 * * *", None, 24),
        ("0 3 * * *", "Europe/Berlin", 25),  # the day on which summer time ends
        ("0 * * * 1-5", None, 49),
        ("0 3 * * 0", None, 168),
        ("@monthly", None, 744),
    ],
)
def test_the_longest_time_between_two_runs(schedule: str, zone: str | None, hours: float) -> None:
    """In the next year, in the schedule's time zone."""
    assert largest_gap(schedule, at("12:00"), zone=zone).total_seconds() / 3600 == pytest.approx(hours)


def test_a_day_that_never_comes_is_an_error() -> None:
    """It has no runs to compare."""
    with pytest.raises(ScheduleError, match="invalid schedule '0 0 30 2"):
        largest_gap("0 0 30 2 *", at("12:00"))


def _pod(**over: Any) -> dict[str, Any]:
    container = {"name": "backup", "image": "i@sha256:1", "command": ["bais-backup"]} | over.pop(
        "container", {}
    )
    claims = [{"name": "backups", "persistentVolumeClaim": {"claimName": "bais-backups"}}]
    return {"template": {"spec": {"containers": [container], "volumes": claims} | over}}


def _job(name: str, end: str, kind: str = "Complete", **over: Any) -> dict[str, Any]:
    owners = [{"kind": "CronJob", "name": over.pop("owner", "bais-backup")}]
    condition = {"type": kind, "status": "True", "lastTransitionTime": end, "message": "why"}
    times = {"startTime": "2026-11-23T10:00:00Z", "completionTime": end} if kind == "Complete" else {}
    return {
        "metadata": {"name": name, "ownerReferences": owners},
        "spec": _pod() | over,
        "status": {"conditions": [condition], **times},
    }


GOOD = _job("good", "2026-11-23T10:00:20Z")


@pytest.mark.parametrize(
    ("template", "jobs", "found"),
    [
        (_pod(), [], []),
        (_pod(), [GOOD], []),
        (_pod(dnsPolicy="Default"), [GOOD], []),
        (_pod(), [_job("bad", "2026-11-23T09:00:00Z", "Failed"), GOOD], []),
        (_pod(), [_job("bad", "2026-11-23T11:00:00Z", "Failed", owner="other"), GOOD], []),
        (_pod(), [_job("bad", "2026-11-23T11:00:00Z", "Failed"), GOOD], ["the last Job, bad, failed: why"]),
        (_pod(container={"image": "other"}), [GOOD], ["image of container backup changed"]),
        (_pod(container={"command": ["true"]}), [GOOD], ["command of container backup changed"]),
        (_pod(container={"env": [{"name": "A"}]}), [GOOD], ["env of container backup changed"]),
        (_pod(container={"name": "other"}), [GOOD], ["container backup changed", "container other changed"]),
        (_pod(volumes=[{"name": "backups", "emptyDir": {}}]), [GOOD], ["the volumes changed"]),
        (_pod(serviceAccountName="root"), [GOOD], ["the service account changed"]),
        (_pod() | {"activeDeadlineSeconds": 600}, [GOOD], []),
        (_pod() | {"activeDeadlineSeconds": 30}, [GOOD], ["activeDeadlineSeconds is 30: good took 20 s"]),
    ],
)
def test_what_runs_next_has_succeeded(
    template: dict[str, Any], jobs: list[dict[str, Any]], found: list[str]
) -> None:
    """The last Job succeeded, and the template is as it ran then."""
    job = {"metadata": {"name": "bais-backup"}, "spec": {"jobTemplate": {"spec": template}}}
    faults = run_faults(job, jobs)

    assert [fault.startswith(words) for fault, words in zip(faults, found, strict=True)] == [True] * len(
        found
    )
