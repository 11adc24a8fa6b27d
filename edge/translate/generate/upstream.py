"""A conversation as a request to Google's `generateContent` (Gemini API v1beta)."""

from __future__ import annotations

from typing import Any, Final

import orjson

from edge.translate.errors import UnsupportedParameter, UnsupportedValue
from edge.translate.generate.answer_reader import GenerateReader
from edge.translate.generate.native import limited, path_of
from edge.translate.generate.parts import ERROR_KEY, RESULT_KEY
from edge.translate.neutral.conversation import (
    Audio,
    Conversation,
    File,
    Image,
    Maker,
    Part,
    Reasoning,
    Refusal,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
    unsupported,
)
from edge.translate.surface import Header, Terms
from oneapi.common.v1.endpoint_pb2 import Endpoint

NO_SIGNATURE: Final = "c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I="
"""`skip_thought_signature_validator`: what Google takes for the signature of a call that its model
did not make (Gemini API, thought signatures); without one such a call is refused."""
_UNSIGNED_MODELS: Final = ("gemini-1", "gemini-2")
"""They have no signatures, or do not insist on them."""
_BUDGETED_MODELS: Final = ("gemini-1", "gemini-2")
"""They take a budget of thoughts instead of a level (Gemini API, thinking)."""
_BUDGETS: Final = {
    "none": 0,
    "minimal": 1024,
    "low": 1024,
    "medium": 8192,
    "high": 24576,
    "xhigh": 24576,
    "max": 24576,
}
"""As Google's own OpenAI endpoint has it."""
_LEVELS: Final = {
    "minimal": "minimal",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "high",
    "max": "high",
}
_AUDIO_TYPES: Final = {
    "wav": "audio/wav",
    "mp3": "audio/mp3",
    "aiff": "audio/aiff",
    "aac": "audio/aac",
    "ogg": "audio/ogg",
    "flac": "audio/flac",
}
_EXTENSIONS: Final = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "gif": "image/gif",
    "heic": "image/heic",
    "pdf": "application/pdf",
    "txt": "text/plain",
}
_MODES: Final = {"none": "NONE", "auto": "AUTO", "required": "ANY", "named": "ANY"}
_SETTINGS: Final = {
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "frequency_penalty": "frequencyPenalty",
    "presence_penalty": "presencePenalty",
    "seed": "seed",
    "max_output_tokens": "maxOutputTokens",
}

Json = dict[str, Any]


class GenerateUpstream:
    """How text is asked of an upstream that serves generated content."""

    endpoint = Endpoint.ENDPOINT_GENERATE_CONTENT

    def path(self, terms: Terms, *, stream: bool) -> bytes:
        """Return the path below the upstream's base URL."""
        return path_of(terms.upstream_model, stream=stream)

    def headers(self, _terms: Terms) -> tuple[Header, ...]:
        """Return nothing: the API wants no header beside the credential."""
        return ()

    def write(self, conversation: Conversation, terms: Terms, *, stream: bool) -> Json:  # noqa: ARG002  the path says it
        """Return the body without an output limit of ours; usage always comes.

        Raises:
            InvalidRequest: this API cannot express something; the client's field is named.
        """
        conversation.refuse("logit_bias", "verbosity")
        if conversation.parallel_tools is False and conversation.tools:
            conversation.refuse("parallel_tools")
        system = [_text(part) for turn in conversation.turns for part in _system_parts(turn)]
        body: Json = {"contents": _contents(conversation.turns, terms)}
        if system:
            body["systemInstruction"] = {"parts": system}
        if conversation.tools:
            declared = [_declaration(tool) for tool in conversation.tools]
            body["tools"] = [{"functionDeclarations": declared}]
        if (choice := _choice(conversation)) is not None:
            body["toolConfig"] = {"functionCallingConfig": choice}
        if config := _config(conversation, terms):
            body["generationConfig"] = config
        return body

    def limit(self, body: Json, _terms: Terms, output_limit: int | None) -> Json:
        """Return the body with an output limit of ours, the smaller one where it has its own."""
        return limited(body, output_limit)

    def reader(self, terms: Terms) -> GenerateReader:
        """Return what reads one answer."""
        return GenerateReader(terms.request_id)


def _system_parts(turn: Turn) -> list[Part]:
    # There is one place for instructions: what came later in the conversation joins it in order.
    return turn.parts if turn.role == "system" else []


def _contents(turns: list[Turn], terms: Terms) -> list[Json]:
    contents: list[Json] = []
    last: Turn | None = None
    for turn in turns:
        if turn.role == "system":
            continue
        parts = _model_parts(turn, terms) if turn.role == "assistant" else _user_parts(turn)
        if not parts:
            continue
        if turn.role == "tool" and last is not None and last.role == "tool":
            # The responses to parallel calls belong into one content.
            contents[-1]["parts"] += parts
        else:
            role = "model" if turn.role == "assistant" else "user"
            contents.append({"role": role, "parts": parts})
        last = turn
    if not contents:
        raise UnsupportedValue(turns[0].path if turns else "messages")
    return contents


def _user_parts(turn: Turn) -> list[Json]:
    return [_part(part) for part in turn.parts if not isinstance(part, Reasoning)]


def _model_parts(turn: Turn, terms: Terms) -> list[Json]:
    """Return what the model said; a signature without thoughts stands at what followed them."""
    parts: list[Json] = []
    waiting: str | None = None
    # Of parallel calls only the first one is signed.
    lacks_signature = not _is_one_of(terms, _UNSIGNED_MODELS)
    for part in turn.parts:
        if isinstance(part, Reasoning):
            waiting = _think(part, parts) or waiting
            continue
        made, signature = _part(part), waiting
        waiting = None
        if isinstance(part, ToolCall):
            signature = part.signature or signature
            signature = signature or (NO_SIGNATURE if lacks_signature else None)
            lacks_signature = False
        if signature is not None:
            made["thoughtSignature"] = signature
        parts.append(made)
    if waiting is not None:
        parts.append({"text": "", "thoughtSignature": waiting})
    return parts


def _think(part: Reasoning, parts: list[Json]) -> str | None:
    """Add the thoughts; return a signature that has none. Other makers' reasoning stays out."""
    if part.maker is not Maker.GOOGLE:
        return None
    if not part.text:
        return part.signature
    parts.append({"text": part.text, "thought": True})
    if part.signature is not None:
        parts[-1]["thoughtSignature"] = part.signature
    return None


def _part(part: Part) -> Json:
    match part:
        case Text() | Refusal():
            return _text(part)
        case Image() | File():
            return _media(part)
        case Audio(format=format, data=data) if format in _AUDIO_TYPES:
            return {"inlineData": {"mimeType": _AUDIO_TYPES[format], "data": data}}
        case ToolCall():
            call = {"id": part.id, "name": part.name, "args": _arguments(part)}
            return {"functionCall": call}
        case ToolResult():
            return {"functionResponse": _response(part)}
        case _:
            raise unsupported(part)


def _text(part: Part) -> Json:
    if not isinstance(part, Text | Refusal):
        raise unsupported(part)
    return {"text": part.text}


def _media(part: Image | File) -> Json:
    if part.data is not None:
        default = "image/png" if isinstance(part, Image) else "application/pdf"
        return {"inlineData": {"mimeType": part.media_type or default, "data": part.data}}
    if part.url is None:
        raise unsupported(part)
    kind = part.media_type or _EXTENSIONS.get(part.url.partition("?")[0].rpartition(".")[2].lower())
    if kind is None:
        # Google wants to be told what it will find.
        raise unsupported(part)
    return {"fileData": {"mimeType": kind, "fileUri": part.url}}


def _arguments(call: ToolCall) -> Json:
    try:
        args = orjson.loads(call.arguments) if call.arguments.strip() else {}
    except orjson.JSONDecodeError:
        raise unsupported(call) from None
    if not isinstance(args, dict):
        raise unsupported(call)
    return args


def _response(result: ToolResult) -> Json:
    if not result.name:
        raise unsupported(result)
    texts = [part.text for part in result.parts if isinstance(part, Text)]
    media = [part for part in result.parts if not isinstance(part, Text)]
    key = ERROR_KEY if result.is_error else RESULT_KEY
    made: Json = {
        "id": result.call_id,
        "name": result.name,
        "response": {key: "\n".join(texts)},
    }
    if media:
        if any(part.data is None for part in media):
            raise unsupported(result)
        made["parts"] = [_media(part) for part in media]
    return made


def _declaration(tool: Tool) -> Json:
    declared: Json = {"name": tool.name}
    if tool.description is not None:
        declared["description"] = tool.description
    if tool.parameters is not None:
        declared["parametersJsonSchema"] = tool.parameters
    return declared


def _choice(conversation: Conversation) -> Json | None:
    """Return which functions may be called; `strict` ones have arguments that are validated."""
    if not conversation.tools:
        return None
    choice = conversation.tool_choice or ToolChoice("auto")
    if choice.mode == "auto":
        if any(tool.strict for tool in conversation.tools):
            return {"mode": "VALIDATED"}
        return None if conversation.tool_choice is None else {"mode": "AUTO"}
    made: Json = {"mode": _MODES[choice.mode]}
    if choice.mode == "named":
        made["allowedFunctionNames"] = choice.names
    return made


def _config(conversation: Conversation, terms: Terms) -> Json:
    config: Json = {}
    for field, name in _SETTINGS.items():
        value = getattr(conversation, field)
        if value is not None:
            config[name] = value
    if conversation.stop:
        config["stopSequences"] = conversation.stop
    if conversation.choices > 1:
        config["candidateCount"] = conversation.choices
    if conversation.logprobs:
        config["responseLogprobs"] = True
        if conversation.top_logprobs:
            config["logprobs"] = conversation.top_logprobs
    if conversation.output_format is not None:
        config["responseMimeType"] = "application/json"
        if conversation.output_format.schema is not None:
            config["responseJsonSchema"] = conversation.output_format.schema
    if thinking := _thinking(conversation, terms):
        config["thinkingConfig"] = thinking
    return config


def _thinking(conversation: Conversation, terms: Terms) -> Json:
    wish = conversation.thinking
    if wish is None:
        return {}
    made: Json = {}
    if wish.shown is not None:
        made["includeThoughts"] = wish.shown
    if wish.budget_tokens is not None:
        made["thinkingBudget"] = wish.budget_tokens
    elif wish.effort is not None:
        if wish.effort not in _BUDGETS:
            raise UnsupportedParameter(conversation.paths.get("thinking", "thinking"))
        if wish.effort == "none" or _is_one_of(terms, _BUDGETED_MODELS):
            made["thinkingBudget"] = _BUDGETS[wish.effort]
        else:
            made["thinkingLevel"] = _LEVELS[wish.effort]
    return made


def _is_one_of(terms: Terms, models: tuple[str, ...]) -> bool:
    return terms.upstream_model.removeprefix("models/").startswith(models)
