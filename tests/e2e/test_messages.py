"""Anthropic's messages by the unmodified SDK: natively, and over upstreams that speak otherwise.

The demo provider answers in each API and remembers what reached it; the running service charges.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import httpx
import pytest
from anthropic.types import MessageParam, ToolParam

from oneapi.common.v1 import endpoint_pb2
from oneapi.metering.v1 import usage_record_pb2 as record
from tests.contract.clients.served import APIS, Served, add_models, model
from tests.contract.clients.upstream import DemoUpstream
from tests.support.stack import Stack

HELLO: list[MessageParam] = [{"role": "user", "content": "How high is the tide?"}]
TIDE: ToolParam = {
    "name": "tide_height",
    "description": "Height of the tide in a harbor.",
    "input_schema": {
        "type": "object",
        "properties": {"harbor": {"type": "string"}},
        "required": ["harbor"],
    },
}
PIXEL = "iVBORw0KGgo="
OWN_HEADERS = {"host", "content-length", "content-type", "accept-encoding", "x-api-key"}
CROSSED = tuple(api for api in APIS if api != "messages")


@pytest.fixture(scope="module")
def served(stack: Stack) -> Iterator[Served]:
    """Give the service with the demo provider of this process behind it, in each API."""
    with DemoUpstream() as demo:
        add_models(stack, demo)
        yield Served(stack, demo)


@pytest.fixture(scope="module")
def sdk(served: Served) -> Iterator[anthropic.Anthropic]:
    """Give the SDK as anybody uses it: only base URL and key are ours."""
    with anthropic.Anthropic(
        auth_token=served.stack.api_key, base_url=served.origin, max_retries=0
    ) as client:
        yield client


def recorded(served: Served, headers: httpx.Headers | Any, endpoint: str = "MESSAGES") -> Any:
    """Return the record of a request."""
    found = served.stack.usage(headers["request-id"])
    assert endpoint_pb2.Endpoint.Name(found.endpoint) == f"ENDPOINT_{endpoint}"
    return found


@pytest.mark.parametrize("api", APIS)
def test_text_is_the_same_whole_and_streamed_and_charged_as_told(
    served: Served, sdk: anthropic.Anthropic, api: str
) -> None:
    """The record counts what the message says; both cost the same."""
    name = model(api, "demo")
    raw = sdk.messages.with_raw_response.create(model=name, max_tokens=200, messages=HELLO)
    whole = raw.parse()
    assert (whole.model, whole.stop_reason) == (name, "end_turn")
    found = recorded(served, raw.headers)
    assert found.quantities.input_tokens == whole.usage.input_tokens > 0
    assert found.quantities.output_tokens == whole.usage.output_tokens > 0
    assert found.charge.amount_nanos > 0
    with sdk.messages.stream(model=name, max_tokens=200, messages=HELLO) as stream:
        pieces = list(stream.text_stream)
        streamed = stream.get_final_message()
        again = recorded(served, stream.response.headers)
    assert len(pieces) > 3
    assert "".join(pieces) == "".join(one.text for one in whole.content if one.type == "text")
    assert streamed.usage.output_tokens == whole.usage.output_tokens
    assert streamed.usage.input_tokens == whole.usage.input_tokens
    assert (again.quantities, again.charge) == (found.quantities, found.charge)


@pytest.mark.parametrize("api", APIS)
def test_tools_are_called_and_answered(sdk: anthropic.Anthropic, api: str) -> None:
    """A round: the call, its result, and the text behind it; arguments stream."""
    name = model(api, "tools")
    with sdk.messages.stream(
        model=name, max_tokens=300, messages=HELLO, tools=[TIDE], tool_choice={"type": "any"}
    ) as stream:
        called = stream.get_final_message()
    assert called.stop_reason == "tool_use"
    call = called.content[-1]
    assert call.type == "tool_use"
    assert (call.name, list(call.input)) == ("tide_height", ["harbor"])
    result: Any = {"type": "tool_result", "tool_use_id": call.id, "content": "Two meters."}
    messages: list[MessageParam] = [
        *HELLO,
        {"role": "assistant", "content": called.content},
        {"role": "user", "content": [result]},
    ]
    told = sdk.messages.create(model=name, max_tokens=300, messages=messages, tools=[TIDE])
    assert (told.stop_reason, told.content[0].type) == ("end_turn", "text")


@pytest.mark.parametrize("api", APIS)
def test_images_and_thinking_cross_over(sdk: anthropic.Anthropic, api: str) -> None:
    """What is thought is shown as thinking, and counts as output."""
    content: Any = [
        {"type": "text", "text": "What is it?"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}},
    ]
    found = sdk.messages.create(
        model=model(api, "demo"),
        max_tokens=2000,
        messages=[{"role": "user", "content": content}],
        thinking={"type": "enabled", "budget_tokens": 1024, "display": "summarized"},
    )
    assert [one.type for one in found.content] == ["thinking", "text"]
    assert found.usage.output_tokens_details is not None
    assert 0 < found.usage.output_tokens_details.thinking_tokens < found.usage.output_tokens


@pytest.mark.parametrize("api", APIS)
def test_errors_are_anthropics(served: Served, sdk: anthropic.Anthropic, api: str) -> None:
    """What the provider refuses, a model that is not there, a field that is missing."""
    with pytest.raises(anthropic.BadRequestError) as refused:
        sdk.messages.create(model=model(api, "refused"), max_tokens=9, messages=HELLO)
    assert refused.value.type == "invalid_request_error"
    assert recorded(served, refused.value.response.headers).charge.amount_nanos == 0
    with pytest.raises(anthropic.NotFoundError):
        sdk.messages.create(model="nobody", max_tokens=9, messages=HELLO)
    with pytest.raises(anthropic.BadRequestError, match="max_tokens"):
        sdk.post("/v1/messages", cast_to=object, body={"model": "demo", "messages": HELLO})


def test_a_wrong_key_is_refused_in_anthropics_shape(served: Served) -> None:
    """Also one in its own header."""
    for header in ({"x-api-key": "wrong"}, {"authorization": "Bearer wrong"}):
        answer = httpx.post(f"{served.origin}/v1/messages", headers=header, json={})
        assert answer.status_code == 401
        assert answer.json()["error"]["type"] == "authentication_error"
        assert answer.json()["request_id"] == answer.headers["request-id"]


@pytest.mark.parametrize("api", APIS)
def test_a_cut_is_seen_and_never_a_clean_end(
    served: Served, sdk: anthropic.Anthropic, api: str
) -> None:
    """The SDK raises; the record says that it failed, and costs at most what was counted."""
    raw = sdk.messages.with_raw_response.create(
        model=model(api, "cut"), max_tokens=300, messages=HELLO, stream=True
    )
    with pytest.raises(anthropic.APIStatusError) as caught:
        list(raw.parse())
    assert caught.value.body["error"]["details"]["error_code"] == "upstream_cut"  # type: ignore[index]
    found = recorded(served, raw.headers)
    assert (found.outcome, found.error_class) == (record.OUTCOME_FAILED, record.ERROR_CLASS_CUT)
    # These two count the input before they have answered.
    assert (found.quantities.input_tokens > 0) == (api in {"messages", "generate"})
    assert (found.charge.amount_nanos > 0) == (found.quantities.input_tokens > 0)


def test_counting_is_free_and_recorded(served: Served, sdk: anthropic.Anthropic) -> None:
    """The upstream's own count, no quantities, no charge."""
    raw = sdk.messages.with_raw_response.count_tokens(
        model=model("messages", "demo"), messages=HELLO
    )
    told = sdk.messages.create(model=model("messages", "demo"), max_tokens=9, messages=HELLO)
    assert raw.parse().input_tokens == told.usage.input_tokens
    found = recorded(served, raw.headers, "COUNT_TOKENS")
    assert found.outcome == record.OUTCOME_SUCCEEDED
    assert not found.quantities.ListFields()
    assert found.charge.amount_nanos == 0


@pytest.mark.parametrize("api", CROSSED)
def test_counting_is_refused_where_no_upstream_counts_messages(
    sdk: anthropic.Anthropic, api: str
) -> None:
    """An estimate would not be a count."""
    with pytest.raises(anthropic.BadRequestError) as caught:
        sdk.messages.count_tokens(model=model(api, "demo"), messages=HELLO)
    assert caught.value.body["error"]["details"] == {  # type: ignore[index]
        "error_code": "token_counting_not_available",
        "param": "model",
    }


def test_what_says_who_asks_is_not_forwarded(served: Served, sdk: anthropic.Anthropic) -> None:
    """Of the headers only version and features, of the body everything but `metadata`."""
    served.demo.forget()
    sdk.beta.messages.create(
        model=model("messages", "demo"),
        max_tokens=9,
        messages=[{"role": "user", "content": "Hi."}],
        metadata={"user_id": '{"device_id":"d","account_uuid":"a"}'},
        betas=["context-management-2025-06-27", "context-1m-2025-08-07"],
        context_management={"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        extra_headers={"x-claude-code-session-id": "s", "x-app": "cli"},
    )
    (call,) = served.demo.calls()
    assert call.header_names - OWN_HEADERS == {"anthropic-version", "anthropic-beta"}
    assert "metadata" not in call.body
    assert call.body["context_management"]["edits"][0]["type"] == "clear_thinking_20251015"
    for api in CROSSED:
        served.demo.forget()
        sdk.messages.create(
            model=model(api, "demo"), max_tokens=9, messages=HELLO, metadata={"user_id": "u"}
        )
        (call,) = served.demo.calls()
        assert "metadata" not in (call.body or {})
        assert not any(name.startswith("anthropic") for name in call.header_names)


@pytest.mark.parametrize("api", APIS)
def test_a_ceiling_in_dollars_holds(served: Served, sdk: anthropic.Anthropic, api: str) -> None:
    """`x-max-cost` caps the output limit, and thinking with it."""
    raw = sdk.messages.with_raw_response.create(
        model=model(api, "demo"),
        max_tokens=4000,
        messages=HELLO,
        thinking={"type": "enabled", "budget_tokens": 3000},
        extra_headers={"x-max-cost": "0.001"},
    )
    assert recorded(served, raw.headers).charge.amount_nanos <= 1_000_000


def test_who_leaves_before_the_end_pays_for_what_came(
    served: Served, sdk: anthropic.Anthropic
) -> None:
    """The input is counted at the beginning, the output that was delivered is estimated."""
    with sdk.messages.stream(
        model=model("messages", "endless"), max_tokens=4000, messages=HELLO
    ) as stream:
        pieces = [piece for piece, _ in zip(stream.text_stream, range(12), strict=False)]
        headers = stream.response.headers
    found = recorded(served, headers)
    assert found.outcome == record.OUTCOME_CANCELLED
    assert found.usage_source == record.USAGE_SOURCE_ESTIMATED
    assert found.quantities.input_tokens > 0
    assert len(pieces) <= found.quantities.output_tokens < 200


def test_models_are_listed_in_anthropics_shape(sdk: anthropic.Anthropic) -> None:
    """All on one page, and one by one."""
    listed = {one.id: one for one in sdk.models.list()}
    name = model("messages", "demo")
    assert listed[name].max_tokens == 64_000
    assert sdk.models.retrieve(name) == listed[name]
    with pytest.raises(anthropic.NotFoundError):
        sdk.models.retrieve("nobody")
