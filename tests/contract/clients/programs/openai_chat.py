"""openai-python's chat completions."""

# It runs where this project's own packages are not installed.
# mypy: ignore-errors

from __future__ import annotations

import json

import openai
from cases import (
    HARBOR,
    KEY,
    MODELS,
    ORIGIN,
    PIXEL,
    QUESTION,
    TIDE_PARAMETERS,
    called_well,
    raises,
    run,
    seen,
)
from pydantic import BaseModel

USER = {"role": "user", "content": QUESTION}
TOOL = {
    "type": "function",
    "function": {"name": "tide_height", "parameters": TIDE_PARAMETERS},
}
client = openai.OpenAI(base_url=f"{ORIGIN}/v1", api_key=KEY, max_retries=0)


class Harbor(BaseModel):
    """What the JSON schema asks for."""

    name: str
    depth_m: int


def ask(case: str = "demo", **more):
    """Ask for a chat completion."""
    return client.chat.completions.create(model=MODELS[case], **({"messages": [USER]} | more))


def text() -> None:
    """A whole answer with usage, cost and a request id."""
    answer = ask()
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"
    assert answer.model == MODELS["demo"]
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert float(answer.usage.model_dump()["cost"]) > 0
    assert answer._request_id.startswith("req_")


def stream() -> None:
    """A stream is the whole answer in parts; its last chunk has the usage that was asked for."""
    chunks = list(ask(stream=True, stream_options={"include_usage": True}))
    streamed = "".join(one.choices[0].delta.content or "" for one in chunks if one.choices)
    whole = ask()
    assert streamed == whole.choices[0].message.content
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens


def tools() -> None:
    """A tool call, whole and streamed, and an answer to its result."""
    answer = ask("tools", tools=[TOOL]).choices[0]
    (call,) = answer.message.tool_calls
    called_well(call.function.name, json.loads(call.function.arguments))
    assert answer.finish_reason == "tool_calls"
    with client.chat.completions.stream(
        model=MODELS["tools"], messages=[USER], tools=[TOOL]
    ) as events:
        (again,) = events.get_final_completion().choices[0].message.tool_calls
    assert json.loads(again.function.arguments) == json.loads(call.function.arguments)
    result = {"role": "tool", "tool_call_id": call.id, "content": "1 m"}
    told = ask("tools", tools=[TOOL], messages=[USER, answer.message, result])
    assert told.choices[0].message.content


def image() -> None:
    """An image in the request."""
    parts = [
        {"type": "text", "text": QUESTION},
        {"type": "image_url", "image_url": {"url": PIXEL}},
    ]
    assert ask(messages=[{"role": "user", "content": parts}]).choices[0].message.content


def schema() -> None:
    """An answer parsed by a model class."""
    answer = client.chat.completions.parse(
        model=MODELS["demo"], messages=[USER], response_format=Harbor
    )
    assert isinstance(answer.choices[0].message.parsed, Harbor)
    assert set(HARBOR["properties"]) == set(Harbor.model_fields)


def models() -> None:
    """The list of models and one of them."""
    assert MODELS["demo"] in {one.id for one in client.models.list()}
    assert client.models.retrieve(MODELS["demo"]).id == MODELS["demo"]


def error() -> None:
    """A wrong key, an unknown model, and the provider's own words about the request."""
    wrong = client.with_options(api_key="wrong")
    found = raises(
        openai.AuthenticationError,
        lambda: wrong.chat.completions.create(model=MODELS["demo"], messages=[USER]),
    )
    assert found.code == "invalid_api_key"
    found = raises(
        openai.NotFoundError,
        lambda: client.chat.completions.create(model="no-such-model", messages=[USER]),
    )
    assert found.code == "model_not_found"
    raises(openai.BadRequestError, lambda: ask("refused"))


def cut() -> str:
    """A stream that the provider cut raises: nobody takes the part for the whole."""
    return seen(raises(openai.APIError, lambda: list(ask("cut", stream=True))))


def cancel() -> None:
    """The client leaves in the middle of an endless stream."""
    chunks = ask("endless", stream=True)
    next(iter(chunks))
    chunks.close()


run("openai", text, stream, tools, error, cut, cancel, image, schema, models)
