"""What an answer that arrived in part must lead to: read from the recording, not from our code.

A whole frame before the cut counts, half a frame does not. After `[DONE]`, and once a whole answer
has its length, a cut is none.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from tests.contract.test_recordings_chat import events
from tests.e2e.test_recordings import charge_of, numbers_of
from tests.support.recordings import Recording
from tests.support.replay.frames import split_frames


@dataclass(frozen=True, slots=True)
class Expected:
    """The end of one answer; `usage_nanos` is what the usage that arrived costs, None: none did."""

    proper: bool
    has_output: bool
    usage_nanos: int | None

    @property
    def charge_nanos(self) -> int:
        """Return the charge after a cut: the usage seen, unless there was no output."""
        return self.usage_nanos or 0 if self.has_output else 0


def after_events(chat: Recording, count: int) -> Expected:
    """Say what follows when a stream breaks after so many of its frames."""
    return after_frames(chat, b"".join(split_frames(chat.body())[:count]))


def after_bytes(chat: Recording, count: int) -> Expected:
    """Say what follows when an answer breaks after so many of its bytes."""
    body = chat.body()
    if not chat.is_stream:
        return Expected(proper=count >= len(body), has_output=False, usage_nanos=None)
    whole, kept = 0, 0
    for frame in split_frames(body):
        whole += len(frame)
        kept = whole if whole <= count else kept
    return after_frames(chat, body[:kept])


def after_frames(chat: Recording, seen: bytes) -> Expected:
    """Say what follows when these frames of a stream arrived and no more."""
    usage: dict[str, Any] | None = None
    proper, has_output = False, False
    for text in events(seen.decode()):
        if text == "[DONE]":
            proper = True
            break
        chunk = json.loads(text)
        if chunk.get("error"):
            break
        inner = [one.get("usage") for one in chunk.get("choices") or ()]
        usage = next((one for one in (chunk.get("usage"), *inner) if one), usage)
        has_output = has_output or any(_speaks(one) for one in chunk.get("choices") or ())
    nanos = None if usage is None else charge_of(chat, numbers_of(usage))
    return Expected(proper=proper, has_output=has_output, usage_nanos=nanos)


def _speaks(choice: dict[str, Any]) -> bool:
    delta = choice.get("delta") or choice.get("message") or {}
    silent = {"role", "name"}
    return any(value for name, value in delta.items() if name not in silent)
