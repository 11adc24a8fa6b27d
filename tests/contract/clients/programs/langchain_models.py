"""LangChain for Python: ChatOpenAI (`chat`, `responses`) and ChatAnthropic (`messages`)."""

# It runs where this project's own packages are not installed.
# mypy: ignore-errors

from __future__ import annotations

import sys

import anthropic
import openai
from cases import (
    KEY,
    MODELS,
    ORIGIN,
    OUTPUT_TOKENS,
    PIXEL,
    QUESTION,
    called_well,
    raises,
    run,
    seen,
)
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

API = sys.argv[1]
SDK = anthropic if API == "messages" else openai


class Harbor(BaseModel):
    """What the JSON schema asks for."""

    name: str
    depth_m: int


@tool
def tide_height(harbor: str, unit: str) -> str:
    """Return the height of the tide."""
    return f"1 {unit} at {harbor}"


def chat(case: str = "demo", key: str = KEY):
    """Return a chat model for a case."""
    name = MODELS.get(case, case)
    if API == "messages":
        return ChatAnthropic(
            model=name, base_url=ORIGIN, api_key=key, max_retries=0, max_tokens=OUTPUT_TOKENS
        )
    return ChatOpenAI(
        model=name,
        base_url=f"{ORIGIN}/v1",
        api_key=key,
        max_retries=0,
        use_responses_api=API == "responses",
        stream_usage=True,
    )


def text() -> None:
    """A whole answer with usage."""
    answer = chat().invoke(QUESTION)
    assert answer.text
    usage = answer.usage_metadata
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]


def stream() -> None:
    """A stream is the whole answer in parts, with its usage."""
    chunks = list(chat().stream(QUESTION))
    joined = chunks[0]
    for one in chunks[1:]:
        joined += one
    whole = chat().invoke(QUESTION)
    assert joined.text == whole.text
    assert joined.usage_metadata["output_tokens"] == whole.usage_metadata["output_tokens"]


def tools() -> None:
    """A tool call, and an answer to its result."""
    bound = chat("tools").bind_tools([tide_height])
    answer = bound.invoke(QUESTION)
    (call,) = answer.tool_calls
    called_well(call["name"], {**call["args"], "unit": "m"})
    result = ToolMessage(content="1 m", tool_call_id=call["id"])
    assert bound.invoke([HumanMessage(QUESTION), answer, result]).text


def image() -> None:
    """An image in the request."""
    parts = [{"type": "text", "text": QUESTION}, {"type": "image_url", "image_url": {"url": PIXEL}}]
    assert chat().invoke([HumanMessage(content=parts)]).text


def schema() -> None:
    """An answer as an object."""
    method = "function_calling" if API == "messages" else "json_schema"
    bound = chat().with_structured_output(Harbor, method=method)
    assert isinstance(bound.invoke(QUESTION), Harbor)


def error() -> None:
    """A wrong key, an unknown model, and the provider's own words about the request."""
    raises(SDK.AuthenticationError, lambda: chat(key="wrong").invoke(QUESTION))
    raises(SDK.APIStatusError, lambda: chat("no-such-model").invoke(QUESTION))
    raises(SDK.BadRequestError, lambda: chat("refused").invoke(QUESTION))


def cut() -> str:
    """A stream that the provider cut raises: nobody takes the part for the whole."""
    return seen(raises(Exception, lambda: list(chat("cut").stream(QUESTION))))


def cancel() -> None:
    """The client leaves in the middle of an endless stream."""
    chunks = chat("endless").stream(QUESTION)
    for chunk in chunks:
        if chunk.text:
            break
    chunks.close()


PACKAGE = "langchain-anthropic" if API == "messages" else "langchain-openai"
run(PACKAGE, text, stream, tools, error, cut, cancel, image, schema)
