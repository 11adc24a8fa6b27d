"""LangChain's ChatOpenAI, unmodified; the same lines as `openai_python.py`."""

# It runs where this project's own packages are not installed.
# mypy: ignore-errors
# ruff: noqa: PT017  no pytest there

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import openai
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

MODELS = json.loads(os.environ["CLIENT_MODELS"])
QUESTION = "Name a thing that is blue."
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8"
    "BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
)


class Harbor(BaseModel):
    """What the JSON schema asks for."""

    name: str
    depth_m: float


@tool
def tide_height(harbor: str, unit: str) -> str:
    """Return the height of the tide."""
    return f"1 {unit} at {harbor}"


def chat(case: str, **options: Any) -> ChatOpenAI:
    """Return a chat model for a case."""
    return ChatOpenAI(model=MODELS.get(case, case), max_retries=0, **options)


def text() -> None:
    """A whole answer with usage."""
    answer = chat("text").invoke(QUESTION)
    assert answer.content
    assert answer.usage_metadata["total_tokens"] == 25


def stream() -> None:
    """A stream, whose usage LangChain asks for by itself."""
    chunks = list(chat("stream", stream_usage=True).stream(QUESTION))
    assert "".join(one.content for one in chunks)
    whole = chunks[0]
    for one in chunks[1:]:
        whole += one
    assert whole.usage_metadata["output_tokens"] == 7


def tools() -> None:
    """A tool call, parsed."""
    answer = chat("tools").bind_tools([tide_height]).invoke(QUESTION)
    assert answer.tool_calls[0]["args"]["harbor"] == "Port Amber"


def image() -> None:
    """An image in the request."""
    parts: list[Any] = [
        {"type": "text", "text": "Which colour?"},
        {"type": "image_url", "image_url": {"url": PIXEL}},
    ]
    assert chat("image").invoke([HumanMessage(content=parts)]).content == "Red."


def schema() -> None:
    """An answer as an object."""
    bound = chat("schema").with_structured_output(Harbor, method="json_schema")
    assert bound.invoke(QUESTION) == Harbor(name="Port Amber", depth_m=11.5)


def error_of_the_model() -> None:
    """A model that does not exist."""
    try:
        chat("no-such-model").invoke(QUESTION)
    except openai.NotFoundError as error:
        assert error.code == "model_not_found"
        return
    raise AssertionError("no error")


def cut() -> None:
    """A stream that the upstream cut raises."""
    try:
        for _ in chat("cut").stream(QUESTION):
            pass
    except openai.APIError:
        return
    raise AssertionError("a cut stream ended cleanly")


def cancel() -> None:
    """The client leaves in the middle of an endless stream."""
    chunks = chat("endless").stream(QUESTION)
    next(iter(chunks))
    chunks.close()


CASES: tuple[Callable[[], None], ...] = (
    *(text, stream, tools, image, schema, error_of_the_model, cut, cancel),
)


def main() -> None:
    """Run every case; one that fails does not stop the others."""
    for case in CASES:
        try:
            case()
            told = "ok"
        except Exception as error:  # noqa: BLE001  whatever the library raises is the finding
            place = error.__traceback__.tb_next.tb_lineno
            told = f"{type(error).__name__} at line {place}"
        sys.stdout.write(f"{case.__name__}\t{told}\n")
    sys.stdout.write(f"version\t{version('langchain-openai')}\n")


if __name__ == "__main__":
    main()
