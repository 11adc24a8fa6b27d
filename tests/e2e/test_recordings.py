"""Every recorded chat through the running service: the provider's values, counts and charge.

The oracle is the one of `tests/contract`: it knows nothing of the code that it checks.
"""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from kit.charge import Dimension, charge_nanos
from kit.money import format_dollars
from oneapi.common.v1.quantities_pb2 import Quantities
from oneapi.metering.v1 import usage_record_pb2 as record
from tests.contract.charge_table import CHARGES, GPT_41_MINI, Charge
from tests.contract.test_recordings_chat import counted, events, exact, last_usage
from tests.support.every import every
from tests.support.recordings import Recording
from tests.support.stack import Stack, price_of, public_ids, recorded_chats

PROVIDER_TOOLS = ("web_search_options", "search_parameters", "plugins")
"""What the provider would run and bill by itself is refused by us; the answers are good tests."""

CHATS = recorded_chats()
INVENTED = ("openai-chat-context", "openai-chat-long-context")
"""Their counts are made up to reach a context tier: no hold for their few bytes covers those."""
Answers = dict[tuple[str, bool], httpx.Response]
ANSWERED = [stem for stem, chat in CHATS.items() if chat.status == 200]
REFUSED = [stem for stem, chat in CHATS.items() if chat.status != 200]
FIELDS = {
    Dimension.INPUT: "input_tokens",
    Dimension.CACHED_INPUT: "cached_input_tokens",
    Dimension.CACHE_WRITE: "cache_write_tokens",
    Dimension.OUTPUT: "output_tokens",
    Dimension.REASONING: "reasoning_tokens",
    Dimension.AUDIO_INPUT: "audio_input_tokens",
    Dimension.AUDIO_OUTPUT: "audio_output_tokens",
    Dimension.REQUESTS: "requests",
}


def request_of(chat: Recording, *, show_usage: bool) -> dict[str, Any]:
    """Return the recorded request as a client of ours sends it."""
    body = {name: value for name, value in chat.request.items() if name not in PROVIDER_TOOLS}
    body.pop("stream_options", None)
    tools = [one for one in body.get("tools") or () if one.get("type") in {"function", "custom"}]
    if "tools" in body:
        body["tools"] = tools
    body["model"] = public_ids()[chat.stem]
    body["stream"] = chat.is_stream
    if chat.is_stream and show_usage:
        body["stream_options"] = {"include_usage": True}
    return body


def send(client: httpx.Client, chat: Recording, *, show_usage: bool) -> httpx.Response:
    """Send it; a stream that the provider broke is read as far as it goes."""
    body = request_of(chat, show_usage=show_usage)
    with client.stream("POST", "/chat/completions", json=body) as answer:
        parts: list[bytes] = []
        try:
            parts.extend(answer.iter_raw())
        except httpx.RemoteProtocolError:
            assert chat.is_stream
        return httpx.Response(answer.status_code, headers=answer.headers, content=b"".join(parts))


def cost(chat: Recording, usage: dict[str, Any]) -> str:
    """Return what a reported usage costs, in dollars."""
    return format_dollars(charge_of(chat, numbers_of(usage)))


def charge_of(chat: Recording, quantities: dict[str, int]) -> int:
    """Return the nano-dollars of quantities at the chat's price."""
    values = [0] * len(Dimension)
    for dimension, name in FIELDS.items():
        values[dimension] = quantities.get(name, 0)
    return charge_nanos(tuple(values), price_of(chat.stem))


def edited(chat: Recording, *, show_usage: bool) -> list[Any]:
    """Make the edits that the contract allows on the values that the provider sent."""
    documents = events(chat.body().decode()) if chat.is_stream else [chat.body().decode()]
    expected = []
    for text in documents:
        if text == "[DONE]":
            expected.append(text)
            break
        value = exact(text)
        if value.get("error"):
            break
        counts = value.get("usage")
        if chat.is_stream and not show_usage:
            value.pop("usage", None)
            if counts and not value["choices"]:
                continue
        elif counts:
            counts["cost"] = cost(chat, counts)
        if "model" in value:
            value["model"] = public_ids()[chat.stem]
        expected.append(value)
    return expected


def seen(chat: Recording, answer: httpx.Response) -> list[Any]:
    """Return the values that the client got, without an error event of ours."""
    if not chat.is_stream:
        return [exact(answer.content)]
    texts = events(answer.content.decode())
    values = [text if text == "[DONE]" else exact(text) for text in texts]
    return [one for one in values if one == "[DONE]" or "error" not in one]


def numbers(quantities: Quantities) -> dict[str, int]:
    """Return the counts that are not zero."""
    return {field.name: value for field, value in quantities.ListFields()}


def numbers_of(usage: dict[str, Any]) -> dict[str, int]:
    """Count what the provider reported, in our dimensions."""
    return {FIELDS[one]: count for one, count in counted(usage).items() if count}


@pytest.fixture(scope="module")
def answers(stack: Stack) -> Answers:
    """Send every chat with and without usage first: so that no test waits for its record."""
    stack.replay.reset()
    with stack.client() as client:
        return {
            (stem, show_usage): send(client, chat, show_usage=show_usage)
            for stem, chat in CHATS.items()
            for show_usage in (True, False)
        }


@every(stem=ANSWERED, show_usage=[True, False])
def test_a_recorded_chat_arrives_and_is_counted_and_charged(
    stack: Stack, answers: Answers, stem: str, *, show_usage: bool
) -> None:
    """Values, quantities by dimension and the charge, of one answer and of its record."""
    chat, answer = CHATS[stem], answers[stem, show_usage]
    assert answer.status_code == 200, answer.text
    assert seen(chat, answer) == edited(chat, show_usage=show_usage)
    usage = stack.usage(answer.headers["x-request-id"])
    reported = last_usage(chat)
    if usage.waive_reason:
        assert (numbers(usage.quantities), usage.charge.amount_nanos) == ({}, 0)
    elif reported is None:
        assert usage.usage_source != record.USAGE_SOURCE_PROVIDER
    else:
        assert numbers(usage.quantities) == numbers_of(reported)
        assert usage.usage_source == record.USAGE_SOURCE_PROVIDER
        assert usage.charge.amount_nanos == charge_of(chat, numbers_of(reported))
    if not chat.stem.startswith(INVENTED):
        assert usage.charge.amount_nanos <= usage.hold.amount_nanos


@every(row=CHARGES)
def test_the_charge_is_the_one_worked_out_by_hand(
    stack: Stack, answers: Answers, row: Charge
) -> None:
    """From the client's request to the ledger's settlement."""
    if row.stem not in CHATS:
        assert not row.fixture, "a fixture of the table is missing"
        return
    usage = stack.usage(answers[row.stem, True].headers["x-request-id"])
    assert usage.charge.amount_nanos == row.nanos
    assert usage.settlement_id.startswith("txn_")


@every(stem=REFUSED)
def test_a_recorded_refusal_is_passed_on_and_costs_nothing(
    stack: Stack, answers: Answers, stem: str
) -> None:
    """What is about the client's request is the provider's word; what is about us is ours."""
    chat, answer = CHATS[stem], answers[stem, False]
    error = answer.json()["error"]
    assert error.keys() >= {"message", "type", "param", "code"}
    usage = stack.usage(answer.headers["x-request-id"])
    assert (usage.outcome, usage.charge.amount_nanos) == (record.OUTCOME_FAILED, 0)
    assert usage.http_status == answer.status_code
    if chat.status in {400, 404}:
        told = chat.response["error"]
        assert (answer.status_code, error["message"]) == (chat.status, told["message"])
    elif chat.status == 429:
        assert (answer.status_code, error["code"]) == (429, "upstream_rate_limited")
    else:
        assert (answer.status_code, error["code"]) == (502, "upstream_failed")


def test_equal_usage_costs_the_same_streamed_or_not(stack: Stack, answers: Answers) -> None:
    """The charge depends on what was used, not on how it was delivered."""
    charges: dict[Any, dict[bool, set[int]]] = {}
    for stem in (one for one in ANSWERED if price_of(one) is GPT_41_MINI):
        usage = stack.usage(answers[stem, True].headers["x-request-id"])
        counts = tuple(sorted(numbers(usage.quantities).items()))
        both = charges.setdefault(counts, {True: set(), False: set()})
        both[usage.streamed].add(usage.charge.amount_nanos)
    twins = [both for counts, both in charges.items() if counts and all(both.values())]
    assert twins
    assert all(len(both[True] | both[False]) == 1 for both in twins)
