"""A client's request for generated content: what we use is checked, everything else passes.

Gemini API v1beta. The model stands in the path, and the key never in the URL.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from edge.translate.chat.native import MAX_MESSAGES, MAX_TOKEN_LIMIT
from edge.translate.errors import (
    EmptyArray,
    IntegerAboveMaximum,
    IntegerBelowMinimum,
    InvalidType,
    InvalidValue,
    MissingParameter,
    UnsupportedParameter,
)
from edge.translate.generate import native, shape
from edge.translate.generate.answer_writer import GenerateWriter
from edge.translate.generate.array import AsArray, element_of
from edge.translate.generate.errors import error_frame, failed_frame
from edge.translate.generate.spelling import canonical
from edge.translate.generate.to_neutral import conversation_of
from edge.translate.neutral.conversation import Conversation
from edge.translate.neutral.halves import AnswerWriter
from edge.translate.surface import EVENT_STREAM, ModelLimits, Problem, Terms, Translation
from edge.translate.tiers import LANE_TIERS
from edge.translate.upstreams import crossing
from kit.hold import RequestShape
from oneapi.common.v1.endpoint_pb2 import Endpoint

MAX_CANDIDATES: Final = 8
"""Google's own maximum of `candidateCount`."""
ARRAY_TYPE: Final = b"application/json; charset=utf-8"
ROLES: Final = frozenset({"user", "model", "function"})
PLAIN_TIERS: Final = frozenset({"standard", "unspecified"})
_GENERATE: Final = Endpoint.ENDPOINT_GENERATE_CONTENT


class GenerateRequest:
    """A checked request. `body` is content: it is never shown, logged or kept.

    `as_array`: the client wants its stream as one JSON array, Google's way without `alt=sse`.
    """

    __slots__ = (
        "_array_has_begun",
        "_conversation",
        "as_array",
        "body",
        "choices",
        "is_free",
        "media_bytes",
        "model",
        "service_tier",
        "stream",
        "stream_type",
        "token_limit",
    )

    def __init__(
        self, sent: Mapping[str, Any], model: str, *, stream: bool, as_array: bool = False
    ) -> None:
        """Check what we use.

        Raises:
            InvalidRequest: the subclass says how, its `param` says where.
        """
        body = canonical(sent)
        self.body = body
        self.model: str | None = model
        self.stream = stream
        self.as_array = as_array
        self.stream_type = ARRAY_TYPE if as_array else EVENT_STREAM
        check_contents(body)
        self.service_tier = _service_tier(body)
        config = body.get("generationConfig") or {}
        self.token_limit = _integer(config, "maxOutputTokens", MAX_TOKEN_LIMIT)
        self.choices = _integer(config, "candidateCount", MAX_CANDIDATES) or 1
        self.media_bytes = shape.media_bytes(body)
        self.is_free = False
        self._array_has_begun = False
        self._conversation: Conversation | None = None
        refuse_kept(body)

    def shape(self, limits: ModelLimits) -> RequestShape:
        """Return the counts that bound what this request can use with this model.

        Raises:
            InvalidRequest: it has media or tools for which the catalogue has no maximum.
        """
        return shape.shape(self.body, self.choices, limits)

    def translation(self, terms: Terms) -> Translation:
        """Return how this request reaches a candidate.

        Raises:
            InvalidRequest: something in it cannot be carried over; the field is named.
        """
        found: Translation
        if _GENERATE in terms.serves:
            found = native.NativeGenerate(
                self.body, terms, stream=self.stream, choices=self.choices, tier=self.service_tier
            )
        else:
            found = crossing(self, terms)
        return AsArray(found, self._begin_array) if self.as_array else found

    def conversation(self) -> Conversation:
        """Return the request in the neutral form, read once.

        Raises:
            InvalidRequest: the neutral form has no place for something; the field is named.
        """
        if self._conversation is None:
            self._conversation = conversation_of(self.body)
        return self._conversation

    def writer(self, terms: Terms) -> AnswerWriter:
        """Return what writes one answer in this API."""
        config = (self.body.get("generationConfig") or {}).get("thinkingConfig") or {}
        return GenerateWriter(terms, shows_thoughts=config.get("includeThoughts") is True)

    def failed_event(self, message: str) -> bytes:
        """Return a provider's in-band error in this API, with our code."""
        return failed_frame(message)

    def error_event(self, problem: Problem, request_id: str) -> bytes:
        """Return an error inside the streamed answer: a frame, or an element of the array."""
        frame = error_frame(problem, request_id)
        if not self.as_array:
            return frame
        element = element_of(frame, is_first=not self._array_has_begun)
        self._begin_array()
        return element

    def _begin_array(self) -> None:
        self._array_has_begun = True


def check_contents(body: Mapping[str, Any]) -> None:
    """Check that there is something to answer.

    Raises:
        InvalidRequest: there is nothing, too much, or a role that the API does not have.
    """
    contents = body.get("contents")
    if contents is None:
        raise MissingParameter("contents")
    if not contents:
        raise EmptyArray("contents")
    if len(contents) > MAX_MESSAGES:
        raise InvalidValue("contents")
    for index, content in enumerate(contents):
        role = content.get("role")
        if role is not None and not isinstance(role, str):
            raise InvalidType(f"contents[{index}].role", "a string")
        if role and role not in ROLES:
            raise InvalidValue(f"contents[{index}].role")


def refuse_kept(body: Mapping[str, Any]) -> None:
    """Refuse what lies at the provider, under our account.

    Raises:
        UnsupportedParameter: it is named.
    """
    if body.get("cachedContent"):
        raise UnsupportedParameter("cachedContent")


def _service_tier(body: Mapping[str, Any]) -> str | None:
    tier = body.get("serviceTier")
    if tier is None:
        return None
    if not isinstance(tier, str):
        raise InvalidType("serviceTier", "a string")
    word = tier.lower().removeprefix("service_tier_")
    # Another word could choose a price of the upstream's that no lane of ours has.
    if word not in LANE_TIERS | PLAIN_TIERS:
        raise InvalidValue("serviceTier")
    return word if word in LANE_TIERS else None


def _integer(config: Mapping[str, Any], name: str, maximum: int) -> int | None:
    value = config.get(name)
    path = f"generationConfig.{name}"
    if value is None:
        return None
    if type(value) is float and value.is_integer():
        value = int(value)
    if type(value) is not int:
        raise InvalidType(path, "an integer")
    if value < 1:
        raise IntegerBelowMinimum(path, 1)
    if value > maximum:
        raise IntegerAboveMaximum(path, maximum)
    return value
