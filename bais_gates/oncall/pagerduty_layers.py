"""PagerDuty's layers: turns as a layer, and how a schedule's former layers make room for it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bais_gates.oncall.provider import Turns

CHUNK: Final = timedelta(days=90)
"""What is asked to be rendered at once."""
_DAY_S: Final = 86_400
_KEPT: Final = (
    *("id", "name", "start", "end", "restrictions"),
    *("rotation_virtual_start", "rotation_turn_length_seconds"),
)

Object = dict[str, Any]


def layer_of(turns: Turns, users: Sequence[Object]) -> Object:
    """Return the layer of turns; ``users`` are references to its people."""
    return {
        "name": "Turns",
        "start": text(turns.since),
        "rotation_virtual_start": text(turns.first),
        "rotation_turn_length_seconds": turns.turn_days * _DAY_S,
        "users": [{"user": user} for user in users],
    }


def replaced(layers: Sequence[Object], layer: Object, since: datetime) -> list[Object]:
    """Return the layers of a schedule ended at a moment, and the new one from then on.

    Layers that have ended are left out, as they can't be changed. One that has not begun takes the new turns.
    """
    found: list[Object] = []
    reused = False
    for one in layers:
        if one["end"] and moment(one["end"]) <= since and moment(one["end"]) > moment(one["start"]):
            continue
        if moment(one["start"]) >= since:
            if not reused:
                found.append({**layer, "id": one["id"]})
                reused = True
                continue
            end = one["start"]
        else:
            end = text(since)
        users = [
            {"user": {"id": user["user"]["id"], "type": "user_reference"}} for user in one.get("users", ())
        ]
        found.append({key: one[key] for key in _KEPT if key in one} | {"end": end, "users": users})
    return found if reused else [layer, *found]


def chunks(since: datetime, until: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Yield a window in parts that PagerDuty renders at once."""
    while since < until:
        yield since, min(since + CHUNK, until)
        since += CHUNK


def text(moment: datetime) -> str:
    """Return a moment as PagerDuty reads it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(text: str) -> datetime:
    """Return the moment of a text with an offset, in UTC."""
    return datetime.fromisoformat(text).astimezone(UTC)
