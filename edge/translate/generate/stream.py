"""What Google's frames say, and what is changed in them; whole answers are one such frame."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from edge.translate import finish
from edge.translate.generate import reasons, usage
from edge.translate.generate.errors import message_of
from edge.translate.json_body import made_bytes, objects
from edge.translate.native_stream import CostOf, Look
from edge.translate.usage import with_cost
from oneapi.metering.v1.usage_record_pb2 import FinishReason

_META = frozenset({"thought", "thoughtSignature", "partMetadata"})


class GenerateLook:
    """The reading of one answer's frames."""

    __slots__ = ("_called", "_model")

    def __init__(self, public_model: str) -> None:
        """Show this model's name."""
        self._model = orjson.dumps(public_model)
        self._called: set[int] = set()
        """The candidates that called a function: Google ends them with STOP like any other."""

    def look(self, data: bytes, event: dict[str, Any], cost_of: CostOf) -> Look:
        """Return what the frame with this data says; counts of usage go through `cost_of`."""
        if event.get("error"):
            return Look({}, error=message_of(event["error"]))
        made, size = False, 0
        ended: list[tuple[int, FinishReason.ValueType]] = []
        seen: list[int] = []
        for candidate in objects(event.get("candidates")):
            index = index_of(candidate)
            for part in parts_of(candidate):
                if part.get("functionCall") is not None:
                    self._called.add(index)
                one = _output_of(part)
                made = made or one is not None
                size += one or 0
            reason = reasons.from_google(
                candidate.get("finishReason"), has_calls=index in self._called
            )
            seen.append(index)
            if reason != finish.UNSPECIFIED:
                ended.append((index, reason))
        if is_blocked(event):
            ended.append((0, reasons.CONTENT_FILTER))
        return Look(
            self._edits(data, event, cost_of),
            made=made,
            content_bytes=size,
            finished=tuple(ended),
            seen=tuple(seen),
        )

    def _edits(
        self, data: bytes, event: dict[str, Any], cost_of: CostOf
    ) -> dict[str, bytes | None]:
        edits: dict[str, bytes | None] = {}
        if "modelVersion" in event:
            edits["modelVersion"] = self._model
        counted = event.get("usageMetadata")
        if isinstance(counted, dict):
            cost = cost_of(usage.from_google(counted))
            if usage.has_output(counted):
                edits |= with_cost(data, event, cost, name="usageMetadata")
        return edits


def is_blocked(event: Mapping[str, Any]) -> bool:
    """Say whether the prompt was blocked: then there are no candidates, and nothing was made."""
    feedback = event.get("promptFeedback")
    return isinstance(feedback, dict) and bool(feedback.get("blockReason"))


def parts_of(candidate: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the parts of a candidate."""
    content = candidate.get("content")
    return objects(content.get("parts")) if isinstance(content, dict) else []


def index_of(candidate: Mapping[str, Any]) -> int:
    """Return which candidate it is; Google leaves out the first one's 0."""
    index = candidate.get("index")
    return max(0, min(index, 127)) if type(index) is int else 0


def _output_of(part: Mapping[str, Any]) -> int | None:
    """Return the bytes of what the model made in a part, None if it made nothing."""
    text = part.get("text")
    if isinstance(text, str):
        return len(text.encode("utf-8", "surrogatepass")) if text else None
    made = [value for name, value in part.items() if name not in _META and value is not None]
    if not made:
        return None
    call = part.get("functionCall")
    if isinstance(call, dict):
        return len(str(call.get("name") or "").encode()) + made_bytes(call.get("args"))
    return 0
