"""Releases: each has its own digest, and the cluster rolls them out and shows what is wrong."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from bais_gates import sandbox
from bais_gates.cli import main
from bais_gates.sandbox import api, images
from bais_gates.sandbox.configuration import VERSION
from bais_gates.sandbox.faults import FAULTS
from bais_gates.sandbox.processes import free_port
from bais_gates.sandbox.releases import RELEASES, by_reference
from tests.sandbox.rollouts import Rollouts, until

if TYPE_CHECKING:
    from collections.abc import Iterator

OVERLAY = Path(__file__).parents[2] / "gates" / "staging" / "manifests" / "overlays" / "sandbox"
PRESENT = f"{images.API}@sha256:{'a' * 64}"
PAY = "/api/v1/payments/process"
REVISION = "SELECT version_num FROM alembic_version"
SECOND_ATTEMPT = "SELECT 1 FROM webhook_deliveries WHERE attempts > 1"
DEADLINE_S = 6
"""Of a rollout that hangs: long enough for a second restart and for ImagePullBackOff."""


@pytest.fixture(scope="module")
def rollouts() -> Iterator[Rollouts]:
    """Yield a sandbox with its cluster; each test leaves the present release running."""
    parent = Path(tempfile.mkdtemp(prefix="bais-gates-test-"))
    try:
        info = sandbox.start(parent / "sandbox", owner_pid=os.getpid())
        cluster = sandbox.start_cluster(info.directory, manifests=OVERLAY)
        with closing(Rollouts(info, cluster)) as started:
            yield started
    finally:
        sandbox.stop(parent / "sandbox")
        shutil.rmtree(parent)


def test_every_release_has_its_own_digest() -> None:
    """A digest differs from all others, and changes with the sources and with every difference."""
    references = list(by_reference(PRESENT))
    good = RELEASES["good"]
    changed = [
        replace(good, version="9.9.9"),
        replace(good, defects=("slow_analytics",)),
        replace(good, replaced_sql={}),
        replace(good, migrations=()),
    ]

    assert references == list(by_reference(PRESENT))
    assert len({PRESENT, *references, *(one.reference(PRESENT) for one in changed)}) == 14
    assert not set(references) & set(by_reference(PRESENT.replace("a", "b")))
    assert all(one.startswith(f"{images.API}@sha256:") for one in references)


def test_a_release_differs_in_what_there_is() -> None:
    """Defects, replaced statements and folders of migrations exist; versions are newer than the present."""
    sources = "".join(path.read_text() for path in Path(str(api.__file__)).parent.rglob("*.py"))
    for release in RELEASES.values():
        assert all(defect in FAULTS or f'"{defect}" in' in sources for defect in release.defects)
        assert all(part in sources for part in release.replaced_sql)
        assert all(list(folder.glob("v*.py")) for folder in release.migration_folders)
        assert tuple(map(int, release.version.split("."))) > tuple(map(int, VERSION.split(".")))
    assert len({release.version for release in RELEASES.values()}) == len(RELEASES)


def test_the_command_lists_them(capsys: pytest.CaptureFixture[str]) -> None:
    """``bais-gates sandbox releases`` prints image, name, version and difference of each."""
    assert main(["sandbox", "releases"]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [images.api_image(), f"    present {VERSION}: The one that the sandbox starts with."]
    for image, release in by_reference(images.api_image()).items():
        described = lines[lines.index(image) + 1]
        assert described == f"    {release.name} {release.version}: {release.description}"


@pytest.mark.nightly
def test_a_slow_release(rollouts: Rollouts) -> None:
    """It is ready and its requests succeed, too late."""
    rollouts.roll_out(rollouts.image["slow"])
    rollouts.until_complete("1.1.1")

    seconds = []
    for _ in range(10):
        began = time.monotonic()
        assert rollouts.business.get("/api/v1/analytics/dashboard").status_code == 200
        seconds.append(time.monotonic() - began)
    health = [rollouts.platform.client.get("/health").elapsed.total_seconds() for _ in range(10)]
    payments = [rollouts.business.pay() for _ in range(40)]

    assert min(seconds) > 0.3
    assert min(health) > 0.12
    assert {one.status_code for one in payments} == {201}
    assert sorted(one.elapsed.total_seconds() for one in payments)[37] > 0.5  # the 95th percentile
    rollouts.back()


@pytest.mark.nightly
def test_a_failing_release(rollouts: Rollouts) -> None:
    """It is ready, and about a twentieth of its payments receives a 500; after the way back none does."""
    rollouts.roll_out(rollouts.image["failing"])
    rollouts.until_complete("1.1.2")

    payer = rollouts.platform.business()
    statuses = [payer.pay().status_code for _ in range(95)]

    assert 2 <= statuses.count(500) <= 5
    assert set(statuses) == {201, 500}
    rollouts.back()
    assert {rollouts.platform.business().pay().status_code for _ in range(5)} == {201}


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("release", "state", "reason"),
    [
        (
            "not_ready",
            "running",
            ("Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 503"),
        ),
        ("crash_loop", "CrashLoopBackOff", ("BackOff", "Back-off restarting failed container api in pod")),
        ("unpullable", "ImagePullBackOff", ("BackOff", "Back-off pulling image")),
        ("unknown", "ImagePullBackOff", ("Failed", "Error: ErrImagePull")),
    ],
)
def test_a_release_that_never_gets_ready(
    rollouts: Rollouts, release: str, state: str, reason: tuple[str, str]
) -> None:
    """The rollout exceeds its deadline, pod and events say why, and no request notices before or after."""
    images_by_name = {**rollouts.image, "unknown": PRESENT}
    with rollouts.requests() as counted:
        rollouts.roll_out(images_by_name[release], deadline_s=DEADLINE_S)
        pod = until(lambda: _new_pod(rollouts, images_by_name[release], state))
        until(lambda: rollouts.condition("Progressing") == ("False", "ProgressDeadlineExceeded"))

        assert rollouts.condition("Available") == ("True", "MinimumReplicasAvailable")
        assert rollouts.deployment["status"]["updatedReplicas"] == 1
        assert any(
            found == reason[0] and message.startswith(reason[1]) for found, message in rollouts.events(pod)
        )
        container = pod["status"]["containerStatuses"][0]
        assert (container["restartCount"] >= 2) == (release == "crash_loop")
        if release == "crash_loop":
            ended = container["lastState"]["terminated"]
            assert (ended["exitCode"], ended["reason"]) == (1, "Error")
            assert "LEDGER_URL is not set" in ended["message"]
        assert rollouts.versions() == {VERSION}
        rollouts.back()

    assert set(counted) == {"/health 200", "/api/v1/payments/process 201"}
    assert rollouts.condition("Progressing") == ("True", "NewReplicaSetAvailable")


@pytest.mark.nightly
def test_a_migration_that_fails_and_one_that_harms_nobody(rollouts: Rollouts) -> None:
    """The first Job fails with PostgreSQL's words and leaves the schema as it was; the other completes."""
    how, log = rollouts.migrate("migration_fails")
    assert how == "Failed"
    assert 'column "payment_provider" does not exist' in log
    assert rollouts.platform.rows(REVISION) == [("0002",)]

    how, log = rollouts.migrate("good")
    assert how == "Complete"
    assert "Running upgrade 0002 -> 0003" in log
    assert rollouts.platform.rows(REVISION) == [("0003",)]
    assert rollouts.platform.business().pay().status_code == 201


@pytest.mark.nightly
def test_a_migration_that_breaks_the_previous_release(rollouts: Rollouts) -> None:
    """On the new schema the release itself takes payments, and the previous one responds 500 to each."""
    business = rollouts.platform.business()
    body = business.payment()
    assert rollouts.migrate("migration_breaks_previous")[0] == "Complete"
    try:
        assert business.post(PAY, body).status_code == 500
        rollouts.roll_out(rollouts.image["migration_breaks_previous"])
        rollouts.until_complete("1.2.1")
        paid = business.post(PAY, body).json()
        read = business.get(f"/api/v1/payments/{paid['payment_id']}").json()
        assert read["card_last_four"] == "4242"
        rollouts.back()
        assert business.post(PAY, body).status_code == 500
    finally:
        with psycopg.connect(rollouts.platform.config["database_url"]) as connection:
            connection.execute("ALTER TABLE payments RENAME COLUMN card_last4 TO card_last_four")
            connection.execute("UPDATE alembic_version SET version_num = '0003'")


@pytest.mark.nightly
def test_a_migration_that_contracts(rollouts: Rollouts) -> None:
    """Its log names the oldest version that works from then on: 1.0.0 pays, and delivers no webhook."""
    how, log = rollouts.migrate("migration_contracts")

    assert how == "Complete"
    assert "Revision 0004_no_last_status contracts the schema: no way back before 1.1.0" in log
    assert _delivers(rollouts) is False
    rollouts.roll_out(rollouts.image["good"])
    rollouts.until_complete("1.1.0")
    assert _delivers(rollouts) is True


def _delivers(rollouts: Rollouts) -> bool:
    """Return whether an attempt to deliver a webhook, which nobody receives, is recorded as one."""
    business = rollouts.platform.business()
    webhook = {"url": f"http://127.0.0.1:{free_port()}/hook", "events": ["payment.completed"]}
    assert business.post("/api/v1/webhooks/configure", webhook).status_code == 201
    assert business.pay().status_code == 201
    logs = [Path(pod["metadata"]["annotations"]["sandbox.bais-gates/log"]) for pod in rollouts.pods]

    def recorded() -> tuple[bool] | None:
        if any("UndefinedColumn" in log.read_text() for log in logs):
            return (False,)
        return (True,) if rollouts.platform.rows(SECOND_ATTEMPT) else None

    return bool(until(recorded)[0])


def _new_pod(rollouts: Rollouts, image: str, state: str) -> Any:
    """Return the pod with the image once its container is running, or waits for the reason ``state``."""
    for pod in rollouts.pods:
        statuses = pod["status"].get("containerStatuses")
        if statuses and pod["spec"]["containers"][0]["image"] == image:
            now = statuses[0]["state"]
            if state in now or now.get("waiting", {}).get("reason") == state:
                return pod
    return None
