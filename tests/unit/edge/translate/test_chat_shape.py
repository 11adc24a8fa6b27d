"""The bound of a chat request's usage: bytes for text, catalogue maxima for the rest."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import orjson
import pytest

from edge.translate import errors
from edge.translate.chat.native import parse
from edge.translate.chat.shape import bound_of
from edge.translate.errors import InvalidRequest
from kit.hold import RequestShape
from tests.support.recordings import load_fixtures, load_recordings

PICTURE = "data:image/png;base64," + base64.b64encode(bytes(3000)).decode()


@dataclass(frozen=True)
class Limits:
    """The catalogue's maxima of a model."""

    input_overhead_tokens: int = 512
    input_overhead_with_tools_tokens: int = 1024
    image_max_tokens: int = 1500
    audio_max_tokens: int = 9000
    file_max_tokens: int = 50_000
    max_output_tokens: int = 8_192

    tool_calls_max: int = 0
    tool_call_max_tokens: int = 0


NOTHING = Limits(image_max_tokens=0, audio_max_tokens=0, file_max_tokens=0)


def body(*parts: Any, **more: Any) -> dict[str, Any]:
    """Return a body with one message of these parts."""
    return {"model": "m", "messages": [{"role": "user", "content": list(parts)}], **more}


def deep(levels: int) -> Any:
    """Return lists inside each other."""
    value: Any = 0
    for _ in range(levels):
        value = [value]
    return value


def shaped(value: dict[str, Any], limits: Limits | None = None) -> RequestShape:
    """Return the shape of a body."""
    return bound_of(parse(value), limits or Limits())[0]


def test_text_counts_by_the_bytes_of_the_whole_body() -> None:
    """Also names, schemas and everything else in it."""
    value = body({"type": "text", "text": "Grüße"}, response_format={"type": "json_object"})
    assert shaped(value) == RequestShape(text_bytes=len(orjson.dumps(value)), overhead_tokens=512)


def test_tools_have_an_overhead_of_their_own() -> None:
    """Providers turn them into a prompt that is larger than their JSON."""
    for name in ("tools", "functions"):
        tool = {"type": "function", "function": {"name": "f"}}
        assert shaped(body(**{name: [tool]})).overhead_tokens == 1024


def test_choices_are_bounded() -> None:
    """Each may use the whole output limit."""
    assert shaped(body(n=3)).choices == 3


@pytest.mark.parametrize(
    ("part", "data", "tokens", "has_audio"),
    [
        ({"type": "image_url", "image_url": {"url": PICTURE}}, PICTURE, 1500, False),
        ({"type": "image_url", "image_url": PICTURE}, PICTURE, 1500, False),
        (
            {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
            "https://example.com/a.png",
            1500,
            False,
        ),
        (
            {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "wav"}},
            "QUJD",
            9000,
            True,
        ),
        (
            {"type": "file", "file": {"file_data": PICTURE, "filename": "a.pdf"}},
            PICTURE,
            50_000,
            False,
        ),
        (
            {"type": "document_url", "document_url": "https://e.com/d"},
            "https://e.com/d",
            50_000,
            False,
        ),
    ],
)
def test_media_count_by_the_catalogues_maximum_instead_of_their_bytes(
    part: dict[str, Any], data: str, tokens: int, *, has_audio: bool
) -> None:
    """Data inside or a URL: it is the same medium."""
    value = body({"type": "text", "text": "See:"}, part)
    expected = RequestShape(
        text_bytes=len(orjson.dumps(value)) - len(data),
        overhead_tokens=512,
        media_tokens=tokens,
        has_audio=has_audio,
    )
    assert shaped(value) == expected


def test_each_medium_counts() -> None:
    """Three pictures are three times the maximum."""
    picture = {"type": "image_url", "image_url": {"url": PICTURE}}
    assert shaped(body(picture, picture, picture)).media_tokens == 4500


def test_an_earlier_spoken_answer_is_read_again() -> None:
    """It is named by an id, its tokens are input."""
    value = body()
    value["messages"].append({"role": "assistant", "audio": {"id": "audio_1"}})
    found = shaped(value)
    assert (found.media_tokens, found.has_audio) == (9000, True)


def test_spoken_output_is_priced_as_audio() -> None:
    """The dearest output dimension must cover it."""
    assert shaped(body(modalities=["text", "audio"], audio={"voice": "v"})).has_audio
    assert not shaped(body(modalities=["text"])).has_audio


@pytest.mark.parametrize(
    ("value", "error", "param"),
    [
        (
            body({"type": "image_url", "image_url": {"url": PICTURE}}),
            errors.UnsupportedValue,
            "messages[0].content[0]",
        ),
        (body({"type": "input_audio"}), errors.UnsupportedValue, "messages[0].content[0]"),
        (body({"type": "file"}), errors.UnsupportedValue, "messages[0].content[0]"),
        (body({"type": "video_url"}), errors.UnsupportedValue, "messages[0].content[0].type"),
        (body({"image_url": PICTURE}), errors.MissingParameter, "messages[0].content[0].type"),
        (body({"type": 1}), errors.InvalidType, "messages[0].content[0].type"),
        (body("text"), errors.InvalidType, "messages[0].content[0]"),
        (body(modalities=["audio"]), errors.UnsupportedValue, "modalities"),
        (body(modalities=["image"]), errors.UnsupportedValue, "modalities"),
        (body(modalities="audio"), errors.InvalidType, "modalities"),
        (body(tools=[{"type": "web_search"}]), errors.UnsupportedValue, "tools[0].type"),
        (body(tools=[{"type": "mcp"}]), errors.UnsupportedValue, "tools[0].type"),
        (body(tools=["x"]), errors.InvalidType, "tools[0]"),
        (body(tools=[{"type": []}]), errors.InvalidType, "tools[0].type"),
        (body(x=deep(300)), errors.NestedTooDeeply, None),
        (body(web_search_options={"a": 1}), errors.UnsupportedParameter, "web_search_options"),
        (body(search_parameters={"a": 1}), errors.UnsupportedParameter, "search_parameters"),
        (
            {"model": "m", "messages": [{"role": "assistant", "audio": {"id": "a"}}]},
            errors.UnsupportedValue,
            "messages[0].audio",
        ),
    ],
)
def test_what_the_catalogue_cannot_bound_is_refused(
    value: dict[str, Any], error: type[InvalidRequest], param: str | None
) -> None:
    """A hold that is no bound could be overrun."""
    with pytest.raises(InvalidRequest) as caught:
        shaped(value, NOTHING)
    assert type(caught.value) is error
    assert caught.value.param == param


def test_an_empty_web_search_option_still_searches() -> None:
    """OpenAI searches where the object is there, even if it is empty."""
    with pytest.raises(errors.UnsupportedParameter):
        shaped(body(web_search_options={}))


def test_the_bound_covers_every_recorded_count() -> None:
    """No provider counted more input tokens than the bound says."""
    exchanges = [
        one
        for one in (*load_recordings(), *load_fixtures())
        if one.path.endswith("chat/completions") and one.status == 200 and not one.is_stream
    ]
    assert exchanges
    for one in exchanges:
        usage = one.response.get("usage")
        bound = shaped(one.request, Limits(image_max_tokens=3000))
        if usage and not one.stem.startswith(MADE_UP):
            assert usage["prompt_tokens"] <= bound.input_tokens, one.stem


MADE_UP = (
    "openai-chat-context",
    "openai-chat-long-context",
    "openai-chat-cache",
    "deepseek-chat-cache-hit",
)
"""Fixtures whose prompt was cut short in the file."""


@pytest.mark.parametrize(
    "part",
    [{"type": "file", "file": {"file_id": "file-1"}}, {"type": "input_file", "file_id": "file-1"}],
)
def test_files_that_the_provider_keeps_are_refused(part: Any) -> None:
    """They lie under our account and not the client's."""
    request = parse({"model": "m", "messages": [{"role": "user", "content": [part]}]})
    with pytest.raises(errors.UnsupportedValue) as caught:
        bound_of(request, Limits(file_max_tokens=10))
    assert caught.value.param == "messages[0].content[0].file_id"
