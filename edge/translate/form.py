"""A client's form by the table of an endpoint's fields: checked, and ready to be written anew.

Only fields of the table pass, under its names. A file keeps its bytes; its name is replaced by a
neutral one with the same extension, as what people call their files is content.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from edge.translate import multipart
from edge.translate.errors import (
    IntegerAboveMaximum,
    IntegerBelowMinimum,
    InvalidType,
    InvalidValue,
    MissingParameter,
    UnknownField,
)
from edge.translate.multipart import Part

MAX_INTEGER_DIGITS: Final = 9
ANY_TYPE: Final = "application/octet-stream"
IMAGE_TYPES: Final = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
}
AUDIO_TYPES: Final = {
    "flac": "audio/flac",
    "mp3": "audio/mpeg",
    "mp4": "audio/mp4",
    "mpeg": "audio/mpeg",
    "mpga": "audio/mpeg",
    "m4a": "audio/mp4",
    "ogg": "audio/ogg",
    "oga": "audio/ogg",
    "opus": "audio/ogg",
    "wav": "audio/wav",
    "webm": "audio/webm",
}
"""The formats that OpenAI takes (API reference, images and audio), and how they are called."""
_TYPE_ALIASES: Final = {
    "audio/mp3": "mp3",
    "audio/wave": "wav",
    "audio/x-wav": "wav",
    "audio/x-m4a": "m4a",
    "video/mp4": "mp4",
    "video/webm": "webm",
}


class Kind(Enum):
    """What a field of a form holds."""

    TEXT = 1
    TEXTS = 2
    IMAGES = 3
    AUDIO = 4


_FILES: Final = {Kind.IMAGES: ("image", IMAGE_TYPES), Kind.AUDIO: ("audio", AUDIO_TYPES)}


@dataclass(slots=True)
class Form:
    """The fields of a form, in the client's order; content."""

    parts: list[Part] = field(repr=False)
    text_bytes: int
    """Of all texts, their names included."""
    file_bytes: int

    def text(self, name: str) -> str | None:
        """Return a text, None if it is not there.

        Raises:
            InvalidValue: it is not UTF-8.
        """
        for part in self.parts:
            if part.name == name:
                try:
                    return str(part.data, "utf-8")
                except UnicodeDecodeError:
                    raise InvalidValue(name) from None
        return None

    def required(self, name: str) -> str:
        """Return a text that must be there.

        Raises:
            MissingParameter: it is not, or is empty.
            InvalidValue: it is not UTF-8.
        """
        found = self.text(name)
        if not found:
            raise MissingParameter(name)
        return found

    def flag(self, name: str) -> bool:
        """Return whether a field says `true`; False if it is not there.

        Raises:
            InvalidType: it says something else.
        """
        said = (self.text(name) or "false").lower()
        if said not in {"true", "false"}:
            raise InvalidType(name, "a boolean")
        return said == "true"

    def integer(self, name: str, minimum: int, maximum: int) -> int | None:
        """Return an integer, None if it is not there.

        Raises:
            InvalidRequest: it is none, or outside its bounds.
        """
        said = self.text(name)
        if not said:
            return None
        if not (said.isascii() and said.isdigit() and len(said) <= MAX_INTEGER_DIGITS):
            raise InvalidType(name, "an integer")
        value = int(said)
        if value < minimum:
            raise IntegerBelowMinimum(name, minimum)
        if value > maximum:
            raise IntegerAboveMaximum(name, maximum)
        return value

    def files(self, *names: str) -> list[Part]:
        """Return the files of these fields."""
        return [part for part in self.parts if part.name in names]

    def written(self, boundary: bytes, **instead: str) -> bytes:
        """Return the form with these texts in place of the client's or beside them."""
        kept = [part for part in self.parts if part.name not in instead]
        ours = [Part(name, value.encode()) for name, value in instead.items()]
        return multipart.written([*ours, *kept], boundary)


def read(body: bytes, content_type: bytes, fields: Mapping[str, Kind]) -> Form:
    """Return the form, by the endpoint's table of fields.

    Raises:
        InvalidRequest: it is no form, has a field that is not in the table, or one twice.
    """
    text_bytes = file_bytes = 0
    seen: set[str] = set()
    parts = multipart.parsed(body, content_type)
    for number, part in enumerate(parts, 1):
        kind = fields.get(part.name)
        if kind is None:
            raise UnknownField(number)
        if part.name in seen and kind in {Kind.TEXT, Kind.AUDIO}:
            raise InvalidValue(part.name)
        seen.add(part.name)
        if kind in _FILES:
            _make_neutral(part, *_FILES[kind])
            file_bytes += len(part.data)
        else:
            part.file_name = None
            text_bytes += len(part.name) + len(part.data)
    return Form(parts, text_bytes, file_bytes)


def _make_neutral(part: Part, stem: str, types: dict[str, str]) -> None:
    """Give a file a name and a type of ours, by its extension or else by the type it came with."""
    extension = (part.file_name or "").rpartition(".")[2].lower()
    if extension not in types:
        extension = _extension_of(part.content_type, types)
    part.file_name = f"{stem}.{extension}"
    part.content_type = types.get(extension, ANY_TYPE)


def _extension_of(content_type: str, types: dict[str, str]) -> str:
    said = content_type.partition(";")[0].strip().lower()
    # Of several extensions for one type the first in the table is the usual one.
    by_type = {name: extension for extension, name in reversed(types.items())}
    alias = _TYPE_ALIASES.get(said, "bin")
    return by_type.get(said, alias if alias in types else "bin")
