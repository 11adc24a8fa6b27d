"""POST /v1/responses: OpenAI's Responses as a client API."""

from __future__ import annotations

from collections.abc import Mapping

from edge.translate.chat.surface import error_body
from edge.translate.json_body import parsed
from edge.translate.responses.request import ENDPOINT, ResponsesRequest, parse
from edge.translate.surface import Problem
from oneapi.catalog.v1 import catalog_pb2


class ResponsesSurface:
    """The endpoint's side of clients."""

    endpoint = ENDPOINT
    kind = int(catalog_pb2.Model.KIND_TEXT)

    def read(
        self, raw: bytes, _sent: Mapping[bytes, bytes], _path: str, _query: bytes
    ) -> ResponsesRequest:
        """Return the request of a body.

        Raises:
            InvalidRequest: the subclass says how, its `param` says where.
        """
        return parse(parsed(raw))

    def error_body(self, problem: Problem, _request_id: str) -> bytes:
        """Return an error in OpenAI's envelope."""
        return error_body(problem)
