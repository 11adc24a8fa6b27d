"""pydantic-ai's Agent over each of the four APIs."""

# It runs where this project's own packages are not installed.
# mypy: ignore-errors

from __future__ import annotations

import asyncio
import base64
import sys

from cases import (
    KEY,
    MODELS,
    ORIGIN,
    OUTPUT_TOKENS,
    PIXEL_BASE64,
    QUESTION,
    called_well,
    raises,
    run,
    seen,
)
from pydantic import BaseModel
from pydantic_ai import Agent, BinaryContent, ModelHTTPError
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.google import GoogleModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.google import GoogleProvider
from pydantic_ai.providers.openai import OpenAIProvider

API = sys.argv[1]


class Harbor(BaseModel):
    """What the JSON schema asks for."""

    name: str
    depth_m: int


def model(name: str, key: str):
    """Return a model of the API."""
    if API == "messages":
        return AnthropicModel(name, provider=AnthropicProvider(api_key=key, base_url=ORIGIN))
    if API == "generate":
        return GoogleModel(name, provider=GoogleProvider(api_key=key, base_url=ORIGIN))
    provider = OpenAIProvider(base_url=f"{ORIGIN}/v1", api_key=key)
    kind = OpenAIResponsesModel if API == "responses" else OpenAIChatModel
    return kind(name, provider=provider)


def agent(case: str = "demo", key: str = KEY, **more):
    """Return an agent for a case."""
    settings = {"max_tokens": OUTPUT_TOKENS}
    return Agent(model(MODELS.get(case, case), key), model_settings=settings, retries=0, **more)


def text() -> None:
    """A whole answer with usage."""
    answer = agent().run_sync(QUESTION)
    assert answer.output
    assert answer.usage.output_tokens > 0


async def _streamed(case: str, pieces_max: int | None = None) -> str:
    pieces = []
    async with agent(case).run_stream(QUESTION) as answer:
        async for piece in answer.stream_text(delta=True, debounce_by=None):
            pieces.append(piece)
            if pieces_max == len(pieces):
                break
    return "".join(pieces)


def stream() -> None:
    """A stream is the whole answer in parts."""
    assert asyncio.run(_streamed("demo")) == agent().run_sync(QUESTION).output


def tools() -> None:
    """The agent runs the tool that the model calls, and gets an answer to its result."""
    called = []
    here = agent("tools")

    @here.tool_plain
    def tide_height(harbor: str, unit: str) -> str:
        called.append({"harbor": harbor, "unit": unit})
        return f"1 {unit}"

    assert here.run_sync(QUESTION).output
    (arguments,) = called
    called_well("tide_height", {**arguments, "unit": "m"})


def image() -> None:
    """An image in the request."""
    pixel = BinaryContent(base64.b64decode(PIXEL_BASE64), media_type="image/png")
    assert agent().run_sync([QUESTION, pixel]).output


def schema() -> None:
    """An answer as an object."""
    assert isinstance(agent(output_type=Harbor).run_sync(QUESTION).output, Harbor)


def error() -> None:
    """A wrong key, an unknown model, and the provider's own words about the request."""
    assert raises(ModelHTTPError, lambda: agent(key="wrong").run_sync(QUESTION)).status_code == 401
    unknown = raises(ModelHTTPError, lambda: agent("no-such-model").run_sync(QUESTION))
    assert unknown.status_code == 404
    assert raises(ModelHTTPError, lambda: agent("refused").run_sync(QUESTION)).status_code == 400


def cut() -> str:
    """A stream that the provider cut raises: nobody takes the part for the whole."""
    return seen(raises(Exception, lambda: asyncio.run(_streamed("cut"))))


def cancel() -> None:
    """The client leaves in the middle of an endless stream."""
    assert asyncio.run(_streamed("endless", 1))


run("pydantic-ai-slim", text, stream, tools, error, cut, cancel, image, schema)
