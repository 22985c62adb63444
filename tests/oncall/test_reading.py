"""Rotation files: what is read, and what is refused with which words."""

from __future__ import annotations

import json
import re
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from bais_gates import redaction
from bais_gates.errors import GateInputError
from bais_gates.oncall.reading import load_rotation
from tests.oncall.rotations import content, rotation, write

SHIPPED = Path(__file__).parents[2] / "gates" / "oncall" / "rotation.yaml"
RULES = SHIPPED.parents[1] / "monitoring" / "rules"


def test_the_shipped_rotation_is_valid_and_knows_every_team_of_the_alerts() -> None:
    """gates/oncall/rotation.yaml is read, and each `team` of an alert is one of its teams."""
    shipped = load_rotation(SHIPPED)
    labels = {
        team
        for path in RULES.glob("*.yaml")
        for team in re.findall(r"\bteam: ?([\w-]+)", path.read_text(encoding="utf-8"))
    }

    assert labels == set(shipped.teams)
    assert [tier.after_s for tier in shipped.tiers] == [0, 300, 600]
    assert shipped.severities["P1"].acknowledge_within_s == 300
    assert shipped.post_incident["P2"].report_within_s == 10 * 86400


def test_values_are_those_of_the_file(tmp_path: Path) -> None:
    """Names are kept, addresses are in small letters, and neither shows the latter."""
    people: Any = content()["people"]
    people[0]["email"] = "Ada.Canary@bais.example"
    absences = [{"person": "Eva", "from": "2026-03-02", "until": "2026-03-09", "covered_by": "Gus"}]

    read = rotation(tmp_path, people=people, absences=absences)

    assert read.emails(read.tiers[0])[0] == "ada.canary@bais.example"
    assert read.name_of["ada.canary@bais.example"] == "Ada"
    assert read.schedule_of(read.tiers[1]) == "BAIS secondary"
    assert read.absences[0].since == date(2026, 3, 2)
    assert "canary" not in repr(read).lower()
    assert "canary" not in redaction.redact("sent to Ada.Canary@bais.example and ada.canary@bais.example")


def tiers(**people: list[str]) -> dict[str, object]:
    """Return tiers of these people."""
    return {name: {"people": who, "after_minutes": 5 * n} for n, (name, who) in enumerate(people.items())}


def absent(**keys: str) -> list[dict[str, str]]:
    """Return one absence."""
    return [{"person": "Ada", "from": "2026-03-02", "until": "2026-03-09"} | keys]


TWICE = tiers(one=["Ada", "Ben", "Cleo"], two=["Dan", "Eva", "Ada", "Finn"])
ALL_AWAY = absent(person="Dan") + absent(person="Eva") + absent(person="Finn")
BUSY = absent(person="Finn", covered_by="Cleo")
SERVICE = {"name": "a", "team": "nobodys", "description": "x"}
PHONE = {"name": "Bank", "what": "x", "url": "tel:+49301234567"}


@pytest.mark.parametrize(
    ("changes", "key", "text"),
    [
        ({"turn_days": 0}, "turn_days", "at least 1"),
        ({"time_zone": "Europe/Atlantis"}, "time_zone", "IANA"),
        ({"time_zone": "../etc/passwd"}, "time_zone", "IANA"),
        ({"handover": {"day": "monday", "time": "9:00"}}, "handover.time", "in quotes"),
        ({"first_turn": "2026-01-06"}, "first_turn", "is a Tuesday. Write the date of a Monday"),
        ({"first_turn": "2026-02-30"}, "first_turn", "no such day"),
        ({"turn_days": 3}, "handover.day", "no whole weeks"),
        ({"tiers": tiers(primary=["Ada", "Ben"])}, "tiers.primary.people", "at least 3"),
        ({"tiers": tiers(primary=["Ada", "Ben", "Zoe"])}, "tiers.primary.people[2]", "no name of people"),
        ({"tiers": TWICE}, "tiers.two", "Ada has turn"),
        ({"tiers": {"one": {"people": ["Ada", "Ben", "Dan"], "after_minutes": 5}}}, "tiers.one", "Write 0"),
        ({"absences": absent(until="2026-03-02")}, "absences[0].until", "first day back"),
        ({"absences": absent(covered_by="Ada")}, "absences[0].covered_by", "is who is absent"),
        ({"absences": absent() + absent(until="2026-03-03")}, "absences[1].from", "another absence"),
        ({"absences": ALL_AWAY}, "absences[1]", "nobody is free to cover on manager"),
        ({"absences": BUSY}, "absences[0].covered_by", "Cleo can't cover on manager"),
        ({"services": [SERVICE]}, "services[0].team", "platform"),
        ({"severities": {"P1": {}}}, "severities", "missing"),
        ({"emergency_contacts": [PHONE]}, "emergency_contacts[0].url", "no phone number"),
        ({"surprise": 1}, "surprise", "unknown key"),
    ],
)
def test_wrong_input_is_named_by_file_line_and_key(
    tmp_path: Path, changes: dict[str, Any], key: str, text: str
) -> None:
    """Each mistake has a message with its place and what to write instead, without an address of a person."""
    path = write(tmp_path / "rotation.yaml", **changes)

    with pytest.raises(GateInputError) as caught:
        load_rotation(path)

    message = str(caught.value)
    assert re.match(re.escape(str(path)) + r":\d+: " + re.escape(key), message), message
    assert text in message
    assert "@bais" not in message
    assert "4930" not in message


@pytest.mark.parametrize("key", ["name", "email"])
def test_nobody_is_there_twice(tmp_path: Path, key: str) -> None:
    """A second person of the same name or address is refused, whatever the letters, without the address."""
    people: Any = content()["people"]
    people[1][key] = people[0][key].upper() if key == "email" else people[0][key]
    path = write(tmp_path / "rotation.yaml", people=people)

    with pytest.raises(GateInputError, match=rf"people\[1\]\.{key}: another person has this {key}") as caught:
        load_rotation(path)

    assert "@" not in str(caught.value)


def test_an_address_in_the_place_of_a_name_is_not_repeated(tmp_path: Path) -> None:
    """Whoever writes the address where a name is due does not find it in the message."""
    data: Any = content()
    data["tiers"]["primary"]["people"][0] = "canary@bais.example"
    path = tmp_path / "rotation.yaml"
    path.write_text(json.dumps(data, indent=1), encoding="utf-8")

    with pytest.raises(GateInputError, match=r"tiers\.primary\.people\[0\]") as caught:
        load_rotation(path)

    assert "canary" not in str(caught.value)
