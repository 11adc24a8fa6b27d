r"""Bursts of plain chunks, edited all at once: the fast path of a stream.

A plain chunk carries a piece of the answer and nothing that we count: no usage, no finish reason,
no error. Within one stream such chunks differ in the middle only. From one that was parsed we learn
its constant ends, and edit those ends in all frames of a read by a handful of C-level searches.

Why that equals parsing each chunk and editing its members:
- A frame that begins with the learned prefix has, up to the first choice, the learned structure.
- A frame that ends with the learned tail closes the same brackets, so a member in the tail stands
  where it stood in the parsed chunk. The tail begins at `finish_reason":null` of the choice.
- `model"`, `usage"`, `error"` and `finish_reason"` end a real string wherever they occur, as
  quotation marks inside strings are escaped; so their number shows that no other member has such
  a name. Names spelled with \u00.. escapes are left to the parser.
- A newline cannot occur inside JSON strings, so it separates the middles without ambiguity.
Whatever does not fit is left to the parser, frame by frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

_NEEDLES: Final = (b'finish_reason"', b'usage"', b'model"', b'error"', b"\\u00")
_LEAD: Final = b"data: "
_CHOICES_NAME: Final = b'choices"'
_CHOICES: Final = b'"choices":[{'
_PADDED: Final = b',"obfuscation":"'
_PADDING: Final = "obfuscation"
"""OpenAI pads chunks to hide the length of tokens: the last member then differs in each chunk."""


@dataclass(frozen=True, slots=True)
class PlainFrames:
    """The constant ends of a stream's plain chunks, as they come and as they go out.

    `tail` runs to the end of the frame, or, where chunks are padded, to the padding's first byte.
    `middle_bytes` is what a middle holds beside the content.
    """

    prefix: bytes
    prefix_out: bytes
    tail: bytes
    tail_out: bytes
    needles: tuple[tuple[bytes, int], ...]
    is_padded: bool
    middle_bytes: int

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
                content = 0 if self.is_padded else max(0, len(joined) - count * self.middle_bytes)
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


def learn(frame: bytes, chunk: dict[str, Any], edited: bytes, size: int) -> PlainFrames | None:
    """Learn from a frame that was parsed and found plain; None if its ends cannot be told.

    `chunk` is what it was parsed to, `edited` the frame as the client gets it, `size` the bytes of
    content in it.
    """
    if not frame.startswith(_LEAD + b"{") or frame.find(b"\n") != len(frame) - 2:
        return None
    is_padded = next(reversed(chunk)) == _PADDING
    before, after = _ends(frame, is_padded=is_padded), _ends(edited, is_padded=is_padded)
    if before is None or after is None or frame[before.middle] != edited[after.middle]:
        return None
    tail = frame[before.tail]
    plain = PlainFrames(
        prefix=frame[: before.middle.start],
        prefix_out=edited[: after.middle.start],
        tail=tail,
        tail_out=edited[after.tail],
        needles=tuple((needle, tail.count(needle)) for needle in _NEEDLES),
        is_padded=is_padded,
        middle_bytes=len(frame) - 1 - before.middle.start - size,
    )
    # Two members of such names in one chunk: its own ends would not recognise it.
    return plain if plain.edit([frame], 0)[1] else None


class _Ends(NamedTuple):
    middle: slice
    tail: slice


def _ends(frame: bytes, *, is_padded: bool) -> _Ends | None:
    """Tell where the first choice begins, and where the last `finish_reason` and what follows."""
    choices = frame.find(_CHOICES) + len(_CHOICES)
    reason = frame.rfind(_NEEDLES[0])
    padding = frame.rfind(_PADDED) + len(_PADDED)
    end = padding if is_padded else len(frame) - 1
    if frame.count(_CHOICES_NAME) != 1 or not len(_CHOICES) <= choices < reason < end:
        return None
    return _Ends(slice(choices, reason), slice(reason, end))
