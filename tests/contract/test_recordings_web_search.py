"""Recorded searches of the web: what the provider counted is within the hold, and is charged.

Where the recordings are not at hand, the small cases of `test_web_search.py` say the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

import orjson

from edge.translate.messages.surface import MessagesCall, MessagesSurface
from kit.charge import Dimension, charge_nanos, context_tokens
from kit.hold import HoldBound
from tests.contract.test_recordings_messages import PRICE, TERMS, last_usage, messages, price_of
from tests.support.recordings import Recording, load_recordings
from tests.unit.edge.translate.test_chat_shape import Limits

SEARCHING: Final = Limits(
    input_overhead_with_tools_tokens=4_096, tool_calls_max=5, tool_call_max_tokens=12_000
)
"""Anthropic describes its own tool to the model in 2,000 tokens; a search found 11,000 at most."""


def searching() -> Iterator[Recording]:
    """Yield the recorded messages that Anthropic answered by searching the plain way."""
    for one in messages().values():
        tools = [tool.get("type") for tool in one.request.get("tools") or ()]
        if tools == ["web_search_20250305"]:
            yield one


def call_of(recording: Recording) -> MessagesCall:
    """Read a recorded request."""
    return MessagesSurface().read(orjson.dumps(recording.request), {}, "/v1/messages", b"")


def used_by(call: MessagesCall, recording: Recording) -> tuple[int, ...]:
    """Return what the recorded answer counts."""
    native = call.translation(TERMS)
    if recording.is_stream:
        stream = native.stream(price_of)
        stream.feed(recording.body())
        found = stream.finish(body_complete=True).quantities
    else:
        found = native.whole(recording.body(), b"application/json", price_of).quantities
    assert found is not None
    return found


def counted(recording: Recording) -> int:
    """Return the searches that the provider counts."""
    run = last_usage(recording).get("server_tool_use") or {}
    return int(run.get("web_search_requests") or 0)


def test_the_recordings_have_searches() -> None:
    """Control: what follows is said of some, where recordings are at hand."""
    assert sorted(map(counted, searching()))[-3:] == ([1, 1, 2] if load_recordings() else [])


def test_recorded_searches_are_counted_and_stay_within_their_hold() -> None:
    """Also those of a conversation that has what an earlier search found."""
    for recording in searching():
        call = call_of(recording)
        shape = call.shape(SEARCHING)
        used = used_by(call, recording)
        assert used[Dimension.TOOL_CALLS] == counted(recording)
        assert used[Dimension.TOOL_CALLS] <= shape.tool_calls == SEARCHING.tool_calls_max
        assert context_tokens(used) <= shape.input_tokens
        held = HoldBound(shape, PRICE).nanos(recording.request["max_tokens"])
        assert charge_nanos(used, PRICE) <= held


def test_a_recorded_search_goes_upstream_with_its_limit_and_nothing_else_changed() -> None:
    """The tool's other fields are the client's."""
    for recording in searching():
        call = call_of(recording)
        call.shape(SEARCHING)
        sent: dict[str, Any] = json.loads(call.translation(TERMS).body(None))
        (tool,) = recording.request["tools"]
        wanted = {**recording.request, "model": TERMS.upstream_model}
        assert sent == {**wanted, "tools": [{**tool, "max_uses": 5}]}
