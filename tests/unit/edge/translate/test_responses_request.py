"""Requests of responses: what is read, refused, bounded, and sent on the native way."""

from __future__ import annotations

import base64
from typing import Any

import orjson
import pytest

from edge.translate.errors import InvalidRequest, StatelessOnly
from edge.translate.neutral.conversation import Maker
from edge.translate.responses.request import ResponsesRequest
from edge.translate.responses.sealed import seal
from edge.translate.responses.surface import ResponsesSurface
from oneapi.common.v1.endpoint_pb2 import Endpoint
from tests.unit.edge.translate.terms import terms
from tests.unit.edge.translate.test_chat_shape import NOTHING, Limits

PICTURE = "data:image/png;base64," + base64.b64encode(bytes(3000)).decode()
MODELS = Limits()


def read(**members: Any) -> ResponsesRequest:
    """Read a body; it has a model and an input unless told otherwise."""
    body = {"model": "m", "input": "Hi.", **members}
    body = {name: value for name, value in body.items() if value is not ...}
    return ResponsesSurface().read(orjson.dumps(body), {}, "/v1/responses", b"")


def sent(request: ResponsesRequest, output_limit: int | None = None) -> dict[str, Any]:
    """Return the body for an upstream that serves responses."""
    native = request.translation(terms(Endpoint.ENDPOINT_RESPONSES))
    assert native.path == b"/responses"
    body: dict[str, Any] = orjson.loads(native.body(output_limit))
    return body


def refusal(**members: Any) -> tuple[str, str | None]:
    """Return code and path of a refusal, by reading or by the bound."""
    with pytest.raises(InvalidRequest) as caught:
        read(**members).shape(MODELS)
    return caught.value.code, caught.value.param


def message(*parts: Any, **more: Any) -> dict[str, Any]:
    """Return a user's message of these parts."""
    return {"type": "message", "role": "user", "content": list(parts), **more}


@pytest.mark.parametrize(
    ("members", "code", "param"),
    [
        ({"previous_response_id": "resp_1"}, "stateless_only", "previous_response_id"),
        ({"conversation": "conv_1"}, "stateless_only", "conversation"),
        ({"conversation": {"id": "conv_1"}}, "stateless_only", "conversation"),
        ({"prompt": {"id": "pmpt_1"}}, "stateless_only", "prompt"),
        ({"background": True}, "stateless_only", "background"),
        ({"input": [{"type": "item_reference", "id": "rs_1"}]}, "stateless_only", "input[0]"),
        ({"input": [{"id": "msg_1"}]}, "stateless_only", "input[0]"),
        (
            {"input": [message({"type": "input_image", "file_id": "file-1"})]},
            "stateless_only",
            "input[0].content[0].file_id",
        ),
        ({"context_management": [{"type": "compaction"}]}, "unsupported_parameter", ...),
        ({"moderation": {"model": "x"}}, "unsupported_parameter", "moderation"),
        ({"reasoning": {"mode": "pro"}}, "unsupported_value", "reasoning.mode"),
        ({"input": [{"type": "compaction_trigger"}]}, "unsupported_value", "input[0].type"),
        ({"input": [{"type": "web_search_call"}]}, "unsupported_value", "input[0].type"),
        ({"input": ...}, "missing_required_parameter", "input"),
        ({"input": 7}, "invalid_type", "input"),
        ({"input": []}, "empty_array", "input"),
        ({"input": ["Hi."]}, "invalid_type", "input[0]"),
        ({"input": [{"type": 1}]}, "invalid_type", "input[0].type"),
        ({"input": [message("Hi.")]}, "invalid_type", "input[0].content[0]"),
        ({"input": [message({})]}, "missing_required_parameter", "input[0].content[0].type"),
        ({"input": [message({"type": "video"})]}, "unsupported_value", ...),
        ({"input": [{"role": "user", "content": {}}]}, "invalid_type", "input[0].content"),
        ({"model": 1}, "invalid_type", "model"),
        ({"stream": "yes"}, "invalid_type", "stream"),
        ({"store": 1}, "invalid_type", "store"),
        ({"max_output_tokens": 0}, "integer_below_min_value", "max_output_tokens"),
        ({"max_output_tokens": 1.5}, "invalid_type", "max_output_tokens"),
        ({"service_tier": "ultrafast"}, "invalid_value", "service_tier"),
        ({"reasoning": "high"}, "invalid_type", "reasoning"),
        ({"tools": {}}, "invalid_type", "tools"),
        ({"tools": [1]}, "invalid_type", "tools[0]"),
        ({"tools": [{}]}, "missing_required_parameter", "tools[0].type"),
    ],
)
def test_what_cannot_be_served_is_refused_by_name(
    members: dict[str, Any], code: str, param: Any
) -> None:
    """The path and the code are the contract; no value of the client's is in either."""
    found = refusal(**members)
    assert found[0] == code
    if param is not ...:
        assert found[1] == param


@pytest.mark.parametrize(
    "tool",
    [
        *("web_search", "web_search_preview", "file_search", "code_interpreter", "computer"),
        *("image_generation", "mcp", "computer_use_preview", "programmatic_tool_calling", "new"),
    ],
)
def test_tools_that_the_provider_runs_are_refused_wherever_they_come(tool: str) -> None:
    """In the request, in a namespace, in items: what they read has no bound."""
    tools = [{"type": tool}]
    assert refusal(tools=tools) == ("unsupported_value", "tools[0].type")
    nested = [{"type": "namespace", "name": "n", "tools": tools}]
    assert refusal(tools=nested) == ("unsupported_value", "tools[0].tools[0].type")
    for kind in ("additional_tools", "tool_search_output"):
        found = refusal(input=[{"type": kind, "tools": tools}])
        assert found == ("unsupported_value", "input[0].tools[0].type")


def test_hosted_tool_search_is_counted_wherever_it_stands() -> None:
    """Also in a namespace, and whatever comes after it: the request is read again each time."""
    search: dict[str, Any] = {"type": "tool_search"}
    space = {"type": "namespace", "name": "n", "tools": [search, {"type": "function", "name": "g"}]}
    for tools in ([search], [space], [{**space, "tools": [space]}]):
        request = read(tools=[*tools, {"type": "tool_search", "execution": "client"}])
        overhead = request.shape(MODELS).overhead_tokens
        assert overhead == 4 * MODELS.input_overhead_with_tools_tokens


def test_tools_that_the_client_runs_are_taken() -> None:
    """They go to the upstream as they are, with the overhead of tools in the bound."""
    tools: list[dict[str, Any]] = [
        {"type": "function", "name": "f", "parameters": {}, "strict": False},
        {"type": "custom", "name": "c", "format": {"type": "text"}},
        {"type": "apply_patch"},
        {"type": "local_shell"},
        {"type": "shell", "environment": {"type": "local"}},
        {"type": "tool_search", "execution": "client"},
        {"type": "namespace", "name": "n", "tools": [{"type": "function", "name": "g"}]},
    ]
    request = read(tools=tools)
    assert request.shape(MODELS).overhead_tokens == MODELS.input_overhead_with_tools_tokens
    assert sent(request)["tools"] == tools


@pytest.mark.parametrize("environment", [None, {"type": "container_auto"}, {}])
def test_a_shell_that_is_not_said_to_be_the_clients_is_refused(environment: Any) -> None:
    """The provider's runs in a container that is billed by itself."""
    tool = {"type": "shell", "environment": environment}
    assert refusal(tools=[tool]) == ("unsupported_value", "tools[0].environment")


def test_hosted_tool_search_is_bounded_by_several_readings() -> None:
    """Each search lets the model read the request again."""
    plain = read(tools=[{"type": "tool_search", "execution": "client"}]).shape(MODELS)
    hosted = read(tools=[{"type": "tool_search", "execution": "server"}]).shape(MODELS)
    assert hosted.input_tokens == 4 * plain.input_tokens


def test_media_is_bounded_by_the_catalogue_and_its_data_left_out_of_the_bytes() -> None:
    """In messages, and in what tools return."""
    picture = {"type": "input_image", "image_url": PICTURE, "detail": "auto"}
    file = {"type": "input_file", "file_data": "data:application/pdf;base64,AAAA"}
    result = {"type": "function_call_output", "call_id": "c", "output": [picture]}
    request = read(input=[message(picture, file), result])
    bound = request.shape(MODELS)
    assert bound.media_tokens == 2 * MODELS.image_max_tokens + MODELS.file_max_tokens
    assert request.media_bytes == 2 * len(PICTURE) + len(file["file_data"])
    assert bound.text_bytes < 500
    for part, path in ((picture, "input[0].content[0]"), (file, "input[0].content[0]")):
        with pytest.raises(InvalidRequest) as caught:
            read(input=[message(part)]).shape(NOTHING)
        assert caught.value.param == path


def test_the_request_goes_on_with_our_edits_only() -> None:
    """Model and store are ours; what says who the client is stays here; the rest passes."""
    members = {
        "input": [{"role": "user", "content": "Hi.", "unknown": 1}],
        "instructions": "Be brief.",
        "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": "k",
        "unknown": {"a": [1.0, None]},
        "stream": True,
    }
    request = read(
        **members,
        store=True,
        service_tier="flex",
        metadata={"user": "canary"},
        client_metadata={"installation": "canary"},
    )
    assert request.stream
    assert request.service_tier == "flex"
    assert sent(request) == {**members, "model": "upstream-model", "store": False}


@pytest.mark.parametrize(
    ("own", "ours", "told"), [(None, 7, 7), (5, 7, 5), (9, 7, 7), (9, None, 9)]
)
def test_the_smaller_limit_of_output_counts(own: int | None, ours: int | None, told: int) -> None:
    """The client's and the one that was held for."""
    request = read(max_output_tokens=own)
    assert request.token_limit == own
    assert sent(request, ours)["max_output_tokens"] == told


def test_reasoning_that_means_nothing_there_is_left_out() -> None:
    """What another API made, and what only names a stored item; all other reasoning stays."""
    kept = [
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "secret"},
        {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "a"}]},
    ]
    secret = seal(Maker.ANTHROPIC, "signed", "s.1")
    foreign = {"type": "reasoning", "summary": [], "encrypted_content": secret}
    named: dict[str, Any] = {
        "type": "reasoning",
        "id": "rs_2",
        "summary": [],
        "encrypted_content": None,
    }
    question = {"role": "user", "content": "Hi."}
    request = read(input=[kept[0], foreign, named, kept[1], question])
    assert sent(request)["input"] == [*kept, question]


def test_a_client_may_leave_the_model_to_its_key() -> None:
    """Null, empty and absent are the same."""
    assert [read(model=name).model for name in (None, "", ..., "m")] == [None, None, None, "m"]


def test_the_refusal_of_state_says_what_to_do() -> None:
    """It is the one that clients with a store meet first."""
    error = StatelessOnly("previous_response_id")
    assert "send the whole conversation" in error.message
    assert "'previous_response_id'" in error.message
