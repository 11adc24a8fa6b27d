r"""Bursts of plain chunks, edited all at once: the fast path of a stream.

A plain chunk carries one piece of text and nothing that we count: no usage, no finish reason, no
error. Within one stream such chunks differ in the text only. From one that was parsed we learn what
stands before and behind the text, and edit these ends in all frames of a read by a handful of
searches.

Why that equals parsing each chunk and editing its members:
- A frame that begins with the learned prefix and ends with the learned tail opens and closes the
  same brackets, so the members in them stand where they stood in the parsed chunk, with the same
  values: the model, `usage: null`, `finish_reason: null`.
- `model"`, `usage"`, `error"` and `finish_reason"` end a real string wherever they occur, as
  quotation marks inside strings are escaped; so their number shows that no other member has such
  a name. Names spelled with \u00.. escapes are left to the parser. Texts without any quotation
  mark hold no names at all.
- A newline cannot occur inside JSON strings, so it separates the texts without ambiguity.
Whatever does not fit is left to the parser, frame by frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import orjson

_NEEDLES: Final = (b'finish_reason"', b'usage"', b'model"', b'error"', b"\\u00")
_PADDED: Final = b',"obfuscation":"'
_PADDING: Final = "obfuscation"
"""OpenAI pads chunks to hide the length of tokens: the last member then differs in each chunk."""


class Burst(NamedTuple):
    """Frames that were edited together: as they go out, how many, their content, their size."""

    edited: bytes
    frames: int
    content_bytes: int
    bytes_read: int


NO_BURST: Final = Burst(b"", 0, 0, 0)


# Made in each stream: not frozen, which would double the time of making it.
@dataclass(slots=True)
class PlainFrames:
    """The constant ends of a stream's plain chunks, as they come and as they go out.

    Between them is the text. `tail` begins with its closing quotation mark and runs to the first
    newline, or, where chunks are padded, to the padding's first byte.
    """

    prefix: bytes
    prefix_out: bytes
    tail: bytes
    tail_out: bytes
    needles: tuple[tuple[bytes, int], ...]
    quotes: int
    is_padded: bool

    def edit(self, region: bytes, start: int) -> Burst:
        """Edit the plain frames that follow each other from here on, maybe none.

        The content of padded chunks counts as 0: its size cannot be told from the padding's.
        """
        rests = self._rests(region, start)
        while rests:
            count = len(rests)
            lines = b"\n".join([*rests, b""])
            if self._all_plain(lines, count):
                content, edited = self._edited(lines, count)
                return Burst(edited, count, content, len(lines) + count * (len(self.prefix) + 1))
            del rests[count // 2 :]
        return NO_BURST

    def _rests(self, region: bytes, start: int) -> list[bytes]:
        """Return what follows the prefix in the frames of one line from here on."""
        prefix, size = self.prefix, len(self.prefix)
        rests: list[bytes] = []
        if region.startswith(prefix, start):
            lines = region[start:].split(b"\n")
            for frame, blank in zip(lines[::2], lines[1::2], strict=False):
                if blank or not frame.startswith(prefix):
                    break
                rests.append(frame[size:])
        return rests

    def _edited(self, lines: bytes, count: int) -> tuple[int, bytes]:
        prefix = self.prefix_out
        if self.is_padded:
            edited = lines.replace(self.tail, self.tail_out)[:-1]
            return 0, b"%b%b\n\n" % (prefix, edited.replace(b"\n", b"\n\n" + prefix))
        edited = lines.replace(self.tail, b"%b\n%b" % (self.tail_out, prefix))
        return len(lines) - count * len(self.tail), prefix + edited[: -len(prefix)]

    def _all_plain(self, lines: bytes, count: int) -> bool:
        if b"\r" in lines or lines.count(self.tail) != count:
            return False
        if self.is_padded:
            each = lines[:-1].split(b"\n")
            if not all(self.tail in one and one.endswith(b'"}') for one in each):
                return False
        # No quotation mark in any text: then none holds more than text.
        if lines.count(b'"') == self.quotes * count:
            return True
        return all(lines.count(needle) == times * count for needle, times in self.needles)


def learn(frame: bytes, chunk: dict[str, Any], edited: bytes, text: str) -> PlainFrames | None:
    """Learn from a frame that was parsed and found plain; None if its ends cannot be told.

    `chunk` is what it was parsed to, `edited` the frame as the client gets it, `text` the piece of
    the answer in it.
    """
    if not frame.startswith(b"data:") or frame.find(b"\n") != len(frame) - 2 or b"\r" in frame:
        return None
    is_padded = next(reversed(chunk)) == _PADDING
    raw = orjson.dumps(text)
    before, after = _ends(frame, raw, is_padded=is_padded), _ends(edited, raw, is_padded=is_padded)
    if before is None or after is None:
        return None
    tail = frame[before.tail]
    plain = PlainFrames(
        prefix=frame[before.prefix],
        prefix_out=edited[after.prefix],
        tail=tail,
        tail_out=edited[after.tail],
        needles=tuple((needle, tail.count(needle)) for needle in _NEEDLES),
        quotes=tail.count(b'"') + is_padded,
        is_padded=is_padded,
    )
    # Where the text occurs twice in the chunk, its own ends may not recognise it.
    return plain if plain.edit(frame, 0)[:2] == (edited, 1) else None


class _Ends(NamedTuple):
    prefix: slice
    tail: slice


def _ends(frame: bytes, raw: bytes, *, is_padded: bool) -> _Ends | None:
    """Tell what stands before and behind the text, without the text's quotation marks' inside."""
    padding = frame.rfind(_PADDED) + len(_PADDED)
    end = padding if is_padded else len(frame) - 1
    start = frame.rfind(raw, 0, end)
    return _Ends(slice(0, start + 1), slice(start + len(raw) - 1, end)) if start > 0 else None
