"""The APIs that text can be asked in, and how a request of another API gets there."""

from __future__ import annotations

from typing import Final, Protocol

from edge.translate.chat.upstream import ChatUpstream
from edge.translate.generate.upstream import GenerateUpstream
from edge.translate.messages.upstream import MessagesUpstream
from edge.translate.neutral.conversation import Conversation
from edge.translate.neutral.crossing import Crossing
from edge.translate.neutral.halves import AnswerWriter, UpstreamApi
from edge.translate.responses.upstream import ResponsesUpstream
from edge.translate.surface import NoWay, Terms

UPSTREAM_APIS: Final[tuple[UpstreamApi, ...]] = (
    ChatUpstream(),
    MessagesUpstream(),
    GenerateUpstream(),
    ResponsesUpstream(),
)
"""In order of preference: chat completions, messages, generate content, responses."""


class TextRequest(Protocol):
    """A client's request for text, as far as crossing over needs it."""

    stream: bool

    def conversation(self) -> Conversation:
        """Return the request in the neutral form, read once.

        Raises:
            InvalidRequest: the neutral form has no place for something; the field is named.
        """

    def writer(self, terms: Terms) -> AnswerWriter:
        """Return what writes one answer in the client's API."""

    def failed_event(self, message: str) -> bytes:
        """Return a provider's in-band error in the client's API, with our code."""


def crossing(request: TextRequest, terms: Terms) -> Crossing:
    """Return how a request crosses over to a candidate that does not serve its API.

    Raises:
        InvalidRequest: something in it cannot be carried over; the client's field is named.
    """
    for api in UPSTREAM_APIS:
        if api.endpoint in terms.serves:
            return Crossing(
                request.conversation(),
                api,
                terms,
                stream=request.stream,
                writer=request.writer(terms),
                failed_event=request.failed_event,
            )
    raise NoWay
