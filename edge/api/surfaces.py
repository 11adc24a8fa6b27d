"""The endpoints of the data plane: which paths each surface is served at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from starlette.types import ASGIApp

from edge.api.routes import MODEL_ACTIONS, PREFIXES
from edge.api.status import Gate
from edge.translate.audio.surface import Speech, Transcriptions
from edge.translate.chat.surface import ChatSurface
from edge.translate.completions.surface import CompletionsSurface
from edge.translate.embeddings.surface import EmbeddingsSurface
from edge.translate.generate.surface import CountTokensSurface, GenerateSurface
from edge.translate.images.surface import ImageEdits, ImageGenerations
from edge.translate.messages.surface import MessagesCountSurface, MessagesSurface
from edge.translate.moderations.surface import ModerationsSurface
from edge.translate.responses.surface import ResponsesSurface
from edge.translate.surface import Surface


@dataclass(frozen=True, slots=True)
class Served:
    """A surface and its paths. In a path `*:` stands for a model's name and what follows it."""

    surface: Surface
    paths: tuple[str, ...]


def _below_prefixes(path: str) -> tuple[str, ...]:
    return tuple(prefix + path for prefix in PREFIXES)


def _of_models(*methods: str) -> tuple[str, ...]:
    return tuple(f"{start}*:{method}" for start in MODEL_ACTIONS for method in methods)


SERVED: Final[tuple[Served, ...]] = (
    Served(ChatSurface(), _below_prefixes("/chat/completions")),
    Served(MessagesSurface(), _below_prefixes("/messages")),
    Served(MessagesCountSurface(), _below_prefixes("/messages/count_tokens")),
    Served(CompletionsSurface(), _below_prefixes("/completions")),
    Served(EmbeddingsSurface(), _below_prefixes("/embeddings")),
    Served(ModerationsSurface(), _below_prefixes("/moderations")),
    Served(GenerateSurface(), _of_models("generateContent", "streamGenerateContent")),
    Served(CountTokensSurface(), _of_models("countTokens")),
    Served(ResponsesSurface(), _below_prefixes("/responses")),
    Served(ImageGenerations(), _below_prefixes("/images/generations")),
    Served(ImageEdits(), _below_prefixes("/images/edits")),
    Served(Speech(), _below_prefixes("/audio/speech")),
    Served(Transcriptions(), _below_prefixes("/audio/transcriptions")),
)


class Doors:
    """A gate in front of each endpoint, all opened at once."""

    def __init__(self) -> None:
        """Refuse everything for now."""
        self._gates = [(served, Gate(served.surface)) for served in SERVED]
        self.are_open = False

    def open(self, endpoint_of: Callable[[Surface], ASGIApp]) -> None:
        """Let requests through to the endpoints."""
        for served, gate in self._gates:
            gate.open(endpoint_of(served.surface))
        self.are_open = True

    def paths(self) -> Iterator[tuple[str, ASGIApp]]:
        """Yield each path and what serves a POST to it."""
        for served, gate in self._gates:
            for path in served.paths:
                yield path, gate
