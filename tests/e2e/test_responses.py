"""Responses by the unmodified SDK: where they are served, and where they cross over.

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
from openai.types.responses import FunctionToolParam, ResponseFunctionToolCall
from pydantic import BaseModel

from oneapi.common.v1 import endpoint_pb2
from oneapi.metering.v1 import usage_record_pb2 as record
from tests.support.openai_types import check_event, check_response
from tests.support.stack import Stack

SERVED = ("demo", "demo-anthropic", "demo-google")
"""The first natively."""
QUESTION = "How high is the tide?"
TIDE: FunctionToolParam = {
    "type": "function",
    "name": "tide_height",
    "description": "Height of the tide in a harbor.",
    "parameters": {
        "type": "object",
        "properties": {"harbor": {"type": "string"}},
        "required": ["harbor"],
        "additionalProperties": False,
    },
    "strict": True,
}


class Harbor(BaseModel):
    """What a harbor is."""

    name: str
    depth_m: int


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


@pytest.mark.parametrize("model", SERVED)
def test_text_is_answered_and_charged(stack: Stack, sdk: openai.OpenAI, model: str) -> None:
    """The counts of the answer are those of the record; nothing is stored."""
    raw = sdk.responses.with_raw_response.create(model=model, input=QUESTION)
    answer = raw.parse()
    check_response(json.loads(raw.text))
    assert answer.output_text
    assert (answer.status, answer.model) == ("completed", model)
    assert json.loads(raw.text)["store"] is False
    found = stack.usage(raw.headers["x-request-id"])
    assert endpoint_pb2.Endpoint.Name(found.endpoint) == "ENDPOINT_RESPONSES"
    assert (found.outcome, found.usage_source) == (
        record.OUTCOME_SUCCEEDED,
        record.USAGE_SOURCE_PROVIDER,
    )
    assert answer.usage is not None
    counted = found.quantities
    assert (counted.input_tokens, counted.output_tokens) == (
        answer.usage.input_tokens,
        answer.usage.output_tokens,
    )
    assert found.charge.amount_nanos == counted.input_tokens * 100 + counted.output_tokens * 400


@pytest.mark.parametrize("model", SERVED)
def test_a_stream_says_what_the_whole_response_says(sdk: openai.OpenAI, model: str) -> None:
    """By the SDK's own way to put it together."""
    whole = sdk.responses.create(model=model, input=QUESTION)
    with sdk.responses.stream(model=model, input=QUESTION) as stream:
        deltas = [one.delta for one in stream if one.type == "response.output_text.delta"]
        final = stream.get_final_response()
    assert "".join(deltas) == final.output_text == whole.output_text
    assert len(deltas) > 1
    assert final.usage == whole.usage


@pytest.mark.parametrize("model", SERVED)
def test_a_schema_is_parsed(sdk: openai.OpenAI, model: str) -> None:
    """Structured output, with the SDK's helper."""
    parsed = sdk.responses.parse(model=model, input="Describe a harbor.", text_format=Harbor)
    assert isinstance(parsed.output_parsed, Harbor)


@pytest.mark.parametrize("model", SERVED)
def test_a_tool_is_called_and_its_result_read(sdk: openai.OpenAI, model: str) -> None:
    """With reasoning before the call, and all of the output sent back as input."""
    asked: dict[str, Any] = {"tools": [TIDE], "reasoning": {"effort": "low", "summary": "auto"}}
    first = sdk.responses.create(
        model=model,
        input=QUESTION,
        tool_choice="required",
        include=["reasoning.encrypted_content"],
        **asked,
    )
    call = first.output[-1]
    assert isinstance(call, ResponseFunctionToolCall)
    assert json.loads(call.arguments).keys() == {"harbor"}
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "2.1 m"}
    output = [one.model_dump(exclude_none=True) for one in first.output]
    history: Any = [{"role": "user", "content": QUESTION}, *output, result]
    assert sdk.responses.create(model=model, input=history, **asked).output_text


@pytest.mark.parametrize("model", SERVED)
def test_every_event_is_one_of_openais(sdk: openai.OpenAI, model: str) -> None:
    """Reasoning, calls and text, numbered from 0 on."""
    offered: list[list[FunctionToolParam]] = [[TIDE], []]
    for tools in offered:
        stream = sdk.responses.create(
            model=model,
            input=QUESTION,
            reasoning={"effort": "low", "summary": "auto"},
            tools=tools,
            stream=True,
        )
        events = [one.model_dump() for one in stream]
        assert [one["sequence_number"] for one in events] == list(range(len(events)))
        assert events[-1]["type"] == "response.completed"
        kinds = {one["type"] for one in events}
        assert "response.reasoning_summary_text.delta" in kinds


def test_the_raw_stream_is_valid_by_openais_description(stack: Stack) -> None:
    """As it stands on the wire, under both prefixes; no `[DONE]`."""
    body = {"model": "demo-anthropic", "input": QUESTION, "stream": True}
    headers = {"authorization": f"Bearer {stack.api_key}"}
    for base in (stack.base_url, stack.base_url.replace("/v1", "/api/v1")):
        answer = httpx.post(f"{base}/responses", json=body, headers=headers, trust_env=False)
        frames = answer.text.split("\n\n")[:-1]
        for frame in frames:
            name, data = frame.split("\n")
            event = json.loads(data.removeprefix("data: "))
            assert name == f"event: {event['type']}"
            check_event(event)
        assert frames[-1].startswith("event: response.completed\n")


@pytest.mark.parametrize("model", ["demo-cut-5"])
def test_a_cut_answer_is_an_error_and_failed_on_the_record(
    stack: Stack, sdk: openai.OpenAI, model: str
) -> None:
    """In-band, as the SDK raises it."""
    stream = sdk.responses.create(model=model, input=QUESTION, stream=True)
    with pytest.raises(openai.APIError, match="cut") as caught:
        list(stream)
    assert caught.value.code == "upstream_cut"
    assert stack.usage(stream.response.headers["x-request-id"]).outcome == record.OUTCOME_FAILED


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"previous_response_id": "resp_1"}, "stateless_only", "previous_response_id"),
        ({"background": True}, "stateless_only", "background"),
        ({"tools": [{"type": "file_search"}]}, "unsupported_value", "tools[0].type"),
        ({"input": []}, "empty_array", "input"),
    ],
)
def test_what_is_not_served_is_refused_by_name(
    sdk: openai.OpenAI, fields: dict[str, Any], code: str, param: str
) -> None:
    """Before anything is sent."""
    with pytest.raises(openai.BadRequestError) as caught:
        sdk.responses.create(**{"model": "demo", "input": QUESTION, **fields})
    assert (caught.value.code, caught.value.param) == (code, param)


def test_what_cannot_cross_over_is_refused_by_name(sdk: openai.OpenAI) -> None:
    """A custom tool is the API's own."""
    tool: Any = {"type": "custom", "name": "chart"}
    assert sdk.responses.create(model="demo", input=QUESTION, tools=[tool]).output_text
    with pytest.raises(openai.BadRequestError) as caught:
        sdk.responses.create(model="demo-anthropic", input=QUESTION, tools=[tool])
    assert caught.value.param == "tools[0].type"


def test_stored_responses_are_not_available(sdk: openai.OpenAI) -> None:
    """Nothing is kept; a documented error says so."""
    for call in (
        lambda: sdk.responses.retrieve("resp_1"),
        lambda: sdk.responses.delete("resp_1"),
        lambda: sdk.responses.cancel("resp_1"),
        lambda: sdk.responses.input_items.list("resp_1"),
        lambda: sdk.responses.compact(model="demo", input=QUESTION),
    ):
        with pytest.raises(openai.NotFoundError) as caught:
            call()
        assert caught.value.code == "endpoint_not_available"
