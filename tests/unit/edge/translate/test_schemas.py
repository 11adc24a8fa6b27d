"""The schemas of requests say what the parsers do: what one calls wrong the other refuses."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import jsonschema_rs
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.api.surfaces import SERVED
from edge.pages.openapi import document
from edge.pages.operations import OPERATIONS
from edge.translate import multipart
from edge.translate.chat.native import MAX_CHOICES
from edge.translate.errors import InvalidRequest
from edge.translate.multipart import Part
from edge.translate.operation import FORM, JSON, SCHEMAS, Operation
from edge.translate.surface import ModelLimits, Surface
from tests.support.near_schema import NearSchema
from tests.unit.edge.pages.page_world import small_catalog

COMPONENTS = document(small_catalog(), "http://127.0.0.1")["components"]
JSON_OPERATIONS = {one.name: one for one in OPERATIONS if JSON in one.requests}
SENT = {b"content-type": b"application/json"}


class Limits:
    """A model that takes everything."""

    input_overhead_tokens = 512
    input_overhead_with_tools_tokens = 512
    image_max_tokens = audio_max_tokens = file_max_tokens = max_output_tokens = 1_000
    tool_calls_max = tool_call_max_tokens = 1_000


def surface_of(operation: Operation) -> Surface:
    """Return what serves an operation."""
    path = operation.path.replace("{model}:", "*:")
    return next(served.surface for served in SERVED if path in served.paths)


def refusal(operation: Operation, body: Any) -> str | None:
    """Return the field that the parser refuses a body for, None if it takes it."""
    limits: ModelLimits = Limits()
    path = operation.path.replace("{model}", "demo")
    try:
        surface_of(operation).read(orjson.dumps(body), SENT, path, b"").shape(limits)
    except InvalidRequest as error:
        return f"{error.code} {error.param}"
    return None


@cache
def validator_of(name: str) -> jsonschema_rs.Draft202012Validator:
    """Return what judges the bodies of an operation by its schema."""
    schema = {**JSON_OPERATIONS[name].requests[JSON], "components": COMPONENTS}
    return jsonschema_rs.Draft202012Validator(schema)


def schema_fault(name: str, body: Any) -> str | None:
    """Return where the schema calls a body wrong, None if nowhere."""
    found = next(validator_of(name).iter_errors(body), None)
    return None if found is None else f"{found.instance_path} {found.message}"


def bodies_near(name: str, seed: int, count: int) -> Iterator[dict[str, Any]]:
    """Yield bodies near an operation's schema."""
    near = NearSchema(COMPONENTS["schemas"], seed)
    for _ in range(count):
        body = near.value(JSON_OPERATIONS[name].requests[JSON])
        if isinstance(body, dict) and not _streams_too_many(body):
            yield body


def _streams_too_many(body: dict[str, Any]) -> bool:
    """Say whether prompts times `n` are too many for a stream: no schema multiplies."""
    n, prompts = body.get("n"), body.get("prompt")
    if not isinstance(n, int) or not isinstance(prompts, list) or not body.get("stream"):
        return False
    return n * len(prompts) > MAX_CHOICES


@pytest.mark.parametrize("name", JSON_OPERATIONS)
@settings(max_examples=25)
@given(seed=st.integers(0, 2**32))
def test_schema_and_parser_call_the_same_bodies_wrong(name: str, seed: int) -> None:
    """Neither promises what the other does not keep."""
    for body in bodies_near(name, seed, 80):
        fault, refused = schema_fault(name, body), refusal(JSON_OPERATIONS[name], body)
        assert (fault is None) == (refused is None), (body, fault, refused)


@pytest.mark.parametrize("name", JSON_OPERATIONS)
def test_bodies_near_a_schema_are_right_and_wrong(name: str) -> None:
    """Control: the property above is asked about both, and about many places."""
    faults = [schema_fault(name, body) for body in bodies_near(name, 7, 300)]
    assert 40 < faults.count(None) < 290
    assert len({fault.partition(" ")[0] for fault in faults if fault is not None}) > 2


def form_refusal(operation: Operation, fields: dict[str, Any]) -> str | None:
    """Return what the parser refuses a form for; a file is told by bytes."""
    parts = []
    for name, value in fields.items():
        for one in value if isinstance(value, list) else [value]:
            data = one if isinstance(one, bytes) else str(one).encode()
            parts.append(Part(name, data, "a.png" if isinstance(one, bytes) else None))
    sent = {b"content-type": multipart.content_type_of(b"edge")}
    limits: ModelLimits = Limits()
    try:
        body = multipart.written(parts, b"edge")
        surface_of(operation).read(body, sent, operation.path, b"").shape(limits)
    except InvalidRequest as error:
        return f"{error.code} {error.param}"
    return None


EDIT: dict[str, Any] = {"prompt": "a", "image": [b"1"]}
HEARD: dict[str, Any] = {"file": b"1"}


@pytest.mark.parametrize(
    ("name", "fields", "fits"),
    [
        ("editImage", EDIT, True),
        ("editImage", {"prompt": "a", "image[]": [b"1", b"2"]}, True),
        ("editImage", {**EDIT, "n": 10, "partial_images": 0, "size": "1x1", "mask": b"1"}, True),
        ("editImage", {"prompt": "a"}, False),
        ("editImage", {"image": [b"1"]}, False),
        ("editImage", {**EDIT, "prompt": ""}, False),
        ("editImage", {**EDIT, "n": 0}, False),
        ("editImage", {**EDIT, "n": 11}, False),
        ("editImage", {**EDIT, "partial_images": 4}, False),
        ("editImage", {**EDIT, "stream": "maybe"}, False),
        ("editImage", {**EDIT, "stream": True, "n": 1}, True),
        ("editImage", {**EDIT, "stream": True, "n": 2}, False),
        ("editImage", {**EDIT, "unknown": "a"}, False),
        ("createTranscription", HEARD, True),
        ("createTranscription", {**HEARD, "response_format": "srt", "include[]": ["a"]}, True),
        ("createTranscription", {"model": "a"}, False),
        ("createTranscription", {**HEARD, "response_format": "odt"}, False),
        ("createTranscription", {**HEARD, "stream": "maybe"}, False),
        ("createTranscription", {**HEARD, "unknown": "a"}, False),
    ],
)
def test_schema_and_parser_call_the_same_forms_wrong(
    name: str, fields: dict[str, Any], *, fits: bool
) -> None:
    """In a form all is text, so no schema can say all of it: a table of what it does say."""
    operation = next(one for one in OPERATIONS if one.name == name)
    words = orjson.loads(orjson.dumps(fields, default=lambda data: data.decode()))
    assert jsonschema_rs.is_valid(operation.requests[FORM], words) == fits
    assert (form_refusal(operation, fields) is None) == fits


def test_every_schema_is_one() -> None:
    """Of JSON Schema 2020-12, which OpenAPI 3.1 is made of."""
    for schema in COMPONENTS["schemas"].values():
        jsonschema_rs.meta.validate(
            {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
        )


def test_every_reference_leads_somewhere() -> None:
    """In requests, answers and shared schemas alike."""
    text = orjson.dumps(COMPONENTS).decode()
    named = {part.partition('"')[0] for part in text.split(f'"$ref":"{SCHEMAS}')[1:]}
    assert named <= COMPONENTS["schemas"].keys()
