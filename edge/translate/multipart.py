"""Forms with files (`multipart/form-data`, RFC 7578 and 2046), read and written in memory.

A file is content: it is never in a temporary file, and its name goes nowhere. Only one way of
reading is accepted. A body that two readers could take for two forms is refused: text before the
first boundary or after the last one, other encodings, headers that are there twice, forms in forms.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from edge.translate.errors import InvalidForm

MAX_PARTS: Final = 128
MAX_PART_HEADER_BYTES: Final = 4_096
MAX_PART_HEADERS: Final = 8
MAX_CONTENT_TYPE_BYTES: Final = 256

# RFC 2046, 5.1.1: 1 to 70 of these characters, the last one no space.
_BOUNDARY: Final = r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]"
_FORM_TYPE: Final = re.compile(
    rf'multipart/form-data\s*;\s*boundary=(?:"({_BOUNDARY})"|([0-9A-Za-z\'+_.-]{{1,70}}))'
    r"(?:\s*;\s*charset=\"?utf-8\"?)?\s*".encode(),
    re.IGNORECASE,
)
_HEADER: Final = re.compile(rb"([A-Za-z0-9-]{1,64}):([^\r\n\0]*)")
_PARAMETER: Final = re.compile(
    rb';[ \t]*(name|filename|filename\*)=("(?:[^"\\]|\\.)*"|[^ \t;"]+)[ \t]*', re.IGNORECASE
)
_PLAIN_ENCODINGS: Final = frozenset({b"binary", b"8bit", b"7bit"})
_CRLF: Final = b"\r\n"

_NO_FORM: Final = "The content type must be multipart/form-data with a boundary."
_NO_END: Final = "The form has no proper end."
_NO_START: Final = "The form does not begin with its boundary."
_BAD_BOUNDARY: Final = "A boundary of the form is followed by something else."
_TOO_MANY: Final = f"The form has more than {MAX_PARTS} fields."
_BAD_HEADERS: Final = "The headers of a field of the form cannot be read."
_ENCODED: Final = "A field of the form is encoded."
_NESTED: Final = "A field of the form is itself a form."


@dataclass(slots=True)
class Part:
    """One field. All of it is content but for `name` where that is on a list of ours.

    `file_name` is None where the client gave none.
    """

    name: str = field(repr=False)
    data: bytes | memoryview = field(repr=False)
    file_name: str | None = field(default=None, repr=False)
    content_type: str = field(default="", repr=False)


def is_form(content_type: bytes) -> bool:
    """Say whether a request's content type claims a form."""
    return content_type.lstrip()[:10].lower() == b"multipart/"


def parsed(body: bytes, content_type: bytes) -> list[Part]:
    """Return the fields of a form in order; their data are views of the body.

    Raises:
        InvalidForm: it is no form, or none that is read in one way only.
    """
    delimiter = _CRLF + b"--" + _boundary(content_type)
    if not body.startswith(delimiter[2:]):
        raise InvalidForm(_NO_START)
    view = memoryview(body)
    parts: list[Part] = []
    at = len(delimiter) - 2
    while body[at : at + 2] == _CRLF:
        if len(parts) == MAX_PARTS:
            raise InvalidForm(_TOO_MANY)
        # From the line end that stands behind the boundary: a field may be empty.
        part, start = _headed(body, at + 2)
        end = body.find(delimiter, start - 2)
        if end < start:
            # Not even the empty line fits in: headers and boundary share a line end.
            raise InvalidForm(_NO_END if end < 0 else _BAD_HEADERS)
        part.data = view[start:end]
        parts.append(part)
        at = end + len(delimiter)
    if body[at : at + 2] != b"--":
        raise InvalidForm(_BAD_BOUNDARY)
    if body[at + 2 :] not in (b"", _CRLF):
        raise InvalidForm(_NO_END)
    return parts


def written(parts: Iterable[Part], boundary: bytes) -> bytes:
    """Return a form. Names, file names and types are ours; the boundary is in no field's data."""
    pieces: list[bytes | memoryview] = []
    for part in parts:
        head = f'content-disposition: form-data; name="{part.name}"'
        if part.file_name is not None:
            head += f'; filename="{part.file_name}"\r\ncontent-type: {part.content_type}'
        pieces += [b"--", boundary, _CRLF, head.encode("ascii"), b"\r\n\r\n", part.data, _CRLF]
    return b"".join([*pieces, b"--", boundary, b"--\r\n"])


def boundary_of(request_id: str) -> bytes:
    """Return a boundary for a form of ours: what no client can know is in nothing that it sent."""
    return b"1api-" + request_id.encode()


def content_type_of(boundary: bytes) -> bytes:
    """Return the content type of a form with this boundary."""
    return b"multipart/form-data; boundary=" + boundary


def _boundary(content_type: bytes) -> bytes:
    match = None
    if len(content_type) <= MAX_CONTENT_TYPE_BYTES:
        match = _FORM_TYPE.fullmatch(content_type.strip())
    if match is None:
        raise InvalidForm(_NO_FORM)
    quoted, token = match.groups()
    boundary: bytes = quoted or token
    return boundary


def _headed(body: bytes, start: int) -> tuple[Part, int]:
    """Return the field whose headers begin here, without data, and where its data begin."""
    end = body.find(b"\r\n\r\n", start, start + MAX_PART_HEADER_BYTES)
    if end < 0:
        raise InvalidForm(_BAD_HEADERS)
    headers = _headers(body[start:end])
    encoding = headers.get(b"content-transfer-encoding", b"binary")
    if encoding.lower() not in _PLAIN_ENCODINGS:
        raise InvalidForm(_ENCODED)
    content_type = headers.get(b"content-type", b"")
    if is_form(content_type):
        raise InvalidForm(_NESTED)
    name, file_name = _named(headers.get(b"content-disposition", b""))
    return Part(name, b"", file_name, content_type.decode("latin-1")), end + 4


def _headers(block: bytes) -> dict[bytes, bytes]:
    lines = block.split(_CRLF)
    if len(lines) > MAX_PART_HEADERS:
        raise InvalidForm(_BAD_HEADERS)
    headers: dict[bytes, bytes] = {}
    for line in lines:
        match = _HEADER.fullmatch(line)
        name = match.group(1).lower() if match else b""
        if match is None or name in headers:
            raise InvalidForm(_BAD_HEADERS)
        headers[name] = match.group(2).strip(b" \t")
    return headers


def _named(disposition: bytes) -> tuple[str, str | None]:
    kind, separator, _ = disposition.partition(b";")
    if kind.strip().lower() != b"form-data" or not separator:
        raise InvalidForm(_BAD_HEADERS)
    found: dict[bytes, str] = {}
    at = len(kind)
    while at < len(disposition):
        match = _PARAMETER.match(disposition, at)
        name = match.group(1).lower() if match else b""
        if match is None or name in found:
            raise InvalidForm(_BAD_HEADERS)
        found[name] = match.group(2).strip(b'"').decode("latin-1")
        at = match.end()
    if b"name" not in found:
        raise InvalidForm(_BAD_HEADERS)
    return found[b"name"], found.get(b"filename", found.get(b"filename*"))
