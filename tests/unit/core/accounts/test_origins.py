"""Web origins: only what a browser can send is taken."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.accounts.origins import ORIGINS_MAX, checked_origins, is_origin
from kit.reasons import InvalidArgument


@pytest.mark.parametrize(
    "origin",
    [
        "https://app.example.com",
        "http://localhost:3000",
        "http://127.0.0.1:8080",
        "http://[::1]:5173",
        "https://xn--bcher-kva.example",
        "https://my_app.example.com:8443",
        "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
        "tauri://localhost",
        "http://app.example.com:443",
    ],
)
def test_what_a_browser_sends_is_an_origin(origin: str) -> None:
    """RFC 6454, section 6.2: scheme, host, and the port where it is not the usual one."""
    assert is_origin(origin)


@pytest.mark.parametrize(
    "text",
    [
        *("", "*", "null", "https://", "https://*", "https://*.example.com", "app.example.com"),
        *("https://app.example.com/", "https://app.example.com/path", "https://a b.example"),
        *("https://App.example.com", "HTTPS://app.example.com", "https://user@app.example.com"),
        *("https://app.example.com:443", "http://localhost:80", "https://app.example.com:"),
        *("https://app.example.com:0", "https://app.example.com:65536", "https://a.example:080"),
        *(
            "https://bücher.example",
            "https://app..example",
            "https://.example",
            "https://a.example.",
        ),
        *(
            "http://127.1",
            "http://1.2.3.4.5",
            "http://300.1.1.1",
            "http://[::0001]",
            "http://[::g]",
        ),
        *("http://[127.0.0.1]", "http://[::1", f"https://{'a' * 254}", "https://a.example\n"),
        "https://a.example?x#y",
    ],
)
def test_what_no_browser_sends_is_none(text: str) -> None:
    """It would match no request: whoever typed it has to know."""
    assert not is_origin(text)


def test_origins_are_kept_once_and_in_order() -> None:
    """The same list is the same content, however it was typed."""
    given = ["https://b.example", "https://a.example", "https://b.example"]
    assert checked_origins(given) == ("https://a.example", "https://b.example")


def test_a_wrong_origin_is_refused_by_its_field() -> None:
    """Its text is not repeated."""
    with pytest.raises(InvalidArgument) as raised:
        checked_origins(["https://a.example", "https://wrong.example/"])
    assert raised.value.metadata == {"fields": "cors_origins"}
    assert "wrong" not in str(raised.value)


def test_there_are_only_so_many() -> None:
    """Each request with an origin looks among them."""
    many = [f"https://a{number}.example" for number in range(ORIGINS_MAX + 1)]
    assert len(checked_origins(many[1:])) == ORIGINS_MAX
    with pytest.raises(InvalidArgument):
        checked_origins(many)


@given(st.text(max_size=80))
def test_any_text_is_an_origin_or_not(text: str) -> None:
    """Nothing raises, and what is taken has no sign that a header could be split by."""
    if is_origin(text):
        assert text.isascii()
        assert text.isprintable()
        assert text == text.lower()
