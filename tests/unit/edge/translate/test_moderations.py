"""Moderations: native only, texts and images, counted where the upstream counts."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given

from edge.translate import errors
from edge.translate.errors import InvalidRequest, MalformedAnswer
from edge.translate.moderations.request import DEFAULT_MODEL, parse
from edge.translate.moderations.surface import ModerationCall, ModerationsSurface
from edge.translate.surface import NoWay
from kit.charge import quantities
from oneapi.common.v1.endpoint_pb2 import Endpoint
from tests.unit.edge.translate.terms import price_of, terms
from tests.unit.edge.translate.test_any_input import JSON, as_parsed
from tests.unit.edge.translate.test_chat_shape import Limits

MODERATIONS = Endpoint.ENDPOINT_MODERATIONS
URL = "data:image/png;base64,aGVsbG8="
IMAGE = {"type": "image_url", "image_url": {"url": URL}}
TEXT = {"type": "text", "text": "Once"}
RESULT = {"flagged": False, "categories": {}, "category_scores": {"hate": 1e-06}}


def call(given: Any = "Once", **more: Any) -> ModerationCall:
    """Read a body with these members."""
    body = {"input": given, **more}
    return ModerationsSurface().read(orjson.dumps(body), {}, "/v1/moderations", b"")


@pytest.mark.parametrize(
    ("body", "error", "param"),
    [
        ({}, errors.MissingParameter, "input"),
        ({"input": 7}, errors.InvalidType, "input"),
        ({"input": []}, errors.EmptyArray, "input"),
        ({"input": ["a", 7]}, errors.InvalidType, "input[1]"),
        ({"input": ["a"] * 2049}, errors.InvalidValue, "input"),
        ({"input": [TEXT, "a"]}, errors.InvalidType, "input[1]"),
        ({"input": [{"text": "a"}]}, errors.MissingParameter, "input[0].type"),
        ({"input": [{"type": "video"}]}, errors.UnsupportedValue, "input[0].type"),
        ({"input": [{"type": "text"}]}, errors.MissingParameter, "input[0].text"),
        (
            {"input": [{"type": "image_url", "image_url": {"url": ""}}]},
            errors.InvalidValue,
            "input[0].image_url.url",
        ),
    ],
)
def test_what_we_use_is_checked(
    body: dict[str, Any], error: type[InvalidRequest], param: str
) -> None:
    """The path of the field is named."""
    with pytest.raises(error) as caught:
        parse(body)
    assert (type(caught.value), caught.value.param) == (error, param)


def test_without_a_model_it_is_openais_default() -> None:
    """As the API reference says."""
    assert call().model == DEFAULT_MODEL
    assert call(model="m").model == "m"


def test_images_are_bounded_by_the_catalogue_and_texts_by_their_bytes() -> None:
    """Where the catalogue has no maximum, images are refused."""
    request = call([TEXT, IMAGE])
    shape = request.shape(Limits(image_max_tokens=100))
    assert (shape.media_tokens, shape.choices) == (100, 0)
    body = {"input": [TEXT, IMAGE]}
    assert shape.text_bytes == len(orjson.dumps(body)) - len(URL)
    assert request.media_bytes == len(URL)
    with pytest.raises(errors.UnsupportedValue) as caught:
        request.shape(Limits(image_max_tokens=0))
    assert caught.value.param == "input[1]"


def test_a_whole_answer_gets_the_public_model_and_keeps_its_scores() -> None:
    """OpenAI counts nothing; where an upstream does, the count and its cost are there."""
    translation = call(["a"], x=1).translation(terms(MODERATIONS))
    assert json.loads(translation.body(None)) == {"input": ["a"], "x": 1, "model": "upstream-model"}
    raw = b'{"id":"m","model":"up","results":[{"flagged":false,"category_scores":{"hate":1e-06}}]}'
    whole = translation.whole(raw, b"application/json", price_of)
    assert whole.body == raw.replace(b'"up"', b'"public-model"')
    assert (whole.quantities, whole.has_output) == (None, True)
    counted = {"prompt_tokens": 3, "total_tokens": 3, "completion_tokens": 0}
    answer = {"id": "m", "model": "up", "results": [RESULT], "usage": counted}
    whole = translation.whole(orjson.dumps(answer), b"application/json", price_of)
    assert whole.quantities == quantities(input=3, requests=1)
    assert json.loads(whole.body)["usage"] == counted | {"cost": "1.50"}


def test_who_serves_no_moderations_cannot_be_asked() -> None:
    """Verdicts of one model are not those of another API."""
    with pytest.raises(NoWay):
        call().translation(terms(Endpoint.ENDPOINT_CHAT_COMPLETIONS))
    translation = call().translation(terms(MODERATIONS))
    with pytest.raises(MalformedAnswer):
        translation.whole(b'{"results":{}}', b"application/json", price_of)


@given(JSON)
def test_any_input_is_a_request_or_an_error_of_ours(value: Any) -> None:
    """With a bound that is a number."""
    try:
        request = ModerationCall(parse({"input": as_parsed(value)}))
        shape = request.shape(Limits(image_max_tokens=10))
    except InvalidRequest:
        return
    assert shape.text_bytes >= 0
    assert json.loads(request.translation(terms(MODERATIONS)).body(None))["model"]
