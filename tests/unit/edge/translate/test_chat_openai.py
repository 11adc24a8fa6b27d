"""Chat requests: what is checked, what is changed, and that all else passes."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from edge.translate import errors
from edge.translate.chat.native import parse, prepare, response
from edge.translate.errors import InvalidRequest, MalformedAnswer
from edge.translate.quirks import quirks_of
from kit.charge import Quantities, quantities
from oneapi.metering.v1.usage_record_pb2 import FinishReason

MESSAGES = [{"role": "user", "content": "Hello"}]


def body(**more: Any) -> dict[str, Any]:
    """Return a minimal body with further members."""
    return {"model": "m", "messages": MESSAGES, **more}


def sent(more: dict[str, Any], **options: Any) -> dict[str, Any]:
    """Return what the upstream gets for a body with these members."""
    prepared = prepare(parse(body(**more)), upstream_model="up", **options)
    parsed: dict[str, Any] = orjson.loads(prepared)
    return parsed


def price_of(_: Quantities) -> int:
    """Price everything at 1.5 dollars."""
    return 1_500_000_000


@pytest.mark.parametrize(
    ("bad", "error", "param"),
    [
        ([], errors.InvalidType, "body"),
        ({"messages": MESSAGES, "model": 7}, errors.InvalidType, "model"),
        ({"model": "m"}, errors.MissingParameter, "messages"),
        ({"model": "m", "messages": "Hello"}, errors.InvalidType, "messages"),
        ({"model": "m", "messages": []}, errors.EmptyArray, "messages"),
        ({"model": "m", "messages": [{}, "x"]}, errors.InvalidType, "messages[1]"),
        ({"model": "m", "messages": [{}] * 16_385}, errors.InvalidValue, "messages"),
        (body(stream="true"), errors.InvalidType, "stream"),
        (body(stream=True, stream_options=[]), errors.InvalidType, "stream_options"),
        (
            body(stream=True, stream_options={"include_usage": 1}),
            errors.InvalidType,
            "stream_options.include_usage",
        ),
        (body(n=0), errors.IntegerBelowMinimum, "n"),
        (body(n=129), errors.IntegerAboveMaximum, "n"),
        (body(n=True), errors.InvalidType, "n"),
        (body(best_of=200), errors.IntegerAboveMaximum, "best_of"),
        (body(max_tokens=0), errors.IntegerBelowMinimum, "max_tokens"),
        (body(max_tokens=2**31), errors.IntegerAboveMaximum, "max_tokens"),
        (body(max_completion_tokens="9"), errors.InvalidType, "max_completion_tokens"),
        (body(service_tier=1), errors.InvalidType, "service_tier"),
        (body(service_tier="ultra"), errors.InvalidValue, "service_tier"),
        (body(tools={}), errors.InvalidType, "tools"),
    ],
)
def test_a_wrong_field_is_named(bad: Any, error: type[InvalidRequest], param: str) -> None:
    """By its path; the class has OpenAI's code."""
    with pytest.raises(InvalidRequest) as caught:
        parse(bad)
    assert type(caught.value) is error
    assert caught.value.param == param


def test_no_value_of_the_client_is_in_an_error() -> None:
    """It could be part of a prompt."""
    with pytest.raises(InvalidRequest) as caught:
        parse(body(service_tier="SECRET-PROMPT"))
    assert "SECRET" not in f"{caught.value!r} {caught.value} {caught.value.message}"


def test_a_request_does_not_show_its_content() -> None:
    """A representation may end up in a log."""
    assert "Hello" not in repr(parse(body()))


def test_what_we_use_is_read() -> None:
    """The counts that admission needs."""
    request = parse(
        body(
            stream=True,
            stream_options={"include_usage": True},
            n=2,
            max_tokens=50,
            max_completion_tokens=40,
            service_tier="flex",
            tools=[{"type": "function"}],
        )
    )
    assert request.stream
    assert request.include_usage
    assert request.choices == 2
    assert request.token_limit == 40
    assert request.service_tier == "flex"
    assert request.has_tools


def test_nulls_are_absent_fields() -> None:
    """SDKs send explicit nulls."""
    request = parse(
        body(stream=None, n=None, max_tokens=None, stream_options=None, tools=None, store=None)
    )
    assert not request.stream
    assert request.choices == 1
    assert request.token_limit is None


def test_the_larger_of_n_and_best_of_bounds_the_choices() -> None:
    """An upstream bills all that it generates."""
    assert parse(body(n=2, best_of=5)).choices == 5


def test_usage_is_shown_in_streams_only() -> None:
    """Without a stream the option means nothing."""
    assert not parse(body(stream_options={"include_usage": True})).include_usage


def test_unknown_fields_pass() -> None:
    """The provider knows them, we need not."""
    more = {"reasoning_effort": "low", "x": {"y": [1, 2.5, None]}, "user": "u"}
    assert sent(more) == {**body(**more), "model": "up"}


def test_metadata_stay_here() -> None:
    """Agents say there who asks and on which machine."""
    assert "metadata" not in sent({"metadata": {"user_id": "u"}})


def test_usage_is_always_asked_for_in_streams() -> None:
    """Whatever the client said; its other options stay."""
    assert sent({"stream": True})["stream_options"] == {"include_usage": True}
    options = {"include_usage": False, "include_obfuscation": False}
    assert sent({"stream": True, "stream_options": options})["stream_options"] == {
        "include_usage": True,
        "include_obfuscation": False,
    }
    assert "stream_options" not in sent({})


def test_an_upstream_that_refuses_the_option_is_not_sent_it() -> None:
    """Mistral sends usage always."""
    prepared = sent({"stream": True, "stream_options": {}}, quirks=quirks_of("mistral"))
    assert "stream_options" not in prepared


@pytest.mark.parametrize(
    ("more", "limit", "upstream", "expected"),
    [
        ({}, 100, "openai", {"max_completion_tokens": 100}),
        ({}, 100, "groq", {"max_tokens": 100}),
        ({"max_tokens": 500}, 100, "openai", {"max_tokens": 100}),
        ({"max_tokens": 50}, 100, "openai", {"max_tokens": 50}),
        (
            {"max_tokens": 500, "max_completion_tokens": 60},
            100,
            "groq",
            {"max_tokens": 100, "max_completion_tokens": 60},
        ),
        ({"max_tokens": None}, 100, "groq", {"max_tokens": 100}),
        ({"max_tokens": None}, 100, "openai", {"max_tokens": None, "max_completion_tokens": 100}),
        ({"max_tokens": 500}, None, "openai", {"max_tokens": 500}),
        ({"max_completion_tokens": 500}, None, "mistral", {"max_tokens": 500}),
        ({"max_completion_tokens": 50, "max_tokens": 60}, 100, "deepseek", {"max_tokens": 50}),
        ({"max_completion_tokens": 500}, 100, "cohere", {"max_tokens": 100}),
        ({"max_tokens": 500}, None, "mistral", {"max_tokens": 500}),
    ],
)
def test_the_output_is_capped_in_the_clients_own_field(
    more: dict[str, Any], limit: int | None, upstream: str, expected: dict[str, Any]
) -> None:
    """Else in the one that the upstream takes; a smaller limit of the client's stays."""
    prepared = sent(more, output_limit=limit, quirks=quirks_of(upstream))
    assert {name: value for name, value in prepared.items() if name.startswith("max_")} == expected


def test_the_developer_is_the_system_where_that_role_is_not_known() -> None:
    """Elsewhere the client's word stays."""
    messages = [{"role": "developer", "content": "Be brief.", "x": 1}, *MESSAGES]
    for upstream, role in (("mistral", "system"), ("deepseek", "system"), ("groq", "developer")):
        prepared = sent({"messages": messages}, quirks=quirks_of(upstream))
        assert prepared["messages"] == [{"role": role, "content": "Be brief.", "x": 1}, *MESSAGES]


def test_nothing_is_stored_upstream() -> None:
    """`store: true` becomes false; what was not said stays unsaid."""
    assert sent({"store": True})["store"] is False
    assert sent({"store": False})["store"] is False
    assert "store" not in sent({})


@pytest.mark.parametrize(("tier", "passes"), [("flex", False), ("priority", False), ("auto", True)])
def test_a_tier_that_chose_our_lane_does_not_choose_the_upstreams_price(
    tier: str, *, passes: bool
) -> None:
    """The lane's upstream is priced in the catalogue, the word is not."""
    assert ("service_tier" in sent({"service_tier": tier})) == passes


def test_preparing_leaves_the_request_as_it_is() -> None:
    """A fall-back prepares it once more, for another upstream."""
    request = parse(body(stream=True, store=True, service_tier="flex"))
    first = prepare(request, upstream_model="up", output_limit=7)
    assert prepare(request, upstream_model="up", output_limit=7) == first
    assert request.body == body(stream=True, store=True, service_tier="flex")


def answer(**more: Any) -> dict[str, Any]:
    """Return a whole answer with further members."""
    message = {"role": "assistant", "content": "Hi"}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    usage = {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}
    return {"id": "x", "model": "up-2026", "choices": [choice], "usage": usage, **more}


def test_an_answer_gets_the_public_model_and_its_cost() -> None:
    """Two edits, the counts as quantities, and why the model stopped."""
    result = response(orjson.dumps(answer()), public_model="pub", price_of=price_of)
    expected = answer(model="pub")
    expected["usage"]["cost"] = "1.50"
    assert orjson.loads(result.body) == expected
    assert result.quantities == quantities(input=3, output=1, requests=1)
    assert result.finish_reason == FinishReason.FINISH_REASON_STOP
    assert result.has_output
    assert result.content_bytes == 2


def test_a_providers_own_cost_gives_way_to_ours() -> None:
    """OpenRouter sends what it charges us."""
    own = {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4, "cost": 4.12e-05}
    result = response(orjson.dumps(answer(usage=own)), public_model="pub", price_of=price_of)
    assert orjson.loads(result.body)["usage"]["cost"] == "1.50"


def test_an_answer_without_usable_usage_has_no_quantities_and_no_cost() -> None:
    """The caller estimates; the client sees what the provider said."""
    for usage in (None, {"prompt_tokens": -1, "completion_tokens": 1}):
        result = response(orjson.dumps(answer(usage=usage)), public_model="pub", price_of=price_of)
        assert result.quantities is None
        assert result.usage_invalid == (usage is not None)
        assert orjson.loads(result.body) == answer(model="pub", usage=usage)


@pytest.mark.parametrize(
    ("message", "has_output"),
    [
        ({"role": "assistant", "content": None}, False),
        ({"role": "assistant", "content": "", "tool_calls": []}, False),
        ({"role": "assistant", "content": None, "tool_calls": [{"id": "c"}]}, True),
        ({"role": "assistant", "content": None, "refusal": "No."}, True),
        ({"role": "assistant", "content": None, "reasoning_content": "Hm"}, True),
        (None, False),
        ("text", False),
    ],
)
def test_output_is_anything_that_the_model_made(message: Any, *, has_output: bool) -> None:
    """An answer without output and without a good end is free."""
    choice = {"index": 0, "message": message, "finish_reason": None}
    made = orjson.dumps(answer(choices=[choice]))
    assert response(made, public_model="p", price_of=price_of).has_output == has_output


@pytest.mark.parametrize("choices", [None, 7, {}, ["x"], [{"message": {"tool_calls": 3}}]])
def test_an_odd_answer_passes(choices: Any) -> None:
    """What the provider sent is the client's to judge."""
    result = response(orjson.dumps(answer(choices=choices)), public_model="pub", price_of=price_of)
    assert orjson.loads(result.body)["choices"] == choices


@pytest.mark.parametrize("bad", [b"", b"[]", b"<html>", b'{"a":', b'{"a":"\xff"}', b"null"])
def test_an_answer_that_is_no_object_is_refused(bad: bytes) -> None:
    """And no part of it is in the error."""
    with pytest.raises(MalformedAnswer) as caught:
        response(bad, public_model="pub", price_of=price_of)
    assert caught.value.args == ()
    assert caught.value.__cause__ is None
