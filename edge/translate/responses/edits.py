"""What we change in a response object of the provider's: nothing else of its bytes."""

from __future__ import annotations

from typing import Any

import orjson

from edge.translate import splice
from edge.translate.native_stream import CostOf
from edge.translate.quirks import Quirks
from edge.translate.responses.output import quantities_of, searches_in
from edge.translate.usage import with_cost


class ResponseEdits:
    """The edits of all response objects of one answer.

    The model gets its public name, a count its cost, `store` is false, and the client's `metadata`
    is shown to it again: it did not go to the provider.
    """

    __slots__ = ("_fixed", "_quirks")

    def __init__(self, public_model: str, metadata: Any, quirks: Quirks) -> None:
        self._quirks = quirks
        self._fixed = {"model": orjson.dumps(public_model), "store": b"false"}
        if isinstance(metadata, dict):
            self._fixed["metadata"] = orjson.dumps(metadata)

    def edited(self, document: bytes, response: dict[str, Any], cost_of: CostOf) -> bytes:
        """Return the response object that these bytes spell, edited; its count is taken."""
        edits: dict[str, bytes | None] = {
            name: raw for name, raw in self._fixed.items() if name in response
        }
        if isinstance(usage := response.get("usage"), dict):
            edits |= with_cost(document, response, self._count(response, usage, cost_of))
        return splice.edit(document, response, edits)

    def count(self, response: dict[str, Any], cost_of: CostOf) -> None:
        """Take the count of a response that is not shown, if it has one."""
        if isinstance(usage := response.get("usage"), dict):
            self._count(response, usage, cost_of)

    def _count(
        self, response: dict[str, Any], usage: dict[str, Any], cost_of: CostOf
    ) -> str | None:
        return cost_of(quantities_of(usage, self._quirks, searches_in(response)))
