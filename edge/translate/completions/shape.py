"""What bounds the usage of a completion: the bytes of its texts, tokens counted as such."""

from __future__ import annotations

from edge.translate.completions.request import CompletionRequest, size_of
from edge.translate.json_body import written
from edge.translate.surface import ModelLimits
from kit.hold import RequestShape


def shape(request: CompletionRequest, limits: ModelLimits) -> RequestShape:
    """Return the counts that bound what this request can use with this model.

    Each prompt is read once, however many texts follow it; providers add to each of them.

    Raises:
        InvalidRequest: the body is nested too deeply to be sent on.
    """
    rest = {name: value for name, value in request.body.items() if name != "prompt"}
    return RequestShape(
        text_bytes=len(written(rest)) + sum(map(size_of, request.prompts)),
        overhead_tokens=limits.input_overhead_tokens * len(request.prompts),
        choices=request.choices,
    )
