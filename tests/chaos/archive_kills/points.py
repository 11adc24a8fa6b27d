"""Where a blow falls: a step of the protocol, a moment of it, and what is struck."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from datetime import date
from enum import StrEnum
from typing import NamedTuple

MONTH = date(2026, 3, 1)
"""The month that is attacked."""


class Moment(StrEnum):
    """Of a call: before it is handed on, while it is answered, before its answer is handed back."""

    ASKED = "asked"
    UNDER_WAY = "under way"
    ANSWERED = "answered"


class Blow(StrEnum):
    """What happens there."""

    ARCHIVER = "kill archiver"
    CORE = "kill core"
    POSTGRES = "kill PostgreSQL"
    RIVAL = "a second archiver"
    REFUSED = "503"
    LOST = "answer lost"
    SLOW = "slow"
    FLIPPED = "bit flip"


class Phase(StrEnum):
    """A part of a month's life, ended by the state that it leads to."""

    ARCHIVE = "archive"
    LATE = "late"
    DROP = "drop"
    EXPIRE = "expire"


class Point(NamedTuple):
    """One blow."""

    phase: Phase
    step: str
    moment: Moment
    blow: Blow

    def __str__(self) -> str:
        """Return it as a line."""
        return f"{self.phase}: {self.blow} at {self.step} {self.moment}"


CALLS = {
    Phase.ARCHIVE: (
        "AcquireArchiveLease",
        "FreezeMonth",
        "ExportBilling",
        "ExportMonth",
        "GetTotals",
        "SignManifest",
        "PublishMonth",
        "DetachMonth",
    ),
    Phase.LATE: ("ExportLate", "GetTotals", "SignManifest", "PublishMonth"),
    Phase.DROP: ("ListFiles", "DropMonth"),
    Phase.EXPIRE: ("ListFiles", "RecordDeletion"),
}
WRITTEN = ("PUT usage", "PUT focus", "PUT manifest", "PUT ids")
OBJECTS = {
    Phase.ARCHIVE: (*WRITTEN, "GET usage", "GET focus", "GET manifest", "GET ids"),
    Phase.LATE: ("PUT usage", "PUT manifest", "PUT ids", "GET usage"),
    Phase.DROP: ("GET usage", "GET manifest"),
    Phase.EXPIRE: ("DELETE usage", "DELETE manifest", "PUT deletion"),
}
"""What the store is asked for; only with a store that is a server."""
KILLS = (Blow.ARCHIVER, Blow.CORE, Blow.POSTGRES)


def all_points(*, with_objects: bool) -> list[Point]:
    """Return every blow that can fall."""
    found = [
        Point(phase, step, moment, blow)
        for phase, steps in CALLS.items()
        for step in steps
        for moment in Moment
        for blow in (*KILLS, Blow.RIVAL)
    ]
    if with_objects:
        for phase, steps in OBJECTS.items():
            for step in steps:
                found += _of_object(phase, step)
    return found


def _of_object(phase: Phase, step: str) -> list[Point]:
    found = [
        Point(phase, step, moment, blow)
        for moment in (Moment.ASKED, Moment.ANSWERED)
        for blow in (Blow.ARCHIVER, Blow.RIVAL)
    ]
    found += [
        Point(phase, step, Moment.ASKED, Blow.REFUSED),
        Point(phase, step, Moment.ANSWERED, Blow.LOST),
        Point(phase, step, Moment.ANSWERED, Blow.SLOW),
    ]
    if step in WRITTEN:
        found.append(Point(phase, step, Moment.ANSWERED, Blow.FLIPPED))
    return found


def dealt(points: Sequence[Point], hands: int, each: int, seed: int) -> list[list[Point]]:
    """Deal a shuffled deck into hands, beginning anew when it is used up."""
    deck: list[Point] = []
    chance = random.Random(seed)
    found = []
    for _ in range(hands):
        if len(deck) < each:
            deck += chance.sample(points, len(points))
        found.append([deck.pop() for _ in range(min(each, len(points)))])
    return found


class Trap:
    """Armed points; each springs once, the first time that its place is reached."""

    def __init__(
        self, strike: Callable[[Blow], None], nudge: Callable[[], None], seed: int
    ) -> None:
        self.phase = Phase.ARCHIVE
        self.sprung: list[Point] = []
        self._strike = strike
        self._nudge = nudge
        self._seen: set[tuple[Phase, str]] = set()
        self._armed: list[Point] = []
        self._chance = random.Random(seed)
        self._lock = threading.Lock()

    def arm(self, points: Sequence[Point]) -> None:
        """Arm points; those of other phases wait."""
        with self._lock:
            self._armed = list(points)

    def left(self) -> list[Point]:
        """Return what was not reached."""
        with self._lock:
            return list(self._armed)

    def reached(self, step: str, moment: Moment) -> Blow | None:
        """Spring what is armed here; return it."""
        with self._lock:
            if (self.phase, step) not in self._seen:
                self._seen.add((self.phase, step))
                self._nudge()
            for point in self._armed:
                if (point.phase, point.step, point.moment) == (self.phase, step, moment):
                    self._armed.remove(point)
                    self.sprung.append(point)
                    break
            else:
                return None
        if point.blow in {*KILLS, Blow.RIVAL}:
            if moment is Moment.UNDER_WAY:
                delay = self._chance.uniform(0, 0.03)
                threading.Timer(delay, self._strike, [point.blow]).start()
            else:
                self._strike(point.blow)
        return point.blow
