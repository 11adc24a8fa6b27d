"""What goes to upstreams and what clients get of images and audio, by OpenAI's own schemas.

The demo provider stands for an upstream; between it and the schemas are our translations.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import httpx
import jsonschema_rs
import orjson
import pytest

from edge.translate.audio.surface import Speech, Transcriptions
from edge.translate.images.surface import ImageEdits, ImageGenerations
from edge.translate.multipart import Part, written
from edge.translate.surface import ClientRequest, Surface, Terms
from oneapi.common.v1.endpoint_pb2 import Endpoint
from tests.support.demo import DemoProcess
from tests.support.recordings import PROJECT
from tests.unit.edge.translate.terms import price_of, terms
from tests.unit.edge.translate.test_chat_shape import Limits

SPECIFICATION = PROJECT.parent / "shared" / "specs" / "openai-openapi.json"
FORM = {b"content-type": b"multipart/form-data; boundary=b"}
EVERY: Terms = terms(
    Endpoint.ENDPOINT_IMAGE_GENERATIONS,
    Endpoint.ENDPOINT_IMAGE_EDITS,
    Endpoint.ENDPOINT_AUDIO_SPEECH,
    Endpoint.ENDPOINT_AUDIO_TRANSCRIPTIONS,
)


@pytest.fixture(scope="module")
def upstream() -> Iterator[httpx.Client]:
    """Run the demo provider."""
    with (
        DemoProcess() as process,
        httpx.Client(base_url=process.base_url, timeout=30, trust_env=False) as client,
    ):
        yield client


@cache
def components() -> dict[str, Any] | None:
    """Return the components of OpenAI's specification; None, with a line, where it is absent."""
    if not SPECIFICATION.is_file():
        sys.stderr.write(f"no specification: {SPECIFICATION} is absent, its schemas are left out\n")
        return None
    found: dict[str, Any] = json.loads(SPECIFICATION.read_bytes())["components"]
    return found


def check(schema: str, value: Any) -> None:
    """Fail where a value is not what the schema says."""
    if components() is not None:
        whole = {"$ref": f"#/components/schemas/{schema}", "components": components()}
        jsonschema_rs.Draft202012Validator(whole).validate(value)


def form(*files: Part, **texts: str) -> bytes:
    """Return a form."""
    fields = [Part(name.replace("__", "[]"), text.encode()) for name, text in texts.items()]
    return written([*fields, *files], b"b")


PICTURE = Part("image[]", b"\x89PNG", "a.png", "image/png")
SOUND = Part("file", b"RIFF", "a.wav", "audio/wav")
KITE = {"prompt": "A red kite.", "n": 2, "size": "1024x1024", "quality": "low"}
SPOKEN = {"input": "Hello!", "voice": "alloy", "speed": 1.5, "stream_format": "sse"}
CASES: dict[str, tuple[Surface, bytes, str, str]] = {
    "images": (ImageGenerations(), orjson.dumps(KITE), "CreateImageRequest", "ImagesResponse"),
    "streamed images": (
        ImageGenerations(),
        orjson.dumps({**KITE, "n": 1, "stream": True, "partial_images": 2}),
        "CreateImageRequest",
        "ImageGenStreamEvent",
    ),
    "edit": (ImageEdits(), form(PICTURE, prompt="Red!"), "", "ImagesResponse"),
    "edit by URL": (
        ImageEdits(),
        orjson.dumps({"prompt": "Red!", "images": [{"image_url": "https://example.com/a.png"}]}),
        "EditImageBodyJsonParam",
        "ImagesResponse",
    ),
    "streamed edit": (
        ImageEdits(),
        form(PICTURE, prompt="Red!", stream="true", partial_images="1"),
        "",
        "ImageEditStreamEvent",
    ),
    "speech": (
        Speech(),
        orjson.dumps(SPOKEN),
        "CreateSpeechRequest",
        "CreateSpeechResponseStreamEvent",
    ),
    "transcription": (Transcriptions(), form(SOUND), "", "CreateTranscriptionResponseJson"),
    "verbose transcription": (
        Transcriptions(),
        form(SOUND, response_format="verbose_json", timestamp_granularities__="segment"),
        "",
        "CreateTranscriptionResponseVerboseJson",
    ),
    "streamed transcription": (
        Transcriptions(),
        form(SOUND, stream="true"),
        "",
        "CreateTranscriptionResponseStreamEvent",
    ),
}
MODELS = {
    Endpoint.ENDPOINT_IMAGE_GENERATIONS: "demo-image",
    Endpoint.ENDPOINT_IMAGE_EDITS: "demo-image",
    Endpoint.ENDPOINT_AUDIO_SPEECH: "demo-speech",
    Endpoint.ENDPOINT_AUDIO_TRANSCRIPTIONS: "demo-transcription",
}


def read(surface: Surface, raw: bytes) -> ClientRequest:
    """Return the request as an edge reads it."""
    request = surface.read(raw, FORM if raw.startswith(b"--") else {}, "", b"")
    request.shape(Limits(audio_max_tokens=3_600))
    return request


@pytest.mark.parametrize("name", CASES)
def test_what_is_sent_and_what_is_answered_fits_the_schemas(
    upstream: httpx.Client, name: str
) -> None:
    """With the cost in it."""
    surface, raw, asked_schema, answer_schema = CASES[name]
    request = read(surface, raw)
    candidate = replace(EVERY, upstream_model=MODELS[surface.endpoint])
    translation = request.translation(candidate)
    body = translation.body(None)
    if asked_schema:
        check(asked_schema, orjson.loads(body))
    headers = {"content-type": translation.content_type.decode()}
    answered = upstream.post(translation.path.decode(), content=body, headers=headers)
    assert answered.status_code == 200, answered.text
    if not request.stream:
        kind = answered.headers["content-type"].encode()
        result = translation.whole(answered.content, kind, price_of)
        check(answer_schema, orjson.loads(result.body))
        assert not result.usage_invalid
        return
    stream = translation.stream(price_of)
    shown = stream.feed(answered.content)
    end = stream.finish(body_complete=True)
    assert end.quantities is not None
    events = [line[6:] for line in (shown + end.tail).splitlines() if line.startswith(b"data: ")]
    assert b'"cost":"1.50"' in events[-1]
    for event in events:
        check(answer_schema, orjson.loads(event))


def test_the_schemas_refuse_what_is_wrong() -> None:
    """Control: an answer without what the schema wants is found."""
    if components() is None:
        return
    with pytest.raises(jsonschema_rs.ValidationError):
        check("ImagesResponse", {"data": []})
    with pytest.raises(jsonschema_rs.ValidationError):
        check("CreateSpeechResponseStreamEvent", {"type": "speech.audio.done", "usage": {}})
