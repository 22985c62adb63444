"""A plan of the real manifests, a cluster in memory, and a clock that does not sleep."""

from __future__ import annotations

import copy
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from bais_gates.manifests import render
from bais_gates.staging.plan import CompletedStep, Plan
from bais_gates.staging.provision import provision
from bais_gates.staging.server import Clock
from tests.staging.fake_server import FakeServer

OVERLAY = Path(__file__).parents[2] / "gates" / "staging" / "manifests" / "overlays" / "sandbox"
NAMESPACE = "bais-staging"
IMAGES = {
    name: f"{name}@sha256:{digit * 64}"
    for name, digit in (
        ("registry.bais.example/bais-api", "a"),
        ("docker.io/library/postgres", "b"),
        ("docker.io/valkey/valkey", "c"),
    )
}


@lru_cache(maxsize=1)
def _rendered() -> list[dict[str, Any]]:
    return render(OVERLAY, namespace=NAMESPACE, images=IMAGES)


class FakeTime:
    """A time that passes by sleeping."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.on_sleep: list[Any] = []

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now += max(seconds, 0.01)
        for call in self.on_sleep:
            call()

    def clock(self, seconds: float = 60.0) -> Clock:
        """Return a clock that ends in ``seconds`` from now."""
        return Clock(ends_at=self.now + seconds, now=lambda: self.now, sleep=self.sleep)


class Stage:
    """Provisioning of the real manifests into a cluster in memory."""

    def __init__(self) -> None:
        self.server = FakeServer()
        self.time = FakeTime()
        self.progress: list[str] = []
        self.completed: list[CompletedStep] = []
        self.objects = copy.deepcopy(_rendered())

    def plan(self, **changes: Any) -> Plan:
        """Return the plan, with some fields changed."""
        fields: dict[str, Any] = {
            "namespace": NAMESPACE,
            "owner": "sandbox",
            "objects": self.objects,
            "run": "run-1",
            **changes,
        }
        return Plan(**fields)

    def provision(self, *, seconds: float = 60.0, **changes: Any) -> list[str]:
        """Provision; return the completed steps."""
        self.completed = []
        provision(
            self.server,
            self.plan(**changes),
            clock=self.time.clock(seconds),
            progress=self.progress.append,
            completed=self.completed,
        )
        return [one.step for one in self.completed]

    def manifest(self, kind: str, name: str) -> dict[str, Any]:
        """Return one of the manifests, to be changed."""
        return next(one for one in self.objects if one["kind"] == kind and one["metadata"]["name"] == name)


@pytest.fixture
def stage() -> Stage:
    """Return an empty cluster and the real manifests."""
    return Stage()
