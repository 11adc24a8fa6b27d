"""Turns of a conversation as contents of Google's API."""

from __future__ import annotations

from typing import Any, Final

import orjson

from edge.translate.errors import UnsupportedValue
from edge.translate.generate.parts import ERROR_KEY, RESULT_KEY
from edge.translate.generate.shape import SPOKEN, is_public, is_video
from edge.translate.neutral.conversation import (
    Audio,
    File,
    Image,
    Maker,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
    Turn,
    unsupported,
)
from edge.translate.surface import Terms

NO_SIGNATURE: Final = "c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I="
"""`skip_thought_signature_validator`: what Google takes for the signature of a call that its model
did not make (Gemini API, thought signatures); without one such a call is refused."""
_UNSIGNED_MODELS: Final = ("gemini-1", "gemini-2")
"""They have no signatures, or do not insist on them."""
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

Json = dict[str, Any]


def instructions_of(turns: list[Turn]) -> list[Json]:
    """Return the instructions of all turns: there is one place for them, whenever they came.

    Raises:
        UnsupportedValue: one is no text.
    """
    return [_text(part) for turn in turns if turn.role == "system" for part in turn.parts]


def contents_of(turns: list[Turn], terms: Terms) -> list[Json]:
    """Return what user and model said, and the results of calls.

    Raises:
        InvalidRequest: a part cannot be expressed, or nothing was said.
    """
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
    lacks_signature = not is_one_of(terms, _UNSIGNED_MODELS)
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
    kind = part.media_type
    if part.data is not None:
        kind = kind or ("image/png" if isinstance(part, Image) else "application/pdf")
        return {"inlineData": {"mimeType": _held(part, kind), "data": part.data}}
    # The catalogue's maximum for what the client called it bounds no video.
    if part.url is None or not is_public(part.url) or is_video(part.url):
        raise unsupported(part)
    kind = kind or _EXTENSIONS.get(part.url.partition("?")[0].rpartition(".")[2].lower())
    if kind is None:
        # Google wants to be told what it will find.
        raise unsupported(part)
    return {"fileData": {"mimeType": _held(part, kind), "fileUri": part.url}}


def _held(part: Image | File, kind: str) -> str:
    """Return a media type, if what is held for the part bounds it: Google goes by this alone."""
    is_image = kind.lower().startswith("image/")
    if not is_image and (isinstance(part, Image) or kind.lower().startswith(SPOKEN)):
        raise unsupported(part)
    return kind


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


def is_one_of(terms: Terms, models: tuple[str, ...]) -> bool:
    """Say whether the upstream's model is of these families."""
    return terms.upstream_model.removeprefix("models/").startswith(models)
