"""What tests of audio have in common."""

from __future__ import annotations

import io
import wave
from dataclasses import replace
from typing import Any

import orjson

from edge.translate.answer import AnswerStream, StreamEnd
from edge.translate.surface import Terms
from oneapi.common.v1.endpoint_pb2 import Endpoint
from tests.unit.edge.translate.terms import terms

BY_US = 1
"""The output tokens of a model that is priced by characters or seconds."""


def sound(seconds: float, rate: int = 8_000, channels: int = 1, width: int = 2) -> bytes:
    """Return silence as a WAV file, written by Python's own writer."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(channels)
        writer.setsampwidth(width)
        writer.setframerate(rate)
        writer.writeframes(bytes(int(seconds * rate) * channels * width))
    return file.getvalue()


def the_terms(max_output_tokens: int = 4096) -> Terms:
    """Return the terms of an upstream that has both endpoints."""
    both = terms(Endpoint.ENDPOINT_AUDIO_SPEECH, Endpoint.ENDPOINT_AUDIO_TRANSCRIPTIONS)
    return replace(both, max_output_tokens=max_output_tokens)


def frames(*events: dict[str, Any]) -> bytes:
    """Return events as a stream."""
    return b"".join(b"data: %b\n\n" % orjson.dumps(one) for one in events)


def fed(stream: AnswerStream, *chunks: bytes, whole: bool = True) -> tuple[bytes, StreamEnd]:
    """Feed a stream; return what went out before its end, and the end."""
    out = b"".join(map(stream.feed, chunks))
    return out, stream.finish(body_complete=whole)
