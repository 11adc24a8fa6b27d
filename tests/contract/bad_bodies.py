"""Bad bodies of chat completions as data: the JSON, and the documented error."""

from __future__ import annotations

import json
from typing import Any, Final

from tests.contract.bad_inputs import BadInput, Target, request

_POST: Final = b"POST /v1/chat/completions HTTP/1.1"
_SAID: Final = '"messages":[{"role":"user","content":"Name a thing that is blue."}]'


def _text(name: str, text: str | bytes, code: str = "invalid_json", status: int = 400) -> BadInput:
    raw = text if isinstance(text, bytes) else text.encode()

    def body(target: Target) -> bytes:
        return raw.replace(b"%MODEL%", target.model.encode())

    wire = request(_POST, b"Content-Type: application/json", body=body)
    return BadInput(name, wire, status, code, closes=False)


def _fields(name: str, code: str, status: int = 400, /, **fields: Any) -> BadInput:
    """Return a chat that would be served, but for these fields."""
    whole = {"model": "%MODEL%", "messages": [{"role": "user", "content": "Hi."}], **fields}
    return _text(name, json.dumps(whole), code, status)


def _field(name: str, raw: str, code: str) -> BadInput:
    """Return a chat that would be served, but for one field, written as it is."""
    return _text(f"{name}={raw[:24]}", f'{{"model":"%MODEL%",{_SAID},"{name}":{raw}}}', code)


_NO_JSON: Final = (
    _text("empty-object-cut", "{"),
    _text("array", "[]"),
    _text("null", "null"),
    _text("number", "1"),
    _text("string", '"{}"'),
    _text("two-documents", "{}{}"),
    _text("trailing-comma", '{"model":"a",}'),
    _text("single-quotes", "{'model':'a'}"),
    _text("comment", '{"model":"a"/**/}'),
    _text("byte-order-mark", b"\xef\xbb\xbf{}"),
    _text("utf-16", '{"model":"a"}'.encode("utf-16")),
    _text("form", "model=a&messages=b"),
    _text("xml", "<model>a</model>"),
    _text("nan", '{"model":"%MODEL%",' + _SAID + ',"temperature":NaN}'),
    _text("infinity", '{"model":"%MODEL%",' + _SAID + ',"temperature":Infinity}'),
    _text("minus-infinity", '{"model":"%MODEL%",' + _SAID + ',"temperature":-Infinity}'),
    _text("hex-number", '{"model":"%MODEL%",' + _SAID + ',"n":0x1}'),
    _text("leading-zero", '{"model":"%MODEL%",' + _SAID + ',"n":01}'),
    _text("lone-surrogate", '{"model":"%MODEL%",' + _SAID + r',"user":"\ud800"}'),
    _text("lone-low-surrogate", '{"model":"%MODEL%",' + _SAID + r',"user":"\udc00x"}'),
    _text("surrogate-name", '{"model":"%MODEL%",' + _SAID + r',"\ud800":1}'),
    _text("invalid-utf-8", b'{"model":"%MODEL%","messages":[{"role":"user","content":"\xff"}]}'),
    _text("overlong-utf-8", b'{"model":"\xc0\xaf"}'),
    _text("surrogate-utf-8", b'{"model":"\xed\xa0\x80"}'),
    _text("control-in-string", b'{"model":"a\x00b"}'),
    _text("depth-bomb-of-arrays", "[" * 100_000),
    _text("depth-bomb-of-objects", '{"a":' * 100_000),
    _text("closed-depth-bomb", '{"model":' + "[" * 100_000 + "]" * 100_000 + "}"),
    _text(
        "depth-of-1,000",
        '{"model":"%MODEL%",' + _SAID + ',"x":' + "[" * 1_000 + "]" * 1_000 + "}",
    ),
    _text(
        "depth-of-300",
        '{"model":"%MODEL%",' + _SAID + ',"x":' + "[" * 300 + "]" * 300 + "}",
    ),
    _text("depth-in-messages", '{"model":"%MODEL%","messages":' + '[{"content":' * 200 + "1"),
    _text(
        "structure-bomb",
        '{"model":"%MODEL%",' + _SAID + ',"x":[' + "[]," * 1_500_000 + "[]]}",
        "body_too_complex",
    ),
)

_MODELS: Final = (
    _text("no-model", "{" + _SAID + "}", "missing_required_parameter"),
    _text("empty-model", '{"model":"",' + _SAID + "}", "missing_required_parameter"),
    *(
        _text(f"model={raw[:24]}", f'{{"model":{raw},{_SAID}}}', "invalid_type")
        for raw in ("5", "1.5", "true", "[]", "{}", '["%MODEL%"]', '{"%MODEL%":1}')
    ),
    *(
        _text(f"model={raw[:24]}", f'{{"model":{raw},{_SAID}}}', "model_not_found", 404)
        for raw in (
            '"no-such-model"',
            '"%MODEL%:later"',
            '"%MODEL%:"',
            '":economy"',
            '":"',
            '"::::"',
            '"../%MODEL%"',
            '"%MODEL% "',
            r'"%MODEL%\u0000"',
            '"' + "m" * 1_000_000 + '"',
            r'"\ud83d\ude00"',
        )
    ),
    _text("unpriced", '{"model":"%MODEL%:coding",' + _SAID + "}", "model_not_priced"),
)

_CONTENTS: Final[tuple[tuple[list[Any], str], ...]] = (
    ([1], "invalid_type"),
    ([None], "invalid_type"),
    (["text"], "invalid_type"),
    ([[]], "invalid_type"),
    ([{}], "missing_required_parameter"),
    ([{"type": None}], "missing_required_parameter"),
    ([{"type": 1}], "invalid_type"),
    ([{"type": []}], "invalid_type"),
    ([{"type": {}}], "invalid_type"),
    ([{"type": "hologram"}], "unsupported_value"),
    ([{"type": ""}], "unsupported_value"),
)

_NO_MESSAGES: Final[tuple[Any, ...]] = (
    *("hi", 1, 1.5, True, {}, {"role": "user"}),
    *(["hi"], [None], [1], [[]], [[{}]]),
)

_MESSAGES: Final = (
    _text("no-messages", '{"model":"%MODEL%"}', "missing_required_parameter"),
    _fields("null-messages", "missing_required_parameter", messages=None),
    _fields("no-message", "empty_array", messages=[]),
    *(
        _fields(f"messages={json.dumps(value)}", "invalid_type", messages=value)
        for value in _NO_MESSAGES
    ),
    _fields("too-many-messages", "invalid_value", messages=[{}] * 16_385),
    *(
        _fields(
            f"content={json.dumps(value)}",
            code,
            messages=[{"role": "user", "content": value}],
        )
        for value, code in _CONTENTS
    ),
)

_FLAGS: Final = tuple(
    _field("stream", raw, "invalid_type") for raw in ('"yes"', "1", "0", "[]", "{}", "1.0")
)

_STREAM_OPTIONS: Final = (
    *(
        _text(
            f"stream_options={raw}",
            '{"model":"%MODEL%","stream":true,' + _SAID + f',"stream_options":{raw}}}',
            "invalid_type",
        )
        for raw in (
            "[]",
            '"x"',
            "1",
            "true",
            '{"include_usage":1}',
            '{"include_usage":"yes"}',
            '{"include_usage":[]}',
            '{"include_usage":{}}',
        )
    ),
)


def _integers(name: str) -> tuple[BadInput, ...]:
    return (
        *(
            _field(name, raw, "invalid_type")
            for raw in (
                '"1"',
                "true",
                "[]",
                "{}",
                "1.5",
                "1.0",
                "1e2",
                "-1.5",
                "1e308",
                "18446744073709551616",
                "9" * 300,
            )
        ),
        *(
            _field(name, raw, "integer_below_min_value")
            for raw in ("0", "-0", "-1", "-9007199254740993", "-9223372036854775808")
        ),
        *(
            _field(name, raw, "integer_above_max_value")
            for raw in ("2147483648", "9007199254740993", "18446744073709551615")
        ),
    )


_TIERS: Final = (
    *(_field("service_tier", raw, "invalid_type") for raw in ("1", "true", "[]", "{}", "1.5")),
    *(_field("service_tier", raw, "invalid_value") for raw in ('"batch"', '""', '"FLEX"')),
)

_TOOLS: Final = (
    *(_field("tools", raw, "invalid_type") for raw in ('"x"', "1", "{}", "true", "[1]", "[null]")),
    *(_field("tools", raw, "invalid_type") for raw in ('["x"]', "[[]]", '[{"type":[]}]')),
    *(_field("tools", raw, "invalid_type") for raw in ('[{"type":{}}]', '[{"type":1}]')),
    *(
        _field("tools", raw, "unsupported_value")
        for raw in ('[{"type":"web_search"}]', '[{"type":""}]', '[{"type":"mcp"}]')
    ),
    *(_field("functions", raw, "invalid_type") for raw in ('"x"', "1", "{}", "true")),
    _field("web_search_options", "{}", "unsupported_parameter"),
    _field("plugins", "[]", "unsupported_parameter"),
    _field("mcp_servers", "0", "unsupported_parameter"),
)

_MODALITIES: Final = (
    *(_field("modalities", raw, "invalid_type") for raw in ('"text"', "1", "{}", "true")),
    *(_field("modalities", raw, "unsupported_value") for raw in ('["smell"]', "[1]", "[[]]")),
    *(_field("modalities", raw, "unsupported_value") for raw in ("[{}]", "[null]")),
)

BAD_BODIES: Final = (
    *_NO_JSON,
    *_MODELS,
    *_MESSAGES,
    *_FLAGS,
    *_STREAM_OPTIONS,
    *_integers("max_tokens"),
    *_integers("max_completion_tokens"),
    *_integers("n"),
    *_integers("best_of"),
    *_TIERS,
    *_TOOLS,
    *_MODALITIES,
)
