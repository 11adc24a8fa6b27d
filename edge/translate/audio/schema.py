"""What /openapi.json tells of speech and transcriptions; `speech.py` and its sibling enforce it."""

from __future__ import annotations

from typing import Final

from edge.translate.audio.speech import FORMAT_TYPES
from edge.translate.audio.transcription import FIELDS, JSON_FORMATS, TEXT_FORMATS
from edge.translate.chat.schema import NOT_TAKEN
from edge.translate.form import Kind
from edge.translate.operation import (
    BOOLEAN,
    EVENTS,
    FORM,
    JSON,
    TEXT,
    Operation,
    Schema,
    list_of,
    object_of,
    optional,
    told,
)
from oneapi.common.v1 import endpoint_pb2

_MODEL: Final = told(optional(TEXT), "A public model id or an alias.")
SPEECH_REQUEST: Final = object_of(
    {
        "model": _MODEL,
        "input": told({"type": "string", "minLength": 1}, "What to say."),
        "response_format": optional({"enum": [*sorted(FORMAT_TYPES), ""]}),
        "stream_format": told(
            optional({"enum": ["audio", "sse", ""]}), "With `sse` the audio comes in events."
        ),
        **NOT_TAKEN,
    },
    required=("input",),
)
_EVENT: Final = object_of({"type": TEXT}, required=("type",))
_IN_FORM: Final[dict[str, Schema]] = {
    "file": {"description": "An audio file."},
    "response_format": {"enum": sorted(JSON_FORMATS | TEXT_FORMATS)},
    "stream": told(BOOLEAN, "Whether the text comes as server-sent events."),
}
TRANSCRIPTION_FORM: Final[Schema] = {
    "type": "object",
    "properties": {
        name: _IN_FORM.get(name, TEXT if kind is Kind.TEXT else list_of(TEXT))
        for name, kind in FIELDS.items()
    },
    "required": ["file"],
    "additionalProperties": False,
}

SPEECH: Final = Operation(
    path="/v1/audio/speech",
    endpoint=endpoint_pb2.ENDPOINT_AUDIO_SPEECH,
    api="openai",
    name="createSpeech",
    title="Speech",
    summary="Spoken audio from text. It streams as it is made.",
    requests={JSON: SPEECH_REQUEST},
    answers={**{kind.decode(): {} for kind in FORMAT_TYPES.values()}, EVENTS: _EVENT},
)
TRANSCRIPTIONS: Final = Operation(
    path="/v1/audio/transcriptions",
    endpoint=endpoint_pb2.ENDPOINT_AUDIO_TRANSCRIPTIONS,
    api="openai",
    name="createTranscription",
    title="Transcriptions",
    summary="Text from spoken audio. The form is held in memory, the file's name is replaced by a "
    "neutral one; a field that is not listed is refused.",
    requests={FORM: TRANSCRIPTION_FORM},
    answers={
        JSON: object_of({"text": TEXT}, required=("text",)),
        "text/plain": TEXT,
        EVENTS: _EVENT,
    },
)
