"""Finds marks and secrets in bytes: as they are, encoded, and inside compressed data."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from tests.leaktest.canaries import Kind

COMPRESSED_BYTES_MAX = 4 * 1024 * 1024
SECRET_BLOCK = 6
AROUND = 96
_STARTS = (b"\x1f\x8b\x08", b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")
_TASTE_BYTES = 128
_SECRET_FORMS = frozenset({"raw", "hex", "base64+0", "base64+1", "base64+2"})
_ANY_HEADER = 47
"""zlib's window bits: gzip and zlib alike."""


@dataclass(frozen=True, slots=True)
class Hit:
    """One find: of what, in which form, where."""

    kind: str
    form: str
    offset: int
    number: int | None
    around: bytes = field(repr=False)


def as_it_is(word: str) -> dict[str, bytes]:
    """Return the one plain form of a word."""
    return {"raw": word.encode()}


def forms_of(word: str) -> dict[str, bytes]:
    """Return every form in which a word may have been written; of base64, what is sure of it."""
    raw = word.encode()
    return {
        "raw": raw,
        "reversed": raw[::-1],
        "hex": raw.hex().encode(),
        "HEX": raw.hex().upper().encode(),
        "url": "".join(f"%{byte:02x}" for byte in raw).encode(),
        "URL": "".join(f"%{byte:02X}" for byte in raw).encode(),
        "json": "".join(f"\\u{byte:04x}" for byte in raw).encode(),
        "JSON": "".join(f"\\u{byte:04X}" for byte in raw).encode(),
        "octal": "".join(f"\\{byte:03o}" for byte in raw).encode(),
        "utf-16-le": word.encode("utf-16-le"),
        "utf-16-be": word.encode("utf-16-be"),
        **{f"base64+{shift}": _base64(raw, shift) for shift in range(3)},
    }


def _base64(raw: bytes, shift: int) -> bytes:
    """Return the letters of base64 that depend on `raw` alone, `shift` bytes into a group."""
    encoded = base64.b64encode(bytes(shift) + raw + bytes(2))
    first, last = -(-8 * shift // 6), 8 * (shift + len(raw)) // 6
    return encoded[first:last]


@dataclass
class Finder:
    """Looks for kinds of canaries, and for secrets, which are looked for in blocks."""

    kinds: tuple[Kind, ...]
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    """By name; any twelve characters of one contain a whole block of six."""
    spell: Callable[[str], Mapping[str, bytes]] = forms_of
    """The forms in which a word is looked for."""
    inflates: bool = True

    def __post_init__(self) -> None:
        stems = {kind.stem for kind in self.kinds}
        self._stems = [needle for stem in stems for needle in self.spell(stem).values()]
        self._marks = [
            (kind, form, needle)
            for kind in self.kinds
            for form, needle in self.spell(kind.mark).items()
        ]
        self._blocks = [
            (name, form, needle)
            for name, secret in self.secrets.items()
            for block in _blocks(secret)
            for form, needle in self.spell(block).items()
            if form in _SECRET_FORMS
        ]

    def find(self, data: bytes, *, bulk: bool = False) -> list[Hit]:
        """Return the hits: at most one of each kind and form, and those in compressed parts.

        In bulk data secrets are looked for as they are only.
        """
        hits = list(self._plain(data, bulk=bulk))
        for offset, inner in expanded(data) if self.inflates else ():
            hits += [
                Hit(hit.kind, f"compressed {hit.form}", offset, hit.number, hit.around)
                for hit in self._plain(inner, bulk=bulk)
            ]
        return hits

    def _plain(self, data: bytes, *, bulk: bool) -> Iterator[Hit]:
        if any(needle in data for needle in self._stems):
            for kind, form, needle in self._marks:
                offset = data.find(needle)
                if offset >= 0:
                    around = _around(data, offset)
                    numbers = kind.numbers_in(around) if form == "raw" else set()
                    yield Hit(kind.name, form, offset, min(numbers, default=None), around)
        for name, form, needle in self._blocks:
            if bulk and form != "raw":
                continue
            offset = data.find(needle)
            if offset >= 0:
                yield Hit(name, form, offset, None, _around(data, offset))


def _around(data: bytes, offset: int) -> bytes:
    return bytes(data[max(0, offset - AROUND) : offset + AROUND])


def _blocks(secret: str) -> Iterable[str]:
    ends = range(SECRET_BLOCK, len(secret) + 1, SECRET_BLOCK)
    return [secret[end - SECRET_BLOCK : end] for end in ends]


def expanded(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Give the contents of what looks compressed, each with its place."""
    for start in _STARTS:
        at = data.find(start)
        while at >= 0:
            inner = _inflate(data, at)
            if len(inner) > len(start):
                yield at, inner
            at = data.find(start, at + 1)


def _inflate(data: bytes, at: int) -> bytes:
    """Return what can be read of a compressed stream, though it may be cut."""
    machine = zlib.decompressobj(_ANY_HEADER)
    try:
        # Most that look like one are none: their first bytes tell.
        head = machine.decompress(data[at : at + _TASTE_BYTES], COMPRESSED_BYTES_MAX)
        if machine.eof or not head:
            return head
        rest = data[at + _TASTE_BYTES : at + COMPRESSED_BYTES_MAX]
        return head + machine.decompress(rest, COMPRESSED_BYTES_MAX)
    except zlib.error:
        return b""


def shown(hit: Hit) -> str:
    """Return what stands around a hit, for a person to recognise the place."""
    return json.dumps(hit.around.decode("latin-1"))[:160]
