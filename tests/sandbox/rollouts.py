"""A sandbox whose Deployment the tests roll out from release to release, with requests meanwhile."""

from __future__ import annotations

import itertools
import json
import ssl
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import httpx

from bais_gates.sandbox import images
from bais_gates.sandbox.bootstrap.client import ClusterClient
from bais_gates.sandbox.configuration import VERSION
from bais_gates.sandbox.files import read_object
from bais_gates.sandbox.releases import by_reference
from tests.sandbox_api.conftest import Business, Platform

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bais_gates import sandbox

DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"namespace": "bais", "name": "bais-api"},
}
MIGRATION = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "metadata": {"namespace": "bais", "name": "bais-migrate"},
}
Object = dict[str, Any]


class Rollouts:
    """The sandbox, its API's Deployment, and a business that pays."""

    def __init__(self, info: sandbox.SandboxInfo, cluster: sandbox.ClusterInfo) -> None:
        self.info, directory = info, info.directory
        users = {one["name"]: one["user"] for one in json.loads(cluster.kubeconfig.read_text())["users"]}
        token = users["sandbox-admin"]["token"]
        self.client = ClusterClient(cluster.url, ca=directory / "ca.pem", token=token)
        self.trust = ssl.create_default_context(cafile=directory / "ca.pem")
        http = httpx.Client(base_url=self.info.api_url, verify=self.trust, trust_env=False, timeout=5)
        self.platform = Platform(directory, http, read_object(directory / "api.json"))
        self.business: Business = self.platform.business()
        assert self.business.pay().status_code == 201
        self.present = images.api_image()
        self.image = {release.name: image for image, release in by_reference(self.present).items()}

    def close(self) -> None:
        """Close the connections."""
        self.client.close()
        self.platform.client.close()

    def roll_out(self, image: str, *, deadline_s: int = 60) -> None:
        """Patch the Deployment's image."""
        (container,) = self.deployment["spec"]["template"]["spec"]["containers"]
        template = {"spec": {"containers": [container | {"image": image}]}}
        spec = {"progressDeadlineSeconds": deadline_s, "template": template}
        self.client.merge(DEPLOYMENT, {"spec": spec})

    @property
    def deployment(self) -> Object:
        """The Deployment as it is now."""
        found = self.client.get(DEPLOYMENT)
        assert found is not None
        return found

    @property
    def pods(self) -> list[Object]:
        """The pods of the API that are not ending."""
        pods = self.client.list("v1", "Pod", "bais")
        of_api = [one for one in pods if one["metadata"]["labels"]["app.kubernetes.io/name"] == "bais-api"]
        return [one for one in of_api if "deletionTimestamp" not in one["metadata"]]

    def events(self, pod: Object) -> list[tuple[str, str]]:
        """Return reason and message of the events about a pod."""
        events = self.client.list("v1", "Event", "bais")
        name = pod["metadata"]["name"]
        return [(one["reason"], one["message"]) for one in events if one["involvedObject"]["name"] == name]

    def is_complete(self) -> bool:
        """Return whether the rollout is, by the rule of ``kubectl rollout status``."""
        deployment = self.deployment
        status, wanted = deployment["status"], deployment["spec"]["replicas"]
        return bool(
            status.get("observedGeneration", 0) >= deployment["metadata"]["generation"]
            and status.get("updatedReplicas", 0) >= wanted
            and status.get("replicas", 0) == status.get("updatedReplicas", 0)
            and status.get("availableReplicas", 0) == status.get("updatedReplicas", 0)
        )

    def condition(self, kind: str) -> tuple[str, str]:
        """Return status and reason of a condition of the Deployment."""
        conditions = {one["type"]: one for one in self.deployment["status"]["conditions"]}
        return conditions[kind]["status"], conditions[kind]["reason"]

    def versions(self, requests: int = 30) -> set[str]:
        """Return the versions that the Service's address reports."""
        options: Any = {"verify": self.trust, "trust_env": False}
        health = f"{self.info.api_url}/health"
        return {httpx.get(health, **options).json()["version"] for _ in range(requests)}

    def migrate(self, release: str) -> tuple[str, str]:
        """Run a release's migrations as a Job; return how it ended, and the log of its pod."""
        job = self.client.get(MIGRATION)
        assert job is not None
        template = job["spec"]["template"]
        name = f"migrate-{release.replace('_', '-')}"
        template["spec"]["containers"][0]["image"] = self.image[release]
        labels = {"app.kubernetes.io/name": "bais-migrate"}
        made = self.client.create(
            {
                **MIGRATION,
                "metadata": {"namespace": "bais", "name": name},
                "spec": {
                    "backoffLimit": 0,
                    "template": {"metadata": {"labels": labels}, "spec": template["spec"]},
                },
            }
        )
        until(lambda: (self.client.get(made) or {}).get("status", {}).get("conditions"))
        ended = self.client.get(made) or {}
        conditions = {one["type"] for one in ended["status"]["conditions"] if one["status"] == "True"}
        pods = [
            one for one in self.client.list("v1", "Pod", "bais") if one["metadata"]["name"].startswith(name)
        ]
        log = Path(pods[0]["metadata"]["annotations"]["sandbox.bais-gates/log"]).read_text()
        return ("Complete" if "Complete" in conditions else "Failed"), log

    @contextmanager
    def requests(self) -> Iterator[Counter[str]]:
        """Pay and read /health meanwhile, each on a new connection; count the answers by status or error."""
        counted: Counter[str] = Counter()
        ended = Event()
        headers = self.business.headers | {"connection": "close"}
        body = self.business.payment()

        def ask() -> None:
            with httpx.Client(
                base_url=self.info.api_url, verify=self.trust, trust_env=False, timeout=5, headers=headers
            ) as client:
                for number in itertools.count():
                    if ended.wait(0.05):
                        return
                    pays = number % 16 == 0  # with 100 payments a minute the business is at its limit
                    method, path = ("POST", "/api/v1/payments/process") if pays else ("GET", "/health")
                    try:
                        answer = client.request(method, path, json=body if pays else None)
                        counted[f"{path} {answer.status_code}"] += 1
                    except httpx.TransportError as error:
                        counted[f"{path} {type(error).__name__}"] += 1

        thread = Thread(target=ask)
        thread.start()
        try:
            yield counted
        finally:
            ended.set()
            thread.join()

    def back(self) -> None:
        """Roll back to the present release, and wait until it alone responds."""
        self.roll_out(self.present)
        self.until_complete(VERSION)

    def until_complete(self, version: str) -> None:
        """Wait until the rollout is complete and no other version responds."""
        until(self.is_complete)
        until(lambda: self.versions() == {version})


def until(question: Callable[[], Any], within: float = 60.0) -> Any:
    """Return the answer once it is true."""
    deadline = time.monotonic() + within
    while not (answer := question()):
        assert time.monotonic() < deadline, "it did not become so"
        time.sleep(0.1)
    return answer
