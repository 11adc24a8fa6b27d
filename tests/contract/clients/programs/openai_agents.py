"""OpenAI's Agents SDK, over the responses API (its default) or chat completions."""

# It runs where this project's own packages are not installed.
# mypy: ignore-errors

from __future__ import annotations

import asyncio
import sys

import openai
from agents import (
    Agent,
    ModelSettings,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    function_tool,
    set_tracing_disabled,
)
from cases import KEY, MODELS, ORIGIN, OUTPUT_TOKENS, QUESTION, called_well, raises, run, seen
from pydantic import BaseModel

API = sys.argv[1]
CALLED = []
set_tracing_disabled(disabled=True)


class Harbor(BaseModel):
    """What the JSON schema asks for."""

    name: str
    depth_m: int


@function_tool
def tide_height(harbor: str, unit: str) -> str:
    """Return the height of the tide."""
    CALLED.append({"harbor": harbor, "unit": unit})
    return f"1 {unit}"


def agent(case: str = "demo", key: str = KEY, **more):
    """Return an agent for a case."""
    client = openai.AsyncOpenAI(base_url=f"{ORIGIN}/v1", api_key=key, max_retries=0)
    kind = OpenAIResponsesModel if API == "responses" else OpenAIChatCompletionsModel
    model = kind(model=MODELS.get(case, case), openai_client=client)
    settings = ModelSettings(max_tokens=OUTPUT_TOKENS, include_usage=True)
    return Agent(name="Harbour master", model=model, model_settings=settings, **more)


def ask(case: str = "demo", **more):
    """Run an agent to its end."""
    return Runner.run_sync(agent(case, **more), QUESTION)


def text() -> None:
    """A whole answer with usage."""
    answer = ask()
    assert answer.final_output
    assert answer.context_wrapper.usage.output_tokens > 0


async def _streamed(case: str, pieces_max: int | None = None) -> str:
    running = Runner.run_streamed(agent(case), QUESTION)
    pieces = []
    async for event in running.stream_events():
        delta = event.data if event.type == "raw_response_event" else None
        if getattr(delta, "type", "") == "response.output_text.delta":
            pieces.append(delta.delta)
            if pieces_max == len(pieces):
                running.cancel()
    return "".join(pieces)


def stream() -> None:
    """A stream is the whole answer in parts."""
    assert asyncio.run(_streamed("demo")) == ask().final_output


def tools() -> None:
    """The agent runs the tool that the model calls, and gets an answer to its result."""
    assert ask("tools", tools=[tide_height]).final_output
    (arguments,) = CALLED
    called_well("tide_height", {**arguments, "unit": "m"})


def schema() -> None:
    """An answer as an object."""
    assert isinstance(ask(output_type=Harbor).final_output, Harbor)


def error() -> None:
    """A wrong key, an unknown model, and the provider's own words about the request."""
    raises(openai.AuthenticationError, lambda: ask(key="wrong"))
    raises(openai.APIStatusError, lambda: ask("no-such-model"))
    raises(openai.BadRequestError, lambda: ask("refused"))


def cut() -> str:
    """A stream that the provider cut raises: nobody takes the part for the whole."""
    return seen(raises(Exception, lambda: asyncio.run(_streamed("cut"))))


def cancel() -> None:
    """The client leaves in the middle of an endless stream."""
    assert asyncio.run(_streamed("endless", 1))


run("openai-agents", text, stream, tools, error, cut, cancel, schema)
