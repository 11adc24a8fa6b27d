"""How much of its hold a trial uses: all of it in one of ten, more in one of a hundred."""

from __future__ import annotations

import random
from enum import StrEnum
from typing import Final

EXCEEDS_SHARE: Final = 0.01
WHOLE_SHARE: Final = 0.10


class Use(StrEnum):
    """What a trial does with its hold."""

    TENTH = "a tenth"
    WHOLE = "the whole"
    MORE = "half as much again"


def drawn(chance: random.Random) -> Use:
    """Draw what one trial does."""
    lot = chance.random()
    if lot < EXCEEDS_SHARE:
        return Use.MORE
    return Use.WHOLE if lot < EXCEEDS_SHARE + WHOLE_SHARE else Use.TENTH
