"""Images, speech and transcriptions through the whole service, by the unmodified SDK.

The demo provider answers; the running service charges by its catalogue.
"""

from __future__ import annotations

import io
import json
import wave
from collections.abc import Iterator
from decimal import Decimal

import httpx
import openai
import pytest

from oneapi.common.v1 import endpoint_pb2
from oneapi.metering.v1 import usage_record_pb2 as record
from tests.support.stack import Stack

PICTURE = ("Ann on a beach.png", b"\x89PNG picture", "image/png")
SOUND = ("Call with Ann.wav", b"RIFF sound", "audio/wav")


@pytest.fixture(scope="module")
def sdk(stack: Stack) -> Iterator[openai.OpenAI]:
    """Give openai-python as anybody uses it: only base URL and key are ours."""
    with openai.OpenAI(
        api_key=stack.api_key,
        base_url=stack.base_url,
        max_retries=0,
        http_client=httpx.Client(trust_env=False),
    ) as client:
        yield client


def used(stack: Stack, headers: httpx.Headers, endpoint: str) -> dict[str, int]:
    """Return what the record of a served request says was used, and what it cost in nanos."""
    found = stack.usage(headers["x-request-id"])
    assert endpoint_pb2.Endpoint.Name(found.endpoint) == f"ENDPOINT_{endpoint}"
    assert (found.outcome, found.http_status) == (record.OUTCOME_SUCCEEDED, 200)
    assert found.upstream == "demo"
    fields = found.quantities.ListFields()
    counts: dict[str, int] = {one.name.removesuffix("_tokens"): value for one, value in fields}
    return {**counts, "nanos": found.charge.amount_nanos, "source": found.usage_source}


def test_images_are_made_and_charged(stack: Stack, sdk: openai.OpenAI) -> None:
    """Text, and each image by the tokens that the provider counts."""
    raw = sdk.images.with_raw_response.generate(prompt="A red kite.", model="demo-image", n=2)
    made = raw.parse()
    assert made.data is not None
    assert len(made.data) == 2
    assert made.usage is not None
    assert used(stack, raw.headers, "IMAGE_GENERATIONS") == {
        "input": 3,
        "image_output": 544,
        "requests": 1,
        "nanos": 3 * 500 + 544 * 1_000,
        "source": record.USAGE_SOURCE_PROVIDER,
    }
    assert json.loads(raw.text)["usage"]["cost"] == "0.0005455"


def test_images_are_edited_without_their_names(stack: Stack, sdk: openai.OpenAI) -> None:
    """The form is written anew, its images are counted."""
    raw = sdk.images.with_raw_response.edit(
        image=[PICTURE, PICTURE], mask=PICTURE, prompt="Red!", model="demo-image"
    )
    found = used(stack, raw.headers, "IMAGE_EDITS")
    assert (found["input"], found["image_input"], found["image_output"]) == (1, 255, 272)


def test_images_are_streamed(stack: Stack, sdk: openai.OpenAI) -> None:
    """Partial images first; the last event has usage and cost."""
    raw = sdk.images.with_raw_response.generate(
        prompt="Red!", model="demo-image", stream=True, partial_images=1
    )
    events = list(raw.parse())
    assert [event.type for event in events] == [
        "image_generation.partial_image",
        "image_generation.completed",
    ]
    found = used(stack, raw.headers, "IMAGE_GENERATIONS")
    assert found["image_output"] == 372
    assert events[1].to_dict()["usage"]["cost"] == "0.0003725"  # type: ignore[index]


def test_speech_is_charged_by_the_character(stack: Stack, sdk: openai.OpenAI) -> None:
    """Whole, streamed to a file, and as events."""
    text = "Hello, wörld! " * 40
    ask = {"input": text, "voice": "alloy", "model": "demo-speech", "response_format": "wav"}
    expected = {
        "input": len(text),
        "requests": 1,
        "nanos": len(text) * 5_000,
        "source": record.USAGE_SOURCE_PROVIDER,
    }
    raw = sdk.audio.speech.with_raw_response.create(**ask)  # type: ignore[arg-type]
    with wave.open(io.BytesIO(raw.content)) as reader:
        assert reader.getnframes() == 48 * len(text)
    assert raw.headers["content-type"] == "audio/wav"
    assert used(stack, raw.headers, "AUDIO_SPEECH") == expected
    with sdk.audio.speech.with_streaming_response.create(**ask) as answer:  # type: ignore[arg-type]
        assert b"".join(answer.iter_bytes(512)) == raw.content
    assert used(stack, answer.headers, "AUDIO_SPEECH") == expected
    with stack.client() as client:
        told = client.post("/audio/speech", json={**ask, "stream_format": "sse"})
    assert told.headers["content-type"].startswith("text/event-stream")
    assert '"cost":"0.0028"' in told.text
    assert used(stack, told.headers, "AUDIO_SPEECH") == expected


def add_speech(stack: Stack, public_id: str, upstream_model: str) -> str:
    """Give the catalogue a model of the demo provider that speaks by the character."""
    candidate = {"upstream": "demo", "upstream_model": upstream_model}
    model = {
        "public_id": public_id,
        "kind": "speech",
        "display_name": public_id,
        "maker": "tests",
        "context_tokens": 4096,
        "max_output_tokens": 1,
        "routes": [{"candidates": [candidate]}],
        "prices": [{"tiers": [{"input": 5_000_000_000, "output": 0}]}],
    }
    stack.import_catalogue({"format": 1, "models": [model]})
    return public_id


@pytest.fixture(scope="module")
def cut_model(stack: Stack) -> str:
    """Give the catalogue a model whose speech breaks off after its first piece."""
    return add_speech(stack, "speech-that-breaks", "demo-speech-cut-1")


def test_audio_that_is_cut_has_no_clean_end(stack: Stack, cut_model: str) -> None:
    """And costs nothing: there is no place in a file for an error."""
    body = {"model": cut_model, "response_format": "pcm", "input": "a" * 400, "voice": "alloy"}
    with (
        stack.client() as client,
        client.stream("POST", "/audio/speech", json=body) as answer,
        pytest.raises(httpx.RemoteProtocolError),
    ):
        answer.read()
    found = stack.usage(answer.headers["x-request-id"])
    assert (found.outcome, found.charge.amount_nanos) == (record.OUTCOME_FAILED, 0)


def test_audio_is_transcribed_in_every_format(stack: Stack, sdk: openai.OpenAI) -> None:
    """JSON has counts; of texts they are estimated, never above the hold."""
    create = sdk.audio.transcriptions.with_raw_response.create
    raw = create(file=SOUND, model="demo-transcription", prompt="Names: Ann")
    heard = raw.parse()
    assert used(stack, raw.headers, "AUDIO_TRANSCRIPTIONS") == {
        "input": 3,
        "audio_input": 10,
        "output": 3,
        "requests": 1,
        "nanos": 3 * 500 + 10 * 1_000 + 3 * 1_000,
        "source": record.USAGE_SOURCE_PROVIDER,
    }
    for kind in ("text", "srt", "vtt", "verbose_json"):
        other = create(file=SOUND, model="demo-transcription", response_format=kind)
        assert heard.text in other.text
        is_json = other.headers["content-type"] == "application/json"
        assert is_json == (kind == "verbose_json")
        found = used(stack, other.headers, "AUDIO_TRANSCRIPTIONS")
        assert found["source"] == record.USAGE_SOURCE_ESTIMATED
        assert 0 < found["nanos"] < 50_000
    streamed = create(file=SOUND, model="demo-transcription", stream=True)
    *_, done = streamed.parse()
    assert done.to_dict()["usage"]["cost"] == "0.000013"  # type: ignore[index]
    assert used(stack, streamed.headers, "AUDIO_TRANSCRIPTIONS")["audio_input"] == 10


def test_errors_are_raised_by_the_sdk(sdk: openai.OpenAI) -> None:
    """Ours by field, the provider's in its words, and a model of another kind."""
    with pytest.raises(openai.BadRequestError) as caught:
        sdk.images.generate(prompt="p", model="demo-image", n=11)
    assert (caught.value.code, caught.value.param) == ("integer_above_max_value", "n")
    with pytest.raises(openai.BadRequestError) as caught:
        sdk.audio.speech.create(
            input="a", voice="alloy", model="demo-speech", response_format="aac"
        )
    assert (caught.value.code, caught.value.param) == ("invalid_value", "response_format")
    with pytest.raises(openai.BadRequestError) as caught:
        sdk.images.generate(prompt="p", model="demo-speech")
    assert caught.value.code == "model_not_for_endpoint"
    with pytest.raises(openai.BadRequestError) as caught:
        sdk.audio.transcriptions.create(
            file=SOUND, model="demo-transcription", extra_body={"secret": "x"}
        )
    assert caught.value.code == "unknown_field"
    assert "secret" not in str(caught.value)


def test_a_request_that_may_cost_more_than_its_ceiling_is_refused(
    stack: Stack, sdk: openai.OpenAI
) -> None:
    """Images cannot be capped: what could cost 0.0046 dollars is not begun for less."""
    ceiling = {"x-max-cost": "0.004"}
    with pytest.raises(openai.BadRequestError) as caught:
        sdk.images.generate(prompt="p", model="demo-image", extra_headers=ceiling)
    assert caught.value.code == "max_cost_too_low"
    enough = {"x-max-cost": str(Decimal("0.005"))}
    raw = sdk.images.with_raw_response.generate(
        prompt="p", model="demo-image", extra_headers=enough
    )
    assert used(stack, raw.headers, "IMAGE_GENERATIONS")["nanos"] == 272 * 1_000 + 500


def test_who_cannot_pay_for_every_image_is_refused(stack: Stack) -> None:
    """Before anything is sent: an image of 0.0046 dollars is not begun with 0.004."""
    workspace = stack.empty_workspace()
    stack.grant(4_000_000, workspace)
    _, secret = stack.make_key(workspace)
    with stack.client(secret) as client:
        answer = client.post("/images/generations", json={"model": "demo-image", "prompt": "p"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (402, "insufficient_credits")
    balance = stack.balance(workspace)
    assert balance.total.amount_nanos == 4_000_000


@pytest.fixture(scope="module")
def slow_model(stack: Stack) -> str:
    """Give the catalogue a model whose speech takes its time."""
    return add_speech(stack, "speech-that-lasts", "demo-speech-pace-400")


def test_who_leaves_while_it_speaks_pays_for_the_characters(stack: Stack, slow_model: str) -> None:
    """The provider has begun, and bills them."""
    body = {
        "model": slow_model,
        "input": "a" * 2_000,
        "voice": "alloy",
        "response_format": "pcm",
    }
    with stack.client() as client, client.stream("POST", "/audio/speech", json=body) as answer:
        next(answer.iter_raw())
    found = stack.usage(answer.headers["x-request-id"])
    assert found.outcome == record.OUTCOME_CANCELLED
    assert found.quantities.input_tokens == 2_000
    assert found.usage_source == record.USAGE_SOURCE_ESTIMATED
