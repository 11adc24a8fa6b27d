"""Tiny files that the demo makes: a PNG image, and sound as WAV, PCM or MP3. All deterministic."""

from __future__ import annotations

import struct
import zlib

PIXELS = 16
SAMPLE_RATE = 24_000
"""Of spoken PCM at OpenAI: 16 bits, one channel."""
SAMPLES_PER_CHARACTER = 48
MP3_FRAME_BYTES = 144
"""Of MPEG-2 layer III at 48 kbit/s and 24,000 samples a second: 24 ms each."""
_MP3_HEADER = b"\xff\xf3\x64\xc4"


def png(seed: int) -> bytes:
    """Give an image of 16 x 16 points, in two colours that the seed chooses (PNG, 8 bit RGB)."""
    colours = seed.to_bytes(8, "big")
    light, dark = colours[:3], colours[3:6]
    rows = [
        b"\0" + b"".join(light if (x // 4 + y // 4) % 2 else dark for x in range(PIXELS))
        for y in range(PIXELS)
    ]
    head = struct.pack(">IIBBBBB", PIXELS, PIXELS, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(b"".join(rows), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_png_chunk(name, data) for name, data in chunks)


def _png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def pcm(seed: int, characters: int) -> bytes:
    """Give a square wave, 2 ms for each character, in a pitch that the seed chooses."""
    half = 24 + seed % 64
    period = struct.pack("<h", 4096) * half + struct.pack("<h", -4096) * half
    size = 2 * SAMPLES_PER_CHARACTER * characters
    return (period * (size // len(period) + 1))[:size]


def wav(samples: bytes) -> bytes:
    """Give PCM samples as a WAV file."""
    layout = struct.pack("<HHIIHH", 1, 1, SAMPLE_RATE, 2 * SAMPLE_RATE, 2, 16)
    body = b"WAVEfmt " + struct.pack("<I", len(layout)) + layout
    body += b"data" + struct.pack("<I", len(samples)) + samples
    return b"RIFF" + struct.pack("<I", len(body)) + body


def mp3(samples: bytes) -> bytes:
    """Give silence of the same length: frames whose side information says that nothing is coded."""
    frame = _MP3_HEADER + bytes(MP3_FRAME_BYTES - len(_MP3_HEADER))
    return frame * max(1, len(samples) // 2 // 576)
