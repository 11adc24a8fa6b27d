"""A stream of images that stays in its API: what each event says."""

from __future__ import annotations

from typing import Any

from edge.translate import finish
from edge.translate.images.usage import from_images
from edge.translate.native_stream import CostOf, Look
from edge.translate.openai_errors import message_of
from edge.translate.usage import with_cost


class ImageFrames:
    """Reads `image_generation.*` and `image_edit.*` events; the last whole image ends the answer.

    Source: OpenAI API reference, images, streaming events.
    """

    __slots__ = ("_expected", "completed")

    def __init__(self, expected: int) -> None:
        """Expect so many whole images."""
        self._expected = expected
        self.completed = 0

    def look(self, data: bytes, event: dict[str, Any], cost_of: CostOf) -> Look:
        """Return what the frame with this data says; counts of usage go through `cost_of`."""
        kind = event.get("type")
        if kind == "error" or event.get("error"):
            return Look({}, error=message_of(event))
        look = Look({}, made=bool(event.get("b64_json")))
        if isinstance(usage := event.get("usage"), dict):
            look.edits = with_cost(data, event, cost_of(from_images(usage)))
        if isinstance(kind, str) and kind.endswith(".completed"):
            self.completed += 1
            if self.completed >= self._expected:
                look.finished = ((0, finish.STOP),)
                look.is_terminal = True
        return look
