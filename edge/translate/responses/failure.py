"""An error inside a stream of responses: the event that SDKs raise, then a failed response.

OpenAI's description has the error's members in the event itself, what OpenAI sends has them in
`error` (recorded); openai-python raises the second kind only. So the event has both. Clients that
know terminal events only (Codex CLI) read `response.failed`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from edge.translate.responses.resource import resource

SERVER_ERROR: Final = "server_error"
FAILURE_CODES: Final = frozenset(
    {
        *("server_error", "rate_limit_exceeded", "invalid_prompt", "data_residency_mismatch"),
        *("bio_policy", "invalid_image", "invalid_image_format", "invalid_base64_image"),
        *("invalid_image_url", "image_too_large", "image_too_small", "image_parse_error"),
        *("image_content_policy_violation", "invalid_image_mode", "image_file_too_large"),
        *("unsupported_image_media_type", "empty_image_file", "failed_to_download_image"),
        *("image_file_not_found", "vector_store_timeout"),
    }
)
"""Codes of a failed response (OpenAI API reference, `ResponseErrorCode`); no others get through."""


@dataclass(slots=True, repr=False)
class Progress:
    """How far a stream got: what an error in it must go on from."""

    sequence: int = 0
    """The number of the next event."""
    response_id: str = ""
    created: int = 0
    model: str = ""
    failure_code: str = SERVER_ERROR
    """The provider's code of its failure, one of `FAILURE_CODES`."""
    output: dict[int, dict[str, Any]] = field(default_factory=dict)
    """The items that we have written to their end, by their index."""

    def items(self) -> list[dict[str, Any]]:
        """Return these items in order."""
        return [self.output[index] for index in sorted(self.output)]


@dataclass(slots=True, repr=False)
class Running:
    """The stream of a request that is on its way to the client: one of its translations has it."""

    progress: Progress = field(default_factory=Progress)


def frame_of(event: dict[str, Any]) -> bytes:
    """Return an event as a frame.

    Raises:
        orjson.JSONEncodeError: it is nested too deeply to be written.
    """
    return b"event: %b\ndata: %b\n\n" % (event["type"].encode(), orjson.dumps(event))


def failed_frames(
    body: Mapping[str, Any],
    progress: Progress,
    code: str | None,
    message: str,
    type: str = SERVER_ERROR,
    param: str | None = None,
) -> bytes:
    """Return the frames of an error, which end a stream that is never completed."""
    error = {"type": type, "code": code, "message": message, "param": param}
    first = {**error, "type": "error", "sequence_number": progress.sequence, "error": error}
    try:
        return frame_of(first) + _failed(body, progress, message)
    except orjson.JSONEncodeError:
        # What can be read can be nested more deeply than what can be written inside a response.
        return frame_of(first) + _failed({}, progress, message)


def _failed(body: Mapping[str, Any], progress: Progress, message: str) -> bytes:
    response = resource(body, progress.response_id, progress.created, progress.model)
    response["status"] = "failed"
    response["error"] = {"code": progress.failure_code, "message": message}
    response["output"] = progress.items()
    number = progress.sequence + 1
    return frame_of({"type": "response.failed", "sequence_number": number, "response": response})
