"""Rotation files for tests."""

from __future__ import annotations

import json
from pathlib import Path

from bais_gates.oncall.reading import load_rotation
from bais_gates.oncall.rotation import Rotation

NAMES = ("Ada", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gus", "Hal")


def content(**changes: object) -> dict[str, object]:
    """Return a valid rotation as it is in a file; ``changes`` replace keys, None removes one."""
    people = [{"name": name, "email": f"{name.lower()}@bais.example", "team": "platform"} for name in NAMES]
    duration = {"acknowledge_within": "5m", "recover_within": "30m"}
    data: dict[str, object] = {
        "name": "BAIS",
        "time_zone": "Europe/Berlin",
        "handover": {"day": "monday", "time": "09:00"},
        "turn_days": 7,
        "first_turn": "2026-01-05",
        "people": people,
        "teams": {"platform": {"chat": "#platform"}},
        "tiers": {
            "primary": {"people": ["Ada", "Ben", "Cleo"], "after_minutes": 0},
            "secondary": {"people": ["Ben", "Cleo", "Ada"], "after_minutes": 5},
            "manager": {"people": ["Dan", "Eva", "Finn"], "after_minutes": 10},
        },
        "loops": 2,
        "severities": dict.fromkeys(("P1", "P2", "P3", "P4"), duration),
        "services": [{"name": "bais-api", "team": "platform", "description": "The API"}],
        "chat": {"incidents": "#incidents", "oncall": "#oncall"},
        "status_page": {"components": ["API"]},
        "emergency_contacts": [{"name": "Bank", "what": "Declines", "url": "https://bank.example/help"}],
        "post_incident": {one: {"review_within": "3d", "report_within": "5d"} for one in ("P1", "P2")},
    } | changes
    return {key: value for key, value in data.items() if value is not None}


def write(path: Path, **changes: object) -> Path:
    """Write a rotation file and return its path."""
    path.write_text(json.dumps(content(**changes), indent=1), encoding="utf-8")
    return path


def rotation(folder: Path, **changes: object) -> Rotation:
    """Return a rotation, by way of its file."""
    return load_rotation(write(folder / "rotation.yaml", **changes))
