"""Data URLs and addresses of the web, as every API has them."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.translate.errors import InvalidValue
from edge.translate.media_urls import data_of, web_url

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
    assert web_url("p", "http://example.com/a") == "http://example.com/a"
