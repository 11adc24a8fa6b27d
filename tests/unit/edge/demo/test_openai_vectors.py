"""The OpenAI embeddings and moderations shapes of the demo, over a real socket."""

from __future__ import annotations

import base64
import math
import struct
from typing import Any

import httpx
import pytest

PATHS = {"demo-embedding": "/v1/embeddings", "demo-moderation": "/v1/moderations"}


def ask(client: httpx.Client, model: str, given: Any, **fields: Any) -> dict[str, Any]:
    """Ask and give the answer."""
    answered = client.post(PATHS[model], json={"model": model, "input": given, **fields})
    assert answered.status_code == 200, answered.text
    body: dict[str, Any] = answered.json()
    return body


def test_equal_texts_have_equal_vectors_of_length_one(client: httpx.Client) -> None:
    """As numbers and as base64; tokens count as they are."""
    body = ask(client, "demo-embedding", ["Once", "twice", "Once"], dimensions=8)
    first, second, third = [one["embedding"] for one in body["data"]]
    assert first == third != second
    assert math.isclose(math.hypot(*first), 1, abs_tol=1e-6)
    assert body["usage"] == {"prompt_tokens": 4, "total_tokens": 4}
    encoded = ask(client, "demo-embedding", "Once", dimensions=8, encoding_format="base64")
    raw = base64.b64decode(encoded["data"][0]["embedding"])
    assert list(struct.unpack("<8f", raw)) == first
    tokens = ask(client, "demo-embedding", [[1, 2], [3]])
    assert tokens["usage"]["prompt_tokens"] == 3
    assert len(tokens["data"][0]["embedding"]) == 256


def test_each_text_gets_a_verdict_and_parts_get_one_together(client: httpx.Client) -> None:
    """Images count for the categories that are looked for in them."""
    body = ask(client, "demo-moderation", ["a calm plan", "a Violent plan"])
    assert [one["flagged"] for one in body["results"]] == [False, True]
    assert body["results"][1]["categories"]["violence"]
    image = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    parts = [{"type": "text", "text": "calm"}, image]
    (result,) = ask(client, "demo-moderation", parts)["results"]
    assert result["category_applied_input_types"]["violence"] == ["text", "image"]
    assert result["category_applied_input_types"]["hate"] == ["text"]
    assert not ask(client, "demo-moderation", "calm")["results"][0]["flagged"]


@pytest.mark.parametrize(
    ("model", "fields", "status"),
    [
        ("demo-embedding", {"input": []}, 400),
        ("demo-embedding", {"input": [{}]}, 400),
        ("demo-embedding", {"input": ["a"] * 2049}, 400),
        ("demo-embedding", {"encoding_format": "int8"}, 400),
        ("demo-embedding", {"dimensions": 0}, 400),
        ("demo-embedding", {"model": "demo-embedding-error-429"}, 429),
        ("demo-embedding", {"model": "gpt"}, 404),
        ("demo-moderation", {"input": None}, 400),
        ("demo-moderation", {"input": []}, 400),
        ("demo-moderation", {"input": [{"type": "video"}]}, 400),
        ("demo-moderation", {"model": "demo-moderation-error-500"}, 500),
    ],
)
def test_what_cannot_be_answered_is_refused(
    client: httpx.Client, model: str, fields: dict[str, Any], status: int
) -> None:
    """In OpenAI's envelope."""
    answered = client.post(PATHS[model], json={"model": model, "input": "Once", **fields})
    assert answered.status_code == status
    assert answered.json()["error"].keys() == {"message", "type", "param", "code"}
