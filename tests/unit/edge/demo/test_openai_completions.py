"""The OpenAI text completions shape of the demo, over a real socket."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

PATH = "/v1/completions"


def ask(client: httpx.Client, prompt: Any = "Once upon", **fields: Any) -> dict[str, Any]:
    """Ask without streaming and give the answer."""
    answered = client.post(PATH, json={"model": "demo", "prompt": prompt, **fields})
    assert answered.status_code == 200, answered.text
    body: dict[str, Any] = answered.json()
    return body


def test_text_has_the_shape_that_openai_documents(client: httpx.Client) -> None:
    """Sixteen tokens unless the request says otherwise."""
    body = ask(client)
    assert body["object"] == "text_completion"
    (choice,) = body["choices"]
    assert choice.keys() == {"text", "index", "logprobs", "finish_reason"}
    assert len(choice["text"].split()) == body["usage"]["completion_tokens"] <= 16
    assert body["usage"]["prompt_tokens"] == 3
    short = ask(client, max_tokens=2)
    assert (len(short["choices"][0]["text"].split()), short["choices"][0]["finish_reason"]) == (
        2,
        "length",
    )


def test_several_prompts_have_several_choices_each(client: httpx.Client) -> None:
    """In the order of the prompts; what `best_of` made is billed, not shown."""
    body = ask(client, ["a", [1, 2, 3]], n=2, best_of=3, max_tokens=4)
    assert [choice["index"] for choice in body["choices"]] == [0, 1, 2, 3]
    assert body["usage"]["prompt_tokens"] == 1 + 3
    assert body["usage"]["completion_tokens"] == 2 * 3 * 4
    assert ask(client, "a", max_tokens=4)["choices"][0]["text"] == body["choices"][0]["text"]


def test_echo_and_logprobs_go_with_the_text(client: httpx.Client) -> None:
    """Their offsets lead to the tokens."""
    choice = ask(client, echo=True, logprobs=1, max_tokens=3)["choices"][0]
    assert choice["text"].startswith("Once upon")
    logprobs = choice["logprobs"]
    for token, offset in zip(logprobs["tokens"], logprobs["text_offset"], strict=True):
        assert choice["text"][offset : offset + len(token)] == token
    assert len(logprobs["token_logprobs"]) == len(logprobs["top_logprobs"]) == 4


def test_a_stream_says_what_the_whole_answer_says(client: httpx.Client) -> None:
    """With usage at the end where it was asked for."""
    whole = ask(client, ["a", "b"], logprobs=0)
    fields = {"prompt": ["a", "b"], "logprobs": 0, "stream": True}
    options = {"stream_options": {"include_usage": True}}
    answered = client.post(PATH, json={"model": "demo", **fields, **options})
    *events, done, nothing = answered.text.split("\n\n")
    assert (done, nothing) == ("data: [DONE]", "")
    *chunks, last = [json.loads(event.removeprefix("data: ")) for event in events]
    assert (last["choices"], last["usage"]) == ([], whole["usage"])
    for index in (0, 1):
        choices = [one["choices"][0] for one in chunks if one["choices"][0]["index"] == index]
        text = "".join(choice["text"] for choice in choices)
        assert text == whole["choices"][index]["text"]
        tokens = [
            token for one in choices if one["logprobs"] for token in one["logprobs"]["tokens"]
        ]
        assert tokens == whole["choices"][index]["logprobs"]["tokens"]


@pytest.mark.parametrize(
    ("fields", "status", "param"),
    [
        ({"prompt": []}, 400, "prompt"),
        ({"prompt": {}}, 400, "prompt"),
        ({"prompt": ["a", {}]}, 400, "prompt"),
        ({"prompt": ["a"] * 129}, 400, "prompt"),
        ({"n": 3, "best_of": 2}, 400, "best_of"),
        ({"max_tokens": -1}, 400, "max_tokens"),
        ({"model": "gpt"}, 404, "model"),
        ({"model": "demo-error-429"}, 429, None),
    ],
)
def test_what_cannot_be_answered_is_refused(
    client: httpx.Client, fields: dict[str, Any], status: int, param: str | None
) -> None:
    """In OpenAI's envelope."""
    answered = client.post(PATH, json={"model": "demo", "prompt": "Once", **fields})
    assert (answered.status_code, answered.json()["error"]["param"]) == (status, param)
