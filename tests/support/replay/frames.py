"""Server-sent events as bytes: cut a recorded stream into its frames, and edit what they say."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

_FRAME_END = re.compile(rb"(?:\r\n|\n|\r(?!\n)){2,}")
DONE = b"[DONE]"


def split_frames(raw: bytes) -> list[bytes]:
    """Cut after each blank line; joined again, the frames are exactly the bytes given."""
    frames, start = [], 0
    for match in _FRAME_END.finditer(raw):
        frames.append(raw[start : match.end()])
        start = match.end()
    if start < len(raw):
        frames.append(raw[start:])
    return frames


def data_of(frame: bytes) -> bytes | None:
    """Give the event's data, its lines joined by a line feed; None for a comment."""
    lines = [line for line in frame.splitlines() if line.startswith(b"data:")]
    if not lines:
        return None
    return b"\n".join(line.removeprefix(b"data:").removeprefix(b" ") for line in lines)


def json_of(frame: bytes) -> Any:
    """Give the event's data as a JSON value; None for a comment, `[DONE]` or broken JSON."""
    data = data_of(frame)
    if data is None or data == DONE:
        return None
    try:
        return json.loads(data)
    except ValueError:
        return None


def without_usage(frames: list[bytes]) -> list[bytes]:
    """Leave out every usage object, and the chunk that has nothing else."""
    kept = []
    for frame in frames:
        value = json_of(frame)
        if isinstance(value, dict) and value.get("usage") and value.get("choices") == []:
            continue
        kept.append(_edited(frame, drop_usage))
    return kept


def with_usage(frames: list[bytes], usage: Any) -> list[bytes]:
    """Put another value in the place of every usage object."""
    return [
        _edited(frame, lambda value: {**value, "usage": usage} if value.get("usage") else value)
        for frame in frames
    ]


def drop_usage(value: Any) -> Any:
    """Copy a JSON value without any key named `usage`."""
    if isinstance(value, dict):
        return {name: drop_usage(one) for name, one in value.items() if name != "usage"}
    if isinstance(value, list):
        return [drop_usage(one) for one in value]
    return value


def compact(value: Any) -> bytes:
    """Give a JSON value as the fewest bytes."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def usage_beside_choice(frames: list[bytes]) -> list[bytes]:
    """Move the usage of the usage-only chunk into the last chunk that still has a choice."""
    usage, at = None, None
    for index, frame in enumerate(frames):
        value = json_of(frame)
        if isinstance(value, dict) and value.get("choices"):
            at = index
        elif isinstance(value, dict) and value.get("usage"):
            usage = value["usage"]
    if usage is None or at is None:
        return frames
    kept = without_usage(frames)
    kept[at] = _edited(kept[at], lambda value: {**value, "usage": usage})
    return kept


def _edited(frame: bytes, edit: Callable[[Any], Any]) -> bytes:
    value = json_of(frame)
    if value is None or edit(value) == value:
        return frame
    others = [line for line in frame.splitlines() if line and not line.startswith(b"data:")]
    return b"\n".join([*others, b"data: " + compact(edit(value))]) + b"\n\n"
