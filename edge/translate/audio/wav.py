"""How long a WAV file is, by its header (Microsoft RIFF specification, `WAVE`)."""

from __future__ import annotations

import struct
from typing import Final

_HEAD_BYTES: Final = 12
_CHUNK_HEAD_BYTES: Final = 8
_FORMAT_BYTES: Final = 16
_MAX_CHUNKS: Final = 32
_PLAIN: Final = frozenset({1, 3})
"""PCM and floating point: samples of one size."""
_MIN_RATE: Final = 4_000
_MAX_RATE: Final = 1_000_000


def seconds_of(data: bytes | memoryview) -> int | None:
    """Return an upper bound of the seconds of plain WAV audio; None for everything else.

    All bytes behind the format count as samples, whatever the header says of their number.
    """
    if bytes(data[:4]) != b"RIFF" or bytes(data[8:_HEAD_BYTES]) != b"WAVE":
        return None
    at = _HEAD_BYTES
    for _ in range(_MAX_CHUNKS):
        head = bytes(data[at : at + _CHUNK_HEAD_BYTES])
        if len(head) < _CHUNK_HEAD_BYTES:
            return None
        name, size = struct.unpack("<4sI", head)
        if name == b"fmt ":
            start = at + _CHUNK_HEAD_BYTES
            return _seconds(bytes(data[start : start + _FORMAT_BYTES]), len(data) - start)
        # Chunks are padded to an even number of bytes.
        at += _CHUNK_HEAD_BYTES + size + size % 2
    return None


def _seconds(chunk: bytes, left_bytes: int) -> int | None:
    if len(chunk) < _FORMAT_BYTES:
        return None
    code, channels, rate, _, frame_bytes, bits = struct.unpack("<HHIIHH", chunk)
    if code not in _PLAIN or not channels or bits % 8 or not bits:
        return None
    if frame_bytes != channels * bits // 8 or not _MIN_RATE <= rate <= _MAX_RATE:
        return None
    seconds: int = -(-left_bytes // (frame_bytes * rate))
    return seconds
