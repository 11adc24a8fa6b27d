"""What bounds the usage of a chat request: bytes of text, and the catalogue's maxima for media.

A provider never counts more input tokens than bytes of the serialised body without media data plus
the model's constant (measured on recorded traffic). Media, and tools that the provider runs, are
bounded by the catalogue only: where it has no maximum they are refused, as a hold must be true.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from edge.translate import fields, native_body, searches, tool_count
from edge.translate.chat.native import ChatRequest
from edge.translate.errors import (
    InvalidType,
    MissingParameter,
    UnsupportedParameter,
    UnsupportedValue,
)
from edge.translate.json_body import written
from edge.translate.media_urls import refuse_elsewhere
from edge.translate.surface import ModelLimits
from kit.hold import RequestShape

TEXT_PARTS: Final = frozenset(
    {"text", "refusal", "thinking", "reasoning", "input_text", "output_text"}
)
IMAGE_PARTS: Final = frozenset({"image_url", "input_image", "image"})
AUDIO_PARTS: Final = frozenset({"input_audio", "audio_url", "audio"})
FILE_PARTS: Final = frozenset({"file", "input_file", "document_url", "document"})
MEDIA_PARTS: Final = IMAGE_PARTS | AUDIO_PARTS | FILE_PARTS
CLIENT_TOOLS: Final = frozenset({"function", "custom"})
"""Tools that the client runs. The provider runs the others, and bills what they read."""
WEB_SEARCH: Final = "web_search_options"
"""Makes the provider search the web, once for each answer (OpenAI's guide to web search)."""
_DATA_FIELDS: Final = ("url", "data", "file_data", "image_url", "document_url", "audio_url")


def bound_of(request: ChatRequest, limits: ModelLimits) -> tuple[RequestShape, int]:
    """Return the counts that bound what this request can use with this model.

    Beside them, the bytes of media data that its text leaves out.

    Raises:
        InvalidRequest: it has media or tools for which the catalogue has no maximum.
    """
    _refuse_provider_tools(request)
    overhead = limits.input_overhead_tokens
    if request.has_tools:
        overhead = max(overhead, limits.input_overhead_with_tools_tokens)
    media_bytes, media_tokens, has_audio = _media(request.body, limits)
    bound = RequestShape(
        text_bytes=len(written(request.body)) - media_bytes,
        overhead_tokens=overhead,
        media_tokens=media_tokens,
        choices=request.choices,
        has_audio=has_audio or _wants_audio(request.body, limits),
    )
    request.searches = _searches(request, limits)
    if request.searches:
        searches.set_aside(bound, request.searches, limits)
    return bound, media_bytes


def _searches(request: ChatRequest, limits: ModelLimits) -> int:
    """Return how many searches of the web the request causes."""
    if WEB_SEARCH not in request.body:
        return 0
    if request.body.get(WEB_SEARCH) is False or fields.mapping(request.body, WEB_SEARCH) is None:
        return 0
    if request.choices > searches.calls_of(limits):
        raise UnsupportedParameter(WEB_SEARCH)
    return request.choices


def _refuse_provider_tools(request: ChatRequest) -> None:
    native_body.refuse_unbound(request.body)
    if not request.has_tools:
        return
    for name in ("tools", "functions"):
        tool_count.check(request.body.get(name) or (), name)
    for index, tool in enumerate(request.body.get("tools") or ()):
        path = f"tools[{index}]"
        if not isinstance(tool, dict):
            raise InvalidType(path, "an object")
        kind = tool.get("type", "function")
        if not isinstance(kind, str):
            raise InvalidType(f"{path}.type", "a string")
        if kind not in CLIENT_TOOLS:
            raise UnsupportedValue(f"{path}.type")


def _media(body: Mapping[str, Any], limits: ModelLimits) -> tuple[int, int, bool]:
    data_bytes = tokens = 0
    has_audio = False
    for path, part in _parts(body):
        maximum, is_audio = _maximum(path, part, limits)
        if maximum:
            _refuse_elsewhere(path, part)
            data_bytes += _data_bytes(part)
        tokens += maximum
        has_audio = has_audio or is_audio
    for index, message in enumerate(body["messages"]):
        if message.get("audio"):
            # An earlier spoken answer is read again, by its id.
            tokens += _required(limits.audio_max_tokens, f"messages[{index}].audio")
            has_audio = True
    return data_bytes, tokens, has_audio


def _parts(body: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for index, message in enumerate(body["messages"]):
        content = message.get("content")
        if not isinstance(content, list):
            continue
        for place, part in enumerate(content):
            path = f"messages[{index}].content[{place}]"
            if not isinstance(part, dict):
                raise InvalidType(path, "an object")
            yield path, part


def _maximum(path: str, part: Mapping[str, Any], limits: ModelLimits) -> tuple[int, bool]:
    kind = part.get("type")
    if kind is None:
        # Some upstreams then look at the other fields and load an image from them.
        raise MissingParameter(f"{path}.type")
    if not isinstance(kind, str):
        raise InvalidType(f"{path}.type", "a string")
    if kind in TEXT_PARTS:
        return 0, False
    if kind in IMAGE_PARTS:
        return _required(limits.image_max_tokens, path), False
    if kind in AUDIO_PARTS:
        return _required(limits.audio_max_tokens, path), True
    if kind in FILE_PARTS:
        inner = part.get("file")
        if part.get("file_id") or (isinstance(inner, dict) and inner.get("file_id")):
            # Kept for the account, which is ours and not the client's.
            raise UnsupportedValue(f"{path}.file_id")
        return _required(limits.file_max_tokens, path), False
    raise UnsupportedValue(f"{path}.type")


def _refuse_elsewhere(path: str, part: Mapping[str, Any]) -> None:
    for name, value in part.items():
        if name in _DATA_FIELDS:
            refuse_elsewhere(f"{path}.{name}", value)
        if isinstance(value, dict):
            # Another name may be the client's own word.
            place = f"{path}.{name}" if name in MEDIA_PARTS else path
            for field in _DATA_FIELDS:
                refuse_elsewhere(f"{place}.{field}", value.get(field))


def _required(maximum: int, path: str) -> int:
    if maximum <= 0:
        raise UnsupportedValue(path)
    return maximum


def _data_bytes(part: Mapping[str, Any]) -> int:
    """Return the bytes of the data inside a media part: never more than they take serialised."""
    size = 0
    for name, value in part.items():
        if isinstance(value, str) and name in _DATA_FIELDS:
            size += len(value.encode())
        elif isinstance(value, dict):
            inner = [value.get(field) for field in _DATA_FIELDS]
            size += sum(len(one.encode()) for one in inner if isinstance(one, str))
    return size


def _wants_audio(body: Mapping[str, Any], limits: ModelLimits) -> bool:
    modalities = body.get("modalities")
    if modalities is None:
        return False
    if not isinstance(modalities, list):
        raise InvalidType("modalities", "an array")
    wanted = set(map(str, modalities))
    if wanted - {"text", "audio"}:
        raise UnsupportedValue("modalities")
    if "audio" not in wanted:
        return False
    _required(limits.audio_max_tokens, "modalities")
    return True
