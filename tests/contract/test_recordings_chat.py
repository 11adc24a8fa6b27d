"""Every recorded chat: the client sees the provider's values, we count the provider's tokens.

The oracle is written anew here, on the standard library: it reads events line by line, parses JSON
with numbers kept as they are spelled, and makes the allowed edits on the values.
"""

from __future__ import annotations

import json
from decimal import Decimal
from functools import cache
from typing import Any

from edge.translate.answer import EndKind, Fault, StreamEnd
from edge.translate.chat.native import response
from edge.translate.chat.stream import ChatStream
from kit.charge import Dimension, Quantities, charge_nanos
from tests.contract.charge_table import CHARGES, GPT_41_MINI, Charge
from tests.support.every import every
from tests.support.recordings import Recording, load_fixtures, load_recordings

PUBLIC = 'public/"model"'


@cache
def chats() -> dict[str, Recording]:
    """All answered chats: the recordings beside the repository, if any, and our own fixtures."""
    every = [*load_recordings(), *load_fixtures()]
    return {
        one.stem: one
        for one in every
        if one.path.endswith("chat/completions") and one.status == 200
    }


def names(*, stream: bool) -> list[str]:
    """Name the chats that are streams, or those that are not."""
    return [stem for stem, one in chats().items() if one.is_stream == stream]


def price_of(quantities: Quantities) -> int:
    """Price at the rates that `cost` multiplies with."""
    return charge_nanos(quantities, GPT_41_MINI)


def exact(text: str | bytes) -> Any:
    """Parse JSON with every number as the text that spells it."""
    return json.loads(text, parse_int=str, parse_float=str)


def events(text: str) -> list[str]:
    """Return the data of each event, by the rules of the standard."""
    data: list[str] = []
    found = []
    for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        if line.startswith("data:"):
            data.append(line[5:].removeprefix(" "))
        elif not line and data:
            found.append("\n".join(data))
            data = []
    return [one for one in found if one]


def counted(usage: dict[str, Any]) -> dict[Dimension, int]:
    """Count anew: what the provider reports, in our dimensions."""
    prompt, completion = int(usage["prompt_tokens"]), int(usage["completion_tokens"])
    inside = usage.get("prompt_tokens_details") or {}
    made = usage.get("completion_tokens_details") or {}
    cached = int(inside.get("cached_tokens") or usage.get("cached_tokens") or 0)
    written = int(inside.get("cache_write_tokens") or 0)
    heard = int(inside.get("audio_tokens") or 0)
    reasoning = int(made.get("reasoning_tokens") or 0)
    spoken = int(made.get("audio_tokens") or 0)
    apart = int(usage["total_tokens"]) == prompt + completion + reasoning
    return {
        Dimension.INPUT: prompt - cached - written - heard,
        Dimension.CACHED_INPUT: cached,
        Dimension.CACHE_WRITE: written,
        Dimension.AUDIO_INPUT: heard,
        Dimension.OUTPUT: completion - spoken - (0 if apart else reasoning),
        Dimension.REASONING: reasoning,
        Dimension.AUDIO_OUTPUT: spoken,
        Dimension.REQUESTS: 1,
    }


def cost(usage: dict[str, Any]) -> str:
    """Price anew, with decimals: input, cached and output at the table's GPT-4.1 mini rates."""
    rates = {Dimension.CACHED_INPUT: Decimal("0.10"), Dimension.REQUESTS: Decimal(0)}
    for dimension in (Dimension.OUTPUT, Dimension.REASONING, Dimension.AUDIO_OUTPUT):
        rates[dimension] = Decimal("1.60")
    dollars = sum(
        (
            amount * rates.get(dimension, Decimal("0.40"))
            for dimension, amount in counted(usage).items()
        ),
        Decimal(0),
    ) / Decimal(1_000_000)
    text = f"{dollars:.9f}".rstrip("0")
    whole, _, fraction = text.partition(".")
    return f"{whole}.{fraction.ljust(2, '0')}"


def expected_chunks(chat: Recording, *, show_usage: bool) -> list[Any]:
    """Make the allowed edits on the values that the provider sent."""
    expected = []
    for data in events(chat.body().decode()):
        if data == "[DONE]":
            expected.append(data)
            break
        chunk = exact(data)
        if chunk.get("error"):
            break
        usage = chunk.get("usage")
        if usage and not show_usage and not chunk["choices"]:
            continue
        if not show_usage:
            chunk.pop("usage", None)
        elif usage:
            usage["cost"] = cost(usage)
        if "model" in chunk:
            chunk["model"] = PUBLIC
        expected.append(chunk)
    return expected


def run(chat: Recording, *, show_usage: bool, step: int | None = None) -> tuple[bytes, StreamEnd]:
    """Send a stream through, `step` bytes at a time; return all that the client gets."""
    stream = ChatStream(
        public_model=PUBLIC,
        show_usage=show_usage,
        price_of=price_of,
        choices=chat.request.get("n") or 1,
    )
    body = chat.body()
    size = step or len(body)
    relayed = b"".join(stream.feed(body[at : at + size]) for at in range(0, len(body), size))
    end = stream.finish(body_complete=True)
    return relayed + (end.tail if end.kind is EndKind.PROPER else b""), end


def last_usage(chat: Recording) -> dict[str, Any] | None:
    """Find the last usage that the provider reported, wherever it put it."""
    if not chat.is_stream:
        found: dict[str, Any] | None = chat.response.get("usage")
        return found
    usage = None
    for data in events(chat.body().decode()):
        chunk = {} if data == "[DONE]" else json.loads(data)
        inner = [one.get("usage") for one in chunk.get("choices") or ()]
        usage = next((one for one in (chunk.get("usage"), *inner) if one), usage)
    return usage


@every(stem=lambda: names(stream=True), step=[None, 1, 7, 4096], show_usage=[True, False])
def test_a_stream_shows_the_providers_values_but_the_allowed_edits(
    stem: str, step: int | None, *, show_usage: bool
) -> None:
    """However the bytes arrive, the client's chunks equal the provider's after the edits."""
    chat = chats()[stem]
    relayed, _ = run(chat, show_usage=show_usage, step=step)
    seen = [one if one == "[DONE]" else exact(one) for one in events(relayed.decode())]
    assert seen == expected_chunks(chat, show_usage=show_usage)


@every(stem=lambda: names(stream=False))
def test_a_whole_answer_shows_the_providers_values_but_the_allowed_edits(stem: str) -> None:
    """Only the model and the cost differ; numbers keep their spelling."""
    chat = chats()[stem]
    result = response(chat.body(), public_model=PUBLIC, price_of=price_of)
    expected = exact(chat.body())
    expected["model"] = PUBLIC
    if expected.get("usage"):
        expected["usage"]["cost"] = cost(expected["usage"])
    assert exact(result.body) == expected


@every(stem=chats)
def test_the_quantities_are_the_providers_counts_by_dimension(stem: str) -> None:
    """An oracle of its own counts the same tokens in the same dimensions."""
    chat = chats()[stem]
    if chat.is_stream:
        quantities = run(chat, show_usage=False)[1].quantities
    else:
        quantities = response(chat.body(), public_model=PUBLIC, price_of=price_of).quantities
    usage = last_usage(chat)
    if usage is None:
        assert quantities is None
        return
    assert quantities is not None
    expected = counted(usage)
    assert list(quantities) == [expected.get(dimension, 0) for dimension in Dimension]


@every(charge=CHARGES)
def test_the_charge_is_the_one_worked_out_by_hand(charge: Charge) -> None:
    """The table's literals: at least twenty of them with and twenty without the recordings."""
    chat = chats().get(charge.stem)
    if chat is None:
        assert not charge.fixture, "a fixture of the table is missing"
        return
    if chat.is_stream:
        quantities = run(chat, show_usage=True)[1].quantities
    else:
        quantities = response(chat.body(), public_model=PUBLIC, price_of=price_of).quantities
    assert quantities is not None
    assert charge_nanos(quantities, charge.price) == charge.nanos


def test_the_table_is_large_enough_with_and_without_the_recordings() -> None:
    """Twenty hand-checked charges of each kind."""
    assert sum(not one.fixture for one in CHARGES) >= 20
    assert sum(one.fixture for one in CHARGES) >= 20


@every(stem=lambda: names(stream=True))
def test_a_stream_cut_before_its_terminal_frame_is_never_ended_cleanly(stem: str) -> None:
    """At each event: no clean end, whole frames only, and no `[DONE]` for the client."""
    chat = chats()[stem]
    frames = [part + b"\n\n" for part in chat.body().replace(b"\r\n", b"\n").split(b"\n\n")]
    frames = frames[: next((i for i, f in enumerate(frames) if b"[DONE]" in f), len(frames))]
    for cut in range(len(frames)):
        stream = ChatStream(public_model=PUBLIC, show_usage=True, price_of=price_of)
        half = b"".join(frames[:cut]) + frames[cut][: len(frames[cut]) // 2]
        relayed = stream.feed(half)
        end = stream.finish(body_complete=False)
        assert end.kind is EndKind.CUT
        assert relayed == b"" or relayed.endswith(b"\n\n")
        assert b"[DONE]" not in relayed + end.tail
        assert end.tail == b"" or end.fault is Fault.UPSTREAM_ERROR
