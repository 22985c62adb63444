"""Reading of rotation.yaml: every error names file, line and key, and no e-mail address."""

from __future__ import annotations

from datetime import date, datetime, time
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, cast
from zoneinfo import ZoneInfo

from bais_gates import redaction
from bais_gates.oncall import shifts
from bais_gates.oncall.rotation import (
    Absence,
    EmergencyContact,
    Member,
    OwnedService,
    PostIncident,
    Priority,
    Rotation,
    Severity,
    Tier,
)
from bais_gates.verdict.files import load_document

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from bais_gates.verdict.files import Document
    from bais_gates.verdict.strict_yaml import KeyPath

_DAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_SECONDS: Final = {"m": 60.0, "h": 3600.0, "d": 86400.0}
_MAX_TURNS: Final = 10_000
"""Turns after which we stop to look for a person on two tiers; it takes three long lists without a common
factor to have more."""


def load_rotation(path: str | os.PathLike[str]) -> Rotation:
    """Read a rotation file. The e-mail addresses in it are redacted from now on.

    Raises GateInputError with file, line and key: what breaks the schema, a time zone that does not exist,
    a hand-over on another weekday than the first turn, a name or team that is not in the file or there twice,
    tiers that are not paged one after the other, one person on two tiers at a time, an absence that nobody
    can cover.
    """
    return _Reader(load_document(path, "rotation")).rotation()


class _Reader:
    def __init__(self, document: Document) -> None:
        self._document = document
        self._data = cast("dict[str, Any]", document.data)

    def rotation(self) -> Rotation:
        data = self._data
        self._check_zone()
        first = self._date(("first_turn",), data["first_turn"])
        self._check_handover(first)
        members = self._members()
        rotation = Rotation(
            document=self._document,
            name=data["name"].strip(),
            time_zone=data["time_zone"],
            handover_time=time.fromisoformat(data["handover"]["time"]),
            turn_days=data["turn_days"],
            first_turn=first,
            members=members,
            teams={name: team["chat"] for name, team in data["teams"].items()},
            tiers=self._tiers(),
            loops=data["loops"],
            absences=self._absences(),
            severities={
                cast("Priority", name): Severity(**_seconds(part))
                for name, part in data["severities"].items()
            },
            services=self._services(),
            incident_channel=data["chat"]["incidents"],
            oncall_channel=data["chat"]["oncall"],
            components=tuple(data["status_page"]["components"]),
            emergency_contacts=tuple(EmergencyContact(**one) for one in data["emergency_contacts"]),
            post_incident={
                cast("Priority", name): PostIncident(**_seconds(part))
                for name, part in data["post_incident"].items()
            },
        )
        _check_tiers(rotation)
        _check_covers(rotation)
        return rotation

    def _check_zone(self) -> None:
        try:
            ZoneInfo(self._data["time_zone"])
        except (KeyError, ValueError, OSError):
            raise self._document.error(
                ("time_zone",), "no time zone of this name. Write one of the IANA database: Europe/Berlin."
            ) from None

    def _check_handover(self, first: date) -> None:
        day = self._data["handover"].get("day")
        if day is None:
            return
        if self._data["turn_days"] % 7:
            raise self._document.error(
                ("handover", "day"),
                "turns are no whole weeks, so that hand-overs are on changing days. Remove the key.",
            )
        if _DAYS[first.weekday()] != day:
            raise self._document.error(
                ("first_turn",), f"is a {_DAYS[first.weekday()].title()}. Write the date of a {day.title()}."
            )

    def _date(self, at: KeyPath, text: str) -> date:
        try:
            found = date.fromisoformat(text)
        except ValueError:
            raise self._document.error(at, "no such day. Correct the date.") from None
        if not 2000 <= found.year <= 2100:
            raise self._document.error(at, "must be between 2000 and 2100. Correct the year.")
        return found

    def _members(self) -> tuple[Member, ...]:
        members: list[Member] = []
        for index, entry in enumerate(self._data["people"]):
            redaction.register(entry["email"])
            member = Member(name=entry["name"].strip(), email=entry["email"].lower(), team=entry["team"])
            redaction.register(member.email)
            self._check_team(("people", index, "team"), member.team)
            for key in ("name", "email"):
                if any(getattr(one, key) == getattr(member, key) for one in members):
                    text = f"another person has this {key}. Correct it, or remove one entry."
                    raise self._document.error(("people", index, key), text)
            members.append(member)
        return tuple(members)

    def _check_team(self, at: KeyPath, team: str) -> None:
        if team not in self._data["teams"]:
            known = ", ".join(self._data["teams"])
            raise self._document.error(at, f"no key of teams. Write one of them ({known}), or add it there.")

    def _name(self, at: KeyPath, name: str) -> str:
        if name.strip() not in {entry["name"].strip() for entry in self._data["people"]}:
            raise self._document.error(at, "no name of people. Write it as it is there, or add the person.")
        return name.strip()

    def _tiers(self) -> tuple[Tier, ...]:
        tiers = tuple(
            Tier(
                name=name,
                people=tuple(
                    self._name(("tiers", name, "people", index), person)
                    for index, person in enumerate(part["people"])
                ),
                after_s=part["after_minutes"] * 60.0,
            )
            for name, part in self._data["tiers"].items()
        )
        if tiers[0].after_s:
            at = ("tiers", tiers[0].name, "after_minutes")
            raise self._document.error(at, "the first tier is paged at once. Write 0.")
        for one, other in pairwise(tiers):
            if other.after_s <= one.after_s:
                at = ("tiers", other.name, "after_minutes")
                raise self._document.error(
                    at, f"must be more than that of {one.name}. Write the tiers in order."
                )
        return tiers

    def _absences(self) -> tuple[Absence, ...]:
        absences: list[Absence] = []
        for index, entry in enumerate(self._data.get("absences", ())):
            at: KeyPath = ("absences", index)
            cover = entry.get("covered_by")
            absence = Absence(
                person=self._name((*at, "person"), entry["person"]),
                since=self._date((*at, "from"), entry["from"]),
                until=self._date((*at, "until"), entry["until"]),
                covered_by=None if cover is None else self._name((*at, "covered_by"), cover),
            )
            if absence.until <= absence.since:
                text = "must be after from: it is the first day back. Correct one of them."
                raise self._document.error((*at, "until"), text)
            if absence.covered_by == absence.person:
                raise self._document.error((*at, "covered_by"), "is who is absent. Name another person.")
            for other in absences:
                if _overlap(absence, other) and other.person == absence.person:
                    text = "the person has another absence at that time. Make them one."
                    raise self._document.error((*at, "from"), text)
            absences.append(absence)
        return tuple(absences)

    def _services(self) -> tuple[OwnedService, ...]:
        services: list[OwnedService] = []
        for index, entry in enumerate(self._data["services"]):
            self._check_team(("services", index, "team"), entry["team"])
            service = OwnedService(**entry)
            if any(one.name == service.name for one in services):
                raise self._document.error(("services", index, "name"), "is there twice. Remove one.")
            services.append(service)
        return tuple(services)


def _check_tiers(rotation: Rotation) -> None:
    """Raise GateInputError for a person who has turns on two tiers at a time."""
    seen: set[tuple[int, ...]] = set()
    for number in range(_MAX_TURNS):
        places = tuple(number % len(tier.people) for tier in rotation.tiers)
        if places in seen:
            return
        seen.add(places)
        on: dict[str, str] = {}
        for tier, place in zip(rotation.tiers, places, strict=True):
            person = tier.people[place]
            if person in on:
                raise rotation.error(
                    ("tiers", tier.name, "people", place),
                    f"{person} has turn {number + 1} on {on[person]}, too. Change the order: in lists of one "
                    "length, give everybody a different place in each.",
                )
            on[person] = tier.name


def _check_covers(rotation: Rotation) -> None:
    """Raise GateInputError for an absence that leaves a tier without a person, or whose cover can't."""
    for index, absence in enumerate(rotation.absences):
        since, until = rotation.instant(absence.since), rotation.instant(absence.until)
        final = shifts.expected(rotation, since, until)
        for tier in rotation.tiers:
            regular = shifts.turns(rotation, tier, since, until)
            mine = [one for one in regular if rotation.name_of[one.person] == absence.person]
            for difference in shifts.differences(regular, final[tier.name], since, until):
                if not any(one.start <= difference.start < one.end for one in mine):
                    continue
                where = f"on {tier.name} from {_local(rotation, difference.start)}"
                if difference.then is None:
                    text = f"nobody is free to cover {where}. Name somebody in covered_by, or add people."
                    raise rotation.error(("absences", index), text)
                cover = absence.covered_by
                if cover is not None and rotation.name_of[difference.then] != cover:
                    text = (
                        f"{cover} can't cover {where}: absent then, or on another tier. Name another person."
                    )
                    raise rotation.error(("absences", index, "covered_by"), text)


def _overlap(one: Absence, other: Absence) -> bool:
    return one.since < other.until and other.since < one.until


def _local(rotation: Rotation, moment: datetime) -> str:
    return moment.astimezone(rotation.zone).strftime("%Y-%m-%d %H:%M")


def _seconds(part: Mapping[str, str]) -> dict[str, float]:
    return {f"{key}_s": float(text[:-1]) * _SECONDS[text[-1]] for key, text in part.items()}
