"""Embeddings: native with our edits, and by Google's and Cohere's own APIs."""

from __future__ import annotations

import base64
import json
import struct
import sys
from types import FrameType
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.translate import errors
from edge.translate.answer import WholeAnswer
from edge.translate.embeddings import usage, vectors
from edge.translate.embeddings.request import parse
from edge.translate.embeddings.surface import EmbeddingCall, EmbeddingsSurface
from edge.translate.errors import InvalidRequest, MalformedAnswer
from edge.translate.surface import NoWay
from kit.charge import quantities
from oneapi.common.v1.endpoint_pb2 import Endpoint
from tests.unit.edge.translate.terms import price_of, terms
from tests.unit.edge.translate.test_any_input import JSON, as_parsed
from tests.unit.edge.translate.test_chat_shape import Limits

EMBEDDINGS = Endpoint.ENDPOINT_EMBEDDINGS
GENERATE = Endpoint.ENDPOINT_GENERATE_CONTENT


def call(given: Any = "Once", **more: Any) -> EmbeddingCall:
    """Read a body with these members."""
    body = {"model": "m", "input": given, **more}
    return EmbeddingsSurface().read(orjson.dumps(body), {}, "/v1/embeddings", b"")


def sent(call: EmbeddingCall, upstream: str = "openai", serves: Any = EMBEDDINGS) -> Any:
    """Return what a candidate gets."""
    return json.loads(call.translation(terms(serves, upstream=upstream)).body(None))


def answered(
    call: EmbeddingCall, answer: Any, upstream: str = "openai", serves: Any = EMBEDDINGS
) -> WholeAnswer:
    """Return what the client gets of a candidate's answer."""
    translation = call.translation(terms(serves, upstream=upstream))
    return translation.whole(orjson.dumps(answer), b"application/json", price_of)


@pytest.mark.parametrize(
    ("body", "error", "param"),
    [
        ({}, errors.MissingParameter, "input"),
        ({"input": {}}, errors.InvalidType, "input"),
        ({"input": []}, errors.EmptyArray, "input"),
        ({"input": ["a", {}]}, errors.InvalidType, "input[1]"),
        ({"input": ["a"] * 2049}, errors.InvalidValue, "input"),
        ({"input": "a", "encoding_format": "int8"}, errors.InvalidValue, "encoding_format"),
        ({"input": "a", "encoding_format": 7}, errors.InvalidType, "encoding_format"),
        ({"input": "a", "dimensions": 0}, errors.IntegerBelowMinimum, "dimensions"),
        ({"input": "a", "dimensions": 1.5}, errors.InvalidType, "dimensions"),
    ],
)
def test_what_we_use_is_checked(
    body: dict[str, Any], error: type[InvalidRequest], param: str
) -> None:
    """The path of the field is named."""
    with pytest.raises(error) as caught:
        parse(body)
    assert (type(caught.value), caught.value.param) == (error, param)


def test_nothing_is_put_into_the_body_and_everything_else_passes() -> None:
    """No null for a field that the client did not send: some upstreams refuse it."""
    assert sent(call()) == {"model": "upstream-model", "input": "Once"}
    more = {"encoding_format": "base64", "dimensions": 8, "user": "u", "input_type": "query"}
    assert sent(call(["a", "b"], **more)) == {
        "model": "upstream-model",
        "input": ["a", "b"],
        **more,
    }
    assert sent(call([[1, 2], [3]]))["input"] == [[1, 2], [3]]


def test_upstreams_differ_in_the_fields_of_dimensions_and_format() -> None:
    """Voyage knows base64 or nothing."""
    request = call(dimensions=8, encoding_format="float")
    mistral = {"output_dimension": 8, "encoding_format": "float"}
    assert sent(request, "mistral") == {"model": "upstream-model", "input": "Once", **mistral}
    voyage = {"model": "upstream-model", "input": "Once", "output_dimension": 8}
    assert sent(request, "voyage") == voyage


def test_the_bound_is_bytes_of_text_or_tokens_and_there_is_no_output() -> None:
    """Whatever the request says."""
    rest = len(orjson.dumps({"model": "m"}))
    for inputs, size in (("Ünd", 4), (["ab", "c"], 3), ([5000, 6000], 2), ([[5000], [6]], 2)):
        shape = call(inputs).shape(Limits())
        assert (shape.choices, shape.text_bytes) == (0, rest + size)


@pytest.mark.parametrize(
    ("counted", "tokens"),
    [
        ({"prompt_tokens": 3, "total_tokens": 3}, 3),
        ({"total_tokens": 3}, 3),
        ({"prompt_tokens": 3, "total_tokens": 3, "completion_tokens": 0}, 3),
        ({"prompt_tokens": 3, "total_tokens": 4}, None),
        ({"prompt_tokens": -3}, None),
        ({"prompt_tokens": "3", "total_tokens": 3}, None),
        ({}, None),
    ],
)
def test_input_tokens_are_all_that_is_counted(counted: dict[str, Any], tokens: int | None) -> None:
    """Counts that contradict each other are refused."""
    expected = None if tokens is None else quantities(input=tokens, requests=1)
    assert usage.from_openai(counted) == expected


def test_a_whole_answer_gets_the_public_model_the_cost_and_both_counts() -> None:
    """Vectors keep the spelling of their numbers."""
    raw = (
        b'{"object":"list","data":[{"object":"embedding","index":0,"embedding":[-1e-05,0.10]}],'
        b'"model":"up","usage":{"total_tokens":3}}'
    )
    translation = call().translation(terms(EMBEDDINGS))
    whole = translation.whole(raw, b"application/json", price_of)
    assert whole.quantities == quantities(input=3, requests=1)
    assert (whole.has_output, whole.content_bytes) == (True, 0)
    assert b"[-1e-05,0.10]" in whole.body
    answer = json.loads(whole.body)
    assert answer["model"] == "public-model"
    assert answer["usage"] == {"prompt_tokens": 3, "total_tokens": 3, "cost": "1.50"}


@pytest.mark.parametrize("answer", [[], {}, {"data": None}])
def test_what_has_no_list_of_vectors_is_malformed(answer: Any) -> None:
    """Natively and across."""
    for upstream, serves in (("openai", EMBEDDINGS), ("google", GENERATE), ("cohere-v2", GENERATE)):
        with pytest.raises(MalformedAnswer):
            answered(call(), answer, upstream, serves)


def test_google_embeds_by_its_own_api() -> None:
    """A request for each text; what it does not count is not charged by a count of ours."""
    request = call(["a", "b"], dimensions=2, encoding_format="base64", user="u")
    translation = request.translation(terms(GENERATE, upstream="google"))
    assert translation.path == b"/models/upstream-model:batchEmbedContents"
    common = {"model": "models/upstream-model", "outputDimensionality": 2}
    assert json.loads(translation.body(None)) == {
        "requests": [common | {"content": {"parts": [{"text": text}]}} for text in ("a", "b")]
    }
    answer = {"embeddings": [{"values": [0.5, -0.25]}, {"values": [1, 0]}]}
    whole = answered(request, answer, "google", GENERATE)
    assert (whole.quantities, whole.usage_invalid) == (None, False)
    assert whole.estimated == quantities(input=1, requests=1)
    body = json.loads(whole.body)
    assert body["data"][0]["embedding"] == base64.b64encode(struct.pack("<2f", 0.5, -0.25)).decode()
    assert body["data"][1]["index"] == 1
    assert body["usage"] == {"prompt_tokens": 0, "total_tokens": 0}
    counted = answered(
        request, answer | {"usageMetadata": {"promptTokenCount": 7}}, "google", GENERATE
    )
    assert counted.quantities == quantities(input=7, requests=1)


def test_cohere_embeds_by_its_own_api() -> None:
    """Vectors come as the client wants them, tokens as they are billed."""
    request = call(["a"], encoding_format="base64")
    translation = request.translation(terms(upstream="cohere-v2"))
    assert translation.path == b"/embed"
    assert json.loads(translation.body(None)) == {
        "model": "upstream-model",
        "texts": ["a"],
        "input_type": "search_document",
        "embedding_types": ["base64"],
    }
    answer = {
        "embeddings": {"float": None, "base64": ["AAAAPw=="]},
        "meta": {"billed_units": {"input_tokens": 4}},
    }
    whole = answered(request, answer, "cohere-v2")
    assert whole.quantities == quantities(input=4, requests=1)
    assert json.loads(whole.body)["data"][0]["embedding"] == "AAAAPw=="
    untrue = answered(
        request, answer | {"meta": {"billed_units": {"input_tokens": -4}}}, "cohere-v2"
    )
    assert (untrue.quantities, untrue.usage_invalid) == (None, True)


@pytest.mark.parametrize(
    ("given", "more", "param"),
    [([1, 2], {}, "input"), ("a", {"input_type": "query"}, "body")],
)
def test_what_another_api_cannot_take_is_refused(
    given: Any, more: dict[str, Any], param: str
) -> None:
    """Tokens are those of one tokeniser."""
    with pytest.raises(InvalidRequest) as caught:
        call(given, **more).translation(terms(GENERATE, upstream="google"))
    assert caught.value.param == param
    with pytest.raises(NoWay):
        call().translation(terms(Endpoint.ENDPOINT_MESSAGES))


def test_an_answer_with_fewer_vectors_than_texts_is_malformed() -> None:
    """A client would match them with the wrong texts."""
    with pytest.raises(MalformedAnswer):
        answered(call(["a", "b"]), {"embeddings": [{"values": [1]}]}, "google", GENERATE)


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), max_size=20))
def test_base64_and_numbers_are_the_same_floats(values: list[float]) -> None:
    """Exactly, in both directions."""
    text = vectors.packed(values)
    assert vectors.unpacked(text) == values
    assert vectors.encoded(values, "base64") == vectors.encoded(text, "base64") == text
    assert vectors.encoded(text, "float") == vectors.encoded(values, None) == values


@pytest.mark.parametrize("vector", [None, {}, [True], ["1"], [1e39], "AAA=", "?", "AADAfw=="])
def test_what_is_no_vector_is_malformed(vector: Any) -> None:
    """Also what is too large for 32 bits, no whole float, or no number."""
    with pytest.raises(MalformedAnswer):
        vectors.encoded(vector, "float" if isinstance(vector, str) else "base64")


@pytest.mark.parametrize("odd", [True, "1", None, [1.0], {}])
def test_one_odd_number_among_many_is_found(odd: Any) -> None:
    """Wherever it stands."""
    for place in (0, 1_500, 3_071):
        vector: list[Any] = [0.5, 1] * 1_536
        vector[place] = odd
        with pytest.raises(MalformedAnswer):
            vectors.encoded(vector, "float")


def test_numbers_are_checked_without_a_step_for_each() -> None:
    """An answer has millions of them, and other requests wait meanwhile."""
    lines: list[int] = []

    def trace(frame: FrameType, kind: str, _argument: Any) -> Any:
        if frame.f_code is vectors.numbers.__code__ and kind == "line":
            lines.append(frame.f_lineno)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        vectors.numbers([0.5] * 3_072)
    finally:
        sys.settrace(before)
    assert 1 <= len(lines) <= 10


@given(
    st.dictionaries(st.sampled_from(["input", "dimensions", "encoding_format", "x"]), JSON),
    st.sampled_from([("openai", EMBEDDINGS), ("google", GENERATE), ("cohere-v2", EMBEDDINGS)]),
    st.dictionaries(st.sampled_from(["data", "embeddings", "usage", "meta", "model"]), JSON),
)
def test_any_body_and_any_answer_are_handled(value: Any, way: Any, answer: Any) -> None:
    """A request or an error of ours; an answer or a malformed one, with counts that are true."""
    body, said = as_parsed({"input": "a", **value}), as_parsed(answer)
    if not isinstance(body, dict):
        return
    upstream, serves = way
    try:
        request = EmbeddingCall(parse(body))
        assert request.shape(Limits()).text_bytes >= 0
        whole = answered(request, said, upstream, serves)
    except (InvalidRequest, MalformedAnswer):
        return
    assert isinstance(json.loads(whole.body), dict)
    assert whole.quantities is None or min(whole.quantities) >= 0
