"""Requests for images: what passes, what bounds them, what they are counted as."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import event, given
from hypothesis import strategies as st
from openai.types import ImageEditCompletedEvent, ImageGenCompletedEvent, ImagesResponse

from edge.translate import multipart
from edge.translate.answer import EndKind, Fault, StreamEnd
from edge.translate.errors import InvalidRequest, MalformedAnswer
from edge.translate.images.native import NativeImages
from edge.translate.images.request import (
    EDIT_FIELDS,
    UNHELD_FIELDS,
    ImageRequest,
    read_edit,
    read_generation,
)
from edge.translate.images.surface import ImageEdits, ImageGenerations
from edge.translate.images.usage import from_images
from edge.translate.multipart import Part
from edge.translate.surface import NoWay
from kit.charge import quantities
from oneapi.common.v1.endpoint_pb2 import Endpoint
from tests.unit.edge.translate.terms import REQUEST_ID, price_of, terms
from tests.unit.edge.translate.test_any_input import JSON, as_parsed
from tests.unit.edge.translate.test_chat_shape import Limits

GENERATIONS = Endpoint.ENDPOINT_IMAGE_GENERATIONS
FORM = b"multipart/form-data; boundary=b"
USAGE = {
    "total_tokens": 100,
    "input_tokens": 50,
    "output_tokens": 50,
    "input_tokens_details": {"text_tokens": 10, "image_tokens": 40},
}
COUNTED = quantities(input=10, image_input=40, image_output=50, requests=1)
ANSWER = {"created": 1, "data": [{"b64_json": "aW1n"}], "usage": USAGE}


def generation(**fields: Any) -> ImageRequest:
    """Read a generation."""
    return read_generation(orjson.dumps({"prompt": "A red kite.", **fields}))


def edit_form(*parts: Part, **texts: str) -> bytes:
    """Return the form of an edit with these images."""
    fields = [Part(name, text.encode()) for name, text in {"prompt": "Red.", **texts}.items()]
    return multipart.written([*fields, *parts], b"b")


def picture(name: str = "image[]", data: bytes = b"\x89PNG") -> Part:
    """Return an image as a client sends it."""
    return Part(name, data, "Ann and me.png", "image/png")


def native(request: ImageRequest) -> NativeImages:
    """Return the translation for an upstream that has the endpoint."""
    return NativeImages(request, terms(GENERATIONS), b"/images/generations")


def completed(kind: str = "image_generation", **fields: Any) -> dict[str, Any]:
    """Return the last event of an image."""
    words = {"size": "1024x1024", "quality": "low", "background": "opaque", "output_format": "png"}
    return {"type": f"{kind}.completed", "b64_json": "aW1n", "created_at": 1, **words, **fields}


def frames(*events: dict[str, Any]) -> bytes:
    """Return events as a stream, named as OpenAI does."""
    return b"".join(
        b"event: %b\ndata: %b\n\n" % (one["type"].encode(), orjson.dumps(one)) for one in events
    )


def streamed(request: ImageRequest, *chunks: bytes, whole: bool = True) -> tuple[bytes, StreamEnd]:
    """Feed a stream; return what went out before its end, and the end."""
    stream = native(request).stream(price_of)
    out = b"".join(map(stream.feed, chunks))
    return out, stream.finish(body_complete=whole)


# --- requests


def test_unknown_fields_of_a_generation_pass() -> None:
    """And the upstream's own model takes the place of ours."""
    request = generation(model="m", size="1536x864", quality="high", brand_new={"a": [1]})
    sent = orjson.loads(native(request).body(None))
    assert sent == {
        "prompt": "A red kite.",
        "model": "upstream-model",
        "size": "1536x864",
        "quality": "high",
        "brand_new": {"a": [1]},
    }
    assert (request.model, request.stream, generation().model) == ("m", False, None)


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"prompt": None}, "missing_required_parameter", "prompt"),
        ({"prompt": ["a"]}, "invalid_type", "prompt"),
        ({"model": 3}, "invalid_type", "model"),
        ({"stream": "true"}, "invalid_type", "stream"),
        ({"n": True}, "invalid_type", "n"),
        ({"n": 1.0}, "invalid_type", "n"),
        ({"n": 0}, "integer_below_min_value", "n"),
        ({"n": 11}, "integer_above_max_value", "n"),
        ({"n": 2, "stream": True}, "unsupported_parameter", "n"),
        ({"partial_images": 4}, "integer_above_max_value", "partial_images"),
        *(({name: ["x"]}, "unsupported_parameter", name) for name in (*UNHELD_FIELDS, "images")),
        ({"mask": {"image_url": "https://x/y"}}, "unsupported_parameter", "mask"),
    ],
)
def test_what_is_used_of_a_generation_is_checked(
    fields: dict[str, Any], code: str, param: str
) -> None:
    """By its field, without its value."""
    with pytest.raises(InvalidRequest) as caught:
        generation(**fields)
    assert (caught.value.code, caught.value.param) == (code, param)


def test_an_edit_is_written_anew_without_what_the_client_calls_its_files() -> None:
    """Its texts and the bytes of its images stay."""
    raw = edit_form(picture(), picture("mask", b"\x89mask"), n="2", stream="false", model="m")
    request = read_edit(raw, FORM)
    translation = native(request)
    assert translation.content_type == b"multipart/form-data; boundary=1api-" + REQUEST_ID.encode()
    sent = translation.body(None)
    assert b"Ann" not in sent
    parts = multipart.parsed(sent, translation.content_type)
    assert [(part.name, bytes(part.data), part.file_name) for part in parts] == [
        ("model", b"upstream-model", None),
        ("prompt", b"Red.", None),
        ("n", b"2", None),
        ("stream", b"false", None),
        ("image[]", b"\x89PNG", "image.png"),
        ("mask", b"\x89mask", "image.png"),
    ]
    assert (request.model, request.images, request.sources) == ("m", 2, 2)
    assert request.media_bytes == 9


@pytest.mark.parametrize(
    ("parts", "texts", "code", "param"),
    [
        ([], {}, "missing_required_parameter", "image"),
        ([picture()], {"n": "2", "stream": "true"}, "unsupported_parameter", "n"),
        ([picture()], {"prompt": ""}, "missing_required_parameter", "prompt"),
        ([picture()] * 17, {}, "invalid_value", "image"),
        ([picture()], {"n": "0"}, "integer_below_min_value", "n"),
        ([picture()], {"n": "11"}, "integer_above_max_value", "n"),
        ([picture()], {"n": "²"}, "invalid_type", "n"),
        ([picture()], {"n": "9" * 5000}, "invalid_type", "n"),
        ([picture()], {"stream": "yes"}, "invalid_type", "stream"),
        ([picture()], {"metadata": "x"}, "unknown_field", None),
        ([picture(), Part("model", b"\xff")], {}, "invalid_value", "model"),
    ],
)
def test_what_is_used_of_an_edit_is_checked(
    parts: list[Part], texts: dict[str, str], code: str, param: str | None
) -> None:
    """As in JSON."""
    with pytest.raises(InvalidRequest) as caught:
        read_edit(edit_form(*parts, **texts), FORM)
    assert (caught.value.code, caught.value.param) == (code, param)


def test_an_edit_may_name_images_in_json() -> None:
    """By URL; a file's id would be one of ours at the provider."""
    url = "data:image/png;base64," + "A" * 1000
    body = {"prompt": "p", "images": [{"image_url": url}] * 2, "mask": {"image_url": "https://x/y"}}
    request = read_edit(orjson.dumps(body), b"application/json")
    assert (request.sources, request.media_bytes) == (3, 2 * len(url) + len("https://x/y"))
    assert request.text_bytes == len(orjson.dumps(body)) - request.media_bytes
    assert orjson.loads(native(request).body(None))["images"] == body["images"]
    for images, code, param in (
        (None, "missing_required_parameter", "images"),
        ([], "empty_array", "images"),
        ([{}] * 17, "invalid_value", "images"),
        ("x", "invalid_type", "images"),
        (["x"], "invalid_type", "images[0]"),
        ([{"image_url": 3}], "invalid_type", "images[0].image_url"),
        ([{}], "missing_required_parameter", "images[0].image_url"),
        ([{"file_id": "file-1"}], "unsupported_parameter", "images[0].file_id"),
    ):
        with pytest.raises(InvalidRequest) as caught:
            read_edit(orjson.dumps({"prompt": "p", "images": images}), b"application/json")
        assert (caught.value.code, caught.value.param) == (code, param)


@pytest.mark.parametrize("name", UNHELD_FIELDS)
def test_an_edit_names_its_images_in_one_place(name: str) -> None:
    """What is nowhere counted is not held for."""
    body = {"prompt": "p", "images": [{"image_url": "https://x/y"}]}
    read_edit(orjson.dumps({**body, name: None}), b"application/json")
    with pytest.raises(InvalidRequest) as caught:
        read_edit(orjson.dumps({**body, name: 2}), b"application/json")
    assert (caught.value.code, caught.value.param) == ("unsupported_parameter", name)


def test_images_are_bound_by_the_most_that_each_can_cost() -> None:
    """Made ones at the model's most output, read ones at its most input, partial ones on top."""
    limits = Limits(max_output_tokens=6_240, image_max_tokens=1_500)
    shape = generation(n=3, partial_images=2).shape(limits)
    assert (shape.choices, shape.media_tokens) == (0, 0)
    assert shape.fixed_output_tokens == 3 * (6_240 + 200)
    edited = read_edit(edit_form(picture(), picture("mask")), FORM)
    assert edited.shape(limits).media_tokens == 3_000
    assert edited.shape(limits).text_bytes == len(b"promptRed.")
    with pytest.raises(InvalidRequest) as caught:
        edited.shape(Limits(image_max_tokens=0))
    assert (caught.value.code, caught.value.param) == ("unsupported_value", "image")


def test_a_candidate_without_the_endpoint_is_no_way() -> None:
    """Images cross over to nothing."""
    call = ImageGenerations().read(b'{"prompt":"p"}', {}, "", b"")
    assert call.translation(terms(GENERATIONS)).path == b"/images/generations"
    with pytest.raises(NoWay):
        call.translation(terms(Endpoint.ENDPOINT_IMAGE_EDITS))
    edit = ImageEdits().read(edit_form(picture()), {b"content-type": FORM}, "", b"")
    assert edit.translation(terms(Endpoint.ENDPOINT_IMAGE_EDITS)).path == b"/images/edits"


# --- counts


@pytest.mark.parametrize(
    ("usage", "counted"),
    [
        (USAGE, COUNTED),
        (
            {**USAGE, "output_tokens_details": {"image_tokens": 40, "text_tokens": 10}},
            quantities(input=10, image_input=40, output=10, image_output=40, requests=1),
        ),
        (
            {"input_tokens": 7, "output_tokens": 3},
            quantities(input=7, image_output=3, requests=1),
        ),
        ({**USAGE, "total_tokens": 99}, None),
        ({**USAGE, "input_tokens_details": {"image_tokens": 51}}, None),
        ({**USAGE, "output_tokens_details": {"text_tokens": 51}}, None),
        ({**USAGE, "input_tokens": -1, "total_tokens": 49}, None),
        ({"input_tokens": 7.0, "output_tokens": 3}, None),
        ({"input_tokens": 7}, None),
        ({**USAGE, "input_tokens_details": []}, None),
    ],
)
def test_counts_are_disjoint_or_refused(usage: dict[str, Any], counted: Any) -> None:
    """Text and images are priced apart."""
    assert from_images(usage) == counted


# --- answers


def test_a_whole_answer_has_its_cost_and_nothing_else_changed() -> None:
    """Every other byte is the provider's."""
    body = json.dumps({**ANSWER, "new": 1.50}).encode()
    result = native(generation()).whole(body, b"application/json", price_of)
    assert result.body == body.replace(b"}}, ", b'},"cost":"1.50"}, ')
    assert result.quantities == COUNTED
    assert (result.has_output, result.usage_invalid) == (True, False)
    answer = ImagesResponse.model_validate_json(result.body, strict=False)
    assert answer.data
    assert answer.data[0].b64_json == "aW1n"


def test_images_without_counts_are_charged_at_the_most_of_each() -> None:
    """Only those that came, and never more than were asked for."""
    body = orjson.dumps({"created": 1, "data": [{"url": "https://x/1"}, {"url": "https://x/2"}]})
    result = native(generation(n=2)).whole(body, b"application/json", price_of)
    assert (result.body, result.quantities) == (body, None)
    assert result.estimated is not None
    assert result.estimated[9] == 2 * 4096  # image output
    one = native(generation()).whole(body, b"application/json", price_of).estimated
    assert one is not None
    assert one[9] == 4096


def test_images_that_are_priced_by_the_image_are_counted_exactly() -> None:
    """Whatever tokens the provider names beside."""
    for more in ({}, {"usage": USAGE}):
        body = orjson.dumps({"created": 1, "data": [{"url": "https://x/1"}], **more})
        by_image = replace(terms(GENERATIONS), max_output_tokens=1)
        native_by_image = NativeImages(generation(n=2), by_image, b"/images/generations")
        result = native_by_image.whole(body, b"application/json", price_of)
        assert result.quantities is not None
        assert result.quantities[9] == 1
        assert (b'"cost":"1.50"' in result.body) == bool(more)


@pytest.mark.parametrize("body", [b"", b"[]", b"<html>", b"\xff"])
def test_an_answer_that_is_none_is_refused(body: bytes) -> None:
    """Nothing of it is kept."""
    with pytest.raises(MalformedAnswer):
        native(generation()).whole(body, b"", price_of)


def test_no_image_is_no_output() -> None:
    """Then nothing is charged."""
    result = native(generation()).whole(b'{"created":1,"data":[{}, 3]}', b"", price_of)
    assert (result.has_output, int(result.finish_reason)) == (False, 0)


def test_a_stream_ends_with_its_image() -> None:
    """Which waits until the outcome is durable; what comes before it does not."""
    last = completed(usage=USAGE, b64_json="bGFzdA==")
    partial = {"type": "image_generation.partial_image", "b64_json": "cA=="}
    request = generation(stream=True, partial_images=1)
    out, end = streamed(request, frames(partial, last, partial))
    assert out == frames(partial)
    assert end.tail == frames({**last, "usage": {**USAGE, "cost": "1.50"}})
    assert (end.kind, end.quantities, end.events) == (EndKind.PROPER, COUNTED, 2)
    shown = orjson.loads(end.tail.split(b"data: ")[1])
    assert ImageGenCompletedEvent.model_validate(shown).usage.output_tokens == 50
    edited = completed("image_edit", usage=USAGE)
    assert ImageEditCompletedEvent.model_validate(edited).b64_json == "aW1n"
    assert streamed(generation(stream=True), frames(edited))[1].kind is EndKind.PROPER


@pytest.mark.parametrize("more", [{}, {"usage": USAGE}])
def test_a_streamed_image_that_is_priced_by_the_image_is_counted_exactly(
    more: dict[str, Any],
) -> None:
    """As in a whole answer: tokens that the provider names are not what is priced."""
    by_image = replace(terms(GENERATIONS), max_output_tokens=1)
    native_by_image = NativeImages(generation(stream=True), by_image, b"/images/generations")
    stream = native_by_image.stream(price_of)
    stream.feed(frames(completed(**more)))
    end = stream.finish(body_complete=True)
    assert end.quantities is not None
    assert end.quantities[9] == 1
    assert (b'"cost":"1.50"' in end.tail) == bool(more)


def test_large_images_pass_whole() -> None:
    """One event holds megabytes, and comes in many pieces."""
    raw = frames(completed(usage=USAGE, b64_json="A" * 5_000_000))
    out, end = streamed(
        generation(stream=True), *(raw[at : at + 65_536] for at in range(0, len(raw), 65_536))
    )
    assert (out, end.kind, end.fault) == (b"", EndKind.PROPER, Fault.NONE)
    assert len(end.tail) > 5_000_000


def test_a_cut_stream_has_no_clean_end() -> None:
    """Also if the body itself ended."""
    raw = frames({"type": "image_generation.partial_image", "b64_json": "cA=="})
    for whole in (True, False):
        out, end = streamed(generation(stream=True), raw, whole=whole)
        assert out.endswith(b"\n\n")
        assert (end.kind, end.tail) == (EndKind.CUT, b"")


def test_an_error_inside_a_stream_is_the_last_word() -> None:
    """In the provider's words, with our code."""
    told = {"type": "error", "error": {"message": "Not this picture.", "code": "moderated"}}
    _, end = streamed(generation(stream=True), frames(told))
    assert (end.kind, end.fault) == (EndKind.CUT, Fault.UPSTREAM_ERROR)
    error = orjson.loads(end.tail.removeprefix(b"data: "))["error"]
    assert (error["message"], error["code"]) == ("Not this picture.", "upstream_stream_error")


# --- anything


FIELDS = st.sampled_from(
    ["prompt", "n", "stream", "model", "images", "mask", "partial_images", "image_url", "file_id"]
)


@given(st.dictionaries(FIELDS, JSON, max_size=6), st.booleans())
def test_any_body_is_a_request_or_an_error_of_ours(value: Any, is_edit: bool) -> None:  # noqa: FBT001
    """And what is taken can be sent on, with a bound that is a number."""
    body = as_parsed({"prompt": "p", **value})
    if not isinstance(body, dict):
        return
    raw = orjson.dumps(body)
    try:
        request = read_edit(raw, b"application/json") if is_edit else read_generation(raw)
    except InvalidRequest as error:
        event(error.code)
        return
    shape = request.shape(Limits())
    assert 0 <= shape.text_bytes <= len(raw)
    assert 1 <= request.images <= 10
    assert orjson.loads(native(request).body(None))["model"] == "upstream-model"


@given(st.lists(st.tuples(st.sampled_from(sorted(EDIT_FIELDS)), st.binary(max_size=8)), max_size=6))
def test_any_form_is_a_request_or_an_error_of_ours(fields: list[tuple[str, bytes]]) -> None:
    """And is written with the same fields, but for the model."""
    raw = multipart.written([Part(name, data) for name, data in fields], b"b")
    try:
        request = read_edit(raw, FORM)
    except InvalidRequest as error:
        event(error.code)
        return
    sent = multipart.parsed(native(request).body(None), native(request).content_type)
    kept = [(name, data) for name, data in fields if name != "model"]
    assert [(one.name, bytes(one.data)) for one in sent] == [("model", b"upstream-model"), *kept]


USAGES = st.dictionaries(
    st.sampled_from(["input_tokens", "output_tokens", "total_tokens", "input_tokens_details"]),
    JSON | st.integers(0, 9),
)


@given(JSON, USAGES, st.lists(JSON, max_size=3))
def test_any_answer_is_one_of_ours_or_malformed(value: Any, usage: Any, data: Any) -> None:
    """Usage is never negative, and nothing else of the answer changes."""
    answer = as_parsed({"created": value, "usage": usage, "data": data})
    if answer is None:
        return
    raw = orjson.dumps(answer)
    result = native(generation(n=2)).whole(raw, b"", price_of)
    assert result.quantities is None or min(result.quantities) >= 0
    assert result.estimated is not None
    assert 0 <= result.estimated[9] <= 2 * 4096
    shown = orjson.loads(result.body)
    shown["usage"].pop("cost", None)
    assert {**shown, "usage": None} == {**answer, "usage": None}


@given(st.lists(st.integers(1, 400), max_size=8))
def test_any_chunking_gives_the_same_stream(places: list[int]) -> None:
    """Also one byte at a time."""
    partial = {"type": "image_generation.partial_image", "b64_json": "cA=="}
    raw = frames(partial, completed(usage=USAGE))
    edges = [0, *sorted(place % len(raw) for place in places), len(raw)]
    chunks = [raw[start:end] for start, end in pairwise(edges)]
    request = generation(stream=True)
    assert streamed(request, *chunks) == streamed(request, raw)
