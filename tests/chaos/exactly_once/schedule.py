"""Which process dies when, decided by a seed before the round begins."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

Link = Literal["messenger", "wire"]
Manner = Literal["any", "last_byte", "held_up"]
"""A kill at any moment; of an edge when a client has just got its last byte; of a core while the
database answers nothing."""

DATABASE: Final = "postgres"
_WEIGHTS: Final = {"edge": 6, "core": 3, "postgres": 2}
_WIRE_MODES: Final = ("freeze", "deaf", "mute", "refuse")


@dataclass(frozen=True, slots=True)
class Shape:
    """What stands in a round."""

    edges: int
    cores: int
    link: Link


SHAPES: Final = (
    Shape(3, 2, "messenger"),
    Shape(2, 1, "wire"),
    Shape(3, 1, "messenger"),
    Shape(3, 2, "wire"),
)


@dataclass(frozen=True, slots=True)
class Step:
    """A pause, then deaths at the same time, and a link that fails until the next step."""

    pause_seconds: float
    victims: tuple[str, ...]
    manner: Manner
    link: int
    wire_mode: str


def schedule(seed: str, kills: int, shape: Shape, pause_seconds: float) -> list[Step]:
    """Return steps with so many kills in all, up to four at once."""
    chance = random.Random(seed)
    steps: list[Step] = []
    left = kills
    while left > 0:
        wanted = min(left, chance.choice((1, 1, 2, 2, 3, 4)))
        victims = _victims(chance, wanted, shape)
        steps.append(
            Step(
                pause_seconds * chance.uniform(0.2, 1.8),
                victims,
                _manner(chance, victims),
                chance.randrange(shape.edges),
                chance.choice((*_WIRE_MODES, "", "", "")),
            )
        )
        left -= len(victims)
    return steps


def _victims(chance: random.Random, wanted: int, shape: Shape) -> tuple[str, ...]:
    names = {
        "edge": [f"edge-{number}" for number in range(shape.edges)],
        "core": [f"core-{number}" for number in range(shape.cores)],
        "postgres": [DATABASE],
    }
    found: list[str] = []
    wanted = min(wanted, sum(len(each) for each in names.values()))
    while len(found) < wanted:
        kind = chance.choices(list(_WEIGHTS), weights=list(_WEIGHTS.values()))[0]
        name = chance.choice(names[kind])
        if name not in found:
            found.append(name)
    return tuple(found)


def _manner(chance: random.Random, victims: Sequence[str]) -> Manner:
    if victims[0].startswith("edge") and chance.random() < 0.5:
        return "last_byte"
    if victims[0].startswith("core") and chance.random() < 0.5:
        return "held_up"
    return "any"
