"""Texts that are recognised wherever they turn up, whole, cut or encoded.

A canary is the kind's mark of six letters, four times, with a digit between: `RaRbRcR`. The three
digits number it. Every piece of twelve characters of it has the whole mark in it, so that looking
for six letters finds every piece that is long enough to mean anything.
"""

from __future__ import annotations

import random
import re
import string
from dataclasses import dataclass, field
from functools import cached_property

DIGITS = string.digits + string.ascii_letters
BASE = len(DIGITS)
STEM_LETTERS = 4
MARK_LETTERS = 6
CANARIES_MAX = BASE**3


@dataclass(frozen=True)
class Kind:
    """One kind of canary: its name in reports, and the mark of this run."""

    name: str
    mark: str

    @classmethod
    def new(cls, *names: str, chance: random.Random) -> list[Kind]:
        """Make kinds whose marks begin alike, so that one look tells that none of them is there.

        No letter comes twice in a mark, so that it never overlaps itself.
        """
        letters = chance.sample(string.ascii_letters, STEM_LETTERS + 2 * len(names))
        stem, rest = "".join(letters[:STEM_LETTERS]), letters[STEM_LETTERS:]
        return [
            cls(name, stem + rest[2 * number] + rest[2 * number + 1])
            for number, name in enumerate(names)
        ]

    @property
    def stem(self) -> str:
        """Return the letters that the kinds of a run have in common."""
        return self.mark[:STEM_LETTERS]

    def canary(self, number: int) -> str:
        """Return the canary of a number."""
        assert 0 <= number < CANARIES_MAX
        high, rest = divmod(number, BASE * BASE)
        middle, low = divmod(rest, BASE)
        digits = (DIGITS[high], DIGITS[middle], DIGITS[low])
        return self.mark + "".join(digit + self.mark for digit in digits)

    @cached_property
    def _whole(self) -> re.Pattern[bytes]:
        mark = self.mark.encode()
        return re.compile(b"(.)".join([mark] * 4))

    def numbers_in(self, data: bytes) -> set[int]:
        """Return the numbers of the whole canaries in bytes that are not encoded."""
        found = set()
        for digits in self._whole.findall(data):
            places = [DIGITS.find(digit.decode("latin-1")) for digit in digits]
            if min(places) >= 0:
                found.add((places[0] * BASE + places[1]) * BASE + places[2])
        return found


@dataclass
class Mint:
    """Numbers canaries of one kind, in the order of their making: a find names case and field."""

    kind: Kind
    cases: list[str] = field(default_factory=list)
    made: list[tuple[int, str]] = field(default_factory=list)
    """The case and the field of each number."""
    numbers: dict[tuple[int, str], int] = field(default_factory=dict)

    def case(self, name: str) -> Case:
        """Begin a case."""
        self.cases.append(name)
        return Case(self, len(self.cases) - 1)

    def number(self, case: int, field_name: str) -> int:
        """Return the number of a field of a case, a new one the first time."""
        place = (case, field_name)
        if place not in self.numbers:
            self.numbers[place] = len(self.made)
            self.made.append(place)
        return self.numbers[place]

    def origin(self, number: int) -> str:
        """Return which case and field a number belongs to."""
        if number >= len(self.made):
            return f"{self.kind.name} {number}"
        case, field_name = self.made[number]
        return f"{field_name} of {self.cases[case]}"


@dataclass(frozen=True)
class Case:
    """Gives each field of one case its canary."""

    mint: Mint
    index: int

    def __call__(self, field_name: str) -> str:
        """Return the canary of a field."""
        return self.mint.kind.canary(self.mint.number(self.index, field_name))
