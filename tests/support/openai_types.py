"""OpenAI's own types as a check of what we send: its Python SDK's, which pydantic enforces."""

from __future__ import annotations

from typing import Any, Final

from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

_EVENT: Final[TypeAdapter[Any]] = TypeAdapter(ResponseStreamEvent)


def check_response(body: dict[str, Any]) -> Response:
    """Return a response as the SDK has it; raises ValidationError where it is none."""
    return Response.model_validate(body, strict=True)


def check_event(event: dict[str, Any]) -> None:
    """Check an event of a stream of responses; raises ValidationError where it is none."""
    checked = _EVENT.validate_python(event)
    assert checked.type == event["type"]
