"""Bad forms as data: what two readers could take for two forms, and fields that are wrong."""

from __future__ import annotations

from typing import Final

from edge.translate.multipart import MAX_PARTS
from tests.contract.bad_inputs import BadInput, request

TYPE: Final = b"multipart/form-data; boundary=b"
_TRANSCRIPTIONS: Final = b"POST /v1/audio/transcriptions HTTP/1.1"
_EDITS: Final = b"POST /v1/images/edits HTTP/1.1"
_GENERATIONS: Final = b"POST /v1/images/generations HTTP/1.1"
_SPEECH: Final = b"POST /v1/audio/speech HTTP/1.1"


def field(name: str, data: bytes, more: str = "") -> bytes:
    """Return one field, from its boundary to the end of its data."""
    head = f'--b\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'
    return head.encode("latin-1") + data


def body(*fields: bytes) -> bytes:
    """Return a form of fields."""
    return b"".join(one + b"\r\n" for one in fields) + b"--b--\r\n"


HEADERS = b"--b\r\nContent-Disposition: form-data; name=x\r\n"
HOSTILE = {
    "no form": (b"{}", b"application/json"),
    "no boundary": (body(), b"multipart/form-data"),
    "empty boundary": (b"----\r\n", b"multipart/form-data; boundary="),
    "long boundary": (body(), b"multipart/form-data; boundary=" + b"b" * 71),
    "boundary that ends in a space": (body(), b'multipart/form-data; boundary="b "'),
    "two boundaries": (body(), b"multipart/form-data; boundary=b; boundary=c"),
    "boundary with a line end": (body(), b'multipart/form-data; boundary="b\r\nx"'),
    "other multipart": (body(), b"multipart/mixed; boundary=b"),
    "endless content type": (body(), TYPE + b" " * 1_000 + b"x"),
    "nothing": (b"", TYPE),
    "text before": (b"hello\r\n" + body(), TYPE),
    "line end before": (b"\r\n" + body(), TYPE),
    "text after": (body() + b"more", TYPE),
    "form after the form": (body() + body(), TYPE),
    "no end": (field("x", b"data"), TYPE),
    "end without dashes": (field("x", b"data") + b"\r\n--b", TYPE),
    "one dash": (field("x", b"data") + b"\r\n--b-", TYPE),
    "space behind a boundary": (b"--b \r\n" + body()[3:], TYPE),
    "longer boundary inside": (field("x", b"a\r\n--bc\r\n\r\nd") + b"\r\n--b--", TYPE),
    "bare line feeds": (body(field("x", b"data")).replace(b"\r\n", b"\n"), TYPE),
    "no headers": (b"--b\r\n\r\ndata\r\n--b--", TYPE),
    "headers without their end": (HEADERS + b"--b--", TYPE),
    "boundary as data's line end": (HEADERS + b"\r\n--b--", TYPE),
    "no disposition": (b"--b\r\nContent-Type: text/plain\r\n\r\nx\r\n--b--", TYPE),
    "attachment": (b"--b\r\nContent-Disposition: attachment; name=x\r\n\r\nx\r\n--b--", TYPE),
    "no name": (b"--b\r\nContent-Disposition: form-data; filename=x\r\n\r\nx\r\n--b--", TYPE),
    "two names": (body(field("x", b"", '; name="y"')), TYPE),
    "two file names": (body(field("x", b"", '; filename=a; filename="b"')), TYPE),
    "other parameter": (body(field("x", b"", "; size=3")), TYPE),
    "open quote": (body(field("x", b"", '; filename="a')), TYPE),
    "two dispositions": (HEADERS + HEADERS[5:] + b"\r\nx\r\n--b--", TYPE),
    "two content types": (HEADERS + b"a: 1\r\nA: 2\r\n\r\nx\r\n--b--", TYPE),
    "folded header": (HEADERS + b" more\r\n\r\nx\r\n--b--", TYPE),
    "carriage return in a header": (HEADERS + b"a: b\rc\r\n\r\nx\r\n--b--", TYPE),
    "null in a header": (HEADERS + b"a: b\0\r\n\r\nx\r\n--b--", TYPE),
    "space before the colon": (HEADERS + b"a : b\r\n\r\nx\r\n--b--", TYPE),
    "long headers": (HEADERS + b"a: " + b"b" * 5_000 + b"\r\n\r\nx\r\n--b--", TYPE),
    "many headers": (
        HEADERS + b"".join(b"h%d: 1\r\n" % at for at in range(9)) + b"\r\nx\r\n--b--",
        TYPE,
    ),
    "base64": (HEADERS + b"Content-Transfer-Encoding: base64\r\n\r\neA==\r\n--b--", TYPE),
    "nested": (HEADERS + b"Content-Type: multipart/mixed; boundary=c\r\n\r\nx\r\n--b--", TYPE),
    "many parts": (body(*[field("x", b"")] * (MAX_PARTS + 1)), TYPE),
}


def _form(name: str, code: str, line: bytes, *fields: bytes) -> BadInput:
    wire = request(line, b"Content-Type: " + TYPE, body=body(*fields))
    return BadInput(name, wire, 400, code, closes=False)


def _json(name: str, code: str, line: bytes, text: bytes) -> BadInput:
    wire = request(line, b"Content-Type: application/json", body=text)
    return BadInput(name, wire, 400, code, closes=False)


_FILE: Final = field("file", b"ID3", '; filename="a.mp3"')
_IMAGE: Final = field("image", b"x", '; filename="a.png"')
_PROMPT: Final = field("prompt", b"p")

BAD_FORMS: Final = (
    *(
        BadInput(
            f"form: {name}",
            request(_TRANSCRIPTIONS, b"Content-Type: " + content_type, body=raw),
            400,
            "invalid_form",
            closes=False,
        )
        for name, (raw, content_type) in HOSTILE.items()
        if b"\r\n" not in content_type
    ),
    _form("form-unknown-field", "unknown_field", _TRANSCRIPTIONS, _FILE, field("secret", b"")),
    _form("form-without-file", "missing_required_parameter", _TRANSCRIPTIONS, field("model", b"m")),
    _form("form-two-files", "invalid_value", _TRANSCRIPTIONS, _FILE, _FILE),
    _form("form-not-utf-8", "invalid_value", _TRANSCRIPTIONS, _FILE, field("model", b"\xff")),
    _form("form-flag", "invalid_type", _TRANSCRIPTIONS, _FILE, field("stream", b"1")),
    _form("form-format", "invalid_value", _TRANSCRIPTIONS, _FILE, field("response_format", b"xml")),
    _form("edit-without-image", "missing_required_parameter", _EDITS, _PROMPT),
    _form("edit-without-prompt", "missing_required_parameter", _EDITS, _IMAGE),
    _form("edit-many-images", "invalid_value", _EDITS, _PROMPT, *[_IMAGE] * 17),
    _form("edit-n", "integer_above_max_value", _EDITS, _PROMPT, _IMAGE, field("n", b"11")),
    _form("edit-n-digits", "invalid_type", _EDITS, _PROMPT, _IMAGE, field("n", b"9" * 5000)),
    _json(
        "edit-file-id",
        "unsupported_parameter",
        _EDITS,
        b'{"prompt":"p","images":[{"file_id":"f"}]}',
    ),
    _json("generation-n", "integer_below_min_value", _GENERATIONS, b'{"prompt":"p","n":0}'),
    _json("generation-stream", "invalid_type", _GENERATIONS, b'{"prompt":"p","stream":"x"}'),
    _json("generation-cut", "invalid_json", _GENERATIONS, b'{"prompt":'),
    _json("speech-without-input", "missing_required_parameter", _SPEECH, b"{}"),
    _json("speech-format", "invalid_value", _SPEECH, b'{"input":"a","response_format":"x"}'),
)
