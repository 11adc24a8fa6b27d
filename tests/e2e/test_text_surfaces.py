"""Completions, embeddings, moderations and crossed chats by the unmodified SDK.

The demo provider answers, in OpenAI's, Anthropic's and Google's API; the running service charges by
its catalogue.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam

from oneapi.common.v1 import endpoint_pb2
from oneapi.metering.v1 import usage_record_pb2 as record
from tests.support.stack import Stack

CROSSED = ("demo-anthropic", "demo-google")
HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "How high is the tide?"}]
TIDE: ChatCompletionToolParam = {
    "type": "function",
    "function": {
        "name": "tide_height",
        "description": "Height of the tide in a harbor.",
        "parameters": {
            "type": "object",
            "properties": {"harbor": {"type": "string"}},
            "required": ["harbor"],
        },
    },
}


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
    fields = found.quantities.ListFields()
    counts: dict[str, int] = {one.name.removesuffix("_tokens"): value for one, value in fields}
    return {**counts, "nanos": found.charge.amount_nanos, "source": found.usage_source}


def test_completions_are_native_where_they_are_served(stack: Stack, sdk: openai.OpenAI) -> None:
    """Several prompts, several texts for each, echo and log probabilities."""
    raw = sdk.completions.with_raw_response.create(
        model="demo", prompt=["Once", "upon"], n=2, echo=True, logprobs=1, max_tokens=5
    )
    made = raw.parse()
    assert [choice.text.startswith(("Once", "upon")) for choice in made.choices] == [True] * 4
    assert made.choices[0].logprobs is not None
    assert used(stack, raw.headers, "COMPLETIONS") == {
        "input": 2,
        "output": 20,
        "requests": 1,
        "nanos": 2 * 100 + 20 * 400,
        "source": record.USAGE_SOURCE_PROVIDER,
    }


@pytest.mark.parametrize("model", ["demo", *CROSSED])
def test_a_prompt_is_completed_whoever_serves(sdk: openai.OpenAI, model: str) -> None:
    """Sixteen tokens unless more is asked for; a stream says the same."""
    whole = sdk.completions.create(model=model, prompt="Once upon a time")
    assert whole.model == model
    assert whole.usage is not None
    assert 0 < whole.usage.completion_tokens <= 16
    stream = sdk.completions.create(model=model, prompt="Once upon a time", stream=True)
    chunks = list(stream)
    assert "".join(one.choices[0].text for one in chunks) == whole.choices[0].text
    assert chunks[-1].choices[0].finish_reason == whole.choices[0].finish_reason


def test_what_only_completions_can_say_is_refused_by_name(sdk: openai.OpenAI) -> None:
    """Where it would have to cross over."""
    with pytest.raises(openai.BadRequestError) as caught:
        sdk.completions.create(model="demo-google", prompt="Once", suffix="end")
    assert (caught.value.code, caught.value.param) == ("unsupported_parameter", "suffix")


def test_embeddings_are_the_same_as_numbers_and_as_base64(stack: Stack, sdk: openai.OpenAI) -> None:
    """The SDK asks for base64 by itself; input tokens are charged."""
    raw = sdk.embeddings.with_raw_response.create(
        model="demo-embedding", input=["Once", "upon a time"], dimensions=16
    )
    made = raw.parse()
    numbers = sdk.embeddings.create(
        model="demo-embedding", input="Once", dimensions=16, encoding_format="float"
    )
    assert made.data[0].embedding == numbers.data[0].embedding
    assert [one.index for one in made.data] == [0, 1]
    assert used(stack, raw.headers, "EMBEDDINGS") == {
        "input": 4,
        "requests": 1,
        "nanos": 4 * 20,
        "source": record.USAGE_SOURCE_PROVIDER,
    }
    assert json.loads(raw.text)["usage"]["cost"] == "0.00000008"


def test_moderations_are_free_where_the_catalogue_says_so(stack: Stack, sdk: openai.OpenAI) -> None:
    """Texts and images; the record has an estimate and a charge of nothing."""
    image: Any = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    raw = sdk.moderations.with_raw_response.create(
        model="demo-moderation", input=[{"type": "text", "text": "A violent plan"}, image]
    )
    assert raw.parse().results[0].categories.violence
    found = used(stack, raw.headers, "MODERATIONS")
    assert (found["nanos"], found["source"]) == (0, record.USAGE_SOURCE_ESTIMATED)


def test_a_model_of_another_kind_is_refused(sdk: openai.OpenAI) -> None:
    """By its name."""
    with pytest.raises(openai.BadRequestError) as caught:
        sdk.embeddings.create(model="demo", input="Once")
    assert (caught.value.code, caught.value.param) == ("model_not_for_endpoint", "model")


@pytest.mark.parametrize("model", CROSSED)
def test_a_chat_that_crosses_over_streams_and_is_charged(
    stack: Stack, sdk: openai.OpenAI, model: str
) -> None:
    """The whole answer and the stream say and cost the same."""
    raw = sdk.chat.completions.with_raw_response.create(
        model=model, messages=HELLO, reasoning_effort="low", max_tokens=200
    )
    whole = raw.parse()
    message = whole.choices[0].message
    assert message.content
    counts = used(stack, raw.headers, "CHAT_COMPLETIONS")
    assert whole.usage is not None
    assert counts["input"] == whole.usage.prompt_tokens
    chunks = list(
        sdk.chat.completions.create(
            model=model,
            messages=HELLO,
            reasoning_effort="low",
            max_tokens=200,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    deltas = [one.choices[0].delta for one in chunks if one.choices]
    assert "".join(delta.content or "" for delta in deltas) == message.content
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == whole.usage.total_tokens


@pytest.mark.parametrize("model", CROSSED)
def test_a_tool_is_called_and_its_result_is_taken_across(sdk: openai.OpenAI, model: str) -> None:
    """Streamed arguments are the whole answer's; the next turn is accepted."""
    whole = sdk.chat.completions.create(model=model, messages=HELLO, tools=[TIDE])
    message = whole.choices[0].message
    assert whole.choices[0].finish_reason == "tool_calls"
    assert message.tool_calls
    call = message.tool_calls[0]
    assert call.type == "function"
    assert call.function.name == "tide_height"
    assert "harbor" in json.loads(call.function.arguments)
    stream = sdk.chat.completions.create(model=model, messages=HELLO, tools=[TIDE], stream=True)
    pieces = [
        piece.function.arguments or ""
        for chunk in stream
        for piece in chunk.choices[0].delta.tool_calls or ()
        if piece.function is not None
    ]
    assert "".join(pieces) == call.function.arguments
    back: Any = message.model_dump()
    result: ChatCompletionMessageParam = {
        "role": "tool",
        "tool_call_id": call.id,
        "content": "3 m",
    }
    final = sdk.chat.completions.create(model=model, messages=[*HELLO, back, result], tools=[TIDE])
    assert final.choices[0].message.content


@pytest.mark.parametrize("model", CROSSED)
def test_an_answer_follows_a_schema_across(sdk: openai.OpenAI, model: str) -> None:
    """JSON with the required member."""
    schema: Any = {
        "type": "json_schema",
        "json_schema": {
            "name": "port",
            "strict": True,
            "schema": {
                "type": "object",
                "properties": {"port": {"type": "string"}},
                "required": ["port"],
                "additionalProperties": False,
            },
        },
    }
    whole = sdk.chat.completions.create(model=model, messages=HELLO, response_format=schema)
    assert json.loads(whole.choices[0].message.content or "").keys() == {"port"}
