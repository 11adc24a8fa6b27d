"""Every recorded response: the client sees the provider's values, we count the provider's tokens.

The oracle is written anew here, on the standard library, as for chats.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any, Final

import orjson
import pytest

from edge.translate.answer import EndKind, Fault, StreamEnd
from edge.translate.errors import InvalidRequest
from edge.translate.neutral.conversation import Conversation
from edge.translate.neutral.events import (
    Event,
    Finished,
    ReasoningDelta,
    ReasoningSigned,
    RedactedReasoning,
    RefusalDelta,
    TextDelta,
    ToolCallBegun,
    ToolCallDelta,
    Used,
)
from edge.translate.responses.answer_reader import ResponsesReader
from edge.translate.responses.request import ResponsesRequest
from edge.translate.responses.surface import ResponsesSurface
from edge.translate.responses.upstream import ResponsesUpstream
from edge.translate.surface import Terms, Translation
from kit.charge import Dimension, Quantities, charge_nanos
from oneapi.common.v1 import endpoint_pb2
from tests.contract.charge_table import GPT_41_MINI
from tests.contract.test_recordings_chat import cost, counted, events, exact
from tests.support.every import every
from tests.support.openai_types import check_event, check_response
from tests.support.recordings import Recording, load_fixtures, load_recordings
from tests.unit.edge.translate.test_chat_shape import Limits

PUBLIC: Final = 'public/"model"'
TERMS: Final = Terms(
    upstream="openai",
    upstream_model="upstream-model",
    serves=frozenset({endpoint_pb2.ENDPOINT_RESPONSES}),
    ends_with_terminal_frame=True,
    public_model=PUBLIC,
    max_output_tokens=64_000,
    request_id="req_" + "0" * 32,
    created=1,
)
RUN_BY_PROVIDER: Final = "code_interpreter"
"""The recorded tool that is refused; its answers are read all the same."""


@cache
def responses() -> dict[str, Recording]:
    """All answered requests: the recordings beside the repository, if any, and our fixtures."""
    every = [*load_recordings(), *load_fixtures()]
    return {one.stem: one for one in every if one.path.endswith("/responses") and one.status == 200}


def names(*, stream: bool) -> list[str]:
    """Name the responses that are streams, or those that are not."""
    return [stem for stem, one in responses().items() if one.is_stream == stream]


def request_of(recording: Recording) -> ResponsesRequest:
    """Read a recorded request."""
    return ResponsesSurface().read(orjson.dumps(recording.request), {}, "/v1/responses", b"")


def native(recording: Recording) -> Translation:
    """Return the way of a request that stays in its API."""
    return request_of(recording).translation(TERMS)


def price_of(quantities: Quantities) -> int:
    """Price at the rates that `cost` multiplies with."""
    return charge_nanos(quantities, GPT_41_MINI)


def as_chat(usage: dict[str, Any]) -> dict[str, Any]:
    """Name the counts as chat does: for the oracle of chats."""
    return {
        "prompt_tokens": usage["input_tokens"],
        "completion_tokens": usage["output_tokens"],
        "total_tokens": usage["total_tokens"],
        "prompt_tokens_details": usage["input_tokens_details"],
        "completion_tokens_details": usage["output_tokens_details"],
    }


def edited(response: dict[str, Any], recording: Recording) -> dict[str, Any]:
    """Make the allowed edits on a response."""
    changed = {**response, "model": PUBLIC, "store": False}
    if "metadata" in recording.request:
        changed["metadata"] = recording.request["metadata"]
    if response.get("usage"):
        changed["usage"] = {**response["usage"], "cost": cost(as_chat(response["usage"]))}
    return changed


def expected_events(recording: Recording) -> list[Any]:
    """Make the allowed edits on the values that the provider sent."""
    expected = []
    for data in events(recording.body().decode()):
        event = exact(data)
        if event["type"] in {"error", "response.failed"}:
            break
        if "response" in event:
            event["response"] = edited(event["response"], recording)
        expected.append(event)
    return expected


def last_response(recording: Recording) -> dict[str, Any]:
    """Return the whole response, from the last frame of a stream as well."""
    if not recording.is_stream:
        return dict(recording.response)
    last = json.loads(events(recording.body().decode())[-1])
    return dict(last.get("response") or {"output": [], "status": "failed", "usage": None})


def run(recording: Recording, step: int | None = None) -> tuple[bytes, StreamEnd]:
    """Send a stream through, `step` bytes at a time; return all that the client gets."""
    stream = native(recording).stream(price_of)
    body = recording.body()
    size = step or len(body)
    relayed = b"".join(stream.feed(body[at : at + size]) for at in range(0, len(body), size))
    end = stream.finish(body_complete=True)
    return relayed + (end.tail if end.kind is EndKind.PROPER else b""), end


def read(recording: Recording) -> list[Event]:
    """Read an answer as events."""
    reader = ResponsesReader()
    if not recording.is_stream:
        return reader.whole(recording.body())
    frames = [reader.frame(data.encode()) for data in events(recording.body().decode())]
    return [event for frame in frames for event in frame]


@every(stem=lambda: names(stream=True), step=[None, 7, 4096])
def test_a_stream_shows_the_providers_values_but_the_allowed_edits(
    stem: str, step: int | None
) -> None:
    """However the bytes arrive, the client's events equal the provider's after the edits."""
    recording = responses()[stem]
    relayed, _ = run(recording, step)
    assert [exact(one) for one in events(relayed.decode())] == expected_events(recording)


@every(stem=lambda: names(stream=False))
def test_a_whole_response_shows_the_providers_values_but_the_allowed_edits(stem: str) -> None:
    """Numbers keep their spelling."""
    recording = responses()[stem]
    result = native(recording).whole(recording.body(), b"", price_of)
    assert exact(result.body) == edited(exact(recording.body()), recording)


@every(stem=responses)
def test_the_quantities_are_the_providers_counts_by_dimension(stem: str) -> None:
    """An oracle of its own counts the same tokens in the same dimensions, both ways."""
    recording = responses()[stem]
    usage = last_response(recording)["usage"]
    if recording.is_stream:
        found = run(recording)[1].quantities
    else:
        found = native(recording).whole(recording.body(), b"", price_of).quantities
    used = [one.quantities for one in read(recording) if isinstance(one, Used)]
    if usage is None:
        assert found is None
        assert used == []
        return
    expected = counted(as_chat(usage))
    assert found == tuple(expected.get(dimension, 0) for dimension in Dimension)
    assert used == [found]


CHARGES: Final = {
    # In nano-dollars at 0.40 and 1.60 dollars a million: 11 x 400 + 8 x 1,600.
    "openai-responses-text": 17_200,
    "openai-responses-text-stream": 17_200,
    # (2,100 - 1,536) x 400 + 1,536 x 100 + 5 x 1,600; what is written to the cache is input.
    "openai-responses-cached": 387_200,
    "openai-responses-cached-stream": 387_200,
    # 96 x 400 + 38 x 1,600.
    "openai-responses-tools-parallel-stream": 99_200,
    # 14 x 400 + 71 x 1,600: reasoning is a part of the output.
    "openai-responses-reasoning-summary": 119_200,
    "openai-responses-reasoning-summary-stream": 119_200,
    # 10 x 400 + 16 x 1,600: an answer that its limit cut is charged.
    "openai-responses-length-stream": 29_600,
    # 32 x 400 + 32 x 100 + 15 x 1,600.
    "deepseek-responses-reasoning-stream": 40_000,
    # 9 x 400: the verdict waives it, as there is no output.
    "openai-responses-empty": 3_600,
}


@pytest.mark.parametrize(("stem", "nanos"), CHARGES.items())
def test_the_charge_is_the_one_worked_out_by_hand(stem: str, nanos: int) -> None:
    """The table's literals."""
    recording = responses()[stem]
    if recording.is_stream:
        quantities = run(recording)[1].quantities
    else:
        quantities = native(recording).whole(recording.body(), b"", price_of).quantities
    assert quantities is not None
    assert price_of(quantities) == nanos


@every(stem=lambda: names(stream=True))
def test_a_stream_cut_before_its_terminal_frame_is_never_ended_cleanly(stem: str) -> None:
    """At each event: no clean end, and whole frames only."""
    recording = responses()[stem]
    frames = [part + b"\n\n" for part in recording.body().split(b"\n\n") if part]
    for cut in range(len(frames)):
        stream = native(recording).stream(price_of)
        relayed = stream.feed(b"".join(frames[:cut]) + frames[cut][: len(frames[cut]) // 2])
        end = stream.finish(body_complete=False)
        assert end.kind is EndKind.CUT
        assert relayed == b"" or relayed.endswith(b"\n\n")
        assert b"response.completed" not in relayed + end.tail
        assert end.tail == b"" or end.fault is Fault.UPSTREAM_ERROR


@every(stem=responses)
def test_everything_that_the_model_made_becomes_an_event(stem: str) -> None:
    """Text, refusals, reasoning with what its maker wants back, and calls; once, nothing else."""
    recording = responses()[stem]
    items = last_response(recording)["output"]
    found: dict[str, str] = dict.fromkeys(("text", "refusal", "reasoning"), "")
    calls: list[list[str]] = []
    sealed: list[str] = []
    for event in read(recording):
        match event:
            case TextDelta(text=piece):
                found["text"] += piece
            case RefusalDelta(text=piece):
                found["refusal"] += piece
            case ReasoningDelta(text=piece):
                found["reasoning"] += piece
            case ReasoningSigned(signature=seal) | RedactedReasoning(data=seal):
                sealed.append(seal)
            case ToolCallBegun(id=identity, name=name):
                calls.append([identity, name, ""])
            case ToolCallDelta(call=call, arguments=piece):
                calls[call][2] += piece
    if last_response(recording)["status"] != "failed":
        assert found == made_by(items)
    assert sealed == [one["encrypted_content"] for one in items if one.get("encrypted_content")]
    functions = [one for one in items if one["type"] == "function_call"]
    assert calls == [[one["call_id"], one["name"], one["arguments"]] for one in functions]


def made_by(items: list[dict[str, Any]]) -> dict[str, str]:
    """Join what stands in items, by kind."""
    parts = [part for one in items if one["type"] == "message" for part in one["content"]]
    thoughts = [
        part["text"]
        for one in items
        if one["type"] == "reasoning"
        for part in (*one["summary"], *(one.get("content") or ()))
    ]
    return {
        "text": "".join(part["text"] for part in parts if part["type"] == "output_text"),
        "refusal": "".join(part["refusal"] for part in parts if part["type"] == "refusal"),
        "reasoning": "".join(thoughts),
    }


@every(stem=responses)
def test_what_we_write_is_what_the_sdk_reads(stem: str) -> None:
    """Written again, whole and streamed: valid for OpenAI's types, with the same words."""
    recording = responses()[stem]
    if last_response(recording)["status"] == "failed":
        return
    request = ResponsesSurface().read(b'{"model":"m","input":"Hi."}', {}, "", b"")
    found = read(recording)
    used = next((one.quantities for one in found if isinstance(one, Used)), None)
    whole = orjson.loads(request.writer(TERMS).whole(found, used, "0.01"))
    check_response(whole)
    writer = request.writer(TERMS)
    stream = writer.frames([]) + b"".join(writer.frames([event]) for event in found)
    stream += writer.finish(used, "0.01")
    written = [json.loads(one) for one in events(stream.decode())]
    for event in written:
        check_event(event)
    assert written[-1]["response"] == whole
    assert made_by(whole["output"]) == made_by(last_response(recording)["output"])
    assert any(isinstance(one, Finished) for one in found)
    assert whole["status"] == last_response(recording)["status"]


@every(stem=responses)
def test_a_request_is_bounded_or_refused_by_its_tool(stem: str) -> None:
    """What the provider counted as input is within the bound; one recorded tool has none."""
    recording = responses()[stem]
    tools = [tool["type"] for tool in recording.request.get("tools") or ()]
    if RUN_BY_PROVIDER in tools:
        with pytest.raises(InvalidRequest) as refused:
            request_of(recording).shape(Limits())
        assert refused.value.param == f"tools[{tools.index(RUN_BY_PROVIDER)}].type"
        return
    usage = last_response(recording)["usage"]
    bound = request_of(recording).shape(Limits())
    if usage is not None and "cached" not in stem:
        assert usage["input_tokens"] <= bound.input_tokens
    sent = json.loads(native(recording).body(None))
    own = {"model": TERMS.upstream_model, "store": False}
    kept = {n: v for n, v in recording.request.items() if n not in {"metadata", "service_tier"}}
    assert sent == {**kept, **own}


@every(stem=responses)
def test_a_request_that_crosses_over_and_back_asks_the_same(stem: str) -> None:
    """Read and written again it has the same items, or it was refused by one of its fields."""
    recording = responses()[stem]
    conversation = conversation_of(recording)
    if isinstance(conversation, str):
        assert conversation.partition("[")[0] in recording.request
        return
    written = ResponsesUpstream().write(conversation, TERMS, stream=False)
    assert [plain(one) for one in written["input"]] == [
        plain(one) for one in items_of(recording.request) if is_said(one)
    ]


def conversation_of(recording: Recording) -> Conversation | str:
    """Return a request in the neutral form, or the path of what it has no place for."""
    try:
        return request_of(recording).conversation()
    except InvalidRequest as error:
        return str(error.param)


def items_of(request: dict[str, Any]) -> list[dict[str, Any]]:
    """Return instructions and input as items."""
    given = request["input"]
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    if request.get("instructions") is not None:
        items = [{"role": "developer", "content": request["instructions"]}, *items]
    return list(items)


def is_said(item: dict[str, Any]) -> bool:
    """Say whether an item is part of the conversation: no tools, no reasoning without a secret."""
    kind = item.get("type")
    if kind == "reasoning":
        return bool(item.get("encrypted_content"))
    return kind not in {"additional_tools", "tool_search_call", "tool_search_output"}


def plain(item: dict[str, Any]) -> dict[str, Any]:
    """Return an item with what may differ made the same: hints and shorthands."""
    hints = {"id", "status", "phase", "namespace", "type"}
    kept = {name: value for name, value in item.items() if name not in hints and value}
    if isinstance(kept.get("content"), list):
        kept["content"] = [
            {n: v for n, v in part.items() if n not in {"annotations", "logprobs", "type"}}
            for part in kept["content"]
        ]
    elif "content" in kept:
        kept["content"] = [{"text": kept["content"]}]
    if kept.get("role") == "system":
        kept["role"] = "developer"
    if item.get("type") == "reasoning":
        kept["summary"] = "".join(part["text"] for part in item["summary"])
        kept.pop("content", None)
    return kept
