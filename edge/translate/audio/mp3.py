"""How long an MP3 file is, by the headers of all its frames (ISO/IEC 11172-3 and 13818-3)."""

from __future__ import annotations

from typing import Final

MAX_FRAMES: Final = 25_000
"""Of a longer file, from about ten minutes on, the length is not measured: each frame is a step,
and other requests wait for all of them (some 10 ms). The catalogue's most audio bounds it then."""
_HEADER_BYTES: Final = 4
_TAG_HEAD_BYTES: Final = 10
_OLD_TAG_BYTES: Final = 128
_LAYER_3: Final = 0b01
_KBITS_1: Final = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KBITS_2: Final = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_MPEG_1: Final = 0b11
_Frame = tuple[int, int, int]
"""Its bytes, samples, and samples a second."""
_RATES: Final = {
    _MPEG_1: (44_100, 48_000, 32_000),
    0b10: (22_050, 24_000, 16_000),
    0b00: (11_025, 12_000, 8_000),
}
"""Samples a second by version: MPEG-1, MPEG-2 and MPEG-2.5."""


def seconds_of(data: bytes | memoryview) -> int | None:
    """Return an upper bound of the seconds of MP3 audio; None for everything else.

    Every byte must belong to a frame or to a tag around them, so that no reader finds other audio
    in the file than the frames that are counted.
    """
    at = _start_of(data)
    end = len(data)
    if bytes(data[-_OLD_TAG_BYTES:][:3]) == b"TAG":
        end -= _OLD_TAG_BYTES
    samples = frames = rate = 0
    while at < end:
        found = _frame_at(data, at)
        if found is None or frames == MAX_FRAMES or rate not in (0, found[2]):
            return None
        size, more, rate = found
        samples += more
        frames += 1
        at += size
    return -(-samples // rate) + 1 if frames else None


def _start_of(data: bytes | memoryview) -> int:
    """Return where the frames begin, behind a tag (ID3v2, 3.1: its size has 7 bits a byte)."""
    if bytes(data[:3]) != b"ID3" or len(data) < _TAG_HEAD_BYTES:
        return 0
    size = 0
    for byte in bytes(data[6:_TAG_HEAD_BYTES]):
        size = size << 7 | byte & 0x7F
    footer = _TAG_HEAD_BYTES if data[5] & 0x10 else 0
    return _TAG_HEAD_BYTES + size + footer


def _frame_at(data: bytes | memoryview, at: int) -> _Frame | None:
    """Return the frame whose header is here, None if there is none."""
    if at + _HEADER_BYTES > len(data) or data[at] != 0xFF:
        return None
    return _FRAMES.get(data[at + 1] << 8 | data[at + 2])


def _frame_of(kind: int, coding: int) -> _Frame | None:
    """Return the frame that the second and third byte of a header tell, None if they tell none."""
    version = kind >> 3 & 0b11
    rates = _RATES.get(version)
    bits, place = coding >> 4, coding >> 2 & 0b11
    if kind & 0xE0 != 0xE0 or rates is None or kind >> 1 & 0b11 != _LAYER_3:
        return None
    if not 1 <= bits <= 14 or place == 0b11:
        return None
    kbits, samples = (_KBITS_1, 1_152) if version == _MPEG_1 else (_KBITS_2, 576)
    size = samples // 8 * kbits[bits - 1] * 1_000 // rates[place] + (coding >> 1 & 1)
    return size, samples, rates[place]


_FRAMES: Final = {
    kind << 8 | coding: frame
    for kind in range(0xE0, 0x100)
    for coding in range(0x100)
    if (frame := _frame_of(kind, coding)) is not None
}
"""All frames that there are, by those two bytes."""
