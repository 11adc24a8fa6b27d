"""The table of a run: what was tried how often, what did not hold, and figures."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Row:
    """One attack: `tried` times, with the faults found, by name."""

    name: str
    tried: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    figures: dict[str, str | int | float] = field(default_factory=dict)
    left_out: str = ""

    def note(self, faults: list[str]) -> None:
        """Count one attempt and what was wrong with it."""
        self.tried += 1
        self.faults.update(faults)

    def require(self, *, holds: bool, otherwise: str) -> None:
        """Note a fault unless something holds."""
        if not holds:
            self.faults[otherwise] += 1

    @property
    def held(self) -> bool:
        """Say whether nothing was wrong; what was not tried at all has not held."""
        return not self.faults and (self.tried > 0 or bool(self.left_out))

    def say(self) -> None:
        """Print the row."""
        verdict = "left out" if self.left_out else "held" if self.held else "FAILED"
        figures = ", ".join(f"{name} {value}" for name, value in self.figures.items())
        wrong = ", ".join(f"{count} x {name}" for name, count in self.faults.most_common())
        text = "; ".join(part for part in (self.left_out, wrong, figures) if part)
        sys.stdout.write(f"{self.name:<34} {self.tried:>8}  {verdict:<9} {text}\n")
        sys.stdout.flush()
