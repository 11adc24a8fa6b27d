"""Searches of the web that a provider makes: bounded by the catalogue, limited, and counted."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.translate.chat.surface import ChatSurface
from edge.translate.errors import InvalidRequest
from edge.translate.estimate import estimated
from edge.translate.messages.surface import MessagesCountSurface, MessagesSurface
from edge.translate.responses.surface import ResponsesSurface
from edge.translate.surface import ClientRequest, Surface
from kit.charge import DIMENSIONS, Dimension, Price, PriceTier, Quantities
from kit.hold import HoldBound, RequestShape
from oneapi.common.v1.endpoint_pb2 import Endpoint
from tests.unit.edge.translate.terms import price_of, terms
from tests.unit.edge.translate.test_chat_shape import Limits

CALLS, FOUND = 3, 2_000
SEARCHING = Limits(tool_calls_max=CALLS, tool_call_max_tokens=FOUND)
PLAIN: dict[str, Any] = {"type": "web_search_20250305", "name": "web_search"}
LATER: dict[str, Any] = {"type": "web_search_20260318", "name": "web_search"}
SEARCH: dict[str, Any] = {"type": "web_search", "external_web_access": False}
FUNCTION: dict[str, Any] = {"type": "function", "name": "tide", "parameters": {"type": "object"}}
PRICE = Price(1, 1, 1, 0, (PriceTier(0, (*(10**9,) * (DIMENSIONS - 2), 0, 10**13)),))
"""A nano-dollar thousand times for each token, a cent for each search."""

CHAT = ChatSurface(), Endpoint.ENDPOINT_CHAT_COMPLETIONS
RESPONSES = ResponsesSurface(), Endpoint.ENDPOINT_RESPONSES
MESSAGES = MessagesSurface(), Endpoint.ENDPOINT_MESSAGES
HEAD: dict[Endpoint.ValueType, dict[str, Any]] = {
    CHAT[1]: {"messages": [{"role": "user", "content": "Hi."}]},
    RESPONSES[1]: {"input": "Hi."},
    MESSAGES[1]: {"messages": [{"role": "user", "content": "Hi."}], "max_tokens": 9},
}
Api = tuple[Surface, Endpoint.ValueType]


def read(api: Api, **members: Any) -> ClientRequest:
    """Read a body of an API."""
    body = {"model": "m", **HEAD[api[1]], **members}
    return api[0].read(orjson.dumps(body), {}, "/v1/x", b"")


def shaped(api: Api, limits: Limits = SEARCHING, **members: Any) -> RequestShape:
    """Return the bound of a body."""
    return read(api, **members).shape(limits)


def sent(api: Api, limits: Limits = SEARCHING, **members: Any) -> dict[str, Any]:
    """Return what an upstream of the same API gets."""
    request = read(api, **members)
    request.shape(limits)
    body: dict[str, Any] = json.loads(request.translation(terms(api[1])).body(None))
    return body


def refusal(api: Api, limits: Limits = SEARCHING, **members: Any) -> tuple[str, str | None]:
    """Return code and field of a refusal."""
    with pytest.raises(InvalidRequest) as caught:
        read(api, **members).shape(limits)
    return caught.value.code, caught.value.param


def counted(api: Api, answer: dict[str, Any], **members: Any) -> Quantities | None:
    """Return what a whole answer counts."""
    request = read(api, **members)
    request.shape(SEARCHING)
    native = request.translation(terms(api[1]))
    return native.whole(orjson.dumps(answer), b"application/json", price_of).quantities


def streamed(api: Api, events: list[dict[str, Any]], **members: Any) -> Quantities | None:
    """Return what a stream counts."""
    request = read(api, stream=True, **members)
    request.shape(SEARCHING)
    stream = request.translation(terms(api[1])).stream(price_of)
    for event in events:
        stream.feed(b"data: " + orjson.dumps(event) + b"\n\n")
    return stream.finish(body_complete=True).quantities


@pytest.mark.parametrize(
    ("api", "members", "calls"),
    [
        (RESPONSES, {"tools": [SEARCH]}, 3),
        (RESPONSES, {"tools": [{"type": "web_search_preview_2025_03_11"}]}, 3),
        (RESPONSES, {"tools": [FUNCTION, {"type": "web_search_2025_08_26"}]}, 3),
        (RESPONSES, {"tools": [SEARCH], "max_tool_calls": 2}, 2),
        (RESPONSES, {"tools": [SEARCH], "max_tool_calls": 9}, 3),
        (RESPONSES, {"tools": [FUNCTION], "max_tool_calls": 2}, 0),
        (MESSAGES, {"tools": [PLAIN]}, 3),
        (MESSAGES, {"tools": [PLAIN | {"max_uses": 2, "allowed_callers": ["direct"]}]}, 2),
        (MESSAGES, {"tools": [PLAIN | {"max_uses": 9}]}, 3),
        (MESSAGES, {"tools": [LATER | {"allowed_callers": ["direct"]}]}, 3),
        (MESSAGES, {"tools": [PLAIN | {"max_uses": 1}, PLAIN | {"max_uses": 1}]}, 2),
        (CHAT, {"web_search_options": {}}, 1),
        (CHAT, {"web_search_options": {"search_context_size": "low"}, "n": 3}, 3),
        (CHAT, {"web_search_options": None}, 0),
        (CHAT, {"web_search_options": False}, 0),
    ],
)
def test_the_searches_that_a_request_may_cause_are_held_for(
    api: Api, members: dict[str, Any], calls: int
) -> None:
    """Each by its price, and with all that it makes the model read."""
    shape, head = shaped(api, **members), shaped(api)
    assert shape.tool_calls == calls
    once = shape.text_bytes + shape.overhead_tokens
    readings = {0: 0, 1: 1, 2: 3, 3: 6}[calls]
    assert shape.input_tokens == (calls + 1) * once + readings * FOUND
    assert once >= head.text_bytes + head.overhead_tokens


def test_a_hold_covers_the_dearest_that_can_happen() -> None:
    """Three searches, each with all that it may find, read again and again: to the nano-dollar."""
    shape = shaped(RESPONSES, tools=[SEARCH])
    readings = 4 * (shape.text_bytes + shape.overhead_tokens) + (1 + 2 + 3) * FOUND
    assert HoldBound(shape, PRICE).nanos(100) == (readings + 100) * 1_000 + 3 * 10**7


def test_an_estimate_has_the_searches_that_were_seen() -> None:
    """No more than were held for; what else was held for them is not charged."""
    plain, searching = shaped(RESPONSES, tools=[FUNCTION]), shaped(RESPONSES, tools=[SEARCH])
    searching.text_bytes = plain.text_bytes
    facts = {"events": 3, "content_bytes": 10, "limit": 100}
    assert estimated(searching, **facts) == estimated(plain, **facts, searches=2)
    for seen, charged in ((1, 1), (3, 3), (4, 3)):
        found = estimated(searching, **facts, searches=seen)
        assert found[Dimension.TOOL_CALLS] == charged
        assert found[: Dimension.TOOL_CALLS] == estimated(plain, **facts)[: Dimension.TOOL_CALLS]


def _item(**members: Any) -> dict[str, Any]:
    return {"type": "web_search_call", "status": "completed", **members}


def _found(content: Any) -> dict[str, Any]:
    return {"type": "web_search_tool_result", "tool_use_id": "s", "content": content}


RESULTS = [_found([{"type": "web_search_result"}]), _found([]), _found({"error_code": "x"})]
ITEMS = [_item(action={"type": "search"}), _item(), _item(action={"type": "open_page"})]
UNCOUNTED: list[tuple[Api, dict[str, Any], list[dict[str, Any]], dict[str, Any], int]] = [
    (
        CHAT,
        {"web_search_options": {}, "n": 2},
        [{"choices": [{"index": 0, "delta": {"content": "a"}}]}],
        {"choices": [{"message": {"content": "a"}, "finish_reason": "stop"}]},
        2,
    ),
    (CHAT, {"web_search_options": {}}, [], {"choices": []}, 0),
    (
        RESPONSES,
        {"tools": [SEARCH]},
        [
            {"type": "response.output_item.done", "output_index": place, "item": item}
            for place, item in enumerate(ITEMS)
        ],
        {"status": "completed", "output": ITEMS},
        2,
    ),
    (
        MESSAGES,
        {"tools": [PLAIN]},
        [
            {"type": "content_block_start", "index": place, "content_block": block}
            for place, block in enumerate(RESULTS)
        ],
        {"type": "message", "content": RESULTS},
        2,
    ),
]


@pytest.mark.parametrize(("api", "members", "events", "answer", "seen"), UNCOUNTED)
def test_searches_are_seen_where_nothing_was_counted(
    api: Api,
    members: dict[str, Any],
    events: list[dict[str, Any]],
    answer: dict[str, Any],
    seen: int,
) -> None:
    """Those that took place, in streams that are cut and in whole answers."""
    request = read(api, **members)
    request.shape(SEARCHING)
    native = request.translation(terms(api[1]))
    assert native.whole(orjson.dumps(answer), b"", price_of).searches == seen
    stream = native.stream(price_of)
    for event in events:
        stream.feed(b"data: " + orjson.dumps(event) + b"\n\n")
    end = stream.finish(body_complete=False)
    assert (end.searches, end.quantities) == (seen, None)


@pytest.mark.parametrize(
    ("members", "limit"),
    [
        ({"tools": [SEARCH]}, 3),
        ({"tools": [SEARCH], "max_tool_calls": 2}, 2),
        ({"tools": [SEARCH], "max_tool_calls": 9}, 3),
        ({"tools": [FUNCTION], "max_tool_calls": 0}, 0),
        ({"tools": [FUNCTION]}, None),
        ({"tools": [FUNCTION], "max_tool_calls": 9}, 9),
    ],
)
def test_responses_say_the_limit_upstream(members: dict[str, Any], limit: int | None) -> None:
    """The smaller one of the client's and the catalogue's; the tool itself passes."""
    body = sent(RESPONSES, **members)
    assert body.get("max_tool_calls") == limit
    assert body["tools"] == members["tools"]


@pytest.mark.parametrize(
    ("tools", "limits"),
    [
        ([PLAIN], [3]),
        ([PLAIN | {"max_uses": None}], [3]),
        ([PLAIN | {"max_uses": 1}], [1]),
        ([PLAIN | {"max_uses": 9}], [3]),
        ([PLAIN, PLAIN], [2, 1]),
        ([PLAIN | {"max_uses": 1}, {"name": "tide", "input_schema": {}}, PLAIN], [1, None, 2]),
        ([{"name": "tide", "input_schema": {}}], [None]),
    ],
)
def test_messages_say_the_limit_upstream(
    tools: list[dict[str, Any]], limits: list[int | None]
) -> None:
    """On each tool, so that all together stay within the catalogue's."""
    body = sent(MESSAGES, tools=tools)
    assert [tool.get("max_uses") for tool in body["tools"]] == limits
    plain = [{k: v for k, v in tool.items() if k != "max_uses"} for tool in body["tools"]]
    assert plain == [{k: v for k, v in tool.items() if k != "max_uses"} for tool in tools]


@given(st.lists(st.none() | st.integers(1, 9), min_size=1, max_size=5), st.integers(1, 6))
def test_messages_never_may_search_more_than_the_catalogue_says(
    wanted: list[int | None], most: int
) -> None:
    """However many tools there are; the client's own limits are kept."""
    tools = [PLAIN | {"max_uses": one} for one in wanted]
    limits = Limits(tool_calls_max=most, tool_call_max_tokens=FOUND)
    if len(tools) > most:
        assert refusal(MESSAGES, limits, tools=tools)[0] == "unsupported_value"
        return
    granted = [tool["max_uses"] for tool in sent(MESSAGES, limits, tools=tools)["tools"]]
    assert sum(granted) <= most
    assert shaped(MESSAGES, limits, tools=tools).tool_calls == sum(granted)
    assert all(1 <= one <= (own or most) for one, own in zip(granted, wanted, strict=True))


@pytest.mark.parametrize(
    ("api", "members", "code", "param"),
    [
        (RESPONSES, {"tools": [SEARCH]}, "unsupported_value", "tools[0].type"),
        (RESPONSES, {"input": [{"type": "web_search_call"}]}, "unsupported_value", "input[0].type"),
        (MESSAGES, {"tools": [PLAIN]}, "unsupported_value", "tools[0].type"),
        (CHAT, {"web_search_options": {}}, "unsupported_parameter", "web_search_options"),
    ],
)
@pytest.mark.parametrize(
    "limits",
    [Limits(), Limits(tool_calls_max=CALLS), Limits(tool_call_max_tokens=FOUND)],
    ids=["nothing", "no tokens", "no calls"],
)
def test_without_both_maxima_web_search_is_refused(
    limits: Limits, api: Api, members: dict[str, Any], code: str, param: str
) -> None:
    """Its cost would have no bound."""
    assert refusal(api, limits, **members) == (code, param)


@pytest.mark.parametrize(
    ("api", "members", "code", "param"),
    [
        (RESPONSES, {"tools": [{"type": "web_search_9"}]}, "unsupported_value", "tools[0].type"),
        (RESPONSES, {"tools": [SEARCH, {"type": "mcp"}]}, "unsupported_value", "tools[1].type"),
        (
            RESPONSES,
            {"tools": [{"type": "namespace", "tools": [SEARCH]}]},
            "unsupported_value",
            "tools[0].tools[0].type",
        ),
        (RESPONSES, {"max_tool_calls": "3"}, "invalid_type", "max_tool_calls"),
        (RESPONSES, {"max_tool_calls": -1}, "integer_below_min_value", "max_tool_calls"),
        (
            RESPONSES,
            {"tools": [FUNCTION, SEARCH], "max_tool_calls": 0},
            "integer_below_min_value",
            "max_tool_calls",
        ),
        (MESSAGES, {"tools": [LATER]}, "unsupported_value", "tools[0].allowed_callers"),
        (
            MESSAGES,
            {"tools": [LATER | {"allowed_callers": ["direct", "code_execution_20260120"]}]},
            "unsupported_value",
            "tools[0].allowed_callers",
        ),
        (
            MESSAGES,
            {"tools": [PLAIN | {"allowed_callers": ["code_execution_20250825"]}]},
            "unsupported_value",
            "tools[0].allowed_callers",
        ),
        (
            MESSAGES,
            {"tools": [PLAIN | {"max_uses": 0}]},
            "integer_below_min_value",
            "tools[0].max_uses",
        ),
        (MESSAGES, {"tools": [PLAIN | {"max_uses": "1"}]}, "invalid_type", "tools[0].max_uses"),
        (MESSAGES, {"tools": [PLAIN] * 4}, "unsupported_value", "tools[0].type"),
        (MESSAGES, {"tools": [{"type": "web_fetch_20250910"}]}, "unsupported_value", ...),
        (MESSAGES, {"tools": [{"type": "web_search_latest"}]}, "unsupported_value", ...),
        (CHAT, {"web_search_options": {}, "n": 4}, "unsupported_parameter", "web_search_options"),
        (CHAT, {"web_search_options": True}, "invalid_type", "web_search_options"),
        (CHAT, {"search_parameters": {}}, "unsupported_parameter", "search_parameters"),
    ],
)
def test_what_else_a_provider_would_run_is_refused(
    api: Api, members: dict[str, Any], code: str, param: Any
) -> None:
    """By its name, as is web search that no limit bounds."""
    found = refusal(api, **members)
    assert found[0] == code
    assert param in (..., found[1])


def test_what_earlier_searches_found_is_held_for() -> None:
    """It is read again, in a form that the request does not show."""
    before = {"type": "web_search_call", "id": "ws_1", "status": "completed"}
    asked = {"type": "message", "role": "user", "content": "And now?"}
    assert shaped(RESPONSES, input=[before, before, asked]).media_tokens == 2 * FOUND
    pages = {"type": "web_search_tool_result", "tool_use_id": "s", "content": []}
    said = [{"role": "assistant", "content": [pages]}, *HEAD[MESSAGES[1]]["messages"]]
    assert shaped(MESSAGES, messages=said).media_tokens == FOUND
    assert refusal(MESSAGES, Limits(), messages=said) == (
        "unsupported_value",
        "messages[0].content[0].type",
    )


def test_counting_tokens_limits_nothing() -> None:
    """It searches for nothing, and its tools stay as they are."""
    body = {"model": "m", **HEAD[MESSAGES[1]], "tools": [PLAIN]}
    request = MessagesCountSurface().read(orjson.dumps(body), {}, "/v1/x", b"")
    request.shape(SEARCHING)
    way = request.translation(terms(MESSAGES[1], Endpoint.ENDPOINT_COUNT_TOKENS))
    assert json.loads(way.body(None))["tools"] == [PLAIN]


USAGE = {"input_tokens": 20, "output_tokens": 9, "total_tokens": 29}


def searched(*actions: str | None, status: str = "completed") -> dict[str, Any]:
    """Return a response whose model did this on the web."""
    items: list[dict[str, Any]] = [
        {"type": "web_search_call", "id": "ws", "status": status}
        | ({"action": {"type": one}} if one else {})
        for one in actions
    ]
    text = {"type": "message", "role": "assistant", "content": []}
    ended = {"id": "resp_1", "status": "completed", "model": "m", "usage": USAGE}
    return {**ended, "output": [*items, text]}


@pytest.mark.parametrize(
    ("response", "calls"),
    [
        (searched(), 0),
        (searched("search"), 1),
        (searched("search", "open_page", "find_in_page", "search"), 2),
        (searched(None), 1),
        (searched("search", status="failed"), 0),
        ({**searched(), "output": None}, 0),
        ({**searched(), "output": [7, {"type": "web_search_call", "status": "completed"}]}, 1),
    ],
)
def test_responses_count_their_searches(response: dict[str, Any], calls: int) -> None:
    """Whole and streamed alike; to open a page that was found is no search."""
    used = counted(RESPONSES, response, tools=[SEARCH])
    assert used is not None
    assert (used[Dimension.TOOL_CALLS], used[Dimension.INPUT]) == (calls, 20)
    begun = {"type": "response.created", "response": {**response, "usage": None}}
    ended = {"type": "response.completed", "response": response}
    assert streamed(RESPONSES, [begun, ended], tools=[SEARCH]) == used


def test_a_failed_response_counts_its_searches() -> None:
    """The provider did them."""
    failed = {**searched("search"), "status": "failed", "error": {"code": "x", "message": "No."}}
    used = streamed(RESPONSES, [{"type": "response.failed", "response": failed}], tools=[SEARCH])
    assert used is not None
    assert used[Dimension.TOOL_CALLS] == 1


def test_messages_count_their_searches() -> None:
    """As Anthropic's usage says."""
    usage = {**USAGE, "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 0}}
    answer = {"type": "message", "content": [{"type": "text", "text": "Hi."}], "usage": usage}
    used = counted(MESSAGES, answer, tools=[PLAIN])
    assert used is not None
    assert used[Dimension.TOOL_CALLS] == 2


@pytest.mark.parametrize(("members", "calls"), [({"web_search_options": {}}, 1), ({}, 0)])
def test_a_chat_that_asks_for_a_search_counts_one(members: dict[str, Any], calls: int) -> None:
    """No answer counts it: the provider searches once for each answer."""
    usage = {"prompt_tokens": 20, "completion_tokens": 9, "total_tokens": 29}
    message = {"role": "assistant", "content": "Hi."}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    used = counted(CHAT, {"choices": [choice], "usage": usage}, **members)
    assert used is not None
    assert (used[Dimension.TOOL_CALLS], used[Dimension.INPUT]) == (calls, 20)
    delta = {"index": 0, "delta": message, "finish_reason": "stop"}
    events: list[dict[str, Any]] = [{"choices": [delta]}, {"choices": [], "usage": usage}]
    assert streamed(CHAT, events, **members) == used


@pytest.mark.parametrize(
    ("api", "upstream", "members", "param"),
    [
        (RESPONSES, CHAT, {"tools": [SEARCH]}, "tools[0].type"),
        (RESPONSES, MESSAGES, {"tools": [SEARCH]}, "tools[0].type"),
        (RESPONSES, CHAT, {"input": [{"type": "web_search_call"}]}, "input[0].type"),
        (MESSAGES, CHAT, {"tools": [PLAIN]}, "tools[0].type"),
        (MESSAGES, RESPONSES, {"tools": [PLAIN]}, "tools[0].type"),
        (CHAT, MESSAGES, {"web_search_options": {}}, "web_search_options"),
        (CHAT, RESPONSES, {"web_search_options": {}}, "web_search_options"),
    ],
)
def test_web_search_does_not_cross_over(
    api: Api, upstream: Api, members: dict[str, Any], param: str
) -> None:
    """Each API has its own; what finds nothing in the other one is refused by name."""
    request = read(api, **members)
    request.shape(SEARCHING)
    with pytest.raises(InvalidRequest) as caught:
        request.translation(terms(upstream[1]))
    assert caught.value.param == param
