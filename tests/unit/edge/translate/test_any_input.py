"""Whatever a client or an upstream sends: an answer of ours or one of our errors, nothing else."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import orjson
from hypothesis import event, example, given
from hypothesis import strategies as st

from edge.translate.answer import StreamEnd, StreamEnding, WholeAnswer
from edge.translate.chat import native as chat_openai
from edge.translate.chat import shape as chat_shape
from edge.translate.chat.stream import ChatStream
from edge.translate.errors import InvalidRequest, MalformedAnswer
from kit.charge import MAX_QUANTITY
from tests.unit.edge.translate.test_chat_shape import Limits

FIELDS = (
    *("model", "messages", "stream", "stream_options", "n", "best_of", "max_tokens", "tools"),
    *("max_completion_tokens", "service_tier", "functions", "modalities", "store", "plugins"),
    *("role", "content", "type", "audio", "image_url", "url", "data", "include_usage", "file"),
)
WORDS = st.sampled_from(["text", "image_url", "input_audio", "file", "function", "flex", "m", ""])
NUMBERS = st.integers(-(2**70), 2**70) | st.sampled_from([0, 1, 2**53 + 1, 2**63, 2**64 - 1])
SCALARS = st.none() | st.booleans() | NUMBERS | st.floats() | WORDS | st.text(max_size=5)


def _inside(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    names = st.sampled_from(FIELDS) | st.text(max_size=3)
    return st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=5)


JSON = st.recursive(SCALARS, _inside, max_leaves=24)
BODIES = st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=8).map(
    lambda body: {"model": "m", "messages": [{"role": "user", "content": "Hi."}], **body}
)


def as_parsed(value: Any) -> Any:
    """Return a value as our parser reads what another writer wrote, None if it refuses."""
    try:
        return orjson.loads(json.dumps(value).encode("utf-8", "surrogatepass"))
    except ValueError:
        return None


@given(BODIES)
@example({"model": "m", "messages": [{}], "tools": [{"type": []}]})
@example({"model": "m", "messages": [{"content": [{"type": {}}]}]})
@example({"model": "m", "messages": [{"audio": []}], "modalities": [[]]})
def test_any_body_is_a_request_or_an_error_of_ours(value: Any) -> None:
    """And what is taken can be sent on, with a bound that is a number."""
    body = as_parsed(value)
    if not isinstance(body, dict):
        return
    try:
        request = chat_openai.parse(body)
        shape, _ = chat_shape.bound_of(request, Limits())
    except InvalidRequest as error:
        event(error.code)
        return
    sent = chat_openai.prepare(request, upstream_model="up", output_limit=7)
    assert orjson.loads(sent)["model"] == "up"
    assert 0 <= shape.text_bytes <= len(orjson.dumps(body))
    assert 1 <= shape.choices <= chat_openai.MAX_CHOICES


def _whole(body: bytes) -> object:
    try:
        return chat_openai.response(body, public_model="public", price_of=lambda _: 1)
    except MalformedAnswer:
        return None


USAGES = st.dictionaries(
    st.sampled_from(["prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens"])
    | st.sampled_from(["prompt_tokens_details", "completion_tokens_details", "cost"]),
    NUMBERS
    | JSON
    | st.dictionaries(
        st.sampled_from(["cached_tokens", "reasoning_tokens", "audio_tokens"]), NUMBERS
    ),
)
ANSWERS = st.fixed_dictionaries(
    {},
    optional={
        "model": JSON,
        "usage": USAGES | JSON,
        "choices": JSON | st.lists(st.dictionaries(st.sampled_from(FIELDS), JSON), max_size=3),
        "error": JSON,
        "message": JSON,
    },
)


@given(st.binary(max_size=40) | ANSWERS.map(lambda value: json.dumps(value).encode()))
def test_any_whole_answer_is_edited_or_malformed(body: bytes) -> None:
    """Counts that are used are within the range that the record holds."""
    result = _whole(body)
    if result is None:
        return
    assert isinstance(result, WholeAnswer)
    told = orjson.loads(result.body)
    if "model" in told:
        assert told["model"] == "public"
    if result.quantities is not None:
        assert all(0 <= count <= MAX_QUANTITY for count in result.quantities)


CHUNKS = st.lists(
    st.sampled_from([b"\n", b"\n\n", b"\r\n\r\n", b"data: [DONE]\n\n", b": c\n\n", b"data:", b"{}"])
    | st.binary(max_size=12)
    | ANSWERS.map(lambda value: b"data: " + json.dumps(value).encode() + b"\n\n"),
    max_size=10,
).map(b"".join)


def streamed(pieces: list[bytes], *, ending: StreamEnding, whole: bool) -> tuple[bytes, StreamEnd]:
    """Return what a client gets of a stream in these pieces, and how it ends."""
    stream = ChatStream(public_model="public", show_usage=True, price_of=lambda _: 1, ending=ending)
    relayed = b"".join([stream.feed(piece) for piece in pieces])
    return relayed, stream.finish(body_complete=whole)


@given(
    CHUNKS, st.lists(st.integers(0, 500), max_size=12), st.sampled_from(StreamEnding), st.booleans()
)
def test_any_stream_in_any_pieces_comes_to_the_same(
    stream: bytes,
    places: list[int],
    ending: StreamEnding,
    whole: bool,  # noqa: FBT001  drawn in order
) -> None:
    """Bytes that are relayed, counts, fault and end: the network decides none of them."""
    edges = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    pieces = [stream[start:end] for start, end in pairwise(edges)]
    single = [stream[at : at + 1] for at in range(len(stream))]
    expected = streamed([stream], ending=ending, whole=whole)
    assert streamed(pieces, ending=ending, whole=whole) == expected
    assert streamed(single, ending=ending, whole=whole) == expected
