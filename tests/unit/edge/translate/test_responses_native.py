"""Responses that stay responses: the provider's bytes but for our edits, and an honest end."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from edge.translate.answer import EndKind, Fault, StreamEnd, WholeAnswer
from edge.translate.errors import MalformedAnswer
from edge.translate.responses.failure import SERVER_ERROR
from edge.translate.responses.request import ResponsesRequest
from edge.translate.surface import Translation
from kit.charge import quantities
from oneapi.common.v1.endpoint_pb2 import Endpoint
from oneapi.metering.v1.usage_record_pb2 import FinishReason
from tests.unit.edge.translate.terms import REQUEST_ID, price_of, terms
from tests.unit.edge.translate.test_responses_request import read

USAGE = {
    "input_tokens": 20,
    "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 3},
    "output_tokens": 9,
    "output_tokens_details": {"reasoning_tokens": 5},
    "total_tokens": 29,
}
USED = quantities(input=13, cached_input=4, cache_write=3, output=4, reasoning=5, requests=1)
TEXT = {"type": "output_text", "text": "Hello.", "annotations": [], "logprobs": []}
MESSAGE = {"type": "message", "id": "msg_1", "role": "assistant", "content": [TEXT]}
CALL = {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{}"}


class Problem:
    """An error of ours."""

    status = 502
    code: str | None = "upstream_cut"
    message = "The upstream broke off."
    type = "server_error"
    param: str | None = None

    def __init__(self) -> None:
        self.extra: dict[str, str | int] = {}


def response(*output: Any, status: str = "completed", **members: Any) -> dict[str, Any]:
    """Return a response of the provider's."""
    return {
        "id": "resp_up",
        "object": "response",
        "created_at": 1_780_000_000,
        "status": status,
        "model": "upstream-model-2026",
        "output": list(output),
        "store": False,
        "metadata": {},
        "usage": None,
        **members,
    }


def native(request: ResponsesRequest | None = None) -> Translation:
    """Return the way to an upstream that serves responses."""
    return (request or read(stream=True)).translation(terms(Endpoint.ENDPOINT_RESPONSES))


def whole(answer: Any, request: ResponsesRequest | None = None) -> WholeAnswer:
    """Return a whole answer as the client gets it."""
    return native(request).whole(orjson.dumps(answer), b"application/json", price_of)


def frames(*events: dict[str, Any]) -> bytes:
    """Return events as the provider sends them, numbered."""
    return b"".join(
        b"event: %b\ndata: %b\n\n"
        % (event["type"].encode(), orjson.dumps({**event, "sequence_number": number}))
        for number, event in enumerate(events)
    )


def events(stream: bytes) -> list[dict[str, Any]]:
    """Return the events of a stream; each has its type as its event's name."""
    found = []
    for frame in stream.decode().split("\n\n")[:-1]:
        name, data = frame.split("\n")
        found.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {found[-1]['type']}"
    return found


def run(
    body: bytes, request: ResponsesRequest | None = None, *, step: int | None = None
) -> tuple[bytes, StreamEnd]:
    """Send a stream through, `step` bytes at a time."""
    stream = native(request).stream(price_of)
    size = step or len(body) or 1
    relayed = b"".join(stream.feed(body[at : at + size]) for at in range(0, len(body), size))
    return relayed, stream.finish(body_complete=True)


CREATED = {"type": "response.created", "response": response(status="in_progress")}
DELTA = {"type": "response.output_text.delta", "output_index": 0, "delta": "Hello."}
COMPLETED = {"type": "response.completed", "response": response(MESSAGE, usage=USAGE)}
STREAM = frames(CREATED, DELTA, COMPLETED)


def test_a_whole_answer_has_the_public_model_the_cost_and_no_store() -> None:
    """Every other byte is the provider's; the client's metadata is shown to it again."""
    answer = response(MESSAGE, usage=USAGE, store=True, unknown=1.0)
    request = read(metadata={"k": "v"})
    result = whole(answer, request)
    expected = {
        **answer,
        "model": "public-model",
        "store": False,
        "metadata": {"k": "v"},
        "usage": {**USAGE, "cost": "1.50"},
    }
    assert orjson.loads(result.body) == expected
    assert b'"unknown":1.0' in result.body
    assert result.quantities == USED
    assert result.has_output
    assert result.content_bytes == len("Hello.")
    assert result.finish_reason == FinishReason.FINISH_REASON_STOP


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (response(MESSAGE, CALL), "TOOL_CALLS"),
        (response({"type": "custom_tool_call", "input": "x"}), "TOOL_CALLS"),
        (response({"type": "tool_search_call", "execution": "client"}), "TOOL_CALLS"),
        (response({"type": "tool_search_call", "execution": "server"}), "STOP"),
        (
            response(status="incomplete", incomplete_details={"reason": "max_output_tokens"}),
            "LENGTH",
        ),
        (
            response(status="incomplete", incomplete_details={"reason": "content_filter"}),
            "CONTENT_FILTER",
        ),
        (response(status="incomplete", incomplete_details=None), "OTHER"),
        (response(status="incomplete", incomplete_details={"reason": []}), "OTHER"),
        (response(status="failed", error={"code": "server_error", "message": "m"}), "ERROR"),
        (response(status="cancelled"), "OTHER"),
    ],
)
def test_why_a_response_ended(answer: dict[str, Any], reason: str) -> None:
    """The provider's words as the record's."""
    found = whole(answer).finish_reason
    assert FinishReason.Name(found) == f"FINISH_REASON_{reason}"


@pytest.mark.parametrize("answer", [[], {}, {"status": "in_progress"}, {"status": []}, 7])
def test_what_has_not_ended_is_no_answer(answer: Any) -> None:
    """We never ask for a response in the background."""
    with pytest.raises(MalformedAnswer):
        whole(answer)


def test_counts_that_contradict_each_other_are_refused() -> None:
    """And no cost is shown for them."""
    result = whole(response(MESSAGE, usage={**USAGE, "total_tokens": 1}))
    assert result.quantities is None
    assert result.usage_invalid
    assert b"cost" not in result.body


@pytest.mark.parametrize("step", [None, 1, 7, 64])
def test_a_stream_passes_but_for_our_edits(step: int | None) -> None:
    """However it is cut into pieces; the last event waits for the end."""
    relayed, end = run(STREAM, step=step)
    sent = events(STREAM)
    for event in sent:
        if "response" in event:
            event["response"]["model"] = "public-model"
    sent[-1]["response"]["usage"]["cost"] = "1.50"
    assert events(relayed) == sent[:2]
    assert events(end.tail) == sent[2:]
    assert end.kind is EndKind.PROPER
    assert end.quantities == USED
    assert (end.has_output, end.events, end.content_bytes) == (True, 1, 6)
    assert end.finish_reason == FinishReason.FINISH_REASON_STOP


@pytest.mark.parametrize(
    "failure",
    [
        {"type": "error", "code": "x", "message": "Broken.", "param": None},
        {"type": "error", "error": {"type": "t", "code": "x", "message": "Broken."}},
        {
            "type": "response.failed",
            "response": response(status="failed", error={"code": "x", "message": "Broken."}),
        },
    ],
)
def test_a_failure_of_the_providers_is_told_in_both_forms(failure: dict[str, Any]) -> None:
    """Flat as documented, nested as sent, and as a failed response; numbers go on."""
    request = read(stream=True, metadata={"k": "v"})
    relayed, end = run(frames(CREATED, DELTA, failure), request)
    assert len(events(relayed)) == 2
    error, failed = events(end.tail)
    told = {"code": "upstream_stream_error", "message": "Broken.", "param": None}
    assert error == {
        **told,
        "type": "error",
        "sequence_number": 2,
        "error": {**told, "type": "server_error"},
    }
    assert failed["sequence_number"] == 3
    assert failed["response"]["id"] == "resp_up"
    assert failed["response"]["status"] == "failed"
    assert failed["response"]["error"] == {"code": SERVER_ERROR, "message": "Broken."}
    assert failed["response"]["metadata"] == {"k": "v"}
    assert end.kind is EndKind.CUT
    assert end.fault is Fault.UPSTREAM_ERROR
    assert end.finish_reason == FinishReason.FINISH_REASON_ERROR


def test_a_documented_code_of_failure_gets_through_and_its_count_is_taken() -> None:
    """So that clients know what to do; other words of the provider's stay out."""
    error = {"code": "invalid_prompt", "message": "No."}
    failed = response(status="failed", error=error, usage=USAGE)
    _, end = run(frames(CREATED, {"type": "response.failed", "response": failed}))
    assert events(end.tail)[1]["response"]["error"] == error
    assert end.quantities == USED


def test_a_stream_that_is_cut_is_never_completed() -> None:
    """At any byte before the last blank line."""
    for cut in range(len(STREAM) - 1):
        stream = native().stream(price_of)
        relayed = stream.feed(STREAM[:cut])
        end = stream.finish(body_complete=False)
        assert end.kind is EndKind.CUT
        assert end.tail == b""
        assert b"response.completed" not in relayed


def test_our_error_goes_on_where_the_stream_stopped() -> None:
    """With the id that the client knows."""
    request = read(stream=True)
    native(request).stream(price_of).feed(frames(CREATED, DELTA))
    error, failed = events(request.error_event(Problem(), REQUEST_ID))
    assert (error["sequence_number"], failed["sequence_number"]) == (2, 3)
    assert error["error"]["code"] == "upstream_cut"
    assert failed["response"]["id"] == "resp_up"
    assert failed["response"]["model"] == "public-model"


def test_our_error_before_any_upstream_has_an_id_of_ours() -> None:
    """Keep-alives may have begun the stream already."""
    request = read(stream=True)
    error, failed = events(request.error_event(Problem(), REQUEST_ID))
    assert (error["sequence_number"], failed["sequence_number"]) == (0, 1)
    assert failed["response"]["id"] == "resp_0123456789abcdef0123456789abcdef"


def test_candidates_do_not_disturb_each_other() -> None:
    """All translations are made before one of them is used."""
    request = read(stream=True)
    first, _second = native(request), native(request)
    first.stream(price_of).feed(frames(CREATED, DELTA))
    assert events(request.error_event(Problem(), REQUEST_ID))[0]["sequence_number"] == 2


def test_what_an_item_says_only_at_its_end_counts_as_output() -> None:
    """Calls without deltas, and encrypted reasoning; not what was streamed before."""
    done = [
        {"type": "response.output_item.done", "output_index": 0, "item": MESSAGE},
        {"type": "response.output_item.done", "output_index": 1, "item": CALL},
        {
            "type": "response.output_item.done",
            "output_index": 2,
            "item": {"type": "reasoning", "summary": [], "encrypted_content": "s"},
        },
        {"type": "response.output_item.done", "output_index": 3, "item": {"type": "reasoning"}},
    ]
    _, end = run(frames(CREATED, DELTA, *done, COMPLETED))
    assert end.events == 3
    assert end.content_bytes == len("Hello.") + len("f{}")


def test_an_answer_without_output_has_none() -> None:
    """It may cost nothing."""
    _, end = run(frames(CREATED, {"type": "response.completed", "response": response()}))
    assert end.kind is EndKind.PROPER
    assert not end.has_output
    assert not whole(response()).has_output


@pytest.mark.parametrize("frame", [b"data: [1]\n\n", b"data: {\n\n", b"data: {}\n\n"])
def test_frames_that_say_nothing_end_nothing(frame: bytes) -> None:
    """No JSON breaks the stream; an unknown event passes."""
    _, end = run(frames(CREATED) + frame)
    assert end.kind is EndKind.CUT
    assert end.fault is (Fault.NONE if frame == b"data: {}\n\n" else Fault.MALFORMED)
