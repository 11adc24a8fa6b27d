"""A client's message request: what is checked, what bounds it, and what of it goes upstream."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from edge.translate import errors
from edge.translate.messages import request, shape
from edge.translate.messages.headers import forwarded
from edge.translate.messages.native import NativeMessages, limited
from edge.translate.messages.surface import MessagesCountSurface, MessagesSurface
from kit.hold import RequestShape
from oneapi.common.v1 import endpoint_pb2
from tests.unit.edge.translate.terms import terms
from tests.unit.edge.translate.test_chat_shape import Limits

MESSAGES = endpoint_pb2.ENDPOINT_MESSAGES
COUNT = endpoint_pb2.ENDPOINT_COUNT_TOKENS
CHAT = endpoint_pb2.ENDPOINT_CHAT_COMPLETIONS
GENERATE = endpoint_pb2.ENDPOINT_GENERATE_CONTENT
IMAGE = {
    "type": "image",
    "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw=="},
}
PDF = {"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}}
IN_OUR_FILES = {"type": "document", "source": {"type": "file", "file_id": "file_1"}}
TEXT = {"type": "text", "text": "Hi."}


def body(*blocks: Any, **more: Any) -> dict[str, Any]:
    """Return a body with one message of these blocks."""
    content = list(blocks) or "Hi."
    value = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": content}]}
    return {name: inner for name, inner in {**value, **more}.items() if inner is not ...}


def sent(value: dict[str, Any], limit: int | None = None, **headers: str) -> dict[str, Any]:
    """Return what an upstream gets of a request."""
    named = {name.replace("_", "-").encode(): text.encode() for name, text in headers.items()}
    native = NativeMessages(request.parse(value, named, b""), terms(MESSAGES))
    found: dict[str, Any] = json.loads(native.body(limit))
    return found


def refusal(value: dict[str, Any], limits: Limits | None = None) -> tuple[str, str | None]:
    """Return code and field of the refusal of a body."""
    with pytest.raises(errors.InvalidRequest) as caught:
        shape.shape(request.parse(value, {}, b"").body, limits or Limits())
    assert "secret" not in caught.value.message
    return caught.value.code, caught.value.param


@pytest.mark.parametrize(
    ("value", "code", "param"),
    [
        (body(max_tokens=...), "missing_required_parameter", "max_tokens"),
        (body(max_tokens="9"), "invalid_type", "max_tokens"),
        (body(max_tokens=0), "integer_below_min_value", "max_tokens"),
        (body(max_tokens=2**40), "integer_above_max_value", "max_tokens"),
        (body(messages=...), "missing_required_parameter", "messages"),
        (body(messages=[]), "empty_array", "messages"),
        (body(messages=["secret"]), "invalid_type", "messages[0]"),
        (body(messages=[{"role": "user"}]), "missing_required_parameter", "messages[0].content"),
        (body(model=7), "invalid_type", "model"),
        (body(stream="yes"), "invalid_type", "stream"),
        (body(service_tier="secret"), "invalid_value", "service_tier"),
        (body(thinking="secret"), "invalid_type", "thinking"),
        (body(system=[{"text": "secret"}]), "missing_required_parameter", "system[0].type"),
        (body(system=7), "invalid_type", "system"),
        (body({"type": "secret"}), "unsupported_value", "messages[0].content[0].type"),
        (body({"type": []}), "invalid_type", "messages[0].content[0].type"),
        (body(tools=[{"type": "web_search_20250305"}]), "unsupported_value", "tools[0].type"),
        (
            body(tools=[{"type": "tool_search_tool_regex_20251119"}]),
            "unsupported_value",
            "tools[0].type",
        ),
        (body(tools=[{"type": "browser_toolset_20260801"}]), "unsupported_value", "tools[0].type"),
        (body(mcp_servers=[{"url": "secret"}]), "unsupported_parameter", "mcp_servers"),
        (body(container="secret"), "unsupported_parameter", "container"),
        (body(fallbacks="default"), "unsupported_parameter", "fallbacks"),
        (body(speed="fast"), "unsupported_value", "speed"),
        (body(inference_geo="us"), "unsupported_value", "inference_geo"),
        (
            body(context_management={"edits": [{"type": "compact_20260112"}]}),
            "unsupported_value",
            "context_management.edits[0].type",
        ),
        (
            body({"type": "image", "source": {"type": "file", "file_id": "secret"}}),
            "unsupported_value",
            "messages[0].content[0].source.type",
        ),
        (
            body({"type": "web_search_tool_result", "content": []}),
            "unsupported_value",
            "messages[0].content[0].type",
        ),
    ],
)
def test_what_cannot_be_served_is_refused_by_its_path(
    value: dict[str, Any], code: str, param: str
) -> None:
    """In our own words: nothing of the body is repeated."""
    assert refusal(value) == (code, param)


def test_a_body_that_is_nested_too_deeply_is_refused() -> None:
    """What can be read can be nested more deeply than what can be written again."""
    deep: Any = 0
    for _ in range(300):
        deep = [deep]
    raw = json.dumps(body(anything=deep)).encode()
    call = MessagesSurface().read(raw, {}, "/v1/messages", b"")
    with pytest.raises(errors.NestedTooDeeply):
        call.shape(Limits())


def test_text_counts_by_bytes_and_media_by_the_catalogues_maxima() -> None:
    """Data of media are no text; media inside results and documents count as well."""
    inside = {"type": "tool_result", "tool_use_id": "t", "content": [IMAGE, TEXT]}
    letter = {"type": "document", "source": {"type": "content", "content": [IMAGE]}}
    value = body(TEXT, IMAGE, PDF, inside, letter)
    limits = Limits()
    bound, media_bytes = shape.shape(value, limits)
    data = 3 * len("iVBORw==")
    assert media_bytes == data
    assert bound == RequestShape(
        text_bytes=len(orjson.dumps(value)) - data,
        overhead_tokens=limits.input_overhead_tokens,
        media_tokens=3 * limits.image_max_tokens + limits.file_max_tokens,
    )


def test_media_without_a_maximum_are_refused_where_they_stand() -> None:
    """The catalogue knows no most that they could cost."""
    nothing = Limits(image_max_tokens=0, file_max_tokens=0)
    assert refusal(body(TEXT, IMAGE), nothing) == ("unsupported_value", "messages[0].content[1]")
    assert refusal(body(PDF), nothing) == ("unsupported_value", "messages[0].content[0]")


def test_text_in_a_document_is_text() -> None:
    """It is no more tokens than bytes, so it needs no maximum."""
    letter = {
        "type": "document",
        "source": {"type": "text", "media_type": "text/plain", "data": "a"},
    }
    bound, media_bytes = shape.shape(body(letter), Limits(file_max_tokens=0))
    assert (bound.media_tokens, media_bytes) == (0, 0)


@pytest.mark.parametrize("kind", [..., None, "custom", "bash_20250124", "memory_20250818"])
def test_tools_that_the_client_runs_pass_with_their_overhead(kind: Any) -> None:
    """Also those that Anthropic describes itself."""
    tool = {"name": "t", "input_schema": {}} | ({} if kind is ... else {"type": kind})
    bound, _ = shape.shape(body(tools=[tool]), Limits())
    assert bound.overhead_tokens == Limits().input_overhead_with_tools_tokens


def test_a_request_passes_but_for_our_edits() -> None:
    """Unknown fields stay; the model is the upstream's, and who asks is nobody's business."""
    value = body(
        metadata={"user_id": '{"device_id":"d"}'},
        user_profile_id="p",
        context_management={"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        output_config={"effort": "high"},
        brand_new={"x": [1.5]},
        service_tier="standard_only",
    )
    upstream = sent(dict(value))
    for name in ("metadata", "user_profile_id"):
        del value[name]
    assert upstream == {**value, "model": "upstream-model"}


def test_a_tier_that_chose_a_lane_stays_here() -> None:
    """It would change the upstream's price."""
    call = MessagesSurface().read(orjson.dumps(body(service_tier="flex")), {}, "", b"")
    assert call.service_tier == "flex"
    assert "service_tier" not in sent(body(service_tier="flex"))


def test_an_output_limit_of_ours_caps_the_clients() -> None:
    """And thinking stays below it, as the API wants."""
    assert sent(body(max_tokens=100), 7)["max_tokens"] == 7
    assert sent(body(max_tokens=5), 7)["max_tokens"] == 5
    thinking = {"type": "enabled", "budget_tokens": 3000, "display": "omitted"}
    capped = sent(body(max_tokens=4000, thinking=thinking), 2000)
    assert capped["thinking"] == {**thinking, "budget_tokens": 1999}
    assert sent(body(max_tokens=4000, thinking=thinking), 3500)["thinking"] == thinking
    # Below the smallest budget the provider says so itself.
    assert limited(body(thinking=thinking), 100)["thinking"]["budget_tokens"] == 1024


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, {b"anthropic-version": b"2023-06-01"}),
        ({b"anthropic-version": b"2026-10-21"}, {b"anthropic-version": b"2026-10-21"}),
        (
            {b"anthropic-beta": b"claude-code-20250219, ,context-1m-2025-08-07,oauth-2025-04-20"},
            {b"anthropic-version": b"2023-06-01", b"anthropic-beta": b"claude-code-20250219"},
        ),
        ({b"anthropic-beta": b"fast-mode-2026-02-01"}, {b"anthropic-version": b"2023-06-01"}),
        ({b"x-session-id": b"s", b"authorization": b"k"}, {b"anthropic-version": b"2023-06-01"}),
    ],
)
def test_two_headers_are_forwarded_by_their_form(
    headers: dict[bytes, bytes], expected: dict[bytes, bytes]
) -> None:
    """Features with prices of their own and the client's sign-in stay here."""
    assert dict(forwarded(headers)) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"anthropic-version", b"2023-06-01\r\nx: y"),
        (b"anthropic-version", b"newest"),
        (b"anthropic-version", b""),
        (b"anthropic-beta", b"Upper"),
        (b"anthropic-beta", b"a" * 65),
        (b"anthropic-beta", b",".join([b"a"] * 65)),
        (b"anthropic-beta", b"secret name"),
    ],
)
def test_a_header_of_another_form_is_refused(name: bytes, value: bytes) -> None:
    """By its name; the value is not repeated."""
    with pytest.raises(errors.InvalidValue) as caught:
        forwarded({name: value})
    assert caught.value.param == name.decode()
    assert "secret" not in caught.value.message


def test_the_beta_query_is_forwarded_and_nothing_else_of_it() -> None:
    """The SDKs' beta calls send `?beta=true`."""
    for query, path in ((b"beta=true", b"/messages?beta=true"), (b"a=b&beta=true", b"/messages")):
        asked = request.parse(body(), {}, query)
        assert NativeMessages(asked, terms(MESSAGES)).path == path


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"mcp_servers": [{"type": "url"}]}, "mcp_servers"),
        ({"container": "c"}, "container"),
        ({"fallbacks": ["m"]}, "fallbacks"),
        ({"system": [IN_OUR_FILES]}, "system[0].source.type"),
        (
            {"messages": [{"role": "user", "content": [IN_OUR_FILES]}]},
            "messages[0].content[0].source.type",
        ),
        ({"tools": [{}] * 2_049}, "tools"),
    ],
)
def test_counting_refuses_what_lies_under_our_account(more: dict[str, Any], param: str) -> None:
    """By name, as the endpoint that answers does."""
    call = MessagesCountSurface().read(orjson.dumps(body() | more), {}, "", b"")
    with pytest.raises(errors.InvalidRequest) as refused:
        call.shape(Limits())
    assert refused.value.param == param


def test_counting_is_free_and_needs_an_upstream_that_counts_messages() -> None:
    """Google's upstreams count their own requests only."""
    raw = orjson.dumps(body(IMAGE, max_tokens=..., stream=True))
    call = MessagesCountSurface().read(raw, {}, "", b"")
    assert (call.is_free, call.stream, call.token_limit) == (True, False, None)
    assert call.shape(Limits(image_max_tokens=0)).media_tokens == 0
    assert call.translation(terms(MESSAGES, COUNT)).path == b"/messages/count_tokens"
    for serves in ((MESSAGES,), (COUNT, GENERATE)):
        with pytest.raises(errors.CountingUnavailable):
            call.translation(terms(*serves))


def native(turn: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the messages that an upstream of Anthropic's gets of a turn between two others."""
    found: list[dict[str, Any]] = sent(body(messages=[ASKED, turn, ASKED]))["messages"]
    assert found[0] == found[-1] == ASKED
    return found[1:-1]


ASKED = {"role": "user", "content": "So?"}
UNSIGNED = {"type": "thinking", "thinking": "Hm.", "signature": ""}
CALL = {"type": "tool_use", "id": "c", "name": "f", "input": {}}
OUR_SOURCE = {
    "type": "web_search_result_location",
    "cited_text": "",
    "encrypted_index": "",
    "title": None,
    "url": "https://e",
}
THEIR_SOURCE = {**OUR_SOURCE, "encrypted_index": "x"}
QUOTED = {"type": "char_location", "cited_text": "So", "document_index": 0}


@pytest.mark.parametrize(
    ("content", "kept"),
    [
        ([UNSIGNED, TEXT], [TEXT]),
        ([{**UNSIGNED, "signature": "s"}, TEXT], None),
        ([{"type": "text", "text": "", "citations": [QUOTED]}, TEXT], [TEXT]),
        ([{"type": "text", "text": ""}, CALL], [CALL]),
        ([{"type": "text", "text": " \n\t"}, CALL], [CALL]),
        ([{"type": "text", "text": " So. "}, {"type": "text"}], None),
        ([{**TEXT, "citations": [QUOTED, THEIR_SOURCE]}], None),
        (
            [{**TEXT, "citations": [OUR_SOURCE, THEIR_SOURCE]}],
            [{**TEXT, "citations": [THEIR_SOURCE]}],
        ),
        ([{**TEXT, "citations": [OUR_SOURCE]}], [{**TEXT, "citations": None}]),
        ([{**CALL, "id": "c__signed__Z29v"}], [CALL]),
        ([{**CALL, "id": 1}, "no block", {**TEXT, "citations": ["?"]}], None),
        ("So.", None),
        ([], None),
    ],
)
def test_what_we_wrote_into_an_earlier_turn_stays_here(content: Any, kept: Any) -> None:
    """An upstream of another API answered it: Anthropic refuses what its own did not make."""
    turn = {"role": "assistant", "content": content}
    assert native(turn) == [{**turn, "content": content if kept is None else kept}]


@pytest.mark.parametrize(
    "content",
    [
        [UNSIGNED],
        [{"type": "text", "text": "", "citations": [OUR_SOURCE]}, UNSIGNED],
        [{"type": "text", "text": "\n\n"}],
    ],
)
def test_a_turn_that_has_nothing_but_ours_goes_to_no_upstream(content: Any) -> None:
    """Nothing was said in it."""
    turn = {"role": "assistant", "content": content}
    assert native(turn) == []
    for serves, name in ((CHAT, "messages"), (GENERATE, "contents")):
        call = MessagesSurface().read(
            orjson.dumps(body(messages=[ASKED, turn, ASKED])), {}, "", b""
        )
        crossed = orjson.loads(call.translation(terms(serves)).body(None))[name]
        assert [one["role"] for one in crossed] == ["user", "user"]


def test_what_the_user_said_is_not_ours_whatever_it_looks_like() -> None:
    """The provider says what it thinks of it."""
    turn = {"role": "user", "content": [UNSIGNED, {"type": "text", "text": ""}]}
    assert native(turn) == [turn]


def test_the_result_of_a_call_names_it_as_its_maker_did() -> None:
    """Its id carried another maker's signature."""
    result = {"type": "tool_result", "tool_use_id": "c__signed__Z29v", "content": "4"}
    turns = [
        {"role": "assistant", "content": [{**CALL, "id": "c__signed__Z29v"}]},
        {"role": "user", "content": [result]},
    ]
    found = sent(body(messages=turns))["messages"]
    assert found[0]["content"][0]["id"] == found[1]["content"][0]["tool_use_id"] == "c"


SIGNED = {**UNSIGNED, "signature": "s"}
REDACTED = {"type": "redacted_thinking", "data": "d"}
RESULT = {"type": "tool_result", "tool_use_id": "c", "content": "4"}
BUDGET = {"type": "enabled", "budget_tokens": 1_024}


def round_of(*messages: list[Any]) -> list[dict[str, Any]]:
    """Return a conversation whose assistant speaks after a question, and then in turns."""
    roles = ("assistant", "user")
    said = [{"role": roles[place % 2], "content": each} for place, each in enumerate(messages)]
    return [{"role": "user", "content": "So?"}, *said]


@pytest.mark.parametrize(
    ("messages", "thinks"),
    [
        (round_of([UNSIGNED, CALL], [RESULT]), False),
        (round_of([CALL], [RESULT, TEXT]), False),
        (round_of([SIGNED, CALL], [RESULT]), True),
        (round_of([REDACTED, CALL], [RESULT]), True),
        # Later calls of one turn need no thinking of their own.
        (round_of([SIGNED, CALL], [RESULT], [CALL], [RESULT]), True),
        (round_of([SIGNED, CALL], [RESULT], [UNSIGNED, CALL], [RESULT]), True),
        # Thinking of an earlier turn is not that of this one.
        (round_of([SIGNED, CALL], [RESULT], [TEXT], [TEXT], [CALL], [RESULT]), False),
        (round_of([UNSIGNED, CALL], [RESULT], [TEXT], [TEXT]), True),
        (round_of([UNSIGNED, TEXT], [TEXT]), True),
        (round_of([UNSIGNED]), True),
    ],
)
def test_a_round_of_tools_that_began_without_thinking_goes_on_without(
    messages: Any, *, thinks: bool
) -> None:
    """Another API's model began it, or its thinking stays here: Anthropic would refuse it."""
    found = sent(body(messages=messages, thinking=BUDGET))
    assert found.get("thinking") == (BUDGET if thinks else None)


@pytest.mark.parametrize("thinking", [{"type": "adaptive"}, {"type": "disabled"}, None])
def test_other_ways_to_think_stay_in_such_a_round(thinking: Any) -> None:
    """They fit in anywhere."""
    found = sent(body(messages=round_of([UNSIGNED, CALL], [RESULT]), thinking=thinking))
    assert found["thinking"] == thinking
