"""Images and audio in OpenAI's shape, over a real socket and through the unmodified SDK."""

from __future__ import annotations

import base64
import io
import wave
import zlib
from collections.abc import Iterator

import httpx
import openai
import pytest

from tests.support.demo import DemoProcess


@pytest.fixture(scope="module")
def sdk(demo: DemoProcess) -> Iterator[openai.OpenAI]:
    """Give openai-python as anybody uses it."""
    with openai.OpenAI(
        api_key="any",
        base_url=demo.base_url,
        max_retries=0,
        http_client=httpx.Client(trust_env=False),
    ) as client:
        yield client


def points(picture: str | None) -> bytes:
    """Return the points of a PNG, with the checks that a reader makes."""
    data = base64.b64decode(picture or "")
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    at, found = 8, {}
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        name, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + size]
        assert int.from_bytes(data[at + 8 + size : at + 12 + size], "big") == zlib.crc32(
            name + body
        )
        found[name] = body
        at += 12 + size
    assert list(found) == [b"IHDR", b"IDAT", b"IEND"]
    return zlib.decompress(found[b"IDAT"])


def test_images_are_made_and_counted(sdk: openai.OpenAI) -> None:
    """Equal prompts give equal images, several of them differ."""
    made = sdk.images.generate(prompt="A red kite.", model="demo-image", n=2)
    assert made.data is not None
    first, second = (points(one.b64_json) for one in made.data)
    assert len(first) == 16 * (1 + 16 * 3)
    assert first != second
    again = sdk.images.generate(prompt="A red kite.", model="demo-image", n=2)
    assert again == made
    assert made.usage is not None
    assert (made.usage.input_tokens, made.usage.output_tokens) == (3, 2 * 272)


def test_images_are_edited(sdk: openai.OpenAI) -> None:
    """What is read is counted as well."""
    files = [("a.png", b"\x89PNG", "image/png"), ("b.png", b"\x89PNG2", "image/png")]
    made = sdk.images.edit(image=files, prompt="Red!", model="demo-image", mask=files[0])
    assert made.usage is not None
    assert made.usage.input_tokens_details.image_tokens == 3 * 85
    with pytest.raises(openai.BadRequestError) as caught:
        sdk.images.edit(image=[], prompt="Red!", model="demo-image")
    assert caught.value.param == "image"


def test_images_are_streamed(sdk: openai.OpenAI) -> None:
    """Partial ones first."""
    stream = sdk.images.generate(prompt="Red!", model="demo-image", stream=True, partial_images=2)
    events = list(stream)
    assert [event.type.rpartition(".")[2] for event in events] == [
        "partial_image",
        "partial_image",
        "completed",
    ]
    assert events[-1].type == "image_generation.completed"
    assert events[-1].usage.output_tokens == 272 + 200


def test_speech_is_a_file_that_plays(sdk: openai.OpenAI) -> None:
    """WAV, PCM and MP3."""
    ask = sdk.audio.speech.create
    samples = ask(input="Hello!", voice="alloy", model="demo-speech", response_format="pcm")
    assert len(samples.content) == 6 * 96
    file = ask(input="Hello!", voice="alloy", model="demo-speech", response_format="wav").content
    with wave.open(io.BytesIO(file)) as reader:
        assert (reader.getframerate(), reader.getnchannels(), reader.getsampwidth()) == (
            24000,
            1,
            2,
        )
        assert reader.readframes(9_999) == samples.content
    played = ask(input="a" * 4096, voice="alloy", model="demo-speech")
    assert played.response.headers["content-type"] == "audio/mpeg"
    assert {played.content[at : at + 2] for at in range(0, len(played.content), 144)} == {
        b"\xff\xf3"
    }


def test_speech_comes_as_events(client: httpx.Client) -> None:
    """With its counts at the end."""
    body = {"model": "demo-speech", "input": "Hello!", "voice": "alloy", "stream_format": "sse"}
    text = client.post("/v1/audio/speech", json=body).text
    assert text.startswith('data: {"type":"speech.audio.delta","audio":"')
    usage = '{"input_tokens":2,"output_tokens":1,"total_tokens":3}'
    assert text.endswith(f'data: {{"type":"speech.audio.done","usage":{usage}}}\n\n')


def test_audio_is_transcribed(sdk: openai.OpenAI) -> None:
    """In every format; words of our own, whatever the file says."""
    file = ("a.wav", b"RIFF secret words", "audio/wav")
    ask = sdk.audio.transcriptions.create
    heard = ask(file=file, model="demo-transcription", prompt="Names: Ann")
    assert heard.usage is not None
    assert heard.usage.type == "tokens"
    assert heard.usage.input_token_details is not None
    assert (heard.usage.input_tokens, heard.usage.input_token_details.audio_tokens) == (13, 10)
    assert "secret" not in heard.text
    verbose = ask(file=file, model="demo-transcription", response_format="verbose_json")
    assert (verbose.text, verbose.duration) == (heard.text, 1.0)
    for kind, expected in (
        ("text", f"{heard.text}\n"),
        ("srt", f"1\n00:00:00,000 --> 00:00:01,000\n{heard.text}\n\n"),
        ("vtt", f"WEBVTT\n\n00:00:00.000 --> 00:00:01.000\n{heard.text}\n\n"),
    ):
        text = ask(file=file, model="demo-transcription", response_format=kind)  # type: ignore[call-overload]
        assert text == expected
    *deltas, done = ask(file=file, model="demo-transcription", stream=True)
    assert "".join(one.delta for one in deltas if one.type == "transcript.text.delta") == heard.text
    assert done.type == "transcript.text.done"
    assert done.text == heard.text


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("demo-image-error-429", 429),
        ("demo-speech", 404),
        ("gpt-image-1", 404),
        ("demo-image", 200),
    ],
)
def test_the_model_decides(client: httpx.Client, model: str, expected: int) -> None:
    """By its kind and its knobs."""
    body = {"model": model, "prompt": "p"}
    assert client.post("/v1/images/generations", json=body).status_code == expected


def test_knobs_cut_and_empty(client: httpx.Client) -> None:
    """As for chats."""
    body = {
        "model": "demo-speech-cut-1",
        "input": "a" * 400,
        "voice": "a",
        "response_format": "wav",
    }
    with pytest.raises(httpx.RemoteProtocolError):
        client.post("/v1/audio/speech", json=body)
    empty = client.post("/v1/images/generations", json={"model": "demo-image-empty", "prompt": "p"})
    assert empty.json()["data"] == []


@pytest.mark.parametrize(
    ("content", "content_type"),
    [(b"{", "application/json"), (b"--b", "multipart/form-data; boundary=b"), (b"", "text/plain")],
)
def test_bad_bodies_are_refused(client: httpx.Client, content: bytes, content_type: str) -> None:
    """With a status, not with a fault."""
    headers = {"content-type": content_type}
    answered = client.post("/v1/audio/transcriptions", content=content, headers=headers)
    assert answered.status_code == 400
