"""The short form of `make leaktest`: nothing of a request is left anywhere; finders find (P1)."""

from __future__ import annotations

import base64
import gzip
import json
import os
import random
import zlib
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote_from_bytes

import pytest

from tests.leaktest.canaries import Kind
from tests.leaktest.needles import Finder
from tests.leaktest.rpc import header_forms
from tests.leaktest.suite import SHORT, run

CHANCE = random.Random(8)
(KIND,) = Kind.new("request", chance=CHANCE)
CANARY = KIND.canary(4_711)
SECRET = "".join(CHANCE.choices("0123456789abcdefghijklmnopqrstuvwxyz", k=45))
FINDER = Finder((KIND,), {"key": SECRET})
NOISE = CHANCE.randbytes(50_000)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_nothing_of_a_request_is_left_anywhere(tmp_path: Path) -> None:
    """All that upstreams, clients and a dying core can do, and then a look at every place."""
    found = run(tmp_path, SHORT)
    assert found.looked.leaks == []
    assert not found.failed
    assert found.canaries > 5_000
    for sink in ("log", "database", "database files", "spool", "rpc", "metrics", "answers"):
        assert found.looked.sizes[sink] > 100, sink


ENCODINGS: dict[str, Callable[[bytes], bytes]] = {
    "raw": bytes,
    "hex": lambda raw: raw.hex().encode(),
    "HEX": lambda raw: raw.hex().upper().encode(),
    "base64": base64.b64encode,
    "base64, one on": lambda raw: base64.b64encode(b"x" + raw),
    "base64, two on": lambda raw: base64.b64encode(b"xy" + raw),
    "URL, every byte": lambda raw: "".join(f"%{byte:02X}" for byte in raw).encode(),
    "URL": lambda raw: quote_from_bytes(b"{" + raw + b"}").encode(),
    "JSON": lambda raw: json.dumps("\n" + raw.decode()).encode(),
    "JSON, every letter": lambda raw: "".join(f"\\u{byte:04x}" for byte in raw).encode(),
    "UTF-16": lambda raw: raw.decode().encode("utf-16"),
    "gzip": gzip.compress,
    "zlib": zlib.compress,
    "gzip, cut": lambda raw: gzip.compress(CHANCE.randbytes(9_000) + raw + NOISE)[:40_000],
    "repr": lambda raw: repr(bytearray(raw)).encode(),
    "reversed": lambda raw: raw[::-1],
}


@pytest.mark.parametrize("name", ENCODINGS)
def test_a_canary_is_found_in_every_encoding(name: str) -> None:
    """Also in the midst of noise."""
    assert FINDER.find(NOISE) == []
    assert FINDER.find(NOISE + ENCODINGS[name](CANARY.encode()) + NOISE)


def test_every_twelve_letters_of_a_canary_and_of_a_secret_are_found() -> None:
    """However a text is cut."""
    for text in (CANARY, SECRET):
        for start in range(len(text) - 11):
            assert FINDER.find(NOISE + text[start : start + 12].encode() + NOISE), start


def test_a_find_names_its_number() -> None:
    """So that the report says which field of which case it was."""
    assert [hit.number for hit in FINDER.find(NOISE + CANARY.encode())] == [4_711]


def test_a_header_of_http_2_is_found_wherever_its_bits_begin() -> None:
    """HPACK may write letters as codes of five to eight bits (RFC 7541)."""
    forms = header_forms("custom")
    # `custom-key` in appendix C.4.3: 25 a8 49 e9 5b a9 7d 7f.
    coded = bytes.fromhex("25a849e95ba97d7f")
    assert any(form.startswith("huffman") and needle in coded for form, needle in forms.items())


@pytest.mark.skipif(not os.access("/proc/self/mem", os.R_OK), reason="memory cannot be read here")
def test_memory_is_read_where_the_text_is() -> None:
    """Control of the memory scan: our own canary is in our own memory."""
    from tests.leaktest.sinks import memory_of  # noqa: PLC0415

    kept = bytearray(CANARY.encode())
    assert any(kept in piece for piece in memory_of(os.getpid()))
