"""What a model name asks the demo provider to do: `demo`, `demo-<knob>`, `demo-<knob>+<knob>`.

| knob | effect |
| --- | --- |
| `slow-<ms>` | the first byte, status line included, comes after so many milliseconds |
| `pace-<ms>` | so many milliseconds between two events of a stream |
| `tokens-<n>` | the answer is n tokens long, as far as the request's token limit allows |
| `cached-<n>` | n of the prompt tokens are reported as read from a cache |
| `error-<status>` | an error of the protocol's shape with this HTTP status, 400-599 |
| `stall` | the request is taken and nothing ever comes |
| `cut-<n>` | the connection breaks after n events of a stream, or in the middle of a whole body |
| `empty` | an answer without any output: 0 completion tokens |

Models of other kinds, such as `demo-image`, `demo-speech` and `demo-transcription`, take knobs
behind that name: `demo-image-slow-200`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

MODEL_NAME_CHARACTERS_MAX = 128
MILLISECONDS_MAX = 600_000
TOKENS_MAX = 1_000_000
EVENTS_MAX = 1_000_000
EXAMPLES = (
    "demo",
    "demo-slow-200",
    "demo-pace-20",
    "demo-tokens-256",
    "demo-cached-16",
    "demo-error-429",
    "demo-error-500",
    "demo-stall",
    "demo-cut-5",
    "demo-empty",
    "demo-slow-200+tokens-50",
)


class UnknownModelError(Exception):
    """The name is not `demo` with knobs of the table above."""


@dataclass(frozen=True, slots=True)
class Knobs:
    """The effects asked for by one model name; the defaults are plain `demo`."""

    slow_ms: int = 0
    pace_ms: int = 0
    tokens: int | None = None
    cached_tokens: int = 0
    error_status: int | None = None
    stall: bool = False
    cut_after_events: int | None = None
    empty: bool = False

    @property
    def delivers_at_once(self) -> bool:
        """Whether an answer goes out without waiting and without a fault."""
        return not (self.slow_ms or self.stall or self.cut_after_events is not None)


_RANGES = {
    "slow": ("slow_ms", 0, MILLISECONDS_MAX),
    "pace": ("pace_ms", 0, MILLISECONDS_MAX),
    "tokens": ("tokens", 0, TOKENS_MAX),
    "cached": ("cached_tokens", 0, TOKENS_MAX),
    "error": ("error_status", 400, 599),
    "cut": ("cut_after_events", 0, EVENTS_MAX),
}


@lru_cache(maxsize=1024)
def parse_model(name: str) -> Knobs:
    """Read the knobs of a model name; raises UnknownModelError for every other name."""
    if len(name) > MODEL_NAME_CHARACTERS_MAX or not name.startswith("demo"):
        raise UnknownModelError
    knobs = Knobs()
    if name == "demo":
        return knobs
    if not name.startswith("demo-"):
        raise UnknownModelError
    for part in name.removeprefix("demo-").split("+"):
        knobs = _with_part(knobs, part)
    return knobs


def parse_kind(name: str, kind: str) -> Knobs:
    """Read the knobs of a name such as `demo-image` or `demo-image-slow-200`, or of plain `demo`.

    Raises UnknownModelError for every other name.
    """
    prefix = f"demo-{kind}"
    return parse_model("demo" + name.removeprefix(prefix) if name.startswith(prefix) else name)


def _with_part(knobs: Knobs, part: str) -> Knobs:
    if part == "stall":
        return replace(knobs, stall=True)
    if part == "empty":
        return replace(knobs, empty=True)
    word, _, digits = part.partition("-")
    if word not in _RANGES or not (digits.isascii() and digits.isdigit()):
        raise UnknownModelError
    field, lowest, highest = _RANGES[word]
    value = int(digits)
    if not lowest <= value <= highest:
        raise UnknownModelError
    changes: dict[str, Any] = {field: value}
    return replace(knobs, **changes)
