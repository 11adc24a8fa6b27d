"""Contents and their parts as turns of a conversation."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Mapping
from typing import Any, Final

from edge.translate.errors import InvalidType, MissingParameter, UnsupportedValue
from edge.translate.generate.seals import opened_signature
from edge.translate.generate.shape import file_url_of, media_type_of
from edge.translate.json_body import written
from edge.translate.neutral.conversation import (
    Audio,
    File,
    Image,
    Maker,
    Part,
    Reasoning,
    Role,
    Text,
    ToolCall,
    ToolResult,
    Turn,
)

RESULT_KEY: Final = "output"
ERROR_KEY: Final = "error"
"""The members of a function's response that Google reads as its output and its error."""
_HINTS: Final = frozenset({"partMetadata", "mediaResolution"})
_AUDIO_FORMATS: Final = {"mpeg": "mp3", "x-wav": "wav", "wave": "wav", "x-flac": "flac"}


class Contents:
    """Reads contents in order: a response without an id answers the oldest call of its name."""

    def __init__(self) -> None:
        """Know no calls yet."""
        self._waiting: dict[str, OrderedDict[str, None]] = defaultdict(OrderedDict)
        """The ids of unanswered calls by the function's name, the oldest one first."""
        self._names: dict[str, str] = {}
        self._calls = 0
        self._thoughts: list[Reasoning] = []
        """Those that nobody has signed yet: streams bring them piece by piece."""

    def turns(self, body: Mapping[str, Any]) -> list[Turn]:
        """Return the turns of all contents.

        Raises:
            InvalidRequest: a part has no place in the neutral form; it is named.
        """
        turns: list[Turn] = []
        for place, content in enumerate(body.get("contents") or ()):
            path = f"contents[{place}]"
            speaker: Role = "assistant" if content.get("role") == "model" else "user"
            for index, part in enumerate(content.get("parts") or ()):
                for one in self._part(part, f"{path}.parts[{index}]"):
                    role: Role = "tool" if isinstance(one, ToolResult) else speaker
                    if not turns or turns[-1].path != path or turns[-1].role != role:
                        turns.append(Turn(role, [], path))
                    turns[-1].parts.append(one)
        return turns

    def _part(self, part: Mapping[str, Any], path: str) -> list[Part]:
        part = {name: value for name, value in part.items() if value is not None}
        signature = _text(part, "thoughtSignature", path)
        if part.get("thought") is True:
            return [self._thought(_text(part, "text", path) or "", signature, path)]
        self._thoughts = []
        names = part.keys() - _HINTS - {"thought", "thoughtSignature"}
        if names == {"functionCall"}:
            return [self._call(part["functionCall"], signature, f"{path}.functionCall")]
        found: list[Part] = []
        if signature is not None:
            found.append(Reasoning(path, Maker.GOOGLE, "", signature))
        if names == {"text"}:
            return [*found, Text(f"{path}.text", _text(part, "text", path) or "")]
        if names == {"functionResponse"}:
            return [*found, self._result(part["functionResponse"], f"{path}.functionResponse")]
        if names in ({"inlineData"}, {"fileData"}):
            return [*found, _media(part, path)]
        if names:
            raise UnsupportedValue(path)
        return found

    def _thought(self, text: str, signature: str | None, path: str) -> Reasoning:
        """Return a thought; another maker's takes those before it along, which it has signed."""
        seal = opened_signature(signature)
        if seal is None:
            thought = Reasoning(path, Maker.GOOGLE, text, signature)
            if signature is None:
                self._thoughts.append(thought)
            else:
                self._thoughts = []
            return thought
        if seal.kind == "redacted":
            return Reasoning(path, seal.maker, "", redacted=seal.payload)
        signed = "".join([one.text for one in self._thoughts]) + text
        for one in self._thoughts:
            one.text = ""
        self._thoughts = []
        return Reasoning(path, seal.maker, signed, seal.payload)

    def _call(self, call: Mapping[str, Any], signature: str | None, path: str) -> ToolCall:
        name = _text(call, "name", path)
        if not name:
            raise MissingParameter(f"{path}.name")
        args = call.get("args")
        if not isinstance(args, dict | None):
            raise InvalidType(f"{path}.args", "an object")
        if call.keys() - {"id", "name", "args"}:
            raise UnsupportedValue(path)
        self._calls += 1
        call_id = _text(call, "id", path) or f"call_{self._calls}"
        self._names[call_id] = name
        self._waiting[name][call_id] = None
        return ToolCall(path, call_id, name, written(args or {}).decode(), signature)

    def _result(self, result: Mapping[str, Any], path: str) -> ToolResult:
        name = _text(result, "name", path)
        call_id = _text(result, "id", path)
        waiting = self._waiting.get(name or "")
        if call_id is None:
            call_id = waiting.popitem(last=False)[0] if waiting else None
        elif waiting:
            waiting.pop(call_id, None)
        if call_id is None:
            raise MissingParameter(f"{path}.id")
        known = {"id", "name", "response", "parts", "willContinue", "scheduling"}
        if result.keys() - known or result.get("willContinue"):
            raise UnsupportedValue(path)
        parts: list[Text | Image | File] = []
        text, is_error = _response(result.get("response"), f"{path}.response")
        parts.append(Text(f"{path}.response", text))
        for index, inner in enumerate(result.get("parts") or ()):
            place = f"{path}.parts[{index}]"
            media = _media(inner, place)
            if not isinstance(media, Image | File):
                raise UnsupportedValue(place)
            parts.append(media)
        return ToolResult(path, call_id, name or self._names.get(call_id), parts, is_error)


def _response(response: Any, path: str) -> tuple[str, bool]:
    """Return what a function returned as text, and whether it is its error."""
    if response is None:
        return "", False
    if not isinstance(response, dict):
        raise InvalidType(path, "an object")
    if len(response) == 1:
        for key in (RESULT_KEY, ERROR_KEY):
            if isinstance(response.get(key), str):
                return response[key], key == ERROR_KEY
    return written(response).decode(), set(response) == {ERROR_KEY}


def _media(part: Mapping[str, Any], path: str) -> Image | File | Audio:
    inline, file = part.get("inlineData"), part.get("fileData")
    if inline is not None and file is not None:
        raise UnsupportedValue(path)
    if inline is not None:
        return _inline(inline, f"{path}.inlineData")
    place = f"{path}.fileData"
    if file is None:
        raise UnsupportedValue(path)
    url, kind = file_url_of(place, file), media_type_of(place, file)
    if kind.startswith("image/"):
        return Image(place, kind, url=url)
    if kind.startswith(("audio/", "video/")):
        raise UnsupportedValue(place)
    return File(place, kind, url=url, name=_text(file, "displayName", place))


def _inline(inline: Mapping[str, Any], path: str) -> Image | File | Audio:
    kind, data = media_type_of(path, inline), _text(inline, "data", path)
    if data is None:
        raise MissingParameter(f"{path}.data")
    # Protobuf's JSON takes both alphabets of base64, with or without padding; others take one.
    data = data.translate({ord("-"): "+", ord("_"): "/"}).rstrip("=")
    data += "=" * (-len(data) % 4)
    if kind.startswith("image/"):
        return Image(path, kind, data)
    if kind.startswith("audio/"):
        subtype = kind.removeprefix("audio/").partition(";")[0]
        return Audio(path, _AUDIO_FORMATS.get(subtype, subtype), data)
    if kind.startswith("video/"):
        raise UnsupportedValue(path)
    return File(path, kind, data, name=_text(inline, "displayName", path))


def _text(holder: Mapping[str, Any], name: str, path: str) -> str | None:
    value = holder.get(name)
    if not isinstance(value, str | None):
        raise InvalidType(f"{path}.{name}", "a string")
    return value
