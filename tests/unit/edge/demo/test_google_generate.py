"""Google's Gemini shape, over a real socket."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

MODELS = "/v1beta/models"
CONTENTS = [{"role": "user", "parts": [{"text": "What is the secret word zanzibar?"}]}]
PARAMETERS = {
    "type": "OBJECT",
    "properties": {"key": {"type": "STRING"}, "limit": {"type": "INTEGER"}},
    "required": ["key", "limit"],
}
TOOLS = [
    {
        "functionDeclarations": [
            {"name": "look_up", "parameters": PARAMETERS},
            {"name": "no_arguments"},
        ]
    }
]


def ask(client: httpx.Client, model: str = "demo", **fields: Any) -> dict[str, Any]:
    """Ask without streaming and give the answer."""
    path = f"{MODELS}/{model}:generateContent"
    answered = client.post(path, json={"contents": CONTENTS, **fields})
    assert answered.status_code == 200, answered.text
    body: dict[str, Any] = answered.json()
    return body


def stream(client: httpx.Client, **fields: Any) -> list[dict[str, Any]]:
    """Ask with streaming and give the chunks; the stream ends with its body."""
    path = f"{MODELS}/demo:streamGenerateContent?alt=sse"
    answered = client.post(path, json={"contents": CONTENTS, **fields})
    assert answered.headers["content-type"].startswith("text/event-stream")
    *events, nothing = answered.text.split("\r\n\r\n")
    assert nothing == ""
    return [json.loads(event.removeprefix("data: ")) for event in events]


def parts(body: dict[str, Any]) -> list[dict[str, Any]]:
    """Give the parts of the first candidate."""
    found: list[dict[str, Any]] = body["candidates"][0]["content"].get("parts", [])
    return found


def test_text_has_the_shape_that_google_documents(client: httpx.Client) -> None:
    """One candidate, counts that add up, and nothing of the prompt."""
    body = ask(client)
    assert body["candidates"][0]["finishReason"] == "STOP"
    assert [list(part) for part in parts(body)] == [["text"]]
    counts = body["usageMetadata"]
    total = counts["promptTokenCount"] + counts["candidatesTokenCount"]
    assert counts["totalTokenCount"] == total
    assert (body["modelVersion"], len(body["responseId"])) == ("demo", 16)
    assert "zanzibar" not in json.dumps(body)


def test_a_stream_says_what_the_whole_answer_says(client: httpx.Client) -> None:
    """Text, thoughts and usage alike."""
    config = {"thinkingConfig": {"thinkingLevel": "low", "includeThoughts": True}}
    whole = ask(client, generationConfig=config)
    chunks = stream(client, generationConfig=config)
    streamed = [part for chunk in chunks for part in parts(chunk)]
    for is_thought in (True, False):
        texts = [one["text"] for one in parts(whole) if one.get("thought", False) == is_thought]
        pieces = [one["text"] for one in streamed if one.get("thought", False) == is_thought]
        assert texts == ["".join(pieces)]
    assert chunks[-1]["usageMetadata"] == whole["usageMetadata"]
    assert whole["usageMetadata"]["thoughtsTokenCount"] == 8
    assert [chunk["candidates"][0].get("finishReason") for chunk in chunks[-2:]] == [None, "STOP"]


def test_thoughts_are_counted_but_shown_only_if_asked_for(client: httpx.Client) -> None:
    """As Google does."""
    body = ask(client, generationConfig={"thinkingConfig": {"thinkingBudget": 24}})
    assert not any(part.get("thought") for part in parts(body))
    assert body["usageMetadata"]["thoughtsTokenCount"] == 24


def test_functions_are_called_with_valid_arguments(client: httpx.Client) -> None:
    """The first one; several where they are allowed by name; the first call is signed."""
    one = parts(ask(client, tools=TOOLS))
    assert [part["functionCall"]["name"] for part in one] == ["look_up"]
    assert set(one[0]["functionCall"]["args"]) == {"key", "limit"}
    calling = {"mode": "ANY", "allowedFunctionNames": ["look_up", "no_arguments"]}
    both = parts(ask(client, tools=TOOLS, toolConfig={"functionCallingConfig": calling}))
    assert [part["functionCall"]["name"] for part in both] == ["look_up", "no_arguments"]
    assert ["thoughtSignature" in part for part in both] == [True, False]


def test_after_a_result_there_is_text(client: httpx.Client) -> None:
    """The turn is the model's again."""
    call = parts(ask(client, tools=TOOLS))
    result = {"name": "look_up", "response": {"output": "7"}}
    contents = [
        *CONTENTS,
        {"role": "model", "parts": call},
        {"role": "user", "parts": [{"functionResponse": result}]},
    ]
    assert "text" in parts(ask(client, tools=TOOLS, contents=contents))[0]


@pytest.mark.parametrize("field", ["responseSchema", "responseJsonSchema"])
def test_json_follows_its_schema(client: httpx.Client, field: str) -> None:
    """In both spellings of schemas."""
    config = {"responseMimeType": "application/json", field: PARAMETERS}
    if field == "responseJsonSchema":
        config[field] = json.loads(json.dumps(PARAMETERS).lower())
    answered = json.loads(parts(ask(client, generationConfig=config))[0]["text"])
    assert isinstance(answered["key"], str)
    assert isinstance(answered["limit"], int)


def test_an_image_is_counted_apart(client: httpx.Client) -> None:
    """By its modality."""
    image = {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}
    contents = [{"parts": [{"text": "Look."}, image]}]
    counts = ask(client, contents=contents)["usageMetadata"]
    assert {"modality": "IMAGE", "tokenCount": 85} in counts["promptTokensDetails"]
    counted = client.post(f"{MODELS}/demo:countTokens", json={"contents": contents}).json()
    assert counted["totalTokens"] == counts["promptTokenCount"]


def test_a_limit_ends_the_answer(client: httpx.Client) -> None:
    """And candidates are as many as asked for."""
    body = ask(client, generationConfig={"maxOutputTokens": 3, "candidateCount": 2})
    assert [one["finishReason"] for one in body["candidates"]] == ["MAX_TOKENS", "MAX_TOKENS"]
    assert body["usageMetadata"]["candidatesTokenCount"] == 6


@pytest.mark.parametrize(
    ("model", "fields", "status", "name"),
    [
        ("demo", {"contents": []}, 400, "INVALID_ARGUMENT"),
        ("demo", {"generationConfig": {"candidateCount": 99}}, 400, "INVALID_ARGUMENT"),
        ("other", {}, 404, "NOT_FOUND"),
        ("demo-error-429", {}, 429, "RESOURCE_EXHAUSTED"),
        ("demo-error-503", {}, 503, "UNAVAILABLE"),
    ],
)
def test_errors_have_googles_envelope(
    client: httpx.Client, model: str, fields: dict[str, Any], status: int, name: str
) -> None:
    """Code, message and status."""
    path = f"{MODELS}/{model}:generateContent"
    answered = client.post(path, json={"contents": CONTENTS, **fields})
    error = answered.json()["error"]
    assert (answered.status_code, error["code"], error["status"]) == (status, status, name)


def test_knobs_work_as_in_every_protocol(client: httpx.Client) -> None:
    """Length, an empty answer, and a cut."""
    assert ask(client, "demo-tokens-5")["usageMetadata"]["candidatesTokenCount"] == 5
    assert ask(client, "demo-slow-1%2Btokens-5")["usageMetadata"]["candidatesTokenCount"] == 5
    assert parts(ask(client, "demo-empty")) == []
    path = f"{MODELS}/demo-cut-2:streamGenerateContent?alt=sse"
    with pytest.raises(httpx.RemoteProtocolError):
        client.post(path, json={"contents": CONTENTS})


def test_models_are_listed_in_googles_shape(client: httpx.Client) -> None:
    """All of them, and one by name."""
    listed = client.get(MODELS).json()["models"]
    assert listed[0]["name"] == "models/demo"
    assert client.get(f"{MODELS}/demo").json() == listed[0]
    assert client.get(f"{MODELS}/other").status_code == 404
