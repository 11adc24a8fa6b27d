"""POST /v1beta/models/{model}:generateContent and its kin: Google's Gemini API as a client API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

from edge.translate.errors import MissingParameter
from edge.translate.generate.count_tokens import CountRequest
from edge.translate.generate.errors import envelope
from edge.translate.generate.request import GenerateRequest
from edge.translate.json_body import parsed
from edge.translate.surface import Problem
from oneapi.catalog.v1 import catalog_pb2
from oneapi.common.v1 import endpoint_pb2

_MODELS: Final = "/models/"
STREAM_METHOD: Final = "streamGenerateContent"


class GenerateSurface:
    """Answers, whole and streamed."""

    endpoint = endpoint_pb2.ENDPOINT_GENERATE_CONTENT
    kind = int(catalog_pb2.Model.KIND_TEXT)

    def read(
        self, raw: bytes, _sent: Mapping[bytes, bytes], path: str, query: bytes
    ) -> GenerateRequest:
        """Return the request of a body.

        Raises:
            InvalidRequest: the subclass says how, its `param` says where.
        """
        model, method = model_and_method(path)
        stream = method == STREAM_METHOD
        as_array = stream and not _wants_events(query)
        return GenerateRequest(parsed(raw), model, stream=stream, as_array=as_array)

    def error_body(self, problem: Problem, request_id: str) -> bytes:
        """Return an error in Google's envelope."""
        return envelope(problem, request_id)


class CountTokensSurface:
    """Counts of what a request would read."""

    endpoint = endpoint_pb2.ENDPOINT_COUNT_TOKENS
    kind = int(catalog_pb2.Model.KIND_TEXT)

    def read(
        self, raw: bytes, _sent: Mapping[bytes, bytes], path: str, _query: bytes
    ) -> CountRequest:
        """Return the request of a body.

        Raises:
            InvalidRequest: the subclass says how, its `param` says where.
        """
        return CountRequest(parsed(raw), model_and_method(path)[0])

    def error_body(self, problem: Problem, request_id: str) -> bytes:
        """Return an error in Google's envelope."""
        return envelope(problem, request_id)


def model_and_method(path: str) -> tuple[str, str]:
    """Return the model in a path and what is asked of it, which follows the last colon.

    SDKs put `models/` before a name that has it already.

    Raises:
        MissingParameter: there is no model.
    """
    model, _, method = path.partition(_MODELS)[2].rpartition(":")
    model = model.removeprefix("models/")
    if not model:
        raise MissingParameter("model")
    return model, method


def _wants_events(query: bytes) -> bool:
    """Say whether the stream is to be server-sent events; Google's own default is a JSON array."""
    try:
        asked = dict(parse_qsl(query.decode("ascii"), max_num_fields=16))
    except ValueError:
        return False
    return asked.get("alt", asked.get("$alt", "")) == "sse"
