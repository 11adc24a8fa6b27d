"""What no native request may ask for, and what no provider gets, whatever the client's API."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from edge.api.surfaces import SERVED
from edge.translate.errors import InvalidValue, UnsupportedParameter
from edge.translate.messages.shape import PROVIDER_FIELDS
from edge.translate.native_body import MODERATION, NOT_FORWARDED, UNBOUND_FIELDS
from edge.translate.surface import ClientRequest
from oneapi.common.v1.endpoint_pb2 import Endpoint
from tests.unit.edge.translate.terms import terms
from tests.unit.edge.translate.test_schemas import SENT, Limits

SAID = [{"role": "user", "content": "Hello"}]
BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": SAID},
    "/v1/responses": {"input": "Hello"},
    "/v1/messages": {"messages": SAID, "max_tokens": 9},
    "/v1/completions": {"prompt": "Once"},
    "/v1/embeddings": {"input": "Once"},
    "/v1/moderations": {"input": "Once"},
    "/v1/images/generations": {"prompt": "A pier"},
    "/v1/images/edits": {"prompt": "A pier", "images": [{"image_url": "https://pier.test/a"}]},
    "/v1/audio/speech": {"input": "Once"},
}
"""Small bodies of every endpoint that takes JSON of OpenAI's or Anthropic's kind."""
EVERY_PATH = pytest.mark.parametrize("path", BODIES)


def read(path: str, **members: Any) -> ClientRequest:
    """Read a body with these members, and bound it."""
    surface = next(served.surface for served in SERVED if path in served.paths)
    body = {"model": "m", **BODIES[path], **members}
    request = surface.read(orjson.dumps(body), SENT, path, b"")
    request.shape(Limits())
    return request


def sent(path: str, **members: Any) -> dict[str, Any]:
    """Return what a candidate that serves every endpoint gets."""
    way = read(path, **members).translation(terms(*Endpoint.values()))
    body: dict[str, Any] = json.loads(way.body(None))
    return body


@EVERY_PATH
@pytest.mark.parametrize("value", [{}, ["x"], "x", True])
def test_what_has_no_bound_is_refused_by_name(path: str, value: Any) -> None:
    """Tools that the provider runs, servers that it calls, other models that it asks."""
    for name in UNBOUND_FIELDS:
        if not value and path == "/v1/messages" and name in PROVIDER_FIELDS:
            continue  # Anthropic's own: empty, they say nothing
        if name == MODERATION and "/images/" in path:
            continue  # another field: how strict the filter is
        with pytest.raises(UnsupportedParameter) as caught:
            read(path, **{name: value})
        assert caught.value.param == name


def _input(part: dict[str, Any]) -> dict[str, Any]:
    return {"input": [{"role": "user", "content": [part]}]}


def _said(part: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [part]}], "max_tokens": 9}


def _with_media(url: str) -> list[tuple[str, dict[str, Any], str]]:
    """Return bodies that name this address, each with the path where it stands."""
    image, source = {"type": "image_url"}, {"type": "url", "url": url}
    first, content = "input[0].content[0]", "messages[0].content[0]"
    chat, messages, edits = "/v1/chat/completions", "/v1/messages", "/v1/images/edits"
    return [
        ("/v1/responses", _input({"type": "input_file", "file_url": url}), f"{first}.file_url"),
        ("/v1/responses", _input({"type": "input_image", "image_url": url}), f"{first}.image_url"),
        (messages, _said({"type": "document", "source": source}), f"{content}.source.url"),
        (messages, _said({"type": "image", "source": source}), f"{content}.source.url"),
        (chat, _said({**image, "image_url": {"url": url}}), f"{content}.image_url.url"),
        (chat, _said({**image, "image_url": url}), f"{content}.image_url"),
        (chat, _said({"type": "file", "x": {"file_data": url}}), f"{content}.file_data"),
        ("/v1/moderations", {"input": [{**image, "image_url": {"url": url}}]}, "input[0]"),
        (edits, {"prompt": "A pier", "images": [{"image_url": url}]}, "images[0].image_url"),
    ]


@pytest.mark.parametrize(("path", "members", "param"), _with_media("file:///etc/hosts"))
def test_an_address_that_is_a_providers_own_is_refused(
    path: str, members: dict[str, Any], param: str
) -> None:
    """A file of its machines, a store: it would read them as its own, or as ours."""
    with pytest.raises(InvalidValue) as caught:
        read(path, **members)
    assert (caught.value.param or "").startswith(param)
    assert "hosts" not in caught.value.message


@pytest.mark.parametrize("url", ["https://pier.test/a", "data:image/png;base64,iVBO", "iVBO+/=="])
def test_addresses_of_the_web_and_data_pass(url: str) -> None:
    """Data also without its type, as some providers take it."""
    for path, members, _ in _with_media(url):
        read(path, **members)


@pytest.mark.parametrize("url", ["gs://a/b", "s3://a/b", " file:///a", "fi\tle:///a", "ftp://a"])
def test_no_other_scheme_passes(url: str) -> None:
    """However it is spelled."""
    for path, members, _ in _with_media(url):
        with pytest.raises(InvalidValue):
            read(path, **members)


@pytest.mark.parametrize("path", ["/v1/images/generations", "/v1/images/edits"])
def test_images_say_how_strict_their_filter_is(path: str) -> None:
    """A word of the image API's own, by the name that means a second model elsewhere."""
    assert sent(path, moderation="low")["moderation"] == "low"


@EVERY_PATH
@pytest.mark.parametrize("value", [None, False])
def test_saying_no_to_it_is_no_fault(path: str, value: Any) -> None:
    """Clients send fields that they do not use as null."""
    read(path, **dict.fromkeys(UNBOUND_FIELDS, value))


@EVERY_PATH
@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"prompt_cache_retention": "24h"}, {}),
        ({"prompt_cache_retention": ["24h"]}, {}),
        ({"prompt_cache_retention": None}, {}),
        ({"prompt_cache_retention": "in_memory"}, ...),
        ({"prompt_cache_options": {"ttl": "24h"}}, {"prompt_cache_options": {}}),
        (
            {"prompt_cache_options": {"mode": "explicit", "ttl": "30m"}},
            {"prompt_cache_options": {"mode": "explicit"}},
        ),
        ({"prompt_cache_options": {"mode": "explicit"}, "prompt_cache_key": "k"}, ...),
    ],
)
def test_no_cache_is_kept_for_longer_than_the_account_says(
    path: str, asked: dict[str, Any], told: Any
) -> None:
    """A request may ask for less, never for more."""
    body = sent(path, **asked)
    shown = {name: body[name] for name in body if name.startswith("prompt_cache")}
    assert shown == (asked if told is ... else told)


@EVERY_PATH
def test_nobodys_identity_is_forwarded_and_nothing_is_kept(path: str) -> None:
    """What else the client sent passes."""
    whose = {"metadata": {"user_id": "u"}, "client_metadata": {"s": "1"}, "user_profile_id": "p"}
    traced = {"session_id": "s", "trace": {"trace_id": "t"}}
    body = sent(path, **whose, **traced, store=True, other=[7])
    assert not traced.keys() & body.keys()
    assert not whose.keys() & body.keys()
    assert (body["store"], body["other"], body["model"]) == (False, [7], "upstream-model")


CROSSINGS = {
    "/v1/chat/completions": Endpoint.ENDPOINT_MESSAGES,
    "/v1/responses": Endpoint.ENDPOINT_CHAT_COMPLETIONS,
    "/v1/messages": Endpoint.ENDPOINT_CHAT_COMPLETIONS,
    "/v1/completions": Endpoint.ENDPOINT_CHAT_COMPLETIONS,
}


@pytest.mark.parametrize(("path", "endpoint"), CROSSINGS.items())
def test_what_is_forwarded_to_nobody_bars_no_other_api(
    path: str, endpoint: Endpoint.ValueType
) -> None:
    """It is left out there as well."""
    values = {name: {"a": "b"} for name in NOT_FORWARDED}
    written = read(path, **values).translation(terms(endpoint)).body(None)
    assert not values.keys() & json.loads(written).keys()
