"""The same first request in curl, Python and TypeScript, for each client API."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from edge.translate.operation import Api


@dataclass(frozen=True, slots=True)
class Example:
    """Programs that work as they stand, once the key is in the environment."""

    api: Api
    title: str
    base_url: str
    """What its SDKs are told, below the origin."""
    programs: tuple[tuple[str, str], ...]
    """Language and text; `{origin}`, `{base}` and `{model}` are filled in."""


_OPENAI_CURL: Final = """\
curl {base}/chat/completions \\
  -H "Authorization: Bearer $ONEAPI_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{{"model": "{model}",
       "messages": [{{"role": "user", "content": "Hello"}}]}}'"""
_OPENAI_PYTHON: Final = """\
import os
from openai import OpenAI

client = OpenAI(
    base_url="{base}",
    api_key=os.environ["ONEAPI_KEY"],
)
stream = client.chat.completions.create(
    model="{model}",
    messages=[{{"role": "user", "content": "Hello"}}],
    stream=True,
)
for chunk in stream:
    if chunk.choices:
        print(chunk.choices[0].delta.content or "", end="")"""
_OPENAI_TYPESCRIPT: Final = """\
import OpenAI from "openai";

const client = new OpenAI({{
  baseURL: "{base}",
  apiKey: process.env.ONEAPI_KEY,
}});
const stream = await client.chat.completions.create({{
  model: "{model}",
  messages: [{{ role: "user", content: "Hello" }}],
  stream: true,
}});
for await (const chunk of stream) {{
  process.stdout.write(chunk.choices[0]?.delta?.content ?? "");
}}"""
_ANTHROPIC_CURL: Final = """\
curl {origin}/v1/messages \\
  -H "x-api-key: $ONEAPI_KEY" \\
  -H "anthropic-version: 2023-06-01" \\
  -H "Content-Type: application/json" \\
  -d '{{"model": "{model}", "max_tokens": 256,
       "messages": [{{"role": "user", "content": "Hello"}}]}}'"""
_ANTHROPIC_PYTHON: Final = """\
import os
from anthropic import Anthropic

client = Anthropic(
    base_url="{base}",
    api_key=os.environ["ONEAPI_KEY"],
)
with client.messages.stream(
    model="{model}",
    max_tokens=256,
    messages=[{{"role": "user", "content": "Hello"}}],
) as stream:
    for text in stream.text_stream:
        print(text, end="")"""
_ANTHROPIC_TYPESCRIPT: Final = """\
import Anthropic from "@anthropic-ai/sdk";

const client = new Anthropic({{
  baseURL: "{base}",
  apiKey: process.env.ONEAPI_KEY,
}});
const stream = client.messages.stream({{
  model: "{model}",
  max_tokens: 256,
  messages: [{{ role: "user", content: "Hello" }}],
}});
stream.on("text", (text) => process.stdout.write(text));
await stream.finalMessage();"""
_GOOGLE_CURL: Final = """\
curl "{origin}/v1beta/models/{model}:streamGenerateContent?alt=sse" \\
  -H "x-goog-api-key: $ONEAPI_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{{"contents": [{{"role": "user", "parts": [{{"text": "Hello"}}]}}]}}'"""
_GOOGLE_PYTHON: Final = """\
import os
from google import genai

client = genai.Client(
    api_key=os.environ["ONEAPI_KEY"],
    http_options={{"base_url": "{base}"}},
)
stream = client.models.generate_content_stream(model="{model}", contents="Hello")
for chunk in stream:
    print(chunk.text or "", end="")"""
_GOOGLE_TYPESCRIPT: Final = """\
import {{ GoogleGenAI }} from "@google/genai";

const client = new GoogleGenAI({{
  apiKey: process.env.ONEAPI_KEY,
  httpOptions: {{ baseUrl: "{base}" }},
}});
const stream = await client.models.generateContentStream({{
  model: "{model}",
  contents: "Hello",
}});
for await (const chunk of stream) process.stdout.write(chunk.text ?? "");"""

EXAMPLES: Final = (
    Example(
        "openai",
        "OpenAI",
        "/v1",
        (
            ("curl", _OPENAI_CURL),
            ("Python", _OPENAI_PYTHON),
            ("TypeScript", _OPENAI_TYPESCRIPT),
        ),
    ),
    Example(
        "anthropic",
        "Anthropic",
        "",
        (
            ("curl", _ANTHROPIC_CURL),
            ("Python", _ANTHROPIC_PYTHON),
            ("TypeScript", _ANTHROPIC_TYPESCRIPT),
        ),
    ),
    Example(
        "google",
        "Google",
        "",
        (("curl", _GOOGLE_CURL), ("Python", _GOOGLE_PYTHON), ("TypeScript", _GOOGLE_TYPESCRIPT)),
    ),
)


def filled_in(example: Example, origin: str, model: str) -> Example:
    """Return the example with the address of this service and a model that it serves."""
    base = origin + example.base_url
    programs = tuple(
        (language, text.format(origin=origin, base=base, model=model))
        for language, text in example.programs
    )
    return Example(example.api, example.title, base, programs)
