"""Any answer as a response, and any response as an answer: nothing invented, nothing lost."""

from __future__ import annotations

from functools import partial
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from edge.translate.answer import EndKind, StreamEnding
from edge.translate.errors import MalformedAnswer
from edge.translate.neutral.crossing import CrossingStream
from edge.translate.neutral.events import (
    Cited,
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
from edge.translate.surface import Translation
from kit.charge import Quantities
from oneapi.common.v1.endpoint_pb2 import Endpoint
from oneapi.metering.v1.usage_record_pb2 import FinishReason
from tests.unit.edge.translate.terms import price_of, terms
from tests.unit.edge.translate.test_any_input import SCALARS, as_parsed
from tests.unit.edge.translate.test_responses_crossing_answers import (
    CALLS,
    FILTER,
    LENGTH,
    STOP,
    events_of,
    streamed,
    text_of,
    whole,
)
from tests.unit.edge.translate.test_responses_request import read

EVENTS = st.lists(
    st.one_of(
        st.builds(TextDelta, st.just(0), st.text(max_size=4)),
        st.builds(RefusalDelta, st.just(0), st.text(max_size=3)),
        st.builds(ReasoningDelta, st.just(0), st.text(max_size=4), st.booleans()),
        st.builds(ReasoningSigned, st.just(0), st.text(max_size=3)),
        st.builds(RedactedReasoning, st.just(0), st.text(max_size=3)),
        st.builds(ToolCallBegun, st.just(0), st.integers(0, 2), st.text(max_size=3), st.just("f")),
        st.builds(ToolCallDelta, st.just(0), st.integers(0, 2), st.text(max_size=3)),
        st.builds(Cited, st.just(0), st.sampled_from([None, "https://a"]), st.none()),
    ),
    max_size=14,
)


def words(made: list[Event], *kinds: type) -> str:
    """Join the text of events of these kinds."""
    return "".join(event.text for event in made if isinstance(event, kinds))  # type: ignore[union-attr]


@given(EVENTS, st.sampled_from([STOP, LENGTH, CALLS, FILTER]))
def test_any_answer_is_written_whole_and_read_again(
    made: list[Event], reason: FinishReason.ValueType
) -> None:
    """No text is invented or lost, in the stream, its last event and the whole answer."""
    made = [*made, Finished(0, reason)]
    found = streamed(made)
    expected = whole(made)
    assert found[-1]["response"] == expected
    assert text_of(found, "output_text") == words(made, TextDelta)
    assert text_of(found, "refusal") == words(made, RefusalDelta)
    reasoning = text_of(found, "reasoning_text", "reasoning_summary_text")
    assert reasoning == words(made, ReasoningDelta)
    for again in (events_of(b"".join(map(_frame, found))), _read(expected)):
        assert words(again, TextDelta) == words(made, TextDelta)
        assert words(again, RefusalDelta) == words(made, RefusalDelta)
        assert sorted(words(again, ReasoningDelta)) == sorted(words(made, ReasoningDelta))


def _frame(event: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (event["type"].encode(), orjson.dumps(event))


def _read(answer: dict[str, Any]) -> list[Event]:
    return ResponsesReader().whole(orjson.dumps(answer))


FIELDS = st.sampled_from(
    [
        *("type", "item", "output", "response", "status", "usage", "delta", "content", "summary"),
        *("output_index", "text", "annotations", "arguments", "name", "call_id", "error", "code"),
        *("incomplete_details", "reason", "encrypted_content", "input_tokens", "output_tokens"),
    ]
)
KINDS = st.sampled_from(
    [
        *("response.completed", "response.failed", "response.output_text.delta", "error"),
        *("response.output_item.added", "response.output_item.done", "function_call", "message"),
        *("completed", "incomplete", "failed", "reasoning", "url_citation", "refusal"),
    ]
)
ANY = st.recursive(
    SCALARS | KINDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner),
    max_leaves=5,
)
OBJECTS = st.fixed_dictionaries(
    {"type": KINDS | SCALARS},
    optional={
        "item": st.dictionaries(FIELDS, ANY, max_size=5),
        "response": st.dictionaries(FIELDS, ANY, max_size=5),
        "output_index": SCALARS,
        "delta": SCALARS,
        "error": ANY,
        "annotation": ANY,
        "logprobs": ANY,
        "sequence_number": SCALARS,
    },
)


@given(st.lists(OBJECTS, max_size=4), st.booleans())
def test_any_upstream_is_read_or_malformed(sent: list[Any], complete: bool) -> None:  # noqa: FBT001
    """Natively and crossing over: no fault of ours, no count that cannot be true."""
    frames = [b"data: " + orjson.dumps(one) + b"\n\n" for one in map(as_parsed, sent) if one]
    request = read(stream=True)
    native = request.translation(terms(Endpoint.ENDPOINT_RESPONSES)).stream(price_of)
    crossing = CrossingStream(
        ResponsesReader(),
        request.writer(terms(Endpoint.ENDPOINT_CHAT_COMPLETIONS)),
        StreamEnding.TERMINAL,
        price_of,
        request.failed_event,
    )
    for stream in (native, crossing):
        for frame in frames:
            stream.feed(frame)
        end = stream.finish(body_complete=complete)
        assert end.quantities is None or min(end.quantities) >= 0
        if end.kind is EndKind.PROPER:
            assert stream.over


@given(st.dictionaries(FIELDS, ANY, max_size=6) | ANY)
def test_any_whole_answer_is_read_or_malformed(answer: Any) -> None:
    """The same for whole answers."""
    body = as_parsed(answer)
    translation = read().translation(terms(Endpoint.ENDPOINT_RESPONSES))
    raw = orjson.dumps(body)
    for take in (
        partial(_whole_native, translation, raw),
        partial(_whole_read, raw),
    ):
        try:
            used = take()
        except MalformedAnswer:
            continue
        assert used is None or min(used) >= 0


def _whole_native(translation: Translation, raw: bytes) -> Quantities | None:
    return translation.whole(raw, b"", price_of).quantities


def _whole_read(raw: bytes) -> Quantities | None:
    found = ResponsesReader().whole(raw)
    return next((event.quantities for event in found if isinstance(event, Used)), None)
