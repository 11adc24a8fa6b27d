"""The operations of the API, each from its client API's package, in the order of the reference."""

from __future__ import annotations

from typing import Final

from edge.api.surfaces import SERVED, Served
from edge.translate.audio import schema as audio
from edge.translate.chat import schema as chat
from edge.translate.completions import schema as completions
from edge.translate.embeddings import schema as embeddings
from edge.translate.generate import schema as generate
from edge.translate.images import schema as images
from edge.translate.messages import schema as messages
from edge.translate.moderations import schema as moderations
from edge.translate.operation import Api, Operation, Schema
from edge.translate.responses import schema as responses

OPERATIONS: Final[tuple[Operation, ...]] = (
    chat.CHAT,
    responses.RESPONSES,
    messages.MESSAGES,
    messages.COUNT_TOKENS,
    generate.GENERATE,
    generate.STREAM,
    generate.COUNT_TOKENS,
    completions.COMPLETIONS,
    embeddings.EMBEDDINGS,
    moderations.MODERATIONS,
    images.GENERATIONS,
    images.EDITS,
    audio.SPEECH,
    audio.TRANSCRIPTIONS,
)
ENVELOPES: Final[dict[Api, Schema]] = {
    "openai": chat.ENVELOPE,
    "anthropic": messages.ENVELOPE,
    "google": generate.ENVELOPE,
}
"""The shape of errors by API."""
_MAKERS: Final[dict[Api, str]] = {
    "openai": "OpenAI",
    "anthropic": "Anthropic",
    "google": "Google",
}


def maker_of(api: Api) -> str:
    """Return who made an API, for people."""
    return _MAKERS[api]


def served_paths() -> frozenset[str]:
    """Return all paths of the data plane, a model's name in them as `{model}`."""
    return frozenset(path for served in SERVED for path in _shown(served))


def other_paths(operation: Operation) -> list[str]:
    """Return where else an operation is served."""
    found = next(paths for paths in map(_shown, SERVED) if operation.path in paths)
    asked = _asked(operation.path)
    return sorted(path for path in found if path != operation.path and _asked(path) == asked)


def _shown(served: Served) -> list[str]:
    return [path.replace("*:", "{model}:") for path in served.paths]


def _asked(path: str) -> str:
    """Return what is asked of a model, empty where a path asks one thing only."""
    _, colon, asked = path.rpartition(":")
    return asked if colon else ""
