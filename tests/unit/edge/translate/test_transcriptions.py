"""Transcriptions: what passes, what bounds them, what they are counted as."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import event, given
from hypothesis import strategies as st
from openai.types.audio import Transcription, TranscriptionTextDoneEvent, TranscriptionVerbose

from edge.translate import multipart
from edge.translate.answer import EndKind, Fault, WholeAnswer
from edge.translate.audio import transcription, usage
from edge.translate.audio.surface import Speech, Transcriptions
from edge.translate.audio.transcription import FIELDS, NativeTranscription, TranscriptionRequest
from edge.translate.errors import InvalidRequest, MalformedAnswer
from edge.translate.multipart import Part
from edge.translate.surface import NoWay
from kit.charge import Quantities, quantities
from tests.unit.edge.translate.audio import BY_US, fed, frames, sound, the_terms
from tests.unit.edge.translate.terms import price_of, terms
from tests.unit.edge.translate.test_any_input import JSON, as_parsed
from tests.unit.edge.translate.test_chat_shape import Limits

FORM = b"multipart/form-data; boundary=b"
TOKENS = {
    "type": "tokens",
    "input_tokens": 14,
    "input_token_details": {"text_tokens": 4, "audio_tokens": 10},
    "output_tokens": 45,
    "total_tokens": 59,
}
COUNTED = quantities(input=4, audio_input=10, output=45, requests=1)


def form(file: bytes = b"ID3", **texts: str) -> bytes:
    """Return the form of a transcription."""
    file_part = Part("file", file, "Call with Ann.mp3", "audio/mpeg")
    return multipart.written([file_part, *(Part(k, v.encode()) for k, v in texts.items())], b"b")


def heard(file: bytes = b"ID3", limits: Limits | None = None, **texts: str) -> TranscriptionRequest:
    """Read a request for a transcription and its bound."""
    request = transcription.read(form(file, **texts), FORM)
    request.shape(limits or Limits(audio_max_tokens=3_600))
    return request


def answer_to(
    request: TranscriptionRequest, body: bytes, max_output_tokens: int = 4096, kind: bytes = b""
) -> WholeAnswer:
    """Return a whole answer as the client gets it."""
    native = NativeTranscription(request, the_terms(max_output_tokens))
    return native.whole(body, kind, price_of)


def test_a_transcription_is_written_anew_without_what_the_client_calls_its_file() -> None:
    """Lists keep their names and order."""
    more: dict[str, Any] = {"model": "m", "language": "de", "timestamp_granularities[]": "word"}
    request = heard(b"ID3\r\n--c", **more)
    native = NativeTranscription(request, the_terms())
    sent = native.body(None)
    assert b"Ann" not in sent
    parts = multipart.parsed(sent, native.content_type)
    assert [(part.name, bytes(part.data), part.file_name) for part in parts] == [
        ("model", b"upstream-model", None),
        ("file", b"ID3\r\n--c", "audio.mp3"),
        ("language", b"de", None),
        ("timestamp_granularities[]", b"word", None),
    ]


@pytest.mark.parametrize(
    ("raw", "content_type", "code", "param"),
    [
        (b"{}", b"application/json", "invalid_form", None),
        (b"{}", b"", "invalid_form", None),
        (
            multipart.written([Part("model", b"m")], b"b"),
            FORM,
            "missing_required_parameter",
            "file",
        ),
        (form(response_format="xml"), FORM, "invalid_value", "response_format"),
        (form(stream="1"), FORM, "invalid_type", "stream"),
        (form(url="https://x"), FORM, "unknown_field", None),
    ],
)
def test_what_is_used_of_a_transcription_is_checked(
    raw: bytes, content_type: bytes, code: str, param: str | None
) -> None:
    """By its field, without its value."""
    with pytest.raises(InvalidRequest) as caught:
        transcription.read(raw, content_type)
    assert (caught.value.code, caught.value.param) == (code, param)


def test_a_transcription_is_bound_by_the_most_audio() -> None:
    """Or by what a WAV file can hold, where seconds are priced."""
    by_seconds = Limits(audio_max_tokens=3_600, max_output_tokens=BY_US)
    by_tokens = Limits(audio_max_tokens=3_600, max_output_tokens=2_000)
    for file, limits, bound in (
        (b"ID3", by_seconds, 3_600),
        (sound(2.5), by_seconds, 3),
        (sound(2.5), by_tokens, 3_600),
    ):
        shape = transcription.read(form(file), FORM).shape(limits)
        assert (shape.media_tokens, shape.choices) == (bound, 0)
        assert shape.fixed_output_tokens == limits.max_output_tokens
    for limits, stream, param in (
        (Limits(audio_max_tokens=0), "false", "file"),
        (by_seconds, "true", "stream"),
    ):
        with pytest.raises(InvalidRequest) as caught:
            transcription.read(form(stream=stream), FORM).shape(limits)
        assert caught.value.param == param


@pytest.mark.parametrize(
    ("answer", "by_seconds", "counted"),
    [
        ({"usage": TOKENS}, False, COUNTED),
        ({"usage": {**TOKENS, "input_token_details": None}}, False, (0, 0, 0, 0, 45, 0, 14)),
        ({"usage": {**TOKENS, "total_tokens": 60}}, False, None),
        ({"usage": {**TOKENS, "input_token_details": {"text_tokens": 15}}}, False, None),
        ({"usage": {"type": "duration", "seconds": 3}}, False, None),
        ({"duration": 8.47}, False, None),
        ({"usage": {"type": "duration", "seconds": 9}}, True, (0, 0, 0, 0, 0, 0, 9)),
        ({"usage": {"type": "duration", "seconds": 8.2}}, True, (0, 0, 0, 0, 0, 0, 9)),
        ({"duration": 8.47, "usage": TOKENS}, True, (0, 0, 0, 0, 0, 0, 9)),
        ({"usage": TOKENS}, True, None),
        ({"usage": {"seconds": -1}}, True, None),
        ({"usage": {"seconds": True}}, True, None),
        ({"usage": {"seconds": "9"}}, True, None),
        ({"usage": {"seconds": 1e300}}, True, None),
    ],
)
def test_counts_are_in_the_units_of_the_price_or_refused(
    answer: dict[str, Any],
    by_seconds: bool,  # noqa: FBT001
    counted: tuple[int, ...] | None,
) -> None:
    """Seconds are no tokens."""
    found: Quantities | None = usage.from_transcription(answer, by_seconds=by_seconds)
    assert (found[: len(counted)] if counted and found else found) == counted


def test_json_has_its_cost_and_nothing_else_changed() -> None:
    """As the SDK reads it."""
    body = json.dumps({"text": "Hi.", "usage": TOKENS, "new": -1.50}).encode()
    result = answer_to(heard(), body, kind=b"application/json")
    assert result.body == body.replace(b"59}", b'59,"cost":"1.50"}')
    assert (result.quantities, result.content_type) == (COUNTED, b"application/json")
    assert Transcription.model_validate_json(result.body).usage is not None
    verbose = {"text": "Hi.", "language": "english", "duration": 8.47, "task": "transcribe"}
    result = answer_to(heard(response_format="verbose_json"), orjson.dumps(verbose), BY_US)
    assert (result.body, result.quantities) == (
        orjson.dumps(verbose),
        quantities(audio_input=9, requests=1),
    )
    assert TranscriptionVerbose.model_validate_json(result.body).duration == 8.47


SRT = b"1\n00:00:00,000 --> 00:00:02,500\nHi.\n\n2\n00:00:02,500 --> 00:01:04,000\nYou.\n\n"
VTT = b"WEBVTT\n\n00:00.000 --> 00:02.500\nHi.\n\n"


@pytest.mark.parametrize(
    ("text_format", "body", "seconds"),
    [("srt", SRT, 64), ("vtt", VTT, 3), ("text", b"Hi there.\n", 1), ("text", b"a" * 150, 10)],
)
def test_texts_pass_as_they_are_and_are_estimated(
    text_format: str, body: bytes, seconds: int
) -> None:
    """They hold no counts: by the last subtitle, else by how fast people speak."""
    result = answer_to(heard(response_format=text_format), body, BY_US, b"text/plain")
    assert (result.body, result.content_type) == (body, b"text/plain; charset=utf-8")
    assert result.quantities is None
    assert result.estimated == quantities(audio_input=seconds, requests=1)


def test_a_wav_file_says_how_long_it_is() -> None:
    """Then the estimate is exact, and within the bound."""
    limits = Limits(audio_max_tokens=3_600, max_output_tokens=BY_US)
    request = heard(sound(12), limits, response_format="text")
    assert answer_to(request, b"Hi.\n", BY_US).estimated == quantities(audio_input=13, requests=1)
    short = heard(sound(12), replace(limits, audio_max_tokens=5), response_format="text")
    assert answer_to(short, b"Hi.\n", BY_US).estimated == quantities(audio_input=5, requests=1)


def test_tokens_are_estimated_by_how_many_a_second_has() -> None:
    """Up to the bound; a second is no token."""
    request = heard(response_format="text")
    tokens = quantities(audio_input=100, output=37, requests=1)
    assert answer_to(request, b"a" * 150).estimated == tokens
    short = heard(limits=Limits(audio_max_tokens=60), response_format="text")
    bound = quantities(audio_input=60, output=37, requests=1)
    assert answer_to(short, b"a" * 150).estimated == bound


def test_a_file_is_measured_only_where_its_length_counts() -> None:
    """Not for a model that is priced by tokens: other requests wait meanwhile."""
    by_seconds = Limits(audio_max_tokens=3_600, max_output_tokens=BY_US)
    assert heard(sound(2.5)).seconds is None
    assert heard(sound(2.5), by_seconds).seconds == 3


def test_silence_is_an_answer() -> None:
    """It took the same work."""
    result = answer_to(heard(), b'{"text":""}')
    assert (result.has_output, int(result.finish_reason)) == (False, 1)


@pytest.mark.parametrize(
    ("text_format", "body"), [("json", b"Hi."), ("json", b"[]"), ("srt", b"\xff")]
)
def test_an_answer_in_another_format_is_refused(text_format: str, body: bytes) -> None:
    """Nothing of it is kept."""
    with pytest.raises(MalformedAnswer):
        answer_to(heard(response_format=text_format), body)


DELTA = {"type": "transcript.text.delta", "delta": "Hi."}
DONE = {"type": "transcript.text.done", "text": "Hi.", "usage": TOKENS}


def test_a_streamed_transcription_ends_with_its_counts() -> None:
    """The last event waits; without counts the text is estimated."""
    native = NativeTranscription(heard(stream="true"), the_terms())
    out, end = fed(native.stream(price_of), frames(DELTA, DONE, DELTA))
    assert out == frames(DELTA)
    assert end.tail == frames({**DONE, "usage": {**TOKENS, "cost": "1.50"}})
    assert (end.kind, end.quantities, end.content_bytes) == (EndKind.PROPER, COUNTED, 3)
    assert TranscriptionTextDoneEvent.model_validate(orjson.loads(end.tail[6:])).text == "Hi."
    _, end = fed(native.stream(price_of), frames({**DELTA, "delta": "a" * 30}), whole=False)
    assert (end.kind, end.tail) == (EndKind.CUT, b"")
    assert end.estimated == quantities(audio_input=20, output=7, requests=1)
    _, end = fed(native.stream(price_of), frames({"type": "error", "message": "No."}))
    assert (end.fault, b'"No."' in end.tail) == (Fault.UPSTREAM_ERROR, True)


def test_a_candidate_without_the_endpoint_is_no_way() -> None:
    """Audio crosses over to nothing."""
    call = Transcriptions().read(form(), {b"content-type": FORM}, "", b"")
    assert call.media_bytes == 3
    assert call.translation(the_terms()).path == b"/audio/transcriptions"
    for one in (call, Speech().read(b'{"input":"a"}', {}, "", b"")):
        with pytest.raises(NoWay):
            one.translation(terms())


# --- anything


@given(st.lists(st.tuples(st.sampled_from(sorted(FIELDS)), st.binary(max_size=8)), max_size=6))
def test_any_form_is_a_transcription_or_an_error_of_ours(fields: list[tuple[str, bytes]]) -> None:
    """And is written with the same fields, but for the model."""
    raw = multipart.written([Part(name, data) for name, data in fields], b"b")
    try:
        request = transcription.read(raw, FORM)
    except InvalidRequest as error:
        event(error.code)
        return
    native = NativeTranscription(request, the_terms())
    sent = multipart.parsed(native.body(None), native.content_type)
    kept = [(name, data) for name, data in fields if name != "model"]
    assert [(one.name, bytes(one.data)) for one in sent] == [("model", b"upstream-model"), *kept]


@given(JSON, JSON, st.booleans())
def test_any_answer_is_one_of_ours_or_malformed(told: Any, counts: Any, by_us: bool) -> None:  # noqa: FBT001
    """Usage is never negative, and nothing else of the answer changes."""
    answer = as_parsed({"text": told, "usage": counts, "duration": told})
    if answer is None:
        return
    result = answer_to(heard(), orjson.dumps(answer), BY_US if by_us else 4096)
    assert result.quantities is None or min(result.quantities) >= 0
    assert result.estimated is not None
    assert 0 <= result.estimated[6] <= 3_600
    assert {**orjson.loads(result.body), "usage": None} == {**answer, "usage": None}


@given(st.lists(st.integers(1, 400), max_size=8))
def test_any_chunking_of_events_gives_the_same_stream(places: list[int]) -> None:
    """Also one byte at a time."""
    raw = frames(DELTA, DELTA, DONE)
    edges = [0, *sorted(place % len(raw) for place in places), len(raw)]
    chunks = [raw[start:end] for start, end in pairwise(edges)]
    native = NativeTranscription(heard(stream="true"), the_terms())
    assert fed(native.stream(price_of), *chunks) == fed(native.stream(price_of), raw)
