"""Speech: what passes, what bounds it, what it is counted as."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from edge.errors import internal
from edge.translate.answer import AnswerStream, EndKind, Fault
from edge.translate.audio import speech
from edge.translate.audio.speech import NativeSpeech, SpeechRequest
from edge.translate.audio.surface import Speech
from edge.translate.errors import InvalidRequest, MalformedAnswer
from edge.translate.surface import EVENT_STREAM
from kit.charge import quantities
from tests.unit.edge.translate.audio import BY_US, fed, frames, the_terms
from tests.unit.edge.translate.terms import price_of
from tests.unit.edge.translate.test_any_input import JSON, as_parsed
from tests.unit.edge.translate.test_chat_shape import Limits


def spoken(**fields: Any) -> SpeechRequest:
    """Read a request for speech."""
    return speech.read(orjson.dumps({"input": "Grüße!", "voice": "alloy", **fields}))


def test_unknown_fields_of_speech_pass() -> None:
    """And the upstream's own model takes the place of ours."""
    request = spoken(model="m", speed=1.5, voice={"id": "voice_1"}, brand_new=[1])
    sent = orjson.loads(NativeSpeech(request, the_terms()).body(None))
    assert sent["model"] == "upstream-model"
    assert (sent["speed"], sent["brand_new"], sent["voice"]) == (1.5, [1], {"id": "voice_1"})
    assert (request.model, request.characters) == ("m", 6)


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"input": None}, "missing_required_parameter", "input"),
        ({"input": ""}, "missing_required_parameter", "input"),
        ({"input": ["a"]}, "invalid_type", "input"),
        ({"model": 3}, "invalid_type", "model"),
        ({"response_format": "midi"}, "invalid_value", "response_format"),
        ({"stream_format": "chunks"}, "invalid_value", "stream_format"),
    ],
)
def test_what_is_used_of_speech_is_checked(fields: dict[str, Any], code: str, param: str) -> None:
    """By its field, without its value."""
    with pytest.raises(InvalidRequest) as caught:
        spoken(**fields)
    assert (caught.value.code, caught.value.param) == (code, param)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, b"audio/mpeg"),
        ({"response_format": "wav"}, b"audio/wav"),
        ({"stream_format": "audio", "response_format": "pcm"}, b"audio/pcm"),
        ({"stream_format": "sse"}, EVENT_STREAM),
    ],
)
def test_the_answer_has_the_type_of_its_format(fields: dict[str, Any], expected: bytes) -> None:
    """Keep-alive comments go out among events only, so the type decides."""
    call = Speech().read(orjson.dumps({"input": "a", **fields}), {}, "", b"")
    assert (call.stream, call.stream_type) == (True, expected)


def test_speech_is_bound_by_its_bytes_and_the_most_audio() -> None:
    """Bytes are no fewer than characters or tokens."""
    shape = spoken().shape(Limits(max_output_tokens=2_000))
    assert (shape.choices, shape.fixed_output_tokens, shape.has_audio) == (0, 2_000, True)
    assert shape.text_bytes >= spoken().characters


def audio(request: SpeechRequest, max_output_tokens: int = 4096) -> AnswerStream:
    """Return the stream of a request."""
    return NativeSpeech(request, the_terms(max_output_tokens)).stream(price_of)


def test_audio_passes_at_once_but_for_its_last_byte() -> None:
    """That one waits until the outcome is durable; not even a chunk is kept back."""
    stream = audio(spoken())
    assert stream.feed(b"abc") == b"ab"
    assert stream.feed(b"d") == b"c"
    assert stream.feed(b"") == b""
    assert stream.feed(b"ef") == b"de"
    end = stream.finish(body_complete=True)
    assert (end.kind, end.tail, end.has_output) == (EndKind.PROPER, b"f", True)


def test_speech_by_characters_is_counted_exactly() -> None:
    """Code points: what the provider bills, and it says no number."""
    characters = quantities(input=6, requests=1)
    _, end = fed(audio(spoken(), BY_US), b"abc")
    assert (end.quantities, end.usage_invalid) == (characters, False)
    # A client that left is billed all the same, by the estimate.
    _, cut = fed(audio(spoken(), BY_US), b"abc", whole=False)
    assert (cut.kind, cut.quantities, cut.estimated) == (EndKind.CUT, None, characters)


def test_speech_by_tokens_without_counts_is_estimated() -> None:
    """By what was delivered, at most what was held for."""
    _, end = fed(audio(spoken(input="a" * 100)), bytes(2_304 * 30 + 1))
    assert end.quantities is None
    assert end.estimated == quantities(input=25, audio_output=30, requests=1)
    _, end = fed(audio(spoken(), 10), bytes(2_304 * 30))
    assert end.estimated is not None
    assert end.estimated[7] == 10


def test_no_audio_is_no_output() -> None:
    """Then nothing is charged."""
    _, end = fed(audio(spoken()))
    assert (end.kind, end.has_output, end.tail) == (EndKind.CUT, False, b"")


SPEECH_DONE = {
    "type": "speech.audio.done",
    "usage": {"input_tokens": 14, "output_tokens": 101, "total_tokens": 115},
}
SPEECH_DELTA = {"type": "speech.audio.delta", "audio": "QUJD"}


def test_events_of_speech_end_with_their_counts() -> None:
    """The last one waits."""
    out, end = fed(audio(spoken(stream_format="sse")), frames(SPEECH_DELTA, SPEECH_DONE))
    assert out == frames(SPEECH_DELTA)
    assert end.tail == frames({**SPEECH_DONE, "usage": {**SPEECH_DONE["usage"], "cost": "1.50"}})  # type: ignore[dict-item]
    assert (end.kind, end.content_bytes) == (EndKind.PROPER, 3)
    assert end.quantities == quantities(input=14, audio_output=101, requests=1)


def test_events_of_speech_by_characters_are_counted_so() -> None:
    """Whatever tokens the provider names beside."""
    for done in (SPEECH_DONE, {"type": "speech.audio.done"}):
        _, end = fed(audio(spoken(stream_format="sse"), BY_US), frames(SPEECH_DELTA, done))
        assert end.quantities == quantities(input=6, requests=1)


def test_events_of_speech_that_are_cut_or_failed_have_no_clean_end() -> None:
    """And their counts must be possible."""
    request = spoken(stream_format="sse")
    _, end = fed(audio(request), frames(SPEECH_DELTA))
    assert (end.kind, end.tail) == (EndKind.CUT, b"")
    _, end = fed(audio(request), frames({"error": {"message": "No."}}))
    assert (end.fault, orjson.loads(end.tail[6:])["error"]["message"]) == (
        Fault.UPSTREAM_ERROR,
        "No.",
    )
    wrong = {**SPEECH_DONE, "usage": {"input_tokens": 1, "output_tokens": 1, "total_tokens": 3}}
    _, end = fed(audio(request), frames(SPEECH_DELTA, wrong))
    assert (end.kind, end.quantities, end.usage_invalid) == (EndKind.PROPER, None, True)


def test_a_whole_answer_of_speech_there_is_not() -> None:
    """It always comes as a stream."""
    with pytest.raises(MalformedAnswer):
        NativeSpeech(spoken(), the_terms()).whole(b"{}", b"", price_of)


def test_audio_has_no_place_for_an_error() -> None:
    """The cut is all that tells."""
    plain = Speech().read(b'{"input":"a"}', {}, "", b"")
    assert plain.error_event(internal(), "req_1") == b""
    events = Speech().read(b'{"input":"a","stream_format":"sse"}', {}, "", b"")
    assert b'"code":"internal_error"' in events.error_event(internal(), "req_1")


@given(st.lists(st.binary(max_size=9), max_size=9))
def test_any_chunking_of_audio_gives_the_same_bytes(chunks: list[bytes]) -> None:
    """Nothing is lost or doubled."""
    out, end = fed(audio(spoken()), *chunks)
    assert out + end.tail == b"".join(chunks)


@given(st.dictionaries(st.sampled_from(["input", "model", "voice", "stream_format"]), JSON))
def test_any_body_is_speech_or_an_error_of_ours(value: Any) -> None:
    """And what is taken can be sent on."""
    body = as_parsed(value)
    if not isinstance(body, dict):
        return
    try:
        request = speech.read(orjson.dumps(body))
    except InvalidRequest as error:
        event(error.code)
        return
    assert orjson.loads(NativeSpeech(request, the_terms()).body(None))["input"] == body["input"]
