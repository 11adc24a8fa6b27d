"""Every recorded message: the client sees the provider's values, we count the provider's tokens.

The oracle is written anew here, on the standard library, as for chats.
"""

from __future__ import annotations

import json
from decimal import Decimal
from functools import cache
from typing import Any, Final

import orjson
import pytest

from edge.translate.answer import EndKind, Fault, StreamEnd
from edge.translate.errors import InvalidRequest
from edge.translate.messages import request
from edge.translate.messages.answer_reader import MessagesReader
from edge.translate.messages.answer_writer import MessagesWriter
from edge.translate.messages.native import NativeCount, NativeMessages
from edge.translate.messages.surface import MessagesSurface
from edge.translate.messages.upstream import MessagesUpstream
from edge.translate.neutral.conversation import Conversation
from edge.translate.neutral.events import (
    Ended,
    Event,
    Finished,
    ReasoningDelta,
    ReasoningSigned,
    RedactedReasoning,
    TextDelta,
    ToolCallBegun,
    ToolCallDelta,
    Used,
)
from edge.translate.surface import Terms
from kit.charge import DIMENSIONS, Dimension, Price, PriceTier, Quantities, charge_nanos
from oneapi.common.v1 import endpoint_pb2
from tests.contract.test_recordings_chat import events, exact
from tests.support.anthropic_types import check_events, check_message, check_request
from tests.support.every import every
from tests.support.recordings import Recording, load_fixtures, load_recordings

PUBLIC: Final = 'public/"model"'
TERMS: Final = Terms(
    upstream="anthropic",
    upstream_model="claude-sonnet-4-5",
    serves=frozenset({endpoint_pb2.ENDPOINT_MESSAGES, endpoint_pb2.ENDPOINT_COUNT_TOKENS}),
    ends_with_terminal_frame=True,
    public_model=PUBLIC,
    max_output_tokens=64_000,
    request_id="req_" + "0" * 32,
    created=1,
)
DOLLARS: Final = {
    Dimension.INPUT: Decimal(3),
    Dimension.CACHED_INPUT: Decimal("0.30"),
    Dimension.CACHE_WRITE: Decimal("3.75"),
    Dimension.CACHE_WRITE_LONG: Decimal(6),
    Dimension.OUTPUT: Decimal(15),
    Dimension.REASONING: Decimal(15),
}
"""A million tokens of Claude Sonnet 4.5, as Anthropic's price list has them."""
RATES: Final = tuple(int(DOLLARS.get(Dimension(place), 0) * 10**9) for place in range(DIMENSIONS))
PRICE: Final = Price(1, 1, 1, 0, (PriceTier(0, RATES),))
RUN_BY_PROVIDER: Final = ("server_tool_use", "mcp_tool_use", "_tool_result", "compaction")
"""Parts of blocks' types that stand in answers of tools that the provider ran: we ask for none."""


@cache
def recorded(path: str) -> dict[str, Recording]:
    """All answered requests: the recordings beside the repository, if any, and our fixtures."""
    every = [*load_recordings(), *load_fixtures()]
    return {one.stem: one for one in every if one.path == path and one.status == 200}


def messages() -> dict[str, Recording]:
    """All answered messages."""
    return recorded("/v1/messages")


def names(*, stream: bool) -> list[str]:
    """Name the messages that are streams, or those that are not."""
    return [stem for stem, one in messages().items() if one.is_stream == stream]


def native(recording: Recording) -> NativeMessages:
    """Return the way of a request that stays in its API."""
    return NativeMessages(request.parse(dict(recording.request), {}, b""), TERMS)


def price_of(quantities: Quantities) -> int:
    """Price at the rates that `cost` multiplies with."""
    return charge_nanos(quantities, PRICE)


def counted(usage: dict[str, Any]) -> dict[Dimension, int]:
    """Count anew: what the provider reports, in our dimensions."""
    written = int(usage.get("cache_creation_input_tokens") or 0)
    long = int((usage.get("cache_creation") or {}).get("ephemeral_1h_input_tokens") or 0)
    thinking = int((usage.get("output_tokens_details") or {}).get("thinking_tokens") or 0)
    searches = int((usage.get("server_tool_use") or {}).get("web_search_requests") or 0)
    return {
        Dimension.INPUT: int(usage["input_tokens"]),
        Dimension.CACHED_INPUT: int(usage.get("cache_read_input_tokens") or 0),
        Dimension.CACHE_WRITE: written - long,
        Dimension.CACHE_WRITE_LONG: long,
        Dimension.OUTPUT: int(usage["output_tokens"]) - thinking,
        Dimension.REASONING: thinking,
        Dimension.REQUESTS: 1,
        Dimension.TOOL_CALLS: searches,
    }


def cost(usage: dict[str, Any]) -> str:
    """Price anew, with decimals."""
    million = Decimal(1_000_000)
    dollars = sum(
        (
            amount * DOLLARS.get(dimension, Decimal(0))
            for dimension, amount in counted(usage).items()
        ),
        Decimal(0),
    )
    text = f"{dollars / million:.9f}".rstrip("0")
    whole, _, fraction = text.partition(".")
    return f"{whole}.{fraction.ljust(2, '0')}"


def expected_events(recording: Recording) -> list[Any]:
    """Make the allowed edits on the values that the provider sent."""
    expected, counts = [], {}
    for data in events(recording.body().decode()):
        event = exact(data)
        if event["type"] == "error":
            break
        if event["type"] == "message_start":
            counts = event["message"]["usage"]
            event["message"]["model"] = PUBLIC
            event["message"]["usage"] = {**counts, "cost": cost(counts)}
        if event["type"] == "message_delta":
            counts = {**counts, **event["usage"]}
            event["usage"]["cost"] = cost(counts)
        expected.append(event)
    return expected


def last_usage(recording: Recording) -> dict[str, Any]:
    """Put the counts together that the provider reported."""
    if not recording.is_stream:
        return dict(recording.response["usage"])
    usage: dict[str, Any] = {}
    for data in events(recording.body().decode()):
        event = json.loads(data)
        usage |= event.get("message", event).get("usage") or {}
    return usage


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
    reader = MessagesReader()
    if not recording.is_stream:
        return reader.whole(recording.body())
    frames = [reader.frame(data.encode()) for data in events(recording.body().decode())]
    return [event for frame in frames for event in frame]


def blocks_of(recording: Recording) -> list[dict[str, Any]]:
    """Put the blocks together, from the frames of a stream as well."""
    if not recording.is_stream:
        return list(recording.response["content"])
    blocks: list[dict[str, Any]] = []
    for data in events(recording.body().decode()):
        event = json.loads(data)
        if event["type"] == "content_block_start":
            blocks.append({**event["content_block"], "given": ""})
        if event["type"] == "content_block_delta":
            block, delta = blocks[event["index"]], event["delta"]
            for name in ("text", "thinking", "signature"):
                block[name] = block.get(name, "") + delta.get(name, "")
            block["given"] += delta.get("partial_json", "")
            block.setdefault("cited", []).append(delta.get("citation"))
    for block in blocks:
        if block["given"]:
            block["input"] = json.loads(block["given"])
    return blocks


@every(stem=lambda: names(stream=True), step=[None, 7, 4096])
def test_a_stream_shows_the_providers_values_but_the_allowed_edits(
    stem: str, step: int | None
) -> None:
    """However the bytes arrive, the client's events equal the provider's after the edits."""
    recording = messages()[stem]
    relayed, _ = run(recording, step)
    assert [exact(one) for one in events(relayed.decode())] == expected_events(recording)


@every(stem=lambda: names(stream=False))
def test_a_whole_message_shows_the_providers_values_but_the_allowed_edits(stem: str) -> None:
    """Only the model and the cost differ; numbers keep their spelling."""
    recording = messages()[stem]
    result = native(recording).whole(recording.body(), b"", price_of)
    expected = exact(recording.body())
    expected["model"] = PUBLIC
    expected["usage"]["cost"] = cost(expected["usage"])
    assert exact(result.body) == expected


@every(stem=messages)
def test_the_quantities_are_the_providers_counts_by_dimension(stem: str) -> None:
    """An oracle of its own counts the same tokens in the same dimensions, both ways."""
    recording = messages()[stem]
    expected = counted(last_usage(recording))
    wanted = tuple(expected.get(dimension, 0) for dimension in Dimension)
    if recording.is_stream:
        assert run(recording)[1].quantities == wanted
    else:
        assert native(recording).whole(recording.body(), b"", price_of).quantities == wanted
    assert [one.quantities for one in read(recording) if isinstance(one, Used)][-1] == wanted


CHARGES: Final = {
    # In nano-dollars: 17 x 3,000 + 9 x 15,000.
    "anthropic-messages": 186_000,
    # 11 x 3,000 + 8 x 15,000: the end's count, not the beginning's as well.
    "anthropic-messages-stream": 153_000,
    # 12 x 3,000 + 2,000 x 300 + 1,000 x 3,750 + 500 x 6,000 + 7 x 15,000.
    "anthropic-messages-cached": 7_491_000,
    "anthropic-messages-cached-stream": 7_491_000,
    # 420 x 3,000 + 61 x 15,000.
    "anthropic-messages-tools": 2_175_000,
    # 40 x 3,000 + 33 x 15,000: thinking is a part of the output.
    "anthropic-messages-thinking": 615_000,
    "anthropic-messages-thinking-stream": 615_000,
    # 14 x 3,000 + 3 x 15,000: what the end leaves out stays as it was.
    "anthropic-messages-length-stream": 87_000,
    # 14 x 3,000 + 3 x 15,000.
    "anthropic-messages-refusal": 87_000,
    # 88 x 3,000 + 14 x 15,000.
    "anthropic-messages-citations-stream": 474_000,
    # 11 x 3,000 + 1 x 15,000: an answer that broke costs what was counted before.
    "anthropic-messages-midstream-error": 48_000,
}


@pytest.mark.parametrize(("stem", "nanos"), CHARGES.items())
def test_the_charge_is_the_one_worked_out_by_hand(stem: str, nanos: int) -> None:
    """The table's literals."""
    recording = messages()[stem]
    if recording.is_stream:
        quantities = run(recording)[1].quantities
    else:
        quantities = native(recording).whole(recording.body(), b"", price_of).quantities
    assert quantities is not None
    assert charge_nanos(quantities, PRICE) == nanos


@every(stem=lambda: names(stream=True))
def test_a_stream_cut_before_its_terminal_frame_is_never_ended_cleanly(stem: str) -> None:
    """At each event: no clean end, whole frames only, and the input counted so far is charged."""
    recording = messages()[stem]
    frames = [part + b"\n\n" for part in recording.body().split(b"\n\n")]
    frames = [frame for frame in frames if frame.strip() and b"message_stop" not in frame]
    for cut in range(len(frames)):
        stream = native(recording).stream(price_of)
        relayed = stream.feed(b"".join(frames[:cut]) + frames[cut][: len(frames[cut]) // 2])
        end = stream.finish(body_complete=cut % 2 == 0)
        assert end.kind is EndKind.CUT
        assert relayed == b"" or relayed.endswith(b"\n\n")
        assert b"message_stop" not in relayed + end.tail
        assert end.tail == b"" or end.fault is Fault.UPSTREAM_ERROR
        assert (end.quantities is not None) == (cut >= 1)


@every(stem=messages)
def test_everything_that_the_model_made_becomes_an_event(stem: str) -> None:
    """Text, thinking with its signature, and calls; in order, once, and nothing else."""
    recording = messages()[stem]
    text = thought = ""
    calls: list[list[str]] = []
    sealed: list[str] = []
    for event in read(recording):
        match event:
            case TextDelta(text=piece):
                text += piece
            case ReasoningDelta(text=piece):
                thought += piece
            case ReasoningSigned(signature=seal) | RedactedReasoning(data=seal):
                sealed.append(seal)
            case ToolCallBegun(id=identity, name=name):
                calls.append([identity, name, ""])
            case ToolCallDelta(call=call, arguments=piece):
                calls[call][2] += piece
    blocks = blocks_of(recording)
    assert text == "".join(one["text"] for one in blocks if one["type"] == "text")
    assert thought == "".join(one["thinking"] for one in blocks if one["type"] == "thinking")
    seals = [one.get("data") or one.get("signature") for one in blocks if "think" in one["type"]]
    assert sealed == [seal for seal in seals if seal]
    wanted = [[one["id"], one["name"], one["input"]] for one in blocks if one["type"] == "tool_use"]
    assert [[one, name, json.loads(given)] for one, name, given in calls] == wanted


@every(stem=messages)
def test_what_we_write_is_what_the_sdk_reads(stem: str) -> None:
    """Written again, whole and streamed: valid for Anthropic's types, with the same text."""
    recording = messages()[stem]
    found = read(recording)
    used = next(one.quantities for one in reversed(found) if isinstance(one, Used))
    whole = check_message(MessagesWriter(TERMS).whole(found, used, "0.01"))
    writer = MessagesWriter(TERMS)
    stream = writer.frames([]) + b"".join(writer.frames([event]) for event in found)
    check_events(stream + writer.finish(used, "0.01"))
    kept = [one for one in blocks_of(recording) if one["type"] == "text"]
    said = [block.text for block in whole.content if block.type == "text"]
    assert "".join(said) == "".join(one["text"] for one in kept)
    assert whole.usage.output_tokens == last_usage(recording)["output_tokens"]
    finished = [one for one in found if isinstance(one, Finished)]
    if finished and not recording.is_stream:
        assert whole.stop_reason == recording.response["stop_reason"]


@every(stem=messages)
def test_a_request_that_crosses_over_and_back_asks_the_same(stem: str) -> None:
    """Read and written again it is one for the API, or it was refused by one of its fields."""
    recording = messages()[stem]
    read_again = conversation_of(recording)
    if isinstance(read_again, str):
        assert read_again.partition("[")[0].partition(".")[0] in recording.request
        return
    body = MessagesUpstream().write(read_again, TERMS, stream=False)
    written = json.loads(orjson.dumps(body))
    check_request(written)
    assert plain(written["messages"]) == plain(recording.request["messages"])


def conversation_of(recording: Recording) -> Conversation | str:
    """Return a request in the neutral form, or the path of what it has no place for."""
    call = MessagesSurface().read(orjson.dumps(recording.request), {}, "/v1/messages", b"")
    try:
        return call.conversation()
    except InvalidRequest as error:
        return str(error.param)


def plain(turns: list[dict[str, Any]]) -> list[Any]:
    """Return messages with what may differ made the same: hints, shorthands and neighbours."""
    merged: list[list[Any]] = []
    for turn in turns:
        content = turn["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        if turn["role"] == "system":
            continue
        if not merged or merged[-1][0] != turn["role"]:
            merged.append([turn["role"], []])
        merged[-1][1] += [_block(one) for one in blocks]
    return merged


def _block(block: dict[str, Any]) -> dict[str, Any]:
    if block["type"] == "document" and block["source"]["type"] == "text":
        # Text that stands in a document is text to every API.
        return {"type": "text", "text": block["source"]["data"]}
    kept = {
        name: value
        for name, value in block.items()
        if name not in {"cache_control", "caller", "citations"} and value
    }
    if isinstance(kept.get("content"), str):
        kept["content"] = [{"type": "text", "text": kept["content"]}]
    return kept


@every(stem=lambda: recorded("/v1/messages/count_tokens"))
def test_a_count_passes_as_it_is(stem: str) -> None:
    """It is free: there are no quantities, and nothing is edited."""
    recording = recorded("/v1/messages/count_tokens")[stem]
    asked = request.parse(dict(recording.request), {}, b"", counts_only=True)
    answer = NativeCount(asked, TERMS).whole(recording.body(), b"", price_of)
    assert answer.body == recording.body()
    assert answer.quantities is None
    sent = json.loads(NativeCount(asked, TERMS).body(None))
    assert sent == {**recording.request, "model": TERMS.upstream_model}


def test_an_answer_is_read_to_its_end() -> None:
    """The events end as the frames do."""
    for recording in messages().values():
        ended = any(isinstance(event, Ended) for event in read(recording))
        assert ended == (b"message_stop" in recording.body() or not recording.is_stream)
