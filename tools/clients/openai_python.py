"""openai-python, unmodified: prints a line `case<TAB>ok` or `case<TAB>what went wrong` for each.

Runs in an environment of its own; finds the service in OPENAI_BASE_URL and OPENAI_API_KEY, as any
program does, and the models of its cases in CLIENT_MODELS.
"""

# It runs where this project's own packages are not installed.
# mypy: ignore-errors
# ruff: noqa: PT017, SLF001  no pytest there; the request id is the SDK's documented attribute

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable

import openai
from pydantic import BaseModel

MODELS = json.loads(os.environ["CLIENT_MODELS"])
USER = {"role": "user", "content": "Name a thing that is blue."}
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8"
    "BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
)
TOOL = {
    "type": "function",
    "function": {
        "name": "tide_height",
        "parameters": {"type": "object", "properties": {"harbor": {"type": "string"}}},
    },
}

client = openai.OpenAI(max_retries=0)


class Harbor(BaseModel):
    """What the JSON schema asks for."""

    name: str
    depth_m: float


def text() -> None:
    """A whole answer with usage, cost and a request id."""
    answer = client.chat.completions.create(model=MODELS["text"], messages=[USER])
    assert answer.choices[0].message.content
    assert answer.model == MODELS["text"]
    assert answer.usage.total_tokens == 25
    assert answer.usage.model_dump()["cost"] == "0.0000256"
    assert answer._request_id.startswith("req_")


def stream() -> None:
    """A stream whose last chunk has the usage that was asked for."""
    chunks = list(
        client.chat.completions.create(
            model=MODELS["stream"],
            messages=[USER],
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    assert "".join(one.choices[0].delta.content or "" for one in chunks if one.choices)
    assert chunks[-1].usage.completion_tokens == 7


def tools() -> None:
    """A tool call with its arguments."""
    answer = client.chat.completions.create(model=MODELS["tools"], messages=[USER], tools=[TOOL])
    (call,) = answer.choices[0].message.tool_calls
    assert json.loads(call.function.arguments)["harbor"] == "Port Amber"


def image() -> None:
    """An image in the request."""
    parts = [
        {"type": "text", "text": "Which colour?"},
        {"type": "image_url", "image_url": {"url": PIXEL}},
    ]
    answer = client.chat.completions.create(
        model=MODELS["image"], messages=[{"role": "user", "content": parts}]
    )
    assert answer.choices[0].message.content == "Red."


def schema() -> None:
    """An answer parsed by a model class."""
    answer = client.chat.completions.parse(
        model=MODELS["schema"], messages=[USER], response_format=Harbor
    )
    assert answer.choices[0].message.parsed == Harbor(name="Port Amber", depth_m=11.5)


def error_of_the_key() -> None:
    """The SDK's own class for a wrong key."""
    try:
        client.with_options(api_key="wrong").chat.completions.create(
            model=MODELS["text"], messages=[USER]
        )
    except openai.AuthenticationError as error:
        assert error.code == "invalid_api_key"
        return
    raise AssertionError("no error")


def error_of_the_model() -> None:
    """A model that does not exist."""
    try:
        client.chat.completions.create(model="no-such-model", messages=[USER])
    except openai.NotFoundError as error:
        assert error.code == "model_not_found"
        return
    raise AssertionError("no error")


def error_of_the_provider() -> None:
    """The provider's own words about the request."""
    try:
        client.chat.completions.create(model=MODELS["refused"], messages=[USER])
    except openai.BadRequestError as error:
        assert error.param == "temperature"
        return
    raise AssertionError("no error")


def cut() -> None:
    """A stream that the upstream cut raises: nobody takes the part for the whole."""
    chunks = client.chat.completions.create(model=MODELS["cut"], messages=[USER], stream=True)
    try:
        for _ in chunks:
            pass
    except openai.APIError:
        return
    raise AssertionError("a cut stream ended cleanly")


def cancel() -> None:
    """The client leaves in the middle of an endless stream."""
    chunks = client.chat.completions.create(model=MODELS["endless"], messages=[USER], stream=True)
    next(iter(chunks))
    chunks.close()


def models() -> None:
    """The list of models and one of them."""
    assert MODELS["text"] in {one.id for one in client.models.list()}
    assert client.models.retrieve(MODELS["text"]).id == MODELS["text"]


CASES: tuple[Callable[[], None], ...] = (
    *(text, stream, tools, image, schema, models),
    *(error_of_the_key, error_of_the_model, error_of_the_provider, cut, cancel),
)


def main() -> None:
    """Run every case; one that fails does not stop the others."""
    for case in CASES:
        try:
            case()
            told = "ok"
        except Exception as error:  # noqa: BLE001  whatever the SDK raises is the finding
            place = error.__traceback__.tb_next.tb_lineno
            told = f"{type(error).__name__} at line {place}"
        sys.stdout.write(f"{case.__name__}\t{told}\n")
    sys.stdout.write(f"version\t{openai.__version__}\n")


if __name__ == "__main__":
    main()
