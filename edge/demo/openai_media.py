"""OpenAI's images and audio in the demo. After the OpenAI API reference."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from edge.demo import media, openai_chat
from edge.demo.delivery import JSON_HEADERS, STREAM_HEADERS, Work, deliver_body, deliver_stream
from edge.demo.errors import BadRequestError, DemoError, ModelNotFoundError, OrderedError
from edge.demo.knobs import Knobs, UnknownModelError, parse_kind
from edge.demo.openai_chat_request import BYTES_PER_TOKEN, parse_body
from edge.demo.server import Header, Reply, Request
from edge.demo.words import derive, seed_of, words
from edge.translate import multipart
from edge.translate.errors import InvalidForm

IMAGES_MAX = 10
PARTIAL_IMAGES_MAX = 3
SOURCE_TOKENS = 85
IMAGE_TOKENS = 272
PARTIAL_IMAGE_TOKENS = 100
CHARACTERS_MAX = 4096
AUDIO_CHUNK_BYTES = 4096
WORDS_PER_SECOND = 2
AUDIO_TOKENS_PER_SECOND = 10
HEARD_WORDS_MAX = 256
FILE_BYTES_PER_SECOND = 16_000
"""Taken for the rate of any audio file: the demo listens to none."""

Json = dict[str, Any]
_TEXT_HEADERS: tuple[Header, ...] = ((b"content-type", b"text/plain; charset=utf-8"),)
_SOUNDS: dict[str, tuple[bytes, Callable[[bytes], bytes]]] = {
    "mp3": (b"audio/mpeg", media.mp3),
    "wav": (b"audio/wav", media.wav),
    "pcm": (b"audio/pcm", bytes),
}


@dataclass(frozen=True, slots=True)
class Asked:
    """A request in either form: its texts and values by name, and its files."""

    fields: Mapping[str, Any]
    files: tuple[bytes, ...]

    def text(self, name: str, default: str | None = None) -> str:
        """Give a text; raises BadRequestError where it is none or missing without a default."""
        value = self.fields.get(name)
        if value in (None, "") and default is not None:
            return default
        if not isinstance(value, str) or not value:
            raise BadRequestError("missing_required_parameter", name)
        return value

    def integer(self, name: str, lowest: int, highest: int, default: int) -> int:
        """Give an integer, from JSON or from the text of a form."""
        value = self.fields.get(name, default)
        if isinstance(value, str) and value.isascii() and value.isdigit():
            value = int(value)
        if type(value) is not int or not lowest <= value <= highest:
            raise BadRequestError("invalid_value", name)
        return value

    def flag(self, name: str) -> bool:
        """Say whether a wish is true."""
        return self.fields.get(name) in (True, "true")


def image_generations(request: Request, reply: Reply) -> Work:
    """Serve POST /v1/images/generations."""
    return _serve(
        request, reply, "image", lambda asked, knobs: _images(asked, knobs, "image_generation")
    )


def image_edits(request: Request, reply: Reply) -> Work:
    """Serve POST /v1/images/edits."""

    def edited(asked: Asked, knobs: Knobs) -> Answer:
        if not asked.files and not asked.fields.get("images"):
            raise BadRequestError("missing_required_parameter", "image")
        return _images(asked, knobs, "image_edit")

    return _serve(request, reply, "image", edited)


def speech(request: Request, reply: Reply) -> Work:
    """Serve POST /v1/audio/speech."""
    return _serve(request, reply, "speech", _speech)


def transcriptions(request: Request, reply: Reply) -> Work:
    """Serve POST /v1/audio/transcriptions."""
    return _serve(request, reply, "transcription", _transcription)


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole body, or the pieces of a stream, with its headers."""

    headers: tuple[Header, ...]
    body: bytes = b""
    pieces: tuple[bytes, ...] | None = None


def _serve(
    request: Request, reply: Reply, kind: str, made: Callable[[Asked, Knobs], Answer]
) -> Work:
    knobs = Knobs()
    try:
        asked = _asked(request)
        knobs = _knobs(asked.text("model"), kind)
        if knobs.error_status is not None:
            raise OrderedError(knobs.error_status)
        answer = made(asked, knobs)
    except DemoError as error:
        return openai_chat.deliver_error(reply, knobs, error)
    if answer.pieces is None:
        return deliver_body(reply, knobs, 200, answer.body, answer.headers)
    return deliver_stream(reply, knobs, answer.pieces, answer.headers)


def _asked(request: Request) -> Asked:
    content_type = request.headers.get(b"content-type", b"")
    if not multipart.is_form(content_type):
        return Asked(parse_body(request.body), ())
    try:
        parts = multipart.parsed(request.body, content_type)
        texts = {part.name: str(part.data, "utf-8") for part in parts if part.file_name is None}
    except (InvalidForm, UnicodeDecodeError):
        raise BadRequestError("invalid_form") from None
    return Asked(texts, tuple(bytes(part.data) for part in parts if part.file_name is not None))


def _knobs(name: str, kind: str) -> Knobs:
    try:
        return parse_kind(name, kind)
    except UnknownModelError:
        raise ModelNotFoundError from None


# --- images


def _images(asked: Asked, knobs: Knobs, kind: str) -> Answer:
    prompt = asked.text("prompt")
    count = 0 if knobs.empty else asked.integer("n", 1, IMAGES_MAX, 1)
    seed = seed_of(prompt.encode("utf-8", "surrogatepass"), *asked.files)
    pictures = [_base64(media.png(derive(seed, index))) for index in range(count)]
    usage = _image_usage(asked, prompt, count)
    if asked.flag("stream"):
        partial = asked.integer("partial_images", 0, PARTIAL_IMAGES_MAX, 0)
        usage = _image_usage(asked, prompt, count, partial)
        return Answer(STREAM_HEADERS, pieces=tuple(_image_events(kind, pictures, partial, usage)))
    body = {
        "created": openai_chat.CREATED,
        "data": [{"b64_json": picture} for picture in pictures],
        **_LOOKS,
        "usage": usage,
    }
    return Answer(JSON_HEADERS, orjson.dumps(body))


_LOOKS = {"background": "opaque", "output_format": "png", "size": "1024x1024", "quality": "low"}


def _image_events(kind: str, pictures: list[str], partial: int, usage: Json) -> list[bytes]:
    events = []
    for picture in pictures:
        common = {"b64_json": picture, "created_at": openai_chat.CREATED, **_LOOKS}
        for index in range(partial):
            name = f"{kind}.partial_image"
            events.append(_named({"type": name, **common, "partial_image_index": index}))
        events.append(_named({"type": f"{kind}.completed", **common, "usage": usage}))
    return events


def _image_usage(asked: Asked, prompt: str, count: int, partial: int = 0) -> Json:
    """Count the text, 85 for each image that is read, 272 for each that is made."""
    text = _text_tokens(prompt)
    references = asked.fields.get("images")
    read = len(asked.files) or (len(references) if isinstance(references, list) else 0)
    made = count * (IMAGE_TOKENS + partial * PARTIAL_IMAGE_TOKENS)
    return {
        "total_tokens": text + read * SOURCE_TOKENS + made,
        "input_tokens": text + read * SOURCE_TOKENS,
        "output_tokens": made,
        "input_tokens_details": {"text_tokens": text, "image_tokens": read * SOURCE_TOKENS},
        "output_tokens_details": {"text_tokens": 0, "image_tokens": made},
    }


# --- speech


def _speech(asked: Asked, knobs: Knobs) -> Answer:
    text = asked.text("input")
    if len(text) > CHARACTERS_MAX:
        raise BadRequestError("string_above_max_length", "input")
    if asked.fields.get("voice") is None:
        raise BadRequestError("missing_required_parameter", "voice")
    sound = _SOUNDS.get(asked.text("response_format", "mp3"))
    if sound is None:
        raise BadRequestError("invalid_value", "response_format")
    content_type, encoded = sound
    samples = media.pcm(seed_of(text.encode("utf-8", "surrogatepass")), len(text))
    audio = b"" if knobs.empty else encoded(samples)
    step = AUDIO_CHUNK_BYTES
    pieces = [audio[start : start + step] for start in range(0, len(audio), step)]
    if asked.text("stream_format", "audio") == "audio":
        return Answer(((b"content-type", content_type),), pieces=tuple(pieces))
    events = [_event({"type": "speech.audio.delta", "audio": _base64(one)}) for one in pieces]
    read, made = _text_tokens(text), len(pieces)
    usage = {"input_tokens": read, "output_tokens": made, "total_tokens": read + made}
    events.append(_event({"type": "speech.audio.done", "usage": usage}))
    return Answer(STREAM_HEADERS, pieces=tuple(events))


# --- transcriptions


def _transcription(asked: Asked, knobs: Knobs) -> Answer:
    if len(asked.files) != 1:
        raise BadRequestError("missing_required_parameter", "file")
    file = asked.files[0]
    seconds = len(file) // FILE_BYTES_PER_SECOND + 1
    count = WORDS_PER_SECOND * seconds if knobs.tokens is None else knobs.tokens
    pieces = [] if knobs.empty else [*words(seed_of(file), min(count, HEARD_WORDS_MAX)), "."]
    text = "".join(pieces)
    usage = _heard_usage(asked, seconds, len(pieces))
    if asked.flag("stream"):
        return Answer(STREAM_HEADERS, pieces=tuple(_heard_events(pieces, usage)))
    kind = asked.text("response_format", "json")
    if kind == "json":
        return Answer(JSON_HEADERS, orjson.dumps({"text": text, "usage": usage}))
    if kind == "verbose_json":
        segment = {"id": 0, "seek": 0, "start": 0.0, "end": float(seconds), "text": text}
        scores = {"avg_logprob": -0.25, "compression_ratio": 1.5, "no_speech_prob": 0.0}
        body = {
            "task": "transcribe",
            "language": "english",
            "duration": float(seconds),
            "text": text,
            "segments": [{**segment, "tokens": [], "temperature": 0.0, **scores}],
        }
        return Answer(JSON_HEADERS, orjson.dumps(body))
    rendered = _rendered(kind, text, seconds)
    if rendered is None:
        raise BadRequestError("invalid_value", "response_format")
    return Answer(_TEXT_HEADERS, rendered.encode())


def _rendered(kind: str, text: str, seconds: int) -> str | None:
    minutes, rest = divmod(seconds, 60)
    if kind == "text":
        return f"{text}\n"
    if kind == "srt":
        return f"1\n00:00:00,000 --> 00:{minutes % 60:02}:{rest:02},000\n{text}\n\n"
    if kind == "vtt":
        return f"WEBVTT\n\n00:00:00.000 --> 00:{minutes % 60:02}:{rest:02}.000\n{text}\n\n"
    return None


def _heard_events(pieces: list[str], usage: Json) -> list[bytes]:
    events = [_event({"type": "transcript.text.delta", "delta": piece}) for piece in pieces]
    done = {"type": "transcript.text.done", "text": "".join(pieces), "usage": usage}
    return [*events, _event(done)]


def _heard_usage(asked: Asked, seconds: int, made: int) -> Json:
    audio = AUDIO_TOKENS_PER_SECOND * seconds
    prompt = asked.fields.get("prompt")
    text = _text_tokens(prompt) if isinstance(prompt, str) else 0
    return {
        "type": "tokens",
        "input_tokens": text + audio,
        "input_token_details": {"text_tokens": text, "audio_tokens": audio},
        "output_tokens": made,
        "total_tokens": text + audio + made,
    }


# --- what they share


def _text_tokens(text: str) -> int:
    return -(-len(text.encode("utf-8", "surrogatepass")) // BYTES_PER_TOKEN)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _event(event: Json) -> bytes:
    return b"data: %b\n\n" % orjson.dumps(event)


def _named(event: Json) -> bytes:
    return b"event: %b\n" % str(event["type"]).encode() + _event(event)
