"""Turns of the neutral form as messages of an OpenAI-compatible upstream."""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Any, Final

from edge.translate.chat import reasoning_details
from edge.translate.errors import InvalidValue
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
from edge.translate.quirks import Quirks

MAX_CALL_ID: Final = 40
"""OpenAI refuses longer ids of tool calls."""
_DEFAULT_NAME: Final = "document"


def messages(turns: list[Turn], quirks: Quirks) -> list[dict[str, Any]]:
    """Return the messages.

    Raises:
        InvalidRequest: a part has no place in chat; the client's path of it is named.
    """
    found: list[dict[str, Any]] = []
    for turn in turns:
        match turn.role:
            case "system":
                # A message for each text: none is joined to another, as no upstream needs it.
                found += [{"role": "system", "content": _text(part)} for part in turn.parts]
            case "user":
                found += _user(turn.parts, quirks)
            case "tool":
                found += [_result(part, quirks) for part in turn.parts]
            case "assistant":
                found += _assistant(turn.parts, quirks)
    return found


def call_id(identity: str, quirks: Quirks) -> str:
    """Return an id of a tool call that the upstream takes; equal ids stay equal."""
    exact = quirks.call_id_characters
    digest = hashlib.sha256(identity.encode()).hexdigest()
    if exact is not None:
        fits = len(identity) == exact and identity.isascii() and identity.isalnum()
        return identity if fits else digest[:exact]
    return identity if len(identity) <= MAX_CALL_ID else f"call_{digest[:24]}"


def _text(part: Part) -> str:
    if not isinstance(part, Text):
        raise unsupported(part)
    return part.text


def _user(parts: list[Part], quirks: Quirks) -> list[dict[str, Any]]:
    if len(parts) == 1 and isinstance(parts[0], Text):
        return [{"role": "user", "content": parts[0].text}]
    if quirks.text_only:
        return [{"role": "user", "content": _text(part)} for part in parts]
    content = [_content_part(part, quirks) for part in parts]
    return [{"role": "user", "content": content or ""}]


def _content_part(part: Part, quirks: Quirks) -> dict[str, Any]:
    match part:
        case Text(text=text):
            return {"type": "text", "text": text}
        case Image():
            return {"type": "image_url", "image_url": _image(part)}
        case Audio(format=kind, data=data):
            return {"type": "input_audio", "input_audio": {"data": data, "format": kind}}
        case File():
            return _file(part, quirks)
    raise unsupported(part)


def _image(image: Image) -> dict[str, Any]:
    url = image.url if image.data is None else f"data:{image.media_type};base64,{image.data}"
    if url is None:
        raise unsupported(image)
    return {"url": url} if image.detail is None else {"url": url, "detail": image.detail}


def _file(file: File, quirks: Quirks) -> dict[str, Any]:
    if file.data is None:
        if not quirks.has_file_urls or file.url is None:
            raise unsupported(file)
        if quirks.reasoning_field == "thinking":  # Mistral's part
            return {"type": "document_url", "document_url": file.url}
        return {"type": "file", "file": {"filename": _name(file), "file_data": file.url}}
    if (file.media_type or "").startswith("text/"):
        return {"type": "text", "text": _decoded(file)}
    data = f"data:{file.media_type};base64,{file.data}"
    return {"type": "file", "file": {"filename": _name(file), "file_data": data}}


def _name(file: File) -> str:
    return file.name or _DEFAULT_NAME


def _decoded(file: File) -> str:
    try:
        return base64.b64decode(file.data or "", validate=True).decode()
    except (binascii.Error, ValueError):
        raise InvalidValue(file.path) from None


def _result(part: Part, quirks: Quirks) -> dict[str, Any]:
    """Return what a tool returned. That it is an error has no field: its text says so."""
    if not isinstance(part, ToolResult):
        raise unsupported(part)
    texts = [_text(one) for one in part.parts]
    content: str | list[dict[str, Any]] = texts[0] if len(texts) == 1 else ""
    if len(texts) > 1:
        content = "\n".join(texts)
        if not quirks.text_only:
            content = [{"type": "text", "text": text} for text in texts]
    identity = call_id(part.call_id, quirks)
    return {"role": "tool", "tool_call_id": identity, "content": content}


def _assistant(parts: list[Part], quirks: Quirks) -> list[dict[str, Any]]:
    """Return one message, none where nothing is left (reasoning of another maker)."""
    texts, refusals, reasoning, calls = _sorted(parts, quirks)
    message: dict[str, Any] = {"role": "assistant", "content": None}
    if texts:
        # An assistant's text blocks are one text, which some APIs cut where sources are named.
        message["content"] = "".join(texts)
    if refusals:
        message["refusal"] = "".join(refusals)
    if calls:
        message["tool_calls"] = calls
    if not (texts or refusals or calls):
        return []
    if reasoning and quirks.reasoning_field is not None:
        _put_reasoning(message, "".join(reasoning), quirks.reasoning_field)
    if quirks.keeps_details and (details := _details(parts)):
        message["reasoning_details"] = details
    return [message]


def _details(parts: list[Part]) -> list[dict[str, Any]]:
    found = [reasoning_details.written(part) for part in parts if isinstance(part, Reasoning)]
    return [detail for details in found for detail in details]


def _sorted(
    parts: list[Part], quirks: Quirks
) -> tuple[list[str], list[str], list[str], list[dict[str, Any]]]:
    """Return texts, refusals, reasoning of chat's own and calls; refusals may be texts."""
    texts: list[str] = []
    refusals: list[str] = [] if quirks.has_refusals else texts
    reasoning: list[str] = []
    calls: list[dict[str, Any]] = []
    for part in parts:
        match part:
            case Text(text=text):
                texts.append(text)
            case Refusal(text=text):
                refusals.append(text)
            case Reasoning(maker=Maker.CHAT, text=text):
                reasoning.append(text)
            case Reasoning():
                pass
            case ToolCall():
                calls.append(_call(part, quirks))
            case _:
                raise unsupported(part)
    return texts, refusals if quirks.has_refusals else [], reasoning, calls


def _put_reasoning(message: dict[str, Any], text: str, field: str) -> None:
    if field == "thinking":  # Mistral's part of content
        thinking = {"type": "thinking", "thinking": [{"type": "text", "text": text}]}
        said = message["content"]
        message["content"] = [thinking] + ([{"type": "text", "text": said}] if said else [])
    else:
        message[field] = text


def _call(call: ToolCall, quirks: Quirks) -> dict[str, Any]:
    written: dict[str, Any] = {
        "id": call_id(call.id, quirks),
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments},
    }
    if call.signature is not None and quirks.signs_calls:
        written["extra_content"] = reasoning_details.call_extra(call.signature)
    return written
