"""Whatever a client sends as a request of responses: one of ours, or an error of ours."""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import event, example, given
from hypothesis import strategies as st

from edge.translate.errors import InvalidRequest
from edge.translate.responses.surface import ResponsesSurface
from edge.translate.responses.upstream import ResponsesUpstream
from edge.translate.upstreams import UPSTREAM_APIS
from oneapi.common.v1.endpoint_pb2 import Endpoint
from tests.unit.edge.translate.terms import terms
from tests.unit.edge.translate.test_any_input import SCALARS, as_parsed
from tests.unit.edge.translate.test_chat_shape import Limits
from tests.unit.edge.translate.test_responses_crossing_requests import CONVERSATIONS, SETTINGS

FIELDS = st.sampled_from(
    [
        *("model", "input", "instructions", "tools", "tool_choice", "text", "reasoning", "store"),
        *("stream", "include", "metadata", "background", "conversation", "service_tier", "format"),
        *("max_output_tokens", "top_logprobs", "temperature", "truncation", "parallel_tool_calls"),
        *("type", "role", "content", "output", "call_id", "name", "arguments", "summary", "schema"),
        *("encrypted_content", "image_url", "file_data", "file_id", "mode", "effort", "verbosity"),
        *("environment", "execution", "parameters", "strict", "description", "detail"),
    ]
)
WORDS = st.sampled_from(
    [
        *("message", "function_call", "function_call_output", "reasoning", "item_reference"),
        *("function", "custom", "namespace", "shell", "tool_search", "additional_tools", "local"),
        *("input_text", "input_image", "input_file", "output_text", "refusal", "json_schema"),
        *("user", "assistant", "developer", "auto", "required", "allowed_tools", "high", "f"),
        *("data:image/png;base64,AAAA", "https://example.com/a"),
    ]
)
ANY = st.recursive(
    SCALARS | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=5),
    max_leaves=12,
)
ITEMS = st.lists(st.dictionaries(FIELDS, ANY, max_size=5), max_size=4)
BODIES = st.builds(
    lambda given, settings, more: {"model": "m", "input": given, **settings, **more},
    st.sampled_from(CONVERSATIONS) | ITEMS | st.text(max_size=5),
    st.sampled_from([{}, *SETTINGS]),
    st.dictionaries(FIELDS, ANY, max_size=3),
)


@given(BODIES)
@example({"model": "m", "input": [{"type": "reasoning", "summary": [{"type": []}]}]})
@example({"model": "m", "input": "Hi.", "tool_choice": [], "truncation": [], "include": [{}]})
@example({"model": "m", "input": [{"role": [], "content": [{"type": "input_text", "text": {}}]}]})
def test_any_body_is_a_request_or_an_error_of_ours(value: Any) -> None:
    """And what is taken can be sent on, natively or by another API, within its bound."""
    body = as_parsed(value)
    try:
        request = ResponsesSurface().read(orjson.dumps(body), {}, "/v1/responses", b"")
        bound = request.shape(Limits())
    except InvalidRequest as error:
        event(error.code)
        return
    native = request.translation(terms(Endpoint.ENDPOINT_RESPONSES)).body(7)
    sent = orjson.loads(native)
    assert (sent["model"], sent["store"]) == ("upstream-model", False)
    assert sent["max_output_tokens"] <= 7
    assert bound.text_bytes > 0
    assert request.media_bytes >= 0
    for api in UPSTREAM_APIS:
        if api.endpoint == Endpoint.ENDPOINT_RESPONSES:
            continue
        try:
            request.translation(terms(api.endpoint)).body(7)
            event("crosses over")
        except InvalidRequest as error:
            event(f"does not cross over: {error.code}")


@given(BODIES)
def test_what_crosses_over_once_crosses_over_again(value: Any) -> None:
    """Written as responses and read again it is the same."""
    body = as_parsed(value)
    surface, upstream = ResponsesSurface(), ResponsesUpstream()
    at = terms(Endpoint.ENDPOINT_RESPONSES)
    try:
        request = surface.read(orjson.dumps(body), {}, "/v1/responses", b"")
        request.shape(Limits())
        first = upstream.write(request.conversation(), at, stream=False)
    except InvalidRequest:
        return
    again = surface.read(orjson.dumps({**first, "model": "m"}), {}, "/v1/responses", b"")
    second = upstream.write(again.conversation(), at, stream=False)
    assert second == first
