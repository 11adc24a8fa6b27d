"""Google's Gen AI SDK."""

# It runs where this project's own packages are not installed.
# mypy: ignore-errors

from __future__ import annotations

import base64

from cases import (
    KEY,
    MODELS,
    ORIGIN,
    PIXEL_BASE64,
    QUESTION,
    TIDE_PARAMETERS,
    called_well,
    raises,
    run,
    seen,
)
from google import genai
from google.genai import errors, types
from pydantic import BaseModel

TIDE = types.FunctionDeclaration(name="tide_height", parameters_json_schema=TIDE_PARAMETERS)
TOOLS = types.GenerateContentConfig(tools=[types.Tool(function_declarations=[TIDE])])


def client_of(key: str = KEY):
    """Return a client with a key."""
    return genai.Client(api_key=key, http_options=types.HttpOptions(base_url=ORIGIN))


client = client_of()


class Harbor(BaseModel):
    """What the JSON schema asks for."""

    name: str
    depth_m: int


def ask(case: str = "demo", contents=QUESTION, config=None):
    """Ask for content."""
    return client.models.generate_content(model=MODELS[case], contents=contents, config=config)


def ask_streamed(case: str = "demo", config=None):
    """Ask for content in parts."""
    return client.models.generate_content_stream(
        model=MODELS[case], contents=QUESTION, config=config
    )


def text() -> None:
    """A whole answer with usage."""
    answer = ask()
    assert answer.text
    assert answer.candidates[0].finish_reason == types.FinishReason.STOP
    usage = answer.usage_metadata
    assert usage.total_token_count == usage.prompt_token_count + usage.candidates_token_count
    assert answer.model_version == MODELS["demo"]


def stream() -> None:
    """A stream is the whole answer in parts, with its usage."""
    chunks = list(ask_streamed())
    whole = ask()
    assert "".join(one.text or "" for one in chunks) == whole.text
    assert chunks[-1].candidates[0].finish_reason == types.FinishReason.STOP
    used = chunks[-1].usage_metadata.candidates_token_count
    assert used == whole.usage_metadata.candidates_token_count


def tools() -> None:
    """A tool call, whole and streamed, and an answer to its result."""
    answer = ask("tools", config=TOOLS)
    (call,) = answer.function_calls
    called_well(call.name, call.args)
    streamed = [call for one in ask_streamed("tools", TOOLS) for call in one.function_calls or ()]
    assert [one.args for one in streamed] == [call.args]
    result = types.FunctionResponse(name=call.name, id=call.id, response={"result": "1 m"})
    turns = [
        types.Content(role="user", parts=[types.Part(text=QUESTION)]),
        answer.candidates[0].content,
        types.Content(role="user", parts=[types.Part(function_response=result)]),
    ]
    assert ask("tools", turns, TOOLS).text


def image() -> None:
    """An image in the request."""
    pixel = types.Part.from_bytes(data=base64.b64decode(PIXEL_BASE64), mime_type="image/png")
    assert ask(contents=[QUESTION, pixel]).text


def schema() -> None:
    """An answer parsed by a model class."""
    config = types.GenerateContentConfig(
        response_mime_type="application/json", response_schema=Harbor
    )
    assert isinstance(ask(config=config).parsed, Harbor)


def models() -> None:
    """The list of models."""
    assert f"models/{MODELS['demo']}" in {one.name for one in client.models.list()}


def error() -> None:
    """A wrong key, an unknown model, and the provider's own words about the request."""
    # The SDK closes a client's connections as soon as nothing holds the client.
    wrong = client_of("wrong")
    found = raises(
        errors.ClientError,
        lambda: wrong.models.generate_content(model=MODELS["demo"], contents=QUESTION),
    )
    assert found.status == "UNAUTHENTICATED"
    found = raises(
        errors.ClientError,
        lambda: client.models.generate_content(model="no-such-model", contents=QUESTION),
    )
    assert (found.code, found.status) == (404, "NOT_FOUND")
    assert raises(errors.ClientError, lambda: ask("refused")).status == "INVALID_ARGUMENT"


def cut() -> str:
    """A stream that the provider cut raises: nobody takes the part for the whole."""
    return seen(raises(Exception, lambda: list(ask_streamed("cut"))))


def cancel() -> None:
    """The client leaves in the middle of an endless stream."""
    chunks = ask_streamed("endless")
    next(chunks)
    chunks.close()


run("google-genai", text, stream, tools, error, cut, cancel, image, schema, models)
