"""A stream of images that stays in its API: what each event says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edge.translate import finish
from edge.translate.native_stream import CostOf, Look
from edge.translate.openai_errors import message_of

Edits = dict[str, bytes | None]
CountedEdits = Callable[[bytes, dict[str, Any], int, CostOf], Edits]
"""Counts what an event with so many whole images used; returns the edits that show its cost."""


class ImageFrames:
    """Reads `image_generation.*` and `image_edit.*` events; the whole image ends the answer.

    Source: OpenAI API reference, images, streaming events.
    """

    __slots__ = ("_edits_of", "completed")

    def __init__(self, edits_of: CountedEdits) -> None:
        """Count events as whole answers are."""
        self._edits_of = edits_of
        self.completed = 0

    def look(self, data: bytes, event: dict[str, Any], cost_of: CostOf) -> Look:
        """Return what the frame with this data says; counts of usage go through `cost_of`."""
        kind = event.get("type")
        if kind == "error" or event.get("error"):
            return Look({}, error=message_of(event))
        look = Look({}, made=bool(event.get("b64_json")))
        if isinstance(kind, str) and kind.endswith(".completed"):
            self.completed = 1
            look.finished = ((0, finish.STOP),)
            look.is_terminal = True
        if self.completed or isinstance(event.get("usage"), dict):
            look.edits = self._edits_of(data, event, self.completed, cost_of)
        return look
