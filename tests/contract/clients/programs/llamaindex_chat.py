"""LlamaIndex's OpenAILike."""

# It runs where this project's own packages are not installed.
# mypy: ignore-errors

from __future__ import annotations

import openai
from cases import KEY, MODELS, ORIGIN, QUESTION, called_well, raises, run, seen
from llama_index.core.base.llms.types import ChatMessage, MessageRole
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai_like import OpenAILike

USER = ChatMessage(role="user", content=QUESTION)


def tide_height(harbor: str, unit: str) -> str:
    """Return the height of the tide."""
    return f"1 {unit} at {harbor}"


def model(case: str = "demo", key: str = KEY):
    """Return a model for a case."""
    return OpenAILike(
        model=MODELS.get(case, case),
        api_base=f"{ORIGIN}/v1",
        api_key=key,
        is_chat_model=True,
        is_function_calling_model=True,
        max_retries=0,
    )


def text() -> None:
    """A whole answer with usage."""
    answer = model().chat([USER])
    assert answer.message.content
    assert answer.raw.usage.total_tokens > 0


def stream() -> None:
    """A stream is the whole answer in parts."""
    streamed = "".join(one.delta or "" for one in model().stream_chat([USER]))
    assert streamed == model().chat([USER]).message.content


def tools() -> None:
    """A tool call, and an answer to its result."""
    tide = FunctionTool.from_defaults(tide_height)
    answer = model("tools").chat_with_tools([tide], chat_history=[USER])
    (call,) = model("tools").get_tool_calls_from_response(answer)
    called_well(call.tool_name, {**call.tool_kwargs, "unit": "m"})
    result = ChatMessage(
        role=MessageRole.TOOL, content="1 m", additional_kwargs={"tool_call_id": call.tool_id}
    )
    history = [USER, answer.message, result]
    assert model("tools").chat_with_tools([tide], chat_history=history).message.content


def error() -> None:
    """A wrong key, an unknown model, and the provider's own words about the request."""
    raises(openai.AuthenticationError, lambda: model(key="wrong").chat([USER]))
    raises(openai.NotFoundError, lambda: model("no-such-model").chat([USER]))
    raises(openai.BadRequestError, lambda: model("refused").chat([USER]))


def cut() -> str:
    """A stream that the provider cut raises: nobody takes the part for the whole."""
    return seen(raises(openai.APIError, lambda: list(model("cut").stream_chat([USER]))))


def cancel() -> None:
    """The client leaves in the middle of an endless stream."""
    chunks = model("endless").stream_chat([USER])
    for chunk in chunks:
        if chunk.delta:
            break
    chunks.close()


run("llama-index-llms-openai-like", text, stream, tools, error, cut, cancel)
