"""A request of `POST /v1/responses`: what we use is checked, the rest passes.

The API keeps answers unless told otherwise; here nothing is kept (promise P1). So what refers to
something kept is refused by name, and `store` is false whatever the client sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from edge.translate import fields, native_body
from edge.translate.errors import (
    EmptyArray,
    InvalidType,
    InvalidValue,
    MissingParameter,
    StatelessOnly,
    UnsupportedParameter,
    UnsupportedValue,
)
from edge.translate.neutral.conversation import Conversation
from edge.translate.responses import shape, to_neutral
from edge.translate.responses.answer_writer import ResponsesWriter
from edge.translate.responses.failure import Progress, Running, failed_frames
from edge.translate.responses.native import NativeResponses
from edge.translate.surface import EVENT_STREAM, ModelLimits, Problem, Terms, Translation
from edge.translate.tiers import service_tier
from edge.translate.upstreams import crossing
from kit.hold import RequestShape
from oneapi.common.v1 import endpoint_pb2

ENDPOINT: Final = endpoint_pb2.ENDPOINT_RESPONSES
MAX_ITEMS: Final = 16_384
MAX_TOKEN_LIMIT: Final = 2**31 - 1
KEPT_ANSWERS: Final = ("previous_response_id", "conversation", "prompt")
"""Parameters that name something kept at the provider, under an account that all share."""
UNBOUND: Final = ("context_management",)
"""Parameters of this API alone that make the provider read or write more than the request shows."""


# Made for each request: not frozen, which would double the time of making it.
@dataclass(slots=True)
class ResponsesRequest:
    """A checked request. `body` is content: it is never shown, logged or kept."""

    body: dict[str, Any] = field(repr=False)
    model: str | None = field(repr=False)
    stream: bool
    token_limit: int | None
    service_tier: str | None
    choices: int = 1
    media_bytes: int = 0
    is_free: bool = False
    stream_type: bytes = EVENT_STREAM
    _tool_calls: int | None = None
    _running: Running = field(default_factory=Running, repr=False)
    _conversation: Conversation | None = field(default=None, repr=False)

    def shape(self, limits: ModelLimits) -> RequestShape:
        """Return the counts that bound what this request can use with this model.

        Raises:
            InvalidRequest: it has media or tools for which the catalogue has no maximum.
        """
        bound, self.media_bytes = shape.shape(self.body, limits)
        self._tool_calls = bound.tool_calls if bound.tool_tokens else None
        return bound

    def translation(self, terms: Terms) -> Translation:
        """Return how this request reaches a candidate.

        Raises:
            InvalidRequest: something in it cannot be carried over; the field is named.
        """
        self._running.progress = _begun(terms)
        if ENDPOINT in terms.serves:
            return NativeResponses(self.body, self._running, _begun(terms), terms, self._tool_calls)
        return crossing(self, terms)

    def conversation(self) -> Conversation:
        """Return the request in the neutral form, read once.

        Raises:
            InvalidRequest: the neutral form has no place for something; the field is named.
        """
        if self._conversation is None:
            self._conversation = to_neutral.conversation(self.body)
        return self._conversation

    def writer(self, terms: Terms) -> ResponsesWriter:
        """Return what writes one answer."""
        return ResponsesWriter(self.body, self._running, _begun(terms), terms)

    def failed_event(self, message: str) -> bytes:
        """Return a provider's in-band error, with our code."""
        return failed_frames(self.body, self._running.progress, "upstream_stream_error", message)

    def error_event(self, problem: Problem, request_id: str) -> bytes:
        """Return an error of ours inside the streamed answer."""
        progress = self._running.progress
        progress.response_id = progress.response_id or response_id(request_id)
        return failed_frames(
            self.body, progress, problem.code, problem.message, problem.type, problem.param
        )


def _begun(terms: Terms) -> Progress:
    return Progress(
        response_id=response_id(terms.request_id),
        created=terms.created,
        model=terms.public_model,
    )


def response_id(request_id: str) -> str:
    """Return the id of the answer that we make ourselves for a request."""
    return "resp_" + request_id.removeprefix("req_")


def parse(body: Any) -> ResponsesRequest:
    """Return the request, or say which field is wrong.

    Raises:
        InvalidRequest: the subclass says how, its `param` says where.
    """
    if not isinstance(body, dict):
        raise InvalidType("body", "a JSON object")
    _refuse_what_is_kept(body)
    _check_input(body)
    _check_reasoning(body)
    fields.integer(body, "max_tool_calls", minimum=0, maximum=MAX_TOKEN_LIMIT)
    return ResponsesRequest(
        body=body,
        model=fields.text(body, "model") or None,
        stream=bool(fields.flag(body, "stream")),
        token_limit=fields.integer(body, "max_output_tokens", minimum=1, maximum=MAX_TOKEN_LIMIT),
        service_tier=service_tier(body),
    )


def _refuse_what_is_kept(body: Mapping[str, Any]) -> None:
    fields.flag(body, "store")
    for name in KEPT_ANSWERS:
        if body.get(name) is not None:
            raise StatelessOnly(name)
    if fields.flag(body, "background"):
        raise StatelessOnly("background")
    native_body.refuse_unbound(body)
    for name in UNBOUND:
        if body.get(name):
            raise UnsupportedParameter(name)


def _check_input(body: Mapping[str, Any]) -> None:
    given = body.get("input")
    if given is None:
        raise MissingParameter("input")
    if isinstance(given, str):
        return
    if not isinstance(given, list):
        raise InvalidType("input", "a string or an array of objects")
    if not given:
        raise EmptyArray("input")
    if len(given) > MAX_ITEMS:
        raise InvalidValue("input")
    for index, item in enumerate(given):
        _check_item(item, f"input[{index}]")


def _check_item(item: Any, path: str) -> None:
    if not isinstance(item, dict):
        raise InvalidType(path, "an object")
    kind = item.get("type")
    if not isinstance(kind, str | None):
        raise InvalidType(f"{path}.type", "a string")
    if kind == "item_reference" or (kind is None and "role" not in item and "id" in item):
        raise StatelessOnly(path)


def _check_reasoning(body: Mapping[str, Any]) -> None:
    reasoning = fields.mapping(body, "reasoning") or {}
    mode = fields.text(reasoning, "mode", "reasoning")
    if mode not in {None, "standard"}:
        # `pro` lets several answers be written, of which the limit of tokens counts one.
        raise UnsupportedValue("reasoning.mode")
