"""Reading a Gemini `generateContent` request: what is used is checked, the rest is ignored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from edge.demo.answer import (
    CHOICES_MAX,
    OUTPUT_TOKENS_MAX,
    PARALLEL_CALLS_MAX,
    Question,
    Tool,
    schema_of_any_object,
)
from edge.demo.errors import BadRequestError
from edge.demo.words import seed_of

CONTENTS_MAX = 10_000
CONTENT_TOKENS = 4
IMAGE_TOKENS = 85
BYTES_PER_TOKEN = 4
SCHEMA_DEPTH_MAX = 32
THOUGHT_TOKENS = {"minimal": 4, "low": 8, "medium": 16, "high": 32, "xhigh": 64}
DYNAMIC_THOUGHT_TOKENS = 16
THOUGHT_TOKENS_MAX = 64
_ROLES = frozenset({None, "user", "model", "function"})
_MODES = frozenset({"MODE_UNSPECIFIED", "AUTO", "ANY", "NONE", "VALIDATED"})
_SEED_FIELDS = ("contents", "systemInstruction", "tools")
_OBJECT: dict[str, Any] = {"type": "object", "properties": {}}

Json = Any


@dataclass(frozen=True, slots=True)
class GenerateRequest:
    """A checked request: the protocol's own wishes, and the question behind it."""

    model: str
    shows_thoughts: bool
    text_tokens: int
    image_tokens: int
    question: Question


def parse_body(raw: bytes) -> dict[str, Json]:
    """Read the JSON object."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise BadRequestError("invalid_json") from None
    if not isinstance(body, dict):
        raise BadRequestError("invalid_json")
    return body


def parse_generate(model: str, body: dict[str, Json]) -> GenerateRequest:
    """Turn a request body into a question; raises BadRequestError with the field at fault."""
    try:
        return _request(model, body)
    except orjson.JSONEncodeError:
        # Nesting that can be read but, beyond 254 levels, not be written again.
        raise BadRequestError("invalid_json") from None


def _request(model: str, body: dict[str, Json]) -> GenerateRequest:
    contents = _contents(body)
    config = _object(body, "generationConfig", "")
    thinking = _object(config, "thinkingConfig", "generationConfig")
    text_tokens, images = _prompt(body, contents)
    answers_results = any("functionResponse" in part for part in _parts(contents[-1]))
    question = Question(
        seed=_seed(body, config),
        prompt_tokens=text_tokens + images * IMAGE_TOKENS,
        choices=_integer(config, "candidateCount", CHOICES_MAX) or 1,
        output_tokens_max=min(
            _integer(config, "maxOutputTokens") or OUTPUT_TOKENS_MAX, OUTPUT_TOKENS_MAX
        ),
        reasoning_tokens=_thought_tokens(thinking),
        calls=() if answers_results else _calls(body),
        schema=_schema(config),
        stop=_stop(config),
    )
    shows_thoughts = thinking.get("includeThoughts") is True
    return GenerateRequest(model, shows_thoughts, text_tokens, images * IMAGE_TOKENS, question)


def _seed(body: Mapping[str, Json], config: Mapping[str, Json]) -> int:
    """Hash what decides the answer, so that streaming or a token limit does not change it."""
    parts = [body.get(name) for name in _SEED_FIELDS]
    parts += [config.get("seed"), config.get("responseSchema"), config.get("responseJsonSchema")]
    return seed_of(*(orjson.dumps(part, option=orjson.OPT_SORT_KEYS) for part in parts))


def _contents(body: Mapping[str, Json]) -> list[dict[str, Json]]:
    contents = body.get("contents")
    if not isinstance(contents, list) or not contents or len(contents) > CONTENTS_MAX:
        raise BadRequestError("invalid_argument", "contents")
    for index, content in enumerate(contents):
        if not isinstance(content, dict) or content.get("role") not in _ROLES:
            raise BadRequestError("invalid_argument", f"contents[{index}].role")
        if not isinstance(content.get("parts"), list):
            raise BadRequestError("invalid_argument", f"contents[{index}].parts")
    return contents


def _parts(content: Mapping[str, Json]) -> list[dict[str, Json]]:
    parts = content.get("parts")
    return [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []


def _prompt(body: Mapping[str, Json], contents: list[dict[str, Json]]) -> tuple[int, int]:
    """Count 4 a content and a quarter of the bytes of text, calls and tools; and the images."""
    size_bytes, images = 0, 0
    system = body.get("systemInstruction")
    for content in [*contents, *([system] if isinstance(system, dict) else [])]:
        for part in _parts(content):
            if "inlineData" in part or "fileData" in part:
                images += 1
            elif isinstance(part.get("text"), str):
                size_bytes += len(part["text"].encode("utf-8", "surrogatepass"))
            else:
                size_bytes += len(orjson.dumps(part))
    if body.get("tools"):
        size_bytes += len(orjson.dumps(body["tools"]))
    return CONTENT_TOKENS * len(contents) + -(-size_bytes // BYTES_PER_TOKEN), images


def _tools(body: Mapping[str, Json]) -> list[Tool]:
    tools = body.get("tools") or []
    if not isinstance(tools, list):
        raise BadRequestError("invalid_argument", "tools")
    found = []
    for index, tool in enumerate(tools):
        declared = tool.get("functionDeclarations") if isinstance(tool, dict) else None
        if not isinstance(declared, list):
            raise BadRequestError("invalid_argument", f"tools[{index}]")
        for place, one in enumerate(declared):
            if not isinstance(one, dict) or not isinstance(one.get("name"), str):
                path = f"tools[{index}].functionDeclarations[{place}]"
                raise BadRequestError("invalid_argument", path)
            found.append(Tool(one["name"], _parameters(one)))
    return found


def _parameters(declared: Mapping[str, Json]) -> dict[str, Json]:
    schema = declared.get("parametersJsonSchema")
    if isinstance(schema, dict):
        return schema
    return _lower(declared.get("parameters")) or _OBJECT


def _calls(body: Mapping[str, Json]) -> tuple[Tool, ...]:
    """Pick the functions to call: those that are allowed by name, else the first."""
    offered = _tools(body)
    config = _object(body, "toolConfig", "")
    calling = _object(config, "functionCallingConfig", "toolConfig")
    mode = calling.get("mode") or "AUTO"
    if not isinstance(mode, str) or mode.upper() not in _MODES:
        raise BadRequestError("invalid_argument", "toolConfig.functionCallingConfig.mode")
    if mode.upper() == "NONE" or not offered:
        return ()
    allowed = calling.get("allowedFunctionNames")
    if not allowed:
        return tuple(offered[:1])
    chosen = [tool for tool in offered if tool.name in allowed]
    if not chosen:
        path = "toolConfig.functionCallingConfig.allowedFunctionNames"
        raise BadRequestError("invalid_argument", path)
    return tuple(chosen[:PARALLEL_CALLS_MAX])


def _schema(config: Mapping[str, Json]) -> dict[str, Json] | None:
    kind = config.get("responseMimeType")
    if kind in {None, "text/plain"}:
        return None
    if kind != "application/json":
        raise BadRequestError("invalid_argument", "generationConfig.responseMimeType")
    schema = config.get("responseJsonSchema")
    if isinstance(schema, dict):
        return schema
    return _lower(config.get("responseSchema")) or schema_of_any_object()


def _lower(schema: Json, depth: int = 0) -> dict[str, Json]:
    """Give the JSON schema of a Google `Schema`: types in lower case."""
    if not isinstance(schema, dict) or depth > SCHEMA_DEPTH_MAX:
        return {}
    made = dict(schema)
    if isinstance(made.get("type"), str):
        made["type"] = made["type"].lower()
    if isinstance(made.get("properties"), dict):
        named = made["properties"].items()
        made["properties"] = {name: _lower(one, depth + 1) for name, one in named}
    if isinstance(made.get("items"), dict):
        made["items"] = _lower(made["items"], depth + 1)
    if isinstance(made.get("anyOf"), list):
        made["anyOf"] = [_lower(one, depth + 1) for one in made["anyOf"]]
    return made


def _stop(config: Mapping[str, Json]) -> tuple[str, ...]:
    sequences = config.get("stopSequences") or []
    if not isinstance(sequences, list) or not all(isinstance(one, str) for one in sequences):
        raise BadRequestError("invalid_argument", "generationConfig.stopSequences")
    return tuple(sequence for sequence in sequences if sequence)


def _thought_tokens(thinking: Mapping[str, Json]) -> int:
    budget, level = thinking.get("thinkingBudget"), thinking.get("thinkingLevel")
    path = "generationConfig.thinkingConfig"
    if budget is not None:
        if not isinstance(budget, int) or isinstance(budget, bool) or budget < -1:
            raise BadRequestError("invalid_argument", f"{path}.thinkingBudget")
        return DYNAMIC_THOUGHT_TOKENS if budget == -1 else min(budget, THOUGHT_TOKENS_MAX)
    if level is None:
        return 0
    if not isinstance(level, str) or level.lower() not in THOUGHT_TOKENS:
        raise BadRequestError("invalid_argument", f"{path}.thinkingLevel")
    return THOUGHT_TOKENS[level.lower()]


def _object(holder: Mapping[str, Json], name: str, path: str) -> dict[str, Json]:
    value = holder.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadRequestError("invalid_argument", f"{path}.{name}" if path else name)
    return value


def _integer(config: Mapping[str, Json], name: str, highest: int | None = None) -> int | None:
    value = config.get(name)
    if value is None:
        return None
    wrong = isinstance(value, bool) or not isinstance(value, int) or value < 1
    if wrong or (highest is not None and value > highest):
        raise BadRequestError("invalid_argument", f"generationConfig.{name}")
    return int(value)
