"""Every recorded content of Google's: the client sees the provider's values, we count its tokens.

The oracle is written anew here, on the standard library, as for chats.
"""

from __future__ import annotations

import json
from contextlib import suppress
from decimal import Decimal
from functools import cache
from typing import Any, Final

import orjson
import pytest

from edge.translate.answer import EndKind, Fault, StreamEnd
from edge.translate.errors import InvalidRequest
from edge.translate.generate.answer_reader import GenerateReader
from edge.translate.generate.answer_writer import GenerateWriter
from edge.translate.generate.count_tokens import CountRequest
from edge.translate.generate.request import GenerateRequest
from edge.translate.generate.upstream import GenerateUpstream
from edge.translate.neutral.conversation import Conversation
from edge.translate.neutral.events import (
    Event,
    Finished,
    ReasoningDelta,
    ReasoningSigned,
    TextDelta,
    ToolCallBegun,
    ToolCallDelta,
    Used,
)
from edge.translate.surface import Terms
from kit.charge import Dimension, Quantities, charge_nanos
from oneapi.common.v1 import endpoint_pb2
from tests.contract.charge_table import Rates, price
from tests.contract.test_recordings_chat import events, exact
from tests.support.every import every
from tests.support.recordings import Recording, load_fixtures, load_recordings

PUBLIC: Final = 'public/"model"'
TERMS: Final = Terms(
    upstream="google",
    upstream_model="gemini-3-flash",
    serves=frozenset({endpoint_pb2.ENDPOINT_GENERATE_CONTENT, endpoint_pb2.ENDPOINT_COUNT_TOKENS}),
    ends_with_terminal_frame=False,
    public_model=PUBLIC,
    max_output_tokens=65_536,
    request_id="req_" + "0" * 32,
    created=1,
)
PRICE: Final = price(Rates("0.30", "2.50", cached="0.03", audio_input="1.00"))
"""Gemini 2.5 Flash, as Google's price list has it."""
INPUTS: Final = (Dimension.INPUT, Dimension.IMAGE_INPUT)


@cache
def recorded(method: str) -> dict[str, Recording]:
    """All answered requests: the recordings beside the repository, if any, and our fixtures."""
    every = [*load_recordings(), *load_fixtures()]
    return {
        one.stem: one
        for one in every
        if one.status == 200 and one.path.partition("?")[0].endswith(method)
    }


def contents() -> dict[str, Recording]:
    """All answered contents."""
    return recorded(":generateContent") | recorded(":streamGenerateContent")


def names(*, stream: bool) -> list[str]:
    """Name the contents that are streams, or those that are not."""
    return [stem for stem, one in contents().items() if one.is_stream == stream]


def asked(recording: Recording, *, as_array: bool = False) -> GenerateRequest:
    """Return the request of a recording."""
    stream = recording.is_stream
    return GenerateRequest(dict(recording.request), "m", stream=stream, as_array=as_array)


def price_of(quantities: Quantities) -> int:
    """Price at the rates that `cost` multiplies with."""
    return charge_nanos(quantities, PRICE)


def by_modality(details: list[dict[str, Any]] | None, modality: str) -> int:
    """Count the tokens of one modality."""
    return sum(
        int(one.get("tokenCount", 0)) for one in details or () if one["modality"] == modality
    )


def counted(usage: dict[str, Any]) -> dict[Dimension, int]:
    """Count anew: what the provider reports, in our dimensions."""
    prompt, total = int(usage["promptTokenCount"]), int(usage["totalTokenCount"])
    candidates = int(usage.get("candidatesTokenCount", 0))
    cached = int(usage.get("cachedContentTokenCount", 0))
    media = {
        name: by_modality(usage.get("promptTokensDetails"), name)
        - by_modality(usage.get("cacheTokensDetails"), name)
        for name in ("AUDIO", "IMAGE")
    }
    return {
        Dimension.INPUT: prompt - cached - media["AUDIO"] - media["IMAGE"],
        Dimension.CACHED_INPUT: cached,
        Dimension.AUDIO_INPUT: media["AUDIO"],
        Dimension.IMAGE_INPUT: media["IMAGE"],
        Dimension.OUTPUT: candidates,
        Dimension.REASONING: total - prompt - candidates,
        Dimension.REQUESTS: 1,
    }


def cost(usage: dict[str, Any]) -> str:
    """Price anew, with decimals."""
    rates = dict.fromkeys(Dimension, Decimal(0)) | dict.fromkeys(INPUTS, Decimal("0.30"))
    rates |= {Dimension.CACHED_INPUT: Decimal("0.03"), Dimension.AUDIO_INPUT: Decimal(1)}
    rates |= dict.fromkeys((Dimension.OUTPUT, Dimension.REASONING), Decimal("2.50"))
    dollars = sum((amount * rates[one] for one, amount in counted(usage).items()), Decimal(0))
    text = f"{dollars / Decimal(1_000_000):.9f}".rstrip("0")
    whole, _, fraction = text.partition(".")
    return f"{whole}.{fraction.ljust(2, '0')}"


def edited(answer: Any) -> Any:
    """Make the allowed edits on the values of a whole answer or of a frame."""
    answer["modelVersion"] = PUBLIC
    usage = answer.get("usageMetadata", {})
    if "candidatesTokenCount" in usage or "thoughtsTokenCount" in usage:
        usage["cost"] = cost(usage)
    return answer


def expected_events(recording: Recording) -> list[Any]:
    """Make the allowed edits on the values that the provider sent."""
    sent = [exact(data) for data in events(recording.body().decode())]
    return [edited(one) for one in sent if "error" not in one]


def last_usage(recording: Recording) -> dict[str, Any]:
    """Find the last count that the provider reported."""
    if not recording.is_stream:
        return dict(recording.response["usageMetadata"])
    found = [json.loads(data) for data in events(recording.body().decode())]
    return dict([one["usageMetadata"] for one in found if "usageMetadata" in one][-1])


def run(
    recording: Recording, step: int | None = None, *, as_array: bool = False
) -> tuple[bytes, StreamEnd]:
    """Send a stream through, `step` bytes at a time; return all that the client gets."""
    stream = asked(recording, as_array=as_array).translation(TERMS).stream(price_of)
    body = recording.body()
    size = step or len(body)
    relayed = b"".join(stream.feed(body[at : at + size]) for at in range(0, len(body), size))
    end = stream.finish(body_complete=True)
    return relayed + (end.tail if end.kind is EndKind.PROPER else b""), end


def quantities_of(recording: Recording) -> Quantities | None:
    """Return what is counted on the native way."""
    if recording.is_stream:
        return run(recording)[1].quantities
    return asked(recording).translation(TERMS).whole(recording.body(), b"", price_of).quantities


def read(recording: Recording) -> list[Event]:
    """Read an answer as events."""
    reader = GenerateReader(TERMS.request_id)
    if not recording.is_stream:
        return reader.whole(recording.body())
    frames = [reader.frame(data.encode()) for data in events(recording.body().decode())]
    return [event for frame in frames for event in frame]


def answers(recording: Recording) -> list[dict[str, Any]]:
    """Return the answer, or the frames of a stream."""
    if not recording.is_stream:
        return [recording.response]
    return [json.loads(data) for data in events(recording.body().decode())]


def parts_of(bodies: list[dict[str, Any]], choice: int = 0) -> list[dict[str, Any]]:
    """Return the parts of one candidate."""
    candidates = [one for body in bodies for one in body.get("candidates", ())]
    mine = [one for one in candidates if one.get("index", 0) == choice]
    return [part for one in mine for part in one.get("content", {}).get("parts", ())]


def said(parts: list[dict[str, Any]], *, thoughts: bool) -> str:
    """Join the text, or the thoughts, of parts."""
    return "".join(part.get("text", "") for part in parts if part.get("thought", False) == thoughts)


@every(stem=lambda: names(stream=True), step=[None, 7, 4096])
def test_a_stream_shows_the_providers_values_but_the_allowed_edits(
    stem: str, step: int | None
) -> None:
    """However the bytes arrive, as events and as an array."""
    recording = contents()[stem]
    relayed, end = run(recording, step)
    assert [exact(one) for one in events(relayed.decode())] == expected_events(recording)
    array, _ = run(recording, step, as_array=True)
    closing = b"" if end.kind is EndKind.PROPER else b"]"
    assert exact(array + closing) == expected_events(recording)


@every(stem=lambda: names(stream=False))
def test_a_whole_answer_shows_the_providers_values_but_the_allowed_edits(stem: str) -> None:
    """Only the model and the cost differ; numbers keep their spelling."""
    recording = contents()[stem]
    result = asked(recording).translation(TERMS).whole(recording.body(), b"", price_of)
    assert exact(result.body) == edited(exact(recording.body()))


@every(stem=contents)
def test_the_quantities_are_the_providers_counts_by_dimension(stem: str) -> None:
    """An oracle of its own counts the same tokens in the same dimensions, both ways."""
    recording = contents()[stem]
    expected = counted(last_usage(recording))
    wanted = tuple(expected.get(dimension, 0) for dimension in Dimension)
    assert quantities_of(recording) == wanted
    assert [one.quantities for one in read(recording) if isinstance(one, Used)][-1] == wanted


CHARGES: Final = {
    # In nano-dollars: 11 x 300 + 3 x 2,500.
    "google-generate": 10_800,
    # 6 x 300 + 11 x 2,500: the last count, not the sum of all.
    "google-generate-stream": 29_300,
    # 3,000 x 30 + 400 x 1,000 of audio + 800 x 300 + 6 x 2,500.
    "google-generate-cached": 745_000,
    # 9 x 300 + (2 + 25) x 2,500: thoughts are beside the candidates.
    "google-generate-thinking": 70_200,
    "google-generate-thinking-stream": 70_200,
    # 120 x 300 + (30 + 44) x 2,500.
    "google-generate-tools": 221_000,
    # (5 + 258) x 300 + 2 x 2,500: images cost what text does.
    "google-generate-image": 83_900,
    # 32 x 1,000 + 5 x 300 + 4 x 2,500.
    "google-generate-audio": 43_500,
    # 7 x 300 + 19 x 2,500: thoughts that met the limit.
    "google-generate-length": 49_600,
    # 4 x 300 + 3 x 2,500: both candidates.
    "google-generate-choices": 8_700,
    # 9 x 300 + (2 + 50) x 2,500: what only the total counts are thoughts.
    "google-generate-hidden-thoughts": 132_700,
    # 6 x 300 + 2 x 2,500: an answer that broke costs what was counted before.
    "google-generate-midstream-error": 6_800,
    "google-generate-cut-stream": 6_800,
}


@pytest.mark.parametrize(("stem", "nanos"), CHARGES.items())
def test_the_charge_is_the_one_worked_out_by_hand(stem: str, nanos: int) -> None:
    """The table's literals."""
    quantities = quantities_of(contents()[stem])
    assert quantities is not None
    assert charge_nanos(quantities, PRICE) == nanos


@every(stem=lambda: names(stream=True))
def test_a_stream_cut_before_its_end_is_never_ended_cleanly(stem: str) -> None:
    """At each event, and in each event: whole frames only, and no bracket for an array."""
    recording = contents()[stem]
    frames = [part + b"\r\n\r\n" for part in recording.body().split(b"\r\n\r\n") if part]
    for cut in range(len(frames)):
        for as_array in (True, False):
            stream = asked(recording, as_array=as_array).translation(TERMS).stream(price_of)
            half = b"".join(frames[:cut]) + frames[cut][: len(frames[cut]) // 2]
            relayed = stream.feed(half)
            end = stream.finish(body_complete=False)
            assert end.kind is EndKind.CUT
            assert end.tail == b"" or end.fault is Fault.UPSTREAM_ERROR
            assert not relayed.endswith(b"]")
            assert relayed == b"" or relayed.endswith(b"\n\n") or as_array


@every(stem=contents)
def test_everything_that_the_model_made_becomes_an_event(stem: str) -> None:
    """Text, thoughts, signatures and calls; in order, once, and nothing else."""
    recording = contents()[stem]
    found = read(recording)
    parts = parts_of(answers(recording))
    mine = [one for one in found if getattr(one, "choice", 0) == 0]
    texts = [one.text for one in mine if isinstance(one, TextDelta)]
    thoughts = [one.text for one in mine if isinstance(one, ReasoningDelta)]
    assert "".join(texts) == said(parts, thoughts=False)
    assert "".join(thoughts) == said(parts, thoughts=True)
    calls = [part for part in parts if "functionCall" in part]
    begun = [one for one in mine if isinstance(one, ToolCallBegun)]
    given = [json.loads(one.arguments) for one in mine if isinstance(one, ToolCallDelta)]
    assert [one.name for one in begun] == [part["functionCall"]["name"] for part in calls]
    assert given == [part["functionCall"].get("args", {}) for part in calls]
    signed = [one.signature for one in mine if isinstance(one, ToolCallBegun | ReasoningSigned)]
    kept = [one for one in signed if one is not None]
    assert kept == [part["thoughtSignature"] for part in parts if "thoughtSignature" in part]


@every(stem=contents)
def test_what_crosses_over_and_back_says_the_same(stem: str) -> None:
    """Written again for a client of this API, whole and streamed."""
    recording = contents()[stem]
    found = read(recording)
    used = next((one.quantities for one in reversed(found) if isinstance(one, Used)), None)
    writer = GenerateWriter(TERMS, shows_thoughts=True)
    whole = json.loads(writer.whole(found, used, None))
    writer = GenerateWriter(TERMS, shows_thoughts=True)
    stream = b"".join(writer.frames([event]) for event in found) + writer.finish(used, None)
    chunks = [json.loads(data) for data in events(stream.decode())]
    parts = parts_of(answers(recording))
    for again in (parts_of([whole]), parts_of(chunks)):
        for thoughts in (True, False):
            assert said(again, thoughts=thoughts) == said(parts, thoughts=thoughts)
        names = [part["functionCall"]["name"] for part in again if "functionCall" in part]
        assert names == [part["functionCall"]["name"] for part in parts if "functionCall" in part]
    for counts in (whole["usageMetadata"], chunks[-1]["usageMetadata"]):
        assert counts["totalTokenCount"] == last_usage(recording)["totalTokenCount"]
    if any(isinstance(one, Finished) for one in found) and not recording.is_stream:
        told = [one.get("finishReason") for one in recording.response.get("candidates", ())]
        if told and told[0] in {"STOP", "MAX_TOKENS"}:
            assert [one["finishReason"] for one in whole["candidates"]] == told


def conversation_of(recording: Recording) -> Conversation | str:
    """Return a request in the neutral form, or the path of what it has no place for."""
    try:
        return asked(recording).conversation()
    except InvalidRequest as error:
        return str(error.param)


@every(stem=contents)
def test_a_request_that_crosses_over_and_back_asks_the_same(stem: str) -> None:
    """Read and written again it is one for the API, or it was refused by one of its fields."""
    recording = contents()[stem]
    read_again = conversation_of(recording)
    if isinstance(read_again, str):
        assert read_again.partition("[")[0].partition(".")[0] in recording.request
        return
    body = GenerateUpstream().write(read_again, TERMS, stream=False)
    written = json.loads(orjson.dumps(body))
    assert plain(written["contents"]) == plain(recording.request["contents"])
    declared = [one for tool in written.get("tools", ()) for one in tool["functionDeclarations"]]
    offered = [
        one for tool in recording.request.get("tools", ()) for one in tool["functionDeclarations"]
    ]
    assert [one["name"] for one in declared] == [one["name"] for one in offered]


def plain(turns: list[dict[str, Any]]) -> list[Any]:
    """Return contents with what may differ made the same: ids, neighbours and how results stand."""
    merged: list[list[Any]] = []
    for turn in turns:
        role = turn.get("role", "user")
        if not merged or merged[-1][0] != role:
            merged.append([role, []])
        merged[-1][1] += [_part(one) for one in turn["parts"]]
    return merged


def _part(part: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in part.items() if name != "thoughtSignature"}
    if "functionCall" in kept:
        call = kept["functionCall"]
        return {"call": call["name"], "args": call.get("args", {})}
    if "functionResponse" in kept:
        result = kept["functionResponse"]
        response = result["response"]
        if set(response) == {"output"}:
            with suppress(json.JSONDecodeError):
                response = json.loads(response["output"])
        return {"result": result["name"], "response": response}
    return kept


@every(stem=lambda: recorded(":countTokens"))
def test_a_count_passes_as_it_is(stem: str) -> None:
    """It is free: there are no quantities, and nothing is edited."""
    recording = recorded(":countTokens")[stem]
    counting = CountRequest(dict(recording.request), "m").translation(TERMS)
    answer = counting.whole(recording.body(), b"", price_of)
    assert answer.body == recording.body()
    assert answer.quantities is None
    sent = json.loads(counting.body(None))["generateContentRequest"]
    wanted = recording.request.get("generateContentRequest", recording.request)
    assert sent == {**wanted, "model": f"models/{TERMS.upstream_model}"}
