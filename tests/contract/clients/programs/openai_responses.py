"""openai-python's responses."""

# It runs where this project's own packages are not installed.
# mypy: ignore-errors

from __future__ import annotations

import json

import openai
from cases import (
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

TOOL = {"type": "function", "name": "tide_height", "parameters": TIDE_PARAMETERS, "strict": True}
client = openai.OpenAI(base_url=f"{ORIGIN}/v1", api_key=KEY, max_retries=0)


class Harbor(BaseModel):
    """What the JSON schema asks for."""

    name: str
    depth_m: int


def ask(case: str = "demo", **more):
    """Ask for a response."""
    return client.responses.create(model=MODELS[case], **({"input": QUESTION} | more))


def text() -> None:
    """A whole answer with usage, stored nowhere."""
    answer = ask()
    assert answer.output_text
    assert answer.status == "completed"
    assert answer.model == MODELS["demo"]
    assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens
    assert answer.model_dump().get("store") is False
    assert answer._request_id.startswith("req_")


def stream() -> None:
    """A stream is the whole answer in parts, ended by `response.completed`."""
    events = list(ask(stream=True))
    assert events[0].type == "response.created"
    assert events[-1].type == "response.completed"
    assert [one.sequence_number for one in events] == list(range(len(events)))
    streamed = "".join(one.delta for one in events if one.type == "response.output_text.delta")
    assert streamed == ask().output_text == events[-1].response.output_text


def tools() -> None:
    """A tool call, whole and streamed, and an answer to its result."""
    answer = ask("tools", tools=[TOOL])
    (call,) = [one for one in answer.output if one.type == "function_call"]
    called_well(call.name, json.loads(call.arguments))
    with client.responses.stream(model=MODELS["tools"], input=QUESTION, tools=[TOOL]) as events:
        final = events.get_final_response()
    (again,) = [one for one in final.output if one.type == "function_call"]
    assert json.loads(again.arguments) == json.loads(call.arguments)
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "1 m"}
    turns = [{"role": "user", "content": QUESTION}, *answer.output, result]
    assert ask("tools", tools=[TOOL], input=turns).output_text


def image() -> None:
    """An image in the request."""
    parts = [
        {"type": "input_text", "text": QUESTION},
        {"type": "input_image", "image_url": PIXEL, "detail": "auto"},
    ]
    assert ask(input=[{"role": "user", "content": parts}]).output_text


def schema() -> None:
    """An answer parsed by a model class."""
    answer = client.responses.parse(model=MODELS["demo"], input=QUESTION, text_format=Harbor)
    assert isinstance(answer.output_parsed, Harbor)


def error() -> None:
    """A wrong key, an unknown model, a stored conversation, and the provider's own words."""
    wrong = client.with_options(api_key="wrong")
    raises(
        openai.AuthenticationError,
        lambda: wrong.responses.create(model=MODELS["demo"], input=QUESTION),
    )
    unknown = raises(
        openai.APIStatusError,
        lambda: client.responses.create(model="no-such-model", input=QUESTION),
    )
    assert unknown.code == "model_not_found"
    stored = raises(openai.BadRequestError, lambda: ask(previous_response_id="resp_1"))
    assert stored.param == "previous_response_id"
    raises(openai.BadRequestError, lambda: ask("refused"))


def cut() -> str:
    """A stream that the provider cut raises: nobody takes the part for the whole."""
    return seen(raises(openai.APIError, lambda: list(ask("cut", stream=True))))


def cancel() -> None:
    """The client leaves in the middle of an endless stream."""
    events = ask("endless", stream=True)
    for event in events:
        if event.type == "response.output_text.delta":
            break
    events.close()


run("openai", text, stream, tools, error, cut, cancel, image, schema)
