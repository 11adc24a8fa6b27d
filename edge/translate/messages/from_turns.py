"""Turns of the neutral form as the system prompt and the messages of this API."""

from __future__ import annotations

import base64
import binascii
from typing import Any, Final

import orjson

from edge.translate.errors import InvalidRequest, InvalidValue, UnsupportedValue
from edge.translate.messages import call_ids
from edge.translate.neutral.conversation import (
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

Block = dict[str, Any]
_ROLES: Final = {"user": "user", "tool": "user", "assistant": "assistant"}


def messages(turns: list[Turn]) -> tuple[list[Block], list[Block]]:
    """Return the blocks of the system prompt, and the messages.

    Instructions come first, wherever they stood: older models know no other place. Neighbours of
    one role are one message, as the API wants the results of parallel calls together. An answer at
    the end is refused: elsewhere the model speaks anew after it, here it would go on with it.

    Raises:
        InvalidRequest: a part cannot be expressed, nothing was said, or the model said the last
            thing; the client's field is named.
    """
    system: list[Block] = []
    found: list[dict[str, Any]] = []
    last: Turn | None = None
    for turn in turns:
        if turn.role == "system":
            system += [_text(part) for part in turn.parts if not _is_empty(part)]
            continue
        role = _ROLES[turn.role]
        blocks = [block for part in turn.parts for block in _blocks(role, part)]
        if not blocks:
            continue
        last = turn
        if found and found[-1]["role"] == role:
            found[-1]["content"] += blocks
        else:
            found.append({"role": role, "content": blocks})
    if last is None:
        raise UnsupportedValue(turns[-1].path if turns else "messages")
    if last.role == "assistant":
        raise UnsupportedValue(last.path)
    return system, found


def _is_empty(part: Part) -> bool:
    # The API refuses text that is empty or white space only; without it nothing is lost.
    return isinstance(part, Text) and not part.text.strip()


def _text(part: Part) -> Block:
    if not isinstance(part, Text):
        raise unsupported(part)
    return {"type": "text", "text": part.text}


def _blocks(role: str, part: Part) -> list[Block]:
    if isinstance(part, Text):
        return [] if _is_empty(part) else [_text(part)]
    blocks = _users(part) if role == "user" else _assistants(part)
    if blocks is None:
        raise unsupported(part)
    return blocks


def _users(part: Part) -> list[Block] | None:
    match part:
        case Image():
            return [_image(part)]
        case File():
            return [_file(part)]
        case ToolResult():
            return [_result(part)]
    return None


def _assistants(part: Part) -> list[Block] | None:
    match part:
        case Refusal(text=text):
            return [{"type": "text", "text": text}] if text.strip() else []
        case ToolCall():
            return [_call(part)]
        case Reasoning():
            return _reasoning(part)
    return None


def _image(part: Image) -> Block:
    if part.url is not None:
        return {"type": "image", "source": {"type": "url", "url": part.url}}
    if part.data is None or part.media_type is None:
        raise unsupported(part)
    return {"type": "image", "source": _base64(part.media_type, part.data)}


def _file(part: File) -> Block:
    block: Block = {"type": "document"}
    if part.url is not None:
        block["source"] = {"type": "url", "url": part.url}
    elif part.data is not None and part.media_type == "application/pdf":
        block["source"] = _base64(part.media_type, part.data)
    elif part.data is not None and part.media_type == "text/plain":
        text = _decoded(part, part.data)
        block["source"] = {"type": "text", "media_type": "text/plain", "data": text}
    else:
        raise unsupported(part)
    if part.name:
        block["title"] = part.name
    return block


def _base64(media_type: str, data: str) -> Block:
    return {"type": "base64", "media_type": media_type, "data": data}


def _decoded(part: File, data: str) -> str:
    try:
        return base64.b64decode(data, validate=True).decode()
    except (binascii.Error, ValueError):
        raise InvalidValue(part.path) from None


def _call(part: ToolCall) -> Block:
    call_id = call_ids.in_alphabet(part.id)
    return {"type": "tool_use", "id": call_id, "name": part.name, "input": _input(part)}


def _input(part: ToolCall) -> Any:
    """Return the arguments as they were spelled.

    Raises:
        InvalidValue: they are no JSON object.
    """
    if not part.arguments.strip():
        return {}
    try:
        if isinstance(orjson.loads(part.arguments), dict):
            return orjson.Fragment(part.arguments)
    except (orjson.JSONDecodeError, UnicodeEncodeError):
        pass
    raise _no_object(part)


def _no_object(part: ToolCall) -> InvalidRequest:
    return InvalidValue(part.path)


def _result(part: ToolResult) -> Block:
    block: Block = {"type": "tool_result", "tool_use_id": call_ids.in_alphabet(part.call_id)}
    content = [one for inner in part.parts for one in _blocks("user", inner)]
    if content:
        block["content"] = content
    if part.is_error:
        block["is_error"] = True
    return block


def _reasoning(part: Reasoning) -> list[Block]:
    """Return thinking that can be given back: its maker's own, unchanged."""
    if part.maker is not Maker.ANTHROPIC:
        return []
    if part.redacted is not None:
        return [{"type": "redacted_thinking", "data": part.redacted}]
    if part.signature is None:
        return []
    return [{"type": "thinking", "thinking": part.text, "signature": part.signature}]
