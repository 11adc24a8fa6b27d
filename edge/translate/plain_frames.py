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
  a name. Names spelled with \u00.. escapes are left to the parser.
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


@dataclass(frozen=True, slots=True)
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
    is_padded: bool

    def edit(self, frames: list[bytes], start: int) -> tuple[bytes, int, int]:
        """Edit the plain frames from here on: the new bytes, how many, and their bytes of content.

        The number is 0 if the first frame is not plain. The content of padded chunks counts as 0:
        its size cannot be told from the padding's.
        """
        middles = self._middles(frames, start)
        while middles:
            joined = b"".join(middles)
            count = len(middles)
            if self._all_plain(joined, count):
                content = 0 if self.is_padded else len(joined) - count * len(self.tail)
                return self._edited(joined), count, content
            del middles[count // 2 :]
        return b"", 0, 0

    def _middles(self, frames: list[bytes], start: int) -> list[bytes]:
        """Return what follows the prefix, with one newline, of frames that have both ends."""
        prefix, tail, padded = self.prefix, self.tail, self.is_padded
        size = len(prefix)
        middles = []
        for frame in frames[start:] if start else frames:
            if not frame.startswith(prefix):
                break
            middle = frame[size:-1]
            if not (tail in middle if padded else middle.endswith(tail)):
                break
            middles.append(middle)
        return middles

    def _edited(self, joined: bytes) -> bytes:
        if self.tail_out != self.tail:
            joined = joined.replace(self.tail, self.tail_out)
        prefix = self.prefix_out
        return b"%b%b\n\n" % (prefix, joined[:-1].replace(b"\n", b"\n\n" + prefix))

    def _all_plain(self, joined: bytes, count: int) -> bool:
        if joined.count(b"\n") != count or b"\r" in joined or joined.count(self.tail) != count:
            return False
        if self.is_padded and joined.count(b'"}\n') != count:
            return False
        return all(joined.count(needle) == times * count for needle, times in self.needles)


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
        is_padded=is_padded,
    )
    # Where the text occurs twice in the chunk, its own ends may not recognise it.
    return plain if plain.edit([frame], 0)[:2] == (edited, 1) else None


class _Ends(NamedTuple):
    prefix: slice
    tail: slice


def _ends(frame: bytes, raw: bytes, *, is_padded: bool) -> _Ends | None:
    """Tell what stands before and behind the text, without the text's quotation marks' inside."""
    padding = frame.rfind(_PADDED) + len(_PADDED)
    end = padding if is_padded else len(frame) - 1
    start = frame.rfind(raw, 0, end)
    return _Ends(slice(0, start + 1), slice(start + len(raw) - 1, end)) if start > 0 else None
