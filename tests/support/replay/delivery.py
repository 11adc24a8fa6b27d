"""Send a recorded answer over the wire, with the faults that a test ordered."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from collections.abc import Iterable, Iterator
from itertools import chain, repeat

from edge.demo.server import Header, Reply
from tests.support.recordings import Recording
from tests.support.replay import frames
from tests.support.replay.calls import COMPLETE, CUT, Call
from tests.support.replay.faults import Faults

OPEN_SECONDS_MAX = 900
ENDLESS_EVENTS_MAX = 10_000_000
RAW_BYTES_MAX = 1 << 30
RAW_WRITE_BYTES = 64 * 1024
GARBAGE = b'data: {"choices":[{"delta":{"content":"\xff\xfe\x00\n\n'
BROKEN_CHUNK = b"zz\r\nno such chunk size\r\n"
_GZIP_WINDOW_BITS = 31


async def deliver(reply: Reply, recording: Recording, faults: Faults, call: Call) -> str:
    """Send one answer, event by event where it is a stream, and say how it ended."""
    if faults.raw_answer is not None:
        return await _send_raw(reply, faults.raw_answer, faults.raw_repeat or "", call)
    headers = _headers(recording, faults)
    if recording.is_stream:
        reply.start(recording.status, headers)
        return await _send(_Wire(reply, faults, call, chunked=True), _events(recording, faults))
    body = _whole_body(recording, faults)
    chunked = faults.one_byte_chunks or faults.broken_chunk_at_event is not None
    reply.start(recording.status, headers, length=None if chunked else len(body))
    return await _send(_Wire(reply, faults, call, chunked=chunked), [body])


async def _send_raw(reply: Reply, answer: str, repeated: str, call: Call) -> str:
    data, again = answer.encode("latin-1"), repeated.encode("latin-1")
    again *= max(1, RAW_WRITE_BYTES // len(again)) if again else 0
    while data and call.bytes_sent < RAW_BYTES_MAX:
        reply.write_raw(data)
        call.sent(len(data))
        await reply.drain()
        await asyncio.sleep(0)
        data = again
    reply.cut()
    return CUT


class _Wire:
    """The body's bytes on their way out: compressed, framed, counted, and cut where ordered."""

    def __init__(self, reply: Reply, faults: Faults, call: Call, *, chunked: bool) -> None:
        self.reply = reply
        self.faults = faults
        self.call = call
        self._chunked = chunked
        # A whole body is compressed before, because its length goes first.
        self._compressor = zlib.compressobj(wbits=_GZIP_WINDOW_BITS)

    async def put(self, event: bytes) -> bool:
        """Write one event; False where the ordered cut lies in it."""
        if self._chunked and self.faults.gzip:
            event = self._compressor.compress(event) + self._compressor.flush(zlib.Z_SYNC_FLUSH)
        cut_at = self.faults.cut_at_byte
        if cut_at is None or self.call.bytes_sent + len(event) < cut_at:
            await self._write(event)
            return True
        await self._write(event[: cut_at - self.call.bytes_sent])
        return False

    async def _write(self, data: bytes) -> None:
        size = 1 if self.faults.one_byte_chunks else max(1, len(data))
        for start in range(0, len(data), size):
            part = data[start : start + size]
            if self._chunked:
                self.reply.write_chunk(part)
            else:
                self.reply.write_raw(part)
            self.call.sent(len(part))
            await self.reply.drain()
            await asyncio.sleep(0)

    def end(self) -> None:
        """End the body properly."""
        if not self._chunked:
            self.reply.end_of_length()
            return
        if self.faults.gzip:
            self.reply.write_chunk(self._compressor.flush())
        self.reply.end()


async def _send(wire: _Wire, events: Iterable[bytes]) -> str:
    count = 0
    for event in events:
        if await _stops_at(wire, count):
            return CUT
        if count and wire.faults.pace_ms:
            await asyncio.sleep(wire.faults.pace_ms / 1000)
        if not await wire.put(event):
            wire.reply.cut(reset=wire.faults.cut_reset)
            return CUT
        count += 1
        wire.call.events_sent = count
    if await _stops_at(wire, count):
        return CUT
    wire.end()
    return COMPLETE


async def _stops_at(wire: _Wire, index: int) -> bool:
    """Apply the faults that stand before event `index`; True where the answer ends there."""
    faults = wire.faults
    if index == faults.broken_chunk_at_event:
        wire.reply.write_raw(BROKEN_CHUNK)
    if index == faults.stall_at_event:
        await asyncio.sleep(OPEN_SECONDS_MAX)
    if index not in {faults.cut_at_event, faults.stall_at_event, faults.broken_chunk_at_event}:
        return False
    wire.reply.cut(reset=faults.cut_reset)
    return True


def _events(recording: Recording, faults: Faults) -> Iterator[bytes]:
    events = frames.split_frames(recording.body())
    if faults.omit_usage:
        events = frames.without_usage(events)
    if faults.usage_json is not None:
        events = frames.with_usage(events, json.loads(faults.usage_json))
    if faults.usage_beside_choice:
        events = frames.usage_beside_choice(events)
    if faults.omit_last_event:
        events = events[:-1]
    if faults.duplicate_last_event:
        events = [*events, events[-1]]
    if faults.garbage_at_event is not None:
        events.insert(faults.garbage_at_event, GARBAGE)
    if faults.endless:
        return chain(events[:1], repeat(events[min(1, len(events) - 1)], ENDLESS_EVENTS_MAX))
    return iter(events)


def _whole_body(recording: Recording, faults: Faults) -> bytes:
    body = recording.body()
    if faults.garbage_at_event is not None:
        body = GARBAGE
    elif faults.usage_json is not None:
        told = {**recording.response, "usage": json.loads(faults.usage_json)}
        body = frames.compact(told)
    elif faults.omit_usage:
        body = frames.compact(frames.drop_usage(recording.response))
    return gzip.compress(body, mtime=0) if faults.gzip else body


def _headers(recording: Recording, faults: Faults) -> list[Header]:
    named = {
        "content-type": faults.content_type or recording.content_type,
        "x-request-id": f"replay-{recording.stem}",
        **faults.headers,
    }
    if faults.gzip:
        named["content-encoding"] = "gzip"
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in named.items()]
