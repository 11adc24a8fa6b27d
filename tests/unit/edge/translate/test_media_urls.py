"""Data URLs and addresses of the web, as every API has them."""

from __future__ import annotations

import re
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.translate.errors import InvalidRequest, InvalidValue
from edge.translate.generate.upstream import GenerateUpstream
from edge.translate.media_urls import PATTERN, data_of, refuse_elsewhere, web_url
from edge.translate.neutral.conversation import Conversation, File, Image, Turn
from oneapi.common.v1.endpoint_pb2 import Endpoint
from tests.unit.edge.translate.terms import terms

MIB = 1 << 20


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("data:image/png;base64,AAAA", ("image/png", "AAAA")),
        ("DATA:text/plain;charset=utf-8;base64,AA,A", ("text/plain", "AA,A")),
        ("https://example.com/a.png,b", None),
        ("AAAA", None),
    ],
)
def test_a_data_url_has_a_media_type_and_data(url: str, found: tuple[str, str] | None) -> None:
    """What is no data URL is none of its business."""
    assert data_of("p", url) == found


@pytest.mark.parametrize(
    "url",
    [
        *("data:", "data:,AAAA", "data:image/png,AAAA", "data:image/png;base64,"),
        *("data:image/png;base64", "data:;base64,AAAA", "data:image;base64,AAAA"),
        *("data:image/png;base64;x=y,AAAA", f"data:image/png;x={'y' * 256};base64,AAAA"),
        "data:image/png\r\nx:y;base64,AAAA",
    ],
)
def test_a_data_url_in_another_form_is_refused_by_its_path(url: str) -> None:
    """Without a word of it."""
    with pytest.raises(InvalidValue) as caught:
        data_of("p", url)
    assert caught.value.param == "p"
    assert "AAAA" not in caught.value.message


@pytest.mark.parametrize("tail", ["", ";base64", ",AAAA"])
def test_a_long_head_costs_no_more_than_the_url_itself(tail: str) -> None:
    """A search that goes back over what it took would need gigabytes for a large request."""
    url = "data:image/png" + ";a=b" * MIB + tail
    tracemalloc.start()
    try:
        with pytest.raises(InvalidValue):
            data_of("p", url)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes <= len(url) + MIB


@given(st.text(max_size=40).map(lambda text: f"data:{text}") | st.text(max_size=40))
def test_any_text_is_a_data_url_or_none_or_refused(url: str) -> None:
    """And nothing is lost of what one holds."""
    try:
        found = data_of("p", url)
    except InvalidValue:
        return
    if found is not None:
        assert url.startswith(f"{url[:5]}{found[0]}")
        assert url.endswith(f";base64,{found[1]}")


@pytest.mark.parametrize("url", ["file:///etc/hosts", "gs://b/a", "ftp://a/b", "", None, 3])
def test_an_address_that_not_anyone_can_read_is_refused(url: object) -> None:
    """Each provider would read it as its own."""
    with pytest.raises(InvalidValue):
        web_url("p", url)
    for known in ("http://example.com/a", "HTTPS://example.com/a"):
        assert web_url("p", known) == known
        refuse_elsewhere("p", known)
        assert re.search(PATTERN, known)


@pytest.mark.parametrize(
    "part",
    [
        *(
            Image("p", url=url)
            for url in (
                "https://storage.googleapis.com/bucket/a.png",
                "https://storage.googleapis.com./bucket/a.png",
                "https://generativelanguage.googleapis.com/v1beta/files/a.png",
                "gs://bucket/a.png",
                "file:///a.png",
                "https://youtu.be/a.png",
                "https://example.com/a.pdf",
            )
        ),
        File("p", url="https://storage.googleapis.com/bucket/a.pdf"),
        File("p", url="https://youtu.be/a.pdf"),
        Image("p", "application/pdf", "aGk="),
        Image("p", "video/mp4", "aGk="),
        File("p", "video/mp4", "aGk="),
        File("p", "Audio/mp3", "aGk="),
    ],
)
def test_no_other_api_brings_google_what_its_own_api_refuses(part: Image | File) -> None:
    """Files in the provider's stores, and media that more is used of than was held."""
    asked = Conversation([Turn("user", [part], "messages[0]")])
    with pytest.raises(InvalidRequest) as caught:
        GenerateUpstream().write(asked, terms(Endpoint.ENDPOINT_GENERATE_CONTENT), stream=False)
    assert caught.value.param == "p"
