"""The four halves of an API, and where the answering halves are found.

A client's API reads requests and writes answers; an upstream's API writes requests and reads
answers. `edge.translate.upstreams` lists the upstream sides.
"""

from __future__ import annotations

from typing import Any, Protocol

from edge.translate.neutral.conversation import Conversation
from edge.translate.neutral.events import Event
from edge.translate.surface import Header, Terms
from kit.charge import Quantities
from oneapi.common.v1.endpoint_pb2 import Endpoint


class AnswerReader(Protocol):
    """Reads one answer of an upstream's API; it keeps what it has to remember between frames."""

    def frame(self, data: bytes) -> list[Event]:
        """Return what the data of one server-sent event says.

        Raises:
            MalformedAnswer: it is not what this API sends.
        """

    def whole(self, body: bytes) -> list[Event]:
        """Return what a whole answer says, `Finished` and `Used` included.

        Raises:
            MalformedAnswer: it is not what this API sends.
        """


class AnswerWriter(Protocol):
    """Writes one answer in the client's API.

    What comes after the last content (`Finished`, `Used`) waits for `finish`: the client may see a
    proper end only when the outcome is durable.
    """

    def frames(self, events: list[Event]) -> bytes:
        """Return these events as frames of the client's stream, maybe none."""

    def finish(self, used: Quantities | None, cost: str | None) -> bytes:
        """Return the last frames of a proper end: finish reasons, usage and the terminal frame."""

    def whole(self, events: list[Event], used: Quantities | None, cost: str | None) -> bytes:
        """Return all events of a whole answer as one body. `cost` is in US dollars, decimal."""


class UpstreamApi(Protocol):
    """How text is asked of an upstream that serves `endpoint`."""

    endpoint: Endpoint.ValueType
    max_frame_bytes: int
    """The longest event of this API's streams."""
    ends_with_body: bool
    """Its streams have no terminal frame, whatever the catalogue says of the upstream."""

    def path(self, terms: Terms, *, stream: bool) -> bytes:
        """Return the path below the upstream's base URL."""

    def headers(self, terms: Terms) -> tuple[Header, ...]:
        """Return what this API wants beside credential and content type."""

    def write(self, conversation: Conversation, terms: Terms, *, stream: bool) -> dict[str, Any]:
        """Return the body without an output limit of ours; usage is always asked for.

        Raises:
            InvalidRequest: this API cannot express something; the client's field is named.
        """

    def limit(self, body: dict[str, Any], terms: Terms, output_limit: int | None) -> dict[str, Any]:
        """Return the body with an output limit of ours, the smaller one where it has its own."""

    def reader(self, terms: Terms) -> AnswerReader:
        """Return what reads one answer."""
