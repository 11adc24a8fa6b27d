"""Anthropic's Python SDK."""

# It runs where this project's own packages are not installed.
# mypy: ignore-errors

from __future__ import annotations

import anthropic
from cases import (
    KEY,
    MODELS,
    ORIGIN,
    OUTPUT_TOKENS,
    PIXEL_BASE64,
    QUESTION,
    TIDE_PARAMETERS,
    called_well,
    raises,
    run,
    seen,
)

USER = {"role": "user", "content": QUESTION}
TOOL = {"name": "tide_height", "input_schema": TIDE_PARAMETERS}
client = anthropic.Anthropic(base_url=ORIGIN, api_key=KEY, max_retries=0)


def asked(case: str = "demo", **more):
    """Return what a request is made of."""
    return {"model": MODELS[case], "max_tokens": OUTPUT_TOKENS, "messages": [USER], **more}


def ask(case: str = "demo", **more):
    """Ask for a message."""
    return client.messages.create(**asked(case, **more))


def text() -> None:
    """A whole answer with usage and a request id."""
    answer = ask()
    assert answer.content[0].text
    assert answer.stop_reason == "end_turn"
    assert answer.model == MODELS["demo"]
    assert answer.usage.input_tokens > 0
    assert answer.usage.output_tokens > 0
    assert answer._request_id.startswith("req_")


def stream() -> None:
    """A stream is the whole answer in parts, with its usage."""
    with client.messages.stream(**asked()) as events:
        streamed = "".join(events.text_stream)
        final = events.get_final_message()
    whole = ask()
    assert streamed == whole.content[0].text == final.content[0].text
    assert final.usage.output_tokens == whole.usage.output_tokens
    assert final.stop_reason == "end_turn"


def tools() -> None:
    """A tool call, whole and streamed, and an answer to its result."""
    answer = ask("tools", tools=[TOOL])
    (call,) = [one for one in answer.content if one.type == "tool_use"]
    called_well(call.name, call.input)
    assert answer.stop_reason == "tool_use"
    with client.messages.stream(**asked("tools", tools=[TOOL])) as events:
        final = events.get_final_message()
    assert [one.input for one in final.content if one.type == "tool_use"] == [call.input]
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "1 m"}
    turns = [
        USER,
        {"role": "assistant", "content": answer.content},
        {"role": "user", "content": [result]},
    ]
    assert ask("tools", tools=[TOOL], messages=turns).content[0].text


def image() -> None:
    """An image in the request."""
    source = {"type": "base64", "media_type": "image/png", "data": PIXEL_BASE64}
    parts = [{"type": "text", "text": QUESTION}, {"type": "image", "source": source}]
    assert ask(messages=[{"role": "user", "content": parts}]).content[0].text


def error() -> None:
    """A wrong key, an unknown model, and the provider's own words about the request."""
    wrong = client.with_options(api_key="wrong")
    found = raises(anthropic.AuthenticationError, lambda: wrong.messages.create(**asked()))
    assert found.body["error"]["type"] == "authentication_error"
    found = raises(
        anthropic.NotFoundError,
        lambda: client.messages.create(**{**asked(), "model": "no-such-model"}),
    )
    assert found.body["error"]["type"] == "not_found_error"
    raises(anthropic.BadRequestError, lambda: ask("refused"))


def cut() -> str:
    """A stream that the provider cut raises: nobody takes the part for the whole."""
    return seen(raises(anthropic.APIError, lambda: list(ask("cut", stream=True))))


def cancel() -> None:
    """The client leaves in the middle of an endless stream."""
    events = ask("endless", stream=True)
    for event in events:
        if event.type == "content_block_delta":
            break
    events.close()


run("anthropic", text, stream, tools, error, cut, cancel, image)
