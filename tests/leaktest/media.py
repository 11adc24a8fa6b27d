"""Images and audio in the leak suite: requests with a canary in every field, and their answers."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from tests.leaktest import demands
from tests.leaktest.canaries import Case
from tests.leaktest.demands import NEVER_FORWARDED

if TYPE_CHECKING:
    from tests.leaktest.upstream import Answer

MODES = (
    *("media-ok", "echo-400", "echo-text", "echo-500", "html-500", "html-200", "redirect"),
    *("reset", "reset-midway", "cut-midway", "bad-chunk", "bad-json", "error-event", "huge"),
    *("many-headers", "encoded", "odd-values"),
)
"""What the upstream does with them."""
KINDS = {
    "image": ("image_generations", "image_edits"),
    "speech": ("audio_speech",),
    "transcription": ("audio_transcriptions",),
}
SURFACES = ["chat_completions", *(name for names in KINDS.values() for name in names)]
_BOUNDARY = "----leak"
_FIELD = rb'name="%b"\r\n\r\n([^\r\n]*)\r\n'


def models(model_of: Callable[[str, str], dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a model for each kind and mode; `model_of` makes one of a public id and a mode."""
    return [{**model_of(f"{kind}-{mode}", mode), "kind": kind} for kind in KINDS for mode in MODES]


# --- what clients send


def requests(canary: Case, mode: str, key: str) -> Iterator[tuple[str, bytes]]:
    """Give a request of each sort, whole and streamed."""
    for stream in (False, True):
        kind = "stream" if stream else "whole"
        image = {"model": f"image-{mode}", "stream": stream, **_labels(canary)}
        yield f"generation {kind}", _post(canary, "/v1/images/generations", image, key)
        references = {"images": [{"image_url": canary("image_url"), canary("ref"): 1}]}
        yield f"edit by URL {kind}", _post(canary, "/v1/images/edits", image | references, key)
        speech = {
            "model": f"speech-{mode}",
            "input": canary("input"),
            "voice": canary("voice"),
            "instructions": canary("instructions"),
            "stream_format": "sse" if stream else "audio",
            **_labels(canary),
        }
        yield f"speech {kind}", _post(canary, "/v1/audio/speech", speech, key)
        edit = _form(canary, _edit_fields(mode, stream=stream), ("image[]", "image[]", "mask"))
        yield f"edit {kind}", _send(canary, "/v1/images/edits", edit, key)
        heard = _form(canary, _heard_fields(mode, stream=stream), ("file",))
        yield f"transcription {kind}", _send(canary, "/v1/audio/transcriptions", heard, key)


def _labels(canary: Case) -> dict[str, Any]:
    return {
        "prompt": canary("prompt"),
        "user": canary("user"),
        "metadata": {canary("metadata.key"): f"{canary('metadata.value')} {NEVER_FORWARDED}"},
        "client_metadata": {"where": f"{canary('client_metadata')} {NEVER_FORWARDED}"},
        canary("unknown.key"): canary("unknown.value"),
    }


def _edit_fields(mode: str, *, stream: bool) -> dict[str, str]:
    fields = {"model": f"image-{mode}", "stream": str(stream).lower()}
    return {**fields, "prompt": "", "user": "", "size": "", "quality": "", "background": ""}


def _heard_fields(mode: str, *, stream: bool) -> dict[str, str]:
    fields = {"model": f"transcription-{mode}", "stream": str(stream).lower()}
    lists = {"include[]": "", "known_speaker_names[]": "", "keywords[]": ""}
    return {**fields, "prompt": "", "language": "", "temperature": "", **lists}


def _form(canary: Case, fields: dict[str, str], files: tuple[str, ...]) -> bytes:
    """Return a form; a field without a value gets a canary, a file has them in all its parts."""
    parts = [
        f'content-disposition: form-data; name="{name}"\r\n\r\n{value or canary(f"form.{name}")}'
        for name, value in fields.items()
    ]
    parts += [
        f'content-disposition: form-data; name="{name}"; filename="{canary("form.file")}.png"'
        f"\r\ncontent-type: image/{canary('form.type').lower()}"
        f"\r\nx-{canary('form.header.name').lower()}: {canary('form.header')}"
        f"\r\n\r\n{canary('form.bytes')}"
        for name in files
    ]
    return _joined(parts)


def _joined(parts: list[str]) -> bytes:
    body = "".join(f"--{_BOUNDARY}\r\n{part}\r\n" for part in parts)
    return f"{body}--{_BOUNDARY}--\r\n".encode()


def broken_forms(canary: Case, key: str) -> Iterator[tuple[str, bytes]]:
    """Give forms that are refused, with a canary where it is wrong."""
    word = canary("form.wrong")
    model = 'content-disposition: form-data; name="model"\r\n\r\nimage-media-ok'
    named = 'content-disposition: form-data; name="{}"\r\n\r\n{}'
    for name, body in {
        "unknown field": _joined([model, named.format(word, word)]),
        "no end": _joined([model, named.format("prompt", word)])[:-4],
        "text before": word.encode() + _joined([model]),
        "text after": _joined([model]) + word.encode(),
        "no disposition": _joined([f"{word}: {word}\r\n\r\n{word}"]),
        "bad header": _joined([f"{word}\r\n\r\n{word}"]),
        "encoded": _joined([f"content-transfer-encoding: {word}\r\n" + model]),
        "nested": _joined([f"content-type: multipart/{word}\r\n" + model]),
        "boundary inside": _joined([model, named.format("prompt", f"\r\n--{_BOUNDARY}{word}")]),
        "number": _joined([model, named.format("prompt", word), named.format("n", word)]),
        "flag": _joined([model, named.format("stream", word)]),
        "not UTF-8": _joined([model, named.format("prompt", word)]).replace(
            word.encode(), b"\xff" + word.encode()
        ),
        "twice": _joined([model, model, named.format("prompt", word)]),
        "too large": _joined([model, named.format("prompt", word * 6_000)]),
    }.items():
        yield f"form {name}", _send(canary, "/v1/images/edits", body, key)
    whole = _send(canary, "/v1/images/edits", _joined([model]), key)
    yield (
        "form boundary",
        whole.replace(f"boundary={_BOUNDARY}".encode(), f"boundary={word}".encode()),
    )
    page = b"sec-fetch-mode: cors\r\ncontent-length:"
    yield "form of a page", whole.replace(b"content-length:", page)


def _post(canary: Case, path: str, body: dict[str, Any], key: str) -> bytes:
    raw = json.dumps(body).encode()
    return demands.head(canary, len(raw), key, target=path) + raw


def _send(canary: Case, path: str, body: bytes, key: str) -> bytes:
    head = demands.head(canary, len(body), key, target=path)
    kind = f"multipart/form-data; boundary={_BOUNDARY}".encode()
    return head.replace(b"application/json", kind, 1) + body


# --- what the upstream does


def asked(body: bytes) -> tuple[str, bool]:
    """Return the model that a request in either form names, and whether it wants a stream."""
    if body.startswith(b"--"):
        fields = (re.search(_FIELD % name, body) for name in (b"model", b"stream"))
        model, stream = (found.group(1).decode() if found else "" for found in fields)
        return model, stream == "true"
    document = json.loads(body)
    return str(document["model"]), bool(document.get("stream"))


async def media_ok(answer: Answer) -> None:
    """Answer well, in the form that the path wants."""
    path = answer.head.split(b" ", 2)[1]
    if path.endswith(b"/speech"):
        await _speak(answer)
    elif b"/images/" in path:
        counts = {"input_tokens": 3, "output_tokens": 5, "total_tokens": 8}
        picture = base64.b64encode(answer.content().encode()).decode()
        kind = "image_generation" if path.endswith(b"generations") else "image_edit"
        if answer.stream:
            _events(
                answer,
                {"type": f"{kind}.partial_image", "b64_json": picture},
                {"type": f"{kind}.completed", "b64_json": picture, "usage": counts},
            )
        else:
            data = [{"b64_json": picture, "revised_prompt": answer.canary("content")}]
            _document(answer, {"created": 1, "data": data, "usage": counts})
    else:
        text = answer.content()
        usage = {"type": "tokens", "input_tokens": 3, "output_tokens": 5, "total_tokens": 8}
        if answer.stream:
            _events(
                answer,
                {"type": "transcript.text.delta", "delta": text},
                {"type": "transcript.text.done", "text": text, "usage": usage},
            )
        else:
            _document(answer, {"text": text, "usage": usage, answer.canary("usage.key"): 1})


async def _speak(answer: Answer) -> None:
    if b'"sse"' in answer.body:
        counts = {"input_tokens": 3, "output_tokens": 5, "total_tokens": 8}
        sound = base64.b64encode(answer.content().encode()).decode()
        _events(
            answer,
            {"type": "speech.audio.delta", "audio": sound},
            {"type": "speech.audio.done", "usage": counts},
        )
        return
    answer.start(content_type="audio/mpeg")
    for _ in range(3):
        answer.chunk(answer.content().encode())
    answer.end()


def _document(answer: Answer, document: dict[str, Any]) -> None:
    answer.whole("200 OK", json.dumps(document).encode(), "application/json")


def _events(answer: Answer, *events: dict[str, Any]) -> None:
    answer.start(content_type="text/event-stream")
    for event in events:
        named = f"event: {answer.canary('event')}\nid: {answer.canary('event.id')}\n".encode()
        answer.chunk(named + b"data: " + json.dumps(event).encode() + b"\n\n")
    answer.end()
