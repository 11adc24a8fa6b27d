"""What bounds the usage of a request: bytes of text, and the catalogue's maxima for media.

As in `chat/shape.py`: media without a maximum in the catalogue, and tools that the provider runs,
are refused by name, as a hold must be true.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from edge.translate import tool_count
from edge.translate.errors import (
    InvalidType,
    MissingParameter,
    UnsupportedValue,
)
from edge.translate.json_body import written
from edge.translate.media_urls import is_of_web
from edge.translate.surface import ModelLimits
from kit.hold import RequestShape

PROVIDER_TOOLS: Final = (
    *("googleSearch", "googleSearchRetrieval", "codeExecution", "urlContext", "googleMaps"),
    *("fileSearch", "computerUse", "enterpriseWebSearch", "retrieval", "mcpServers"),
    *("parallelAiSearch", "exaAiSearch"),
)
"""Tools of Google's that are refused by their names; any other one by its place."""
_TEXT_PARTS: Final = frozenset(
    {
        *("text", "functionCall", "functionResponse", "executableCode", "codeExecutionResult"),
        *("toolCall", "toolResponse", "thought", "thoughtSignature", "partMetadata"),
        *("videoMetadata", "mediaResolution"),
    }
)
_MEDIA_PARTS: Final = frozenset({"inlineData", "fileData"})
_FILE_STORES: Final = ("generativelanguage.googleapis.com", "storage.googleapis.com")
"""Where files lie under the account of whoever asks: ours, and not the client's."""
_VIDEO_SITES: Final = ("youtube.com", "youtu.be")
SPOKEN: Final = ("audio/", "video/")


def shape(body: Mapping[str, Any], choices: int, limits: ModelLimits) -> RequestShape:
    """Return the counts that bound what a request can use with this model.

    `body` is in canonical spelling.

    Raises:
        InvalidRequest: it has media or tools for which the catalogue has no maximum.
    """
    refuse_provider_tools(body)
    overhead = limits.input_overhead_tokens
    if body.get("tools"):
        overhead = max(overhead, limits.input_overhead_with_tools_tokens)
    tokens, has_audio = 0, _wants_audio(body, limits)
    for path, part in _media(body):
        maximum, is_spoken = _maximum(path, part, limits)
        tokens += maximum
        has_audio = has_audio or is_spoken
    return RequestShape(
        text_bytes=len(written(body)) - media_bytes(body),
        overhead_tokens=overhead,
        media_tokens=tokens,
        choices=choices,
        has_audio=has_audio,
    )


def media_bytes(body: Mapping[str, Any]) -> int:
    """Return the bytes of the media data in a body: never more than they take serialised.

    Raises:
        InvalidRequest: a part is of a kind that is not known here.
    """
    size = 0
    for _, part in _media(body):
        data = (part.get("inlineData") or {}).get("data")
        size += len(data.encode()) if isinstance(data, str) else 0
    return size


def refuse_provider_tools(body: Mapping[str, Any]) -> None:
    """Refuse tools that the provider runs: what they read has no bound.

    Raises:
        UnsupportedValue: names the tool.
        InvalidValue: there are too many of the client's.
    """
    tools = body.get("tools") or ()
    tool_count.check(tools, "tools")
    for index, tool in enumerate(tools):
        path = f"tools[{index}]"
        declared = f"{path}.functionDeclarations"
        tool_count.check(tool.get("functionDeclarations") or (), declared)
        for name in PROVIDER_TOOLS:
            # An empty object switches the tool on as well.
            if tool.get(name) is not None:
                raise UnsupportedValue(f"{path}.{name}")
        if any(value is not None for name, value in tool.items() if name != "functionDeclarations"):
            raise UnsupportedValue(path)


def media_type_of(path: str, media: Mapping[str, Any]) -> str:
    """Return the media type of data or of a file.

    Raises:
        InvalidRequest: there is none.
    """
    kind = media.get("mimeType")
    if kind is None or kind == "":
        raise MissingParameter(f"{path}.mimeType")
    if not isinstance(kind, str):
        raise InvalidType(f"{path}.mimeType", "a string")
    return kind.lower()


def file_url_of(path: str, file: Mapping[str, Any]) -> str:
    """Return the URL of a file that anyone can read.

    Raises:
        InvalidRequest: there is none, or it names a file in a store of the provider's.
    """
    uri = file.get("fileUri")
    if uri is None or uri == "":
        raise MissingParameter(f"{path}.fileUri")
    if not isinstance(uri, str):
        raise InvalidType(f"{path}.fileUri", "a string")
    if not is_public(uri):
        raise UnsupportedValue(f"{path}.fileUri")
    return uri


def is_public(uri: str) -> bool:
    """Say whether this is an address of the web, and of no store of the provider's."""
    return is_of_web(uri) and not _is_at(uri, _FILE_STORES)


def is_video(uri: str) -> bool:
    """Say whether Google sees a video here, whatever it is called."""
    return _is_at(uri, _VIDEO_SITES)


def parts_of(body: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Return the parts of all contents, the system's first, with their paths."""
    system = body.get("systemInstruction")
    for index, part in enumerate((system or {}).get("parts") or ()):
        yield f"systemInstruction.parts[{index}]", part
    for place, content in enumerate(body.get("contents") or ()):
        for index, part in enumerate(content.get("parts") or ()):
            yield f"contents[{place}].parts[{index}]", part


def _media(body: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, part in parts_of(body):
        _check_kind(path, part, _TEXT_PARTS | _MEDIA_PARTS)
        if not _MEDIA_PARTS.isdisjoint(part):
            yield path, part
        for index, inner in enumerate((part.get("functionResponse") or {}).get("parts") or ()):
            place = f"{path}.functionResponse.parts[{index}]"
            _check_kind(place, inner, _MEDIA_PARTS)
            yield place, inner


def _check_kind(path: str, part: Mapping[str, Any], known: frozenset[str]) -> None:
    # What is not known here could be media of another kind.
    if any(value is not None for name, value in part.items() if name not in known):
        raise UnsupportedValue(path)


def _maximum(path: str, part: Mapping[str, Any], limits: ModelLimits) -> tuple[int, bool]:
    data, file = part.get("inlineData"), part.get("fileData")
    tokens, has_audio = 0, False
    if data is not None:
        place = f"{path}.inlineData"
        kind = media_type_of(place, data)
        tokens += _most(place, kind, limits)
        has_audio = kind.startswith(SPOKEN)
    if file is not None:
        place = f"{path}.fileData"
        url = file_url_of(place, file)
        kind = "video/*" if is_video(url) else media_type_of(place, file)
        tokens += _most(place, kind, limits)
        has_audio = has_audio or kind.startswith(SPOKEN)
    return tokens, has_audio


def _most(path: str, kind: str, limits: ModelLimits) -> int:
    if kind.startswith("image/"):
        maximum = limits.image_max_tokens
    elif kind.startswith("audio/"):
        maximum = limits.audio_max_tokens
    else:
        maximum = limits.file_max_tokens
    if maximum <= 0:
        raise UnsupportedValue(path)
    return maximum


def _is_at(uri: str, hosts: tuple[str, ...]) -> bool:
    try:
        # A dot at its end changes nothing about a host (RFC 1034, 3.1).
        host = (urlsplit(uri).hostname or "").removesuffix(".")
    except ValueError:
        return True
    return any(host == one or host.endswith(f".{one}") for one in hosts)


def _wants_audio(body: Mapping[str, Any], limits: ModelLimits) -> bool:
    path = "generationConfig.responseModalities"
    modalities = (body.get("generationConfig") or {}).get("responseModalities")
    if modalities is not None and not isinstance(modalities, list):
        raise InvalidType(path, "an array")
    wanted = {str(one).upper() for one in modalities or ()}
    if wanted - {"TEXT", "AUDIO"}:
        raise UnsupportedValue(path)
    if "AUDIO" not in wanted:
        return False
    if limits.audio_max_tokens <= 0:
        raise UnsupportedValue(path)
    return True
