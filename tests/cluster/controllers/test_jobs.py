"""Jobs, CronJobs and their schedules."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from bais_gates.sandbox.cluster.controllers import cronjobs, jobs
from tests.cluster.controllers.objects_of import NOW, Cluster, condition_of, run, stored, workload


def job(**spec: object) -> Cluster:
    """Return a cluster with one Job called web, whose first pod has been made."""
    cluster = Cluster(workload("Job", "batch/v1", **{"completions": 1, "parallelism": 1, **spec}))
    cluster.reconcile(jobs.reconcile, "Job")
    return cluster


def end_pods(cluster: Cluster, phase: str) -> None:
    """Have the running pods end."""
    for one in cluster.pods():
        if one.get("status", {}).get("phase") not in {"Succeeded", "Failed"}:
            cluster.put(run(one, phase=phase))


def test_a_job_completes() -> None:
    """A pod that succeeds ends the Job with both conditions, a time, and an event."""
    cluster = job()
    end_pods(cluster, "Succeeded")
    cluster.reconcile(jobs.reconcile, "Job")

    done = cluster.get("Job")
    assert condition_of(done, "SuccessCriteriaMet") == ("True", "CompletionsReached")
    assert condition_of(done, "Complete") == ("True", "CompletionsReached")
    assert done["status"]["completionTime"]
    assert [event.reason for event in cluster.events] == ["Completed"]


def test_a_finished_job_is_left_alone() -> None:
    """Nothing more is written for a Job that is over."""
    cluster = job()
    end_pods(cluster, "Succeeded")
    cluster.reconcile(jobs.reconcile, "Job")

    assert cluster.reconcile(jobs.reconcile, "Job").actions == []


@pytest.mark.parametrize(("limit", "pods"), [(0, 1), (1, 2), (2, 3)])
def test_a_job_fails_after_its_tries(limit: int, pods: int) -> None:
    """The field backoffLimit is how many tries follow the first; in between it waits 10 s, 20 s, ..."""
    cluster = job(backoffLimit=limit)
    for _ in range(pods):
        end_pods(cluster, "Failed")
        plan = cluster.reconcile(jobs.reconcile, "Job")
        cluster.later((plan.again_in_s or 0) + 0.1)
        cluster.reconcile(jobs.reconcile, "Job")

    assert len(cluster.pods()) == pods
    assert condition_of(cluster.get("Job"), "FailureTarget") == ("True", "BackoffLimitExceeded")
    assert condition_of(cluster.get("Job"), "Failed") == ("True", "BackoffLimitExceeded")


def test_the_second_try_waits_ten_seconds() -> None:
    """No pod is made before the pause after a failure is over."""
    cluster = job(backoffLimit=3)
    end_pods(cluster, "Failed")
    plan = cluster.reconcile(jobs.reconcile, "Job")

    assert len(cluster.pods()) == 1
    assert plan.again_in_s == pytest.approx(10, abs=1)


def test_a_job_out_of_time_fails() -> None:
    """The field activeDeadlineSeconds ends the pods and the Job."""
    cluster = job(activeDeadlineSeconds=30)
    cluster.later(31)
    cluster.reconcile(jobs.reconcile, "Job")
    assert cluster.pods() == []

    cluster.reconcile(jobs.reconcile, "Job")
    assert condition_of(cluster.get("Job"), "Failed") == ("True", "DeadlineExceeded")


def test_a_suspended_job_has_no_pods() -> None:
    """Suspending deletes the pods; resuming makes them again."""
    cluster = job()
    changed = cluster.get("Job")
    cluster.put({**changed, "spec": {**changed["spec"], "suspend": True}})
    cluster.reconcile(jobs.reconcile, "Job")
    assert cluster.pods() == []
    assert "startTime" not in cluster.get("Job")["status"]

    changed = cluster.get("Job")
    cluster.put({**changed, "spec": {**changed["spec"], "suspend": False}})
    cluster.reconcile(jobs.reconcile, "Job")
    assert len(cluster.pods()) == 1


def test_a_finished_job_goes_after_its_time_to_live() -> None:
    """The field ttlSecondsAfterFinished deletes the Job."""
    cluster = job(ttlSecondsAfterFinished=5)
    end_pods(cluster, "Succeeded")
    cluster.reconcile(jobs.reconcile, "Job")
    assert cluster.reconcile(jobs.reconcile, "Job").again_in_s == pytest.approx(5)
    cluster.later(6)
    cluster.reconcile(jobs.reconcile, "Job")

    assert cluster.world.of_kind("Job") == []


def cron_job(**spec: object) -> Cluster:
    """Return a cluster with a CronJob called web, made at noon."""
    template: dict[str, object] = {"spec": {"template": {"spec": {"containers": []}}}}
    return Cluster(
        stored(
            {
                "apiVersion": "batch/v1",
                "kind": "CronJob",
                "metadata": {"name": "web", "namespace": "shop"},
                "spec": {"schedule": "15 * * * *", "jobTemplate": template, **spec},
            }
        )
    )


def test_a_cron_job_starts_its_job_when_it_is_due() -> None:
    """The Job is named after the time it was due at, and is made once."""
    cluster = cron_job()
    assert cluster.reconcile(cronjobs.reconcile, "CronJob").again_in_s == pytest.approx(900.1)
    cluster.later(901)
    cluster.reconcile(cronjobs.reconcile, "CronJob")
    cluster.reconcile(cronjobs.reconcile, "CronJob")

    (made,) = cluster.world.of_kind("Job")
    due = NOW + timedelta(minutes=15)
    assert made["metadata"]["name"] == f"web-{int(due.timestamp()) // 60}"
    status = cluster.get("CronJob")["status"]
    assert status["lastScheduleTime"] == "2026-11-23T12:15:00Z"
    assert [one["name"] for one in status["active"]] == [made["metadata"]["name"]]


def test_a_job_made_by_hand_moves_the_last_success() -> None:
    """A complete Job that the CronJob owns counts, whoever made it."""
    cluster = cron_job()
    owner = cluster.get("CronJob")
    made = workload("Job", "batch/v1", name="manual")
    made["metadata"]["ownerReferences"] = [
        {"kind": "CronJob", "name": "web", "uid": owner["metadata"]["uid"], "controller": True}
    ]
    made["status"] = {
        "completionTime": "2026-11-23T12:01:00Z",
        "conditions": [{"type": "Complete", "status": "True"}],
    }
    cluster.put(made)
    cluster.reconcile(cronjobs.reconcile, "CronJob")

    assert cluster.get("CronJob")["status"]["lastSuccessfulTime"] == "2026-11-23T12:01:00Z"


@pytest.mark.parametrize(
    ("spec", "count"),
    [
        ({}, 2),
        ({"suspend": True}, 0),
        ({"startingDeadlineSeconds": 10}, 0),
        ({"concurrencyPolicy": "Forbid"}, 1),
        ({"concurrencyPolicy": "Replace"}, 1),
    ],
)
def test_what_keeps_a_cron_job_from_starting(spec: dict[str, object], count: int) -> None:
    """Suspended or too late, no Job is made; while its last one runs, none further, or instead of it."""
    cluster = cron_job(**spec)
    cluster.later(1000)
    cluster.reconcile(cronjobs.reconcile, "CronJob")
    cluster.later(3600)
    cluster.reconcile(cronjobs.reconcile, "CronJob")

    assert len(cluster.world.of_kind("Job")) == count


@pytest.mark.parametrize(
    ("schedule", "zone", "now", "due", "following"),
    [
        ("15 * * * *", "UTC", "2026-11-23T12:15:00", "2026-11-23T12:15:00", "2026-11-23T13:15:00"),
        ("0 9 * * mon-fri", "UTC", "2026-11-28T10:00:00", "2026-11-27T09:00:00", "2026-11-30T09:00:00"),
        ("0 9 13 * 5", "UTC", "2026-11-23T12:00:00", "2026-11-20T09:00:00", "2026-11-27T09:00:00"),
        ("@daily", "UTC", "2026-12-31T23:59:59", "2026-12-31T00:00:00", "2027-01-01T00:00:00"),
        ("0 6 * * *", "Europe/Berlin", "2026-11-23T12:00:00", "2026-11-23T05:00:00", "2026-11-24T05:00:00"),
    ],
)
def test_when_a_schedule_is_due(schedule: str, zone: str, now: str, due: str, following: str) -> None:
    """The last and the next time, in UTC, of a schedule in its time zone."""
    expected = tuple(datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (due, following))

    assert cronjobs.due_times(schedule, zone, datetime.fromisoformat(now).replace(tzinfo=UTC)) == expected


def test_a_schedule_that_can_not_be_read_is_reported() -> None:
    """The CronJob starts nothing, and an event says why."""
    cluster = cron_job(schedule="@every 1h")
    cluster.reconcile(cronjobs.reconcile, "CronJob")

    assert [event.reason for event in cluster.events] == ["UnparseableSchedule"]
