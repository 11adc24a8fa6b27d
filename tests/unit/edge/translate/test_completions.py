"""Text completions: native with our edits, and across for a single prompt of text."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.translate import errors
from edge.translate.answer import EndKind
from edge.translate.completions.answer_writer import CompletionWriter
from edge.translate.completions.request import parse
from edge.translate.completions.surface import CompletionCall, CompletionsSurface
from edge.translate.errors import InvalidRequest
from edge.translate.neutral.events import (
    Ended,
    Event,
    Finished,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    Used,
)
from kit.charge import quantities
from oneapi.common.v1.endpoint_pb2 import Endpoint
from oneapi.metering.v1.usage_record_pb2 import FinishReason
from tests.unit.edge.translate.terms import price_of, terms
from tests.unit.edge.translate.test_any_input import JSON, as_parsed
from tests.unit.edge.translate.test_chat_shape import Limits

COMPLETIONS = Endpoint.ENDPOINT_COMPLETIONS
CHAT = Endpoint.ENDPOINT_CHAT_COMPLETIONS
USED = quantities(input=9, output=5, requests=1)


def call(prompt: Any = "Once", **more: Any) -> CompletionCall:
    """Read a body with these members."""
    body = {"model": "m", "prompt": prompt, **more}
    return CompletionsSurface().read(orjson.dumps(body), {}, "/v1/completions", b"")


def sent(call: CompletionCall, *serves: Endpoint.ValueType, limit: int | None = None) -> Any:
    """Return what a candidate gets."""
    return json.loads(call.translation(terms(*serves)).body(limit))


@pytest.mark.parametrize(
    ("body", "error", "param"),
    [
        ({}, errors.MissingParameter, "prompt"),
        ({"prompt": 7}, errors.InvalidType, "prompt"),
        ({"prompt": []}, errors.EmptyArray, "prompt"),
        ({"prompt": ["a", 7]}, errors.InvalidType, "prompt[1]"),
        ({"prompt": [[]]}, errors.EmptyArray, "prompt[0]"),
        ({"prompt": [1, "a"]}, errors.InvalidType, "prompt[1]"),
        ({"prompt": [[1, -1]]}, errors.InvalidValue, "prompt[0][1]"),
        ({"prompt": ["a"] * 2049}, errors.InvalidValue, "prompt"),
        ({"prompt": ["a"] * 129, "stream": True}, errors.InvalidValue, "prompt"),
        ({"prompt": "a", "n": 0}, errors.IntegerBelowMinimum, "n"),
        ({"prompt": "a", "best_of": 129}, errors.IntegerAboveMaximum, "best_of"),
        ({"prompt": "a", "max_tokens": 0}, errors.IntegerBelowMinimum, "max_tokens"),
        ({"prompt": "a", "stream": "yes"}, errors.InvalidType, "stream"),
        ({"prompt": "a", "model": 7}, errors.InvalidType, "model"),
        ({"prompt": "a", "service_tier": "gold"}, errors.InvalidValue, "service_tier"),
    ],
)
def test_what_we_use_is_checked(
    body: dict[str, Any], error: type[InvalidRequest], param: str
) -> None:
    """The path of the field is named."""
    with pytest.raises(error) as caught:
        parse(body)
    assert (type(caught.value), caught.value.param) == (error, param)


def test_everything_else_passes_and_the_limit_is_stated() -> None:
    """Upstreams have other defaults than OpenAI's 16, which the hold is for."""
    more = {"suffix": "end", "echo": True, "logprobs": 3, "unknown": [1]}
    body = sent(call(["a", "b"], **more), COMPLETIONS)
    assert body == {"model": "upstream-model", "prompt": ["a", "b"], "max_tokens": 16, **more}
    assert sent(call(max_tokens=100), COMPLETIONS, limit=7)["max_tokens"] == 7
    tiered = sent(call(service_tier="flex", stream=True), COMPLETIONS)
    assert "service_tier" not in tiered
    assert tiered["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize(
    ("prompt", "more", "choices", "text_bytes"),
    [
        ("Ünd", {}, 1, 4),
        (["ab", "c"], {"n": 2, "best_of": 5}, 10, 3),
        ([5000, 6000, 7000], {}, 1, 3),
        ([[5000, 6000], [7000]], {"n": 3}, 6, 3),
    ],
)
def test_each_prompt_is_read_once_and_answered_several_times(
    prompt: Any, more: dict[str, Any], choices: int, text_bytes: int
) -> None:
    """Tokens count as such, texts by their bytes."""
    rest = len(orjson.dumps({"model": "m", **more}))
    shape = call(prompt, **more).shape(Limits())
    assert (shape.choices, shape.text_bytes) == (choices, rest + text_bytes)
    assert call(prompt, **more).token_limit == 16


USAGE = {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}


def test_a_whole_answer_gets_the_public_model_and_the_cost() -> None:
    """Every other byte is the provider's."""
    choice = {"text": "upon a", "index": 0, "logprobs": None, "finish_reason": "length"}
    answer = {"id": "x", "object": "text_completion", "model": "up", "choices": [choice]}
    body = orjson.dumps({**answer, "usage": USAGE, "extra": 1.50})
    whole = call().translation(terms(COMPLETIONS)).whole(body, b"application/json", price_of)
    assert whole.quantities == USED
    assert whole.has_output
    assert whole.content_bytes == 6
    assert whole.finish_reason == FinishReason.FINISH_REASON_LENGTH
    expected = {**answer, "model": "public-model", "usage": USAGE | {"cost": "1.50"}, "extra": 1.5}
    assert json.loads(whole.body) == expected


def chunk(text: str, reason: str | None = None, **more: Any) -> bytes:
    """Return a frame with one choice."""
    choice = {"text": text, "index": 0, "logprobs": None, "finish_reason": reason}
    chunk = {"id": "x", "model": "up", "choices": [choice], **more}
    return b"data: %b\n\n" % orjson.dumps(chunk)


@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_a_stream_is_edited_and_counted_however_it_is_cut(step: int) -> None:
    """Bursts of plain chunks included."""
    last = {"id": "x", "model": "up", "choices": [], "usage": USAGE}
    words = ["upon", " a", " time", " there", " was"]
    body = b"".join(chunk(word) for word in words) + chunk("", "stop")
    body += b"data: %b\n\ndata: [DONE]\n\n" % orjson.dumps(last)
    translation = call(stream=True).translation(terms(COMPLETIONS))
    stream = translation.stream(price_of)
    got = b"".join(stream.feed(body[at : at + step]) for at in range(0, len(body), step))
    end = stream.finish(body_complete=True)
    assert end.kind is EndKind.PROPER
    assert (end.events, end.content_bytes, end.quantities) == (5, 21, USED)
    frames = (got + end.tail).split(b"\n\n")
    assert frames[-2:] == [b"data: [DONE]", b""]
    chunks = [json.loads(frame.removeprefix(b"data: ")) for frame in frames[:-2]]
    assert all(one["model"] == "public-model" for one in chunks)
    assert [one["choices"][0]["text"] for one in chunks] == [*words, ""]


def test_one_prompt_of_text_crosses_over_as_what_a_user_says() -> None:
    """With what chat has a place for."""
    body = sent(call("Once", n=2, temperature=0.5, stop=["."], user="u", best_of=2), CHAT)
    assert body == {
        "model": "upstream-model",
        "messages": [{"role": "user", "content": "Once"}],
        "max_tokens": 16,
        "n": 2,
        "temperature": 0.5,
        "stop": ["."],
    }
    assert sent(call(["Once"], echo=False, logprobs=None, suffix=""), CHAT)["messages"]


@pytest.mark.parametrize(
    ("prompt", "more", "param"),
    [
        (["a", "b"], {}, "prompt"),
        ([1, 2], {}, "prompt"),
        ("a", {"echo": True}, "echo"),
        ("a", {"suffix": "z"}, "suffix"),
        ("a", {"logprobs": 0}, "logprobs"),
        ("a", {"best_of": 3}, "best_of"),
        ("a", {"my secret": 1}, "body"),
    ],
)
def test_what_only_completions_have_is_refused_by_name(
    prompt: Any, more: dict[str, Any], param: str
) -> None:
    """Where the candidate serves no completions."""
    with pytest.raises(InvalidRequest) as caught:
        call(prompt, **more).translation(terms(CHAT))
    assert caught.value.param == param


ANSWER: list[Event] = [
    ReasoningDelta(0, "Hm"),
    TextDelta(0, "upon"),
    RefusalDelta(0, " no"),
    Finished(0, FinishReason.FINISH_REASON_LENGTH),
    Used(USED),
    Ended(),
]


def test_an_answer_that_crossed_over_is_a_completion() -> None:
    """Its text only, whole or in chunks, with the same reason and usage."""
    writer = CompletionWriter(terms(CHAT), include_usage=True)
    frames = writer.frames(ANSWER) + writer.finish(USED, "1.5")
    *chunks, usage, done = [one.removeprefix(b"data: ") for one in frames.split(b"\n\n")[:-1]]
    assert done == b"[DONE]"
    parsed = [json.loads(one) for one in chunks]
    assert [one["choices"][0]["text"] for one in parsed] == ["upon", " no", ""]
    assert [one["choices"][0]["finish_reason"] for one in parsed] == [None, None, "length"]
    assert json.loads(usage)["usage"]["cost"] == "1.5"
    body = json.loads(CompletionWriter(terms(CHAT), include_usage=False).whole(ANSWER, USED, "1.5"))
    assert body["choices"] == [
        {"text": "upon no", "index": 0, "logprobs": None, "finish_reason": "length"}
    ]
    assert (body["object"], body["usage"]["total_tokens"]) == ("text_completion", 14)
    assert body["id"] == "cmpl-0123456789abcdef0123456789abcdef"


@given(
    st.dictionaries(
        st.sampled_from(["prompt", "n", "best_of", "max_tokens", "stream", "echo", "stop", "x"]),
        JSON,
        max_size=6,
    )
)
def test_any_body_is_a_request_or_an_error_of_ours(value: Any) -> None:
    """Natively and across, with a bound that is a number."""
    body = as_parsed({"prompt": "Once", **value})
    if not isinstance(body, dict):
        return
    for serves in (COMPLETIONS, CHAT):
        try:
            request = CompletionCall(parse(body))
            shape = request.shape(Limits())
            translation = request.translation(terms(serves))
        except InvalidRequest:
            continue
        assert json.loads(translation.body(7))["model"] == "upstream-model"
        assert shape.text_bytes >= 0
        assert shape.choices >= 1
