r"""Server-sent events as bytes: where frames end, and what their data is (WHATWG HTML 9.2.6).

A frame is everything up to and including a blank line. Lines end with \n, \r\n or \r, also mixed.
Nothing is decoded or copied beyond the slices; what was not a frame yet waits for its end.
"""

from __future__ import annotations

import re
from typing import Final

MAX_FRAME_BYTES: Final = 1 << 20
"""A longer frame is refused: memory is for many streams."""
LARGE_FRAME_BYTES: Final = 32 << 20
"""For whole images, and where events repeat the whole request: as long as a body may be."""

BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"

# Atomic, so that \r\n is never taken for two line ends. \r\r ends a frame at once: a \n behind it
# starts the next frame with an empty line, which means nothing.
_FRAME_END = re.compile(rb"\r\r|(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
_LINE_END = re.compile(rb"\r\n|\n|\r")
_LONGEST_END: Final = 4
_PLAIN_STARTS: Final = (b"data: {", b"data: [")
_PLAIN_ENDS: Final = frozenset({b"}\n\n", b"]\n\n"})


class FrameTooLarge(Exception):
    """A frame is longer than its stream allows."""


class FrameBuffer:
    """Cuts a byte stream, however it is chunked, after its last whole frame."""

    __slots__ = ("_has_return", "_max_frame_bytes", "_rest")

    def __init__(self, max_frame_bytes: int = MAX_FRAME_BYTES) -> None:
        self._max_frame_bytes = max_frame_bytes
        self._rest = bytearray()
        self._has_return = False

    @property
    def rest(self) -> bytes:
        """What was fed and is not part of a whole frame yet."""
        return bytes(self._rest)

    @property
    def last_frame(self) -> bytes:
        """The rest as a frame: some servers leave out the blank line after their last one."""
        rest = self._rest.rstrip(b"\r\n")
        return bytes(rest) + b"\n\n" if rest else b""

    def feed(self, chunk: bytes) -> bytes:
        """Return all whole frames that this chunk completes, in one piece, maybe none.

        Raises:
            FrameTooLarge: a frame is over the limit.
        """
        # Behind a bracket these are the end of a line and an empty line, whatever came before.
        most = self._max_frame_bytes
        if not self._rest and chunk[-3:] in _PLAIN_ENDS and len(chunk) <= most:
            return chunk
        searched = len(self._rest)
        self._rest += chunk
        self._has_return = self._has_return or b"\r" in chunk
        end = self._end(max(0, searched - _LONGEST_END))
        region = bytes(self._rest[:end])
        if end:
            del self._rest[:end]
            self._has_return = self._has_return and b"\r" in self._rest
        if len(self._rest) > most or _has_large_frame(region, most):
            raise FrameTooLarge
        return region

    def _end(self, start: int) -> int:
        rest = self._rest
        if not self._has_return:
            newline = rest.rfind(b"\n\n", start)
            # In a longer run of newlines only counting from the left tells where a frame ends.
            if newline < 0 or rest[newline - 1 : newline] != b"\n":
                return newline + 2 if newline >= 0 else 0
        return self._end_from_left(start)

    def _end_from_left(self, start: int) -> int:
        # What was searched before has no end in it: what is left begins a frame.
        end = 0
        for match in _FRAME_END.finditer(self._rest, start):
            # The \r of \r\n\r may be half of an \r\n whose other half is still on its way.
            if match.end() == len(self._rest) and match.group() in {b"\r\n\r", b"\n\r"}:
                break
            end = match.end()
        return end


def split_frames(region: bytes) -> list[bytes]:
    """Return the frames of a piece that ends where a frame ends; together they are the piece."""
    if b"\r" not in region and b"\n\n\n" not in region:
        return [part + b"\n\n" for part in region.split(b"\n\n")[:-1]]
    frames = []
    start = 0
    for match in _FRAME_END.finditer(region):
        frames.append(region[start : match.end()])
        start = match.end()
    return frames


def frame_end(region: bytes, start: int) -> int:
    """Return where the frame ends that starts here, in a piece as `FrameBuffer` gives it."""
    end = region.find(b"\n\n", start)
    if end >= 0 and region.find(b"\r", start, end) < 0:
        return end + 2
    match = _FRAME_END.search(region, start)
    assert match is not None, "the piece ends where a frame ends"
    return match.end()


def _has_large_frame(region: bytes, most: int) -> bool:
    return len(region) > most and any(len(frame) > most for frame in split_frames(region))


def data_of(frame: bytes) -> bytes | None:
    """Return the data of a frame, its lines joined by a newline; None if it has no data line."""
    if frame.startswith(_PLAIN_STARTS) and frame.find(b"\n") == len(frame) - 2:
        return frame[6:-2]
    if frame.startswith(b"event: ") and b"\r" not in frame:
        # An event's name, then its data on one line: how Anthropic and OpenAI's responses stream.
        start = frame.find(b"\n") + 1
        if frame.startswith(_PLAIN_STARTS, start) and frame.find(b"\n", start) == len(frame) - 2:
            return frame[start + 6 : -2]
    lines = [value for name, value in _fields(frame) if name == b"data"]
    return b"\n".join(lines) if lines else None


def is_comment(frame: bytes) -> bool:
    """Say whether a frame has nothing but comments."""
    return all(line.startswith(b":") for line in _lines(frame) if line)


def has_id(frame: bytes) -> bool:
    """Say whether a frame may have an id line."""
    return frame.startswith(b"id") or b"\nid" in frame or b"\rid" in frame


def without_id(frame: bytes) -> bytes:
    """Return the frame without its id lines."""
    kept = [line for line in _lines(frame) if line and line.partition(b":")[0] != b"id"]
    return b"\n".join(kept) + b"\n\n"


def with_data(frame: bytes, data: bytes) -> bytes:
    """Return the frame with other data (JSON: on one line), its other lines unchanged."""
    if frame.startswith(b"data: {") and frame.find(b"\n") == len(frame) - 2:
        return b"data: %b\n\n" % data
    kept = [line for line in _lines(frame) if line and not _is_data(line)]
    kept.append(b"data: " + data.replace(b"\n", b" "))
    return b"\n".join(kept) + b"\n\n"


def frame_of(data: bytes) -> bytes:
    """Return a frame with this data, which must be on one line."""
    return b"data: %b\n\n" % data


def _lines(frame: bytes) -> list[bytes]:
    return _LINE_END.split(frame.removeprefix(BYTE_ORDER_MARK))


def _is_data(line: bytes) -> bool:
    return line.partition(b":")[0] == b"data"


def _fields(frame: bytes) -> list[tuple[bytes, bytes]]:
    parts = (line.partition(b":") for line in _lines(frame))
    return [(name, value.removeprefix(b" ")) for name, _, value in parts]
