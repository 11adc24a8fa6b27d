"""The examples of OpenAI's own specification for images and audio, through our translations.

What they say is what clients get, but for the cost; and a stream cut at any byte has no clean end.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import orjson
import pytest

from edge.translate.answer import AnswerStream, EndKind
from edge.translate.audio.surface import Speech, Transcriptions
from edge.translate.images.surface import ImageGenerations
from edge.translate.multipart import Part, written
from edge.translate.surface import Terms, Translation
from kit.charge import Dimension, Quantities
from oneapi.common.v1.endpoint_pb2 import Endpoint
from tests.support.recordings import PROJECT
from tests.unit.edge.translate.terms import price_of, terms
from tests.unit.edge.translate.test_chat_shape import Limits

SPECIFICATION = PROJECT.parent / "shared" / "specs" / "openai-openapi.json"
EVERY: Terms = terms(
    Endpoint.ENDPOINT_IMAGE_GENERATIONS,
    Endpoint.ENDPOINT_AUDIO_SPEECH,
    Endpoint.ENDPOINT_AUDIO_TRANSCRIPTIONS,
)
LIMITS = Limits(audio_max_tokens=36_000)


@cache
def examples(path: str) -> dict[str, str]:
    """Return the example answers of an operation by title; none where the file is absent."""
    if not SPECIFICATION.is_file():
        sys.stderr.write(
            f"no specification: {SPECIFICATION} is absent, its examples are left out\n"
        )
        return {}
    operation = json.loads(SPECIFICATION.read_bytes())["paths"][path]["post"]
    found = operation["x-oaiMeta"]["examples"]
    return {one["title"]: one["response"] for one in found if one.get("response")}


def images(**fields: Any) -> Translation:
    """Return a generation for an upstream that has it."""
    raw = orjson.dumps({"prompt": "A red kite.", **fields})
    return ImageGenerations().read(raw, {}, "", b"").translation(EVERY)


def transcription(max_output_tokens: int, **texts: str) -> Translation:
    """Return a transcription for an upstream that has it."""
    fields = [Part(name, text.encode()) for name, text in texts.items()]
    raw = written([Part("file", b"ID3", "a.mp3", "audio/mpeg"), *fields], b"b")
    sent = {b"content-type": b"multipart/form-data; boundary=b"}
    call = Transcriptions().read(raw, sent, "", b"")
    call.shape(replace(LIMITS, max_output_tokens=max_output_tokens))
    return call.translation(replace(EVERY, max_output_tokens=max_output_tokens))


def counted(quantities: Quantities | None) -> dict[str, int]:
    """Return what is counted, by dimension."""
    assert quantities is not None
    named = {one.name.lower(): quantities[one] for one in Dimension}
    return {name: value for name, value in named.items() if value and name != "requests"}


SPOKEN = {"input": 4, "audio_input": 10, "output": 31}
WHOLE: dict[str, tuple[str, str, Callable[[], Translation], dict[str, int]]] = {
    "image": (
        "/images/generations",
        "Generate image",
        images,
        {"input": 10, "image_input": 40, "image_output": 50},
    ),
    "transcription": (
        "/audio/transcriptions",
        "Default",
        lambda: transcription(2_000),
        {"audio_input": 14, "output": 45},
    ),
    "diarized": (
        "/audio/transcriptions",
        "Diarization",
        lambda: transcription(1, response_format="diarized_json"),
        {"audio_input": 27},
    ),
}


@pytest.mark.parametrize("name", WHOLE)
def test_whole_answers_keep_every_value_and_are_counted(name: str) -> None:
    """Only the cost is ours."""
    path, title, asked, expected = WHOLE[name]
    if not examples(path):
        return
    body = examples(path)[title].encode()
    result = asked().whole(body, b"application/json", price_of)
    assert counted(result.quantities) == expected
    assert not result.usage_invalid
    shown = orjson.loads(result.body)
    assert shown["usage"].pop("cost") == "1.50"
    assert shown == orjson.loads(body)


STREAMS: dict[str, tuple[str, Callable[[], Translation], dict[str, int]]] = {
    "image": (
        "/images/generations",
        lambda: images(stream=True, partial_images=1),
        {"input": 10, "image_input": 40, "image_output": 50},
    ),
    "transcription": (
        "/audio/transcriptions",
        lambda: transcription(2_000, stream="true"),
        {},
    ),
}


def fed(stream: AnswerStream, raw: bytes) -> tuple[bytes, Any]:
    """Feed a stream whose body then ends properly; return what went out, and the end."""
    out = stream.feed(raw)
    return out, stream.finish(body_complete=True)


def events(raw: bytes) -> Iterator[Any]:
    """Yield the data of the events in a stream."""
    for line in raw.splitlines():
        if line.startswith(b"data: "):
            event = orjson.loads(line[6:])
            if isinstance(event.get("usage"), dict):
                event["usage"].pop("cost", None)
            yield event


@pytest.mark.parametrize("name", STREAMS)
def test_streams_keep_every_event_and_are_counted(name: str) -> None:
    """The last event waits for the record."""
    path, asked, expected = STREAMS[name]
    if not examples(path):
        return
    raw = examples(path)["Streaming"].encode()
    out, end = fed(asked().stream(price_of), raw)
    assert (end.kind, len(list(events(end.tail)))) == (EndKind.PROPER, 1)
    assert list(events(out + end.tail)) == list(events(raw))
    if expected:
        assert counted(end.quantities) == expected


OURS = {
    "image": b'data: {"type":"image_generation.completed","b64_json":"aW1n"}\n\n',
    "transcription": b'data: {"type":"transcript.text.delta","delta":"Hi."}\n\n'
    b'data: {"type":"transcript.text.done","text":"Hi."}\n\n',
    "speech": b'data: {"type":"speech.audio.delta","audio":"QUJD"}\n\n'
    b'data: {"type":"speech.audio.done"}\n\n',
}


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("is_whole", [True, False])
def test_a_stream_that_is_cut_at_any_byte_has_no_clean_end(name: str, is_whole: bool) -> None:  # noqa: FBT001
    """Whether its body ends properly or not; without its last blank line it may."""
    speech = orjson.dumps({"input": "Hi.", "stream_format": "sse"})
    translations = {
        "image": images(stream=True),
        "transcription": transcription(2_000, stream="true"),
        "speech": Speech().read(speech, {}, "", b"").translation(EVERY),
    }
    raw = OURS[name]
    for place in range(len(raw)):
        stream = translations[name].stream(price_of)
        out = stream.feed(raw[:place])
        end = stream.finish(body_complete=is_whole)
        whole_line = is_whole and place >= len(raw) - 2
        assert (end.kind is EndKind.PROPER) == whole_line, place
        assert out + end.tail == b"" or (out + end.tail).endswith(b"\n\n")
