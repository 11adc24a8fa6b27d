"""What a client API is to the rest of the edge, and how one request of it reaches one upstream.

    Surface.read(body)  ->  ClientRequest  --translation(terms)-->  Translation  ->  body, answer

A surface is one endpoint of one client API (`chat/`, `responses/`, `messages/`, `generate/`, ...).
Where the upstream serves that endpoint itself, the translation is native: bytes pass, with our
edits. Elsewhere text crosses over through `neutral/`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from edge.translate.answer import AnswerStream, WholeAnswer
from edge.translate.errors import InvalidRequest
from edge.translate.usage import PriceOf
from kit.hold import RequestShape
from oneapi.common.v1.endpoint_pb2 import Endpoint

Header = tuple[bytes, bytes]
EVENT_STREAM: Final = b"text/event-stream; charset=utf-8"


class ModelLimits(Protocol):
    """The catalogue's maxima of a model, named as in `oneapi.catalog.v1.Model`; 0 refuses."""

    @property
    def max_output_tokens(self) -> int:
        """Output tokens of one choice, or of one image."""

    @property
    def input_overhead_tokens(self) -> int:
        """What a provider may count beyond the bytes."""

    @property
    def input_overhead_with_tools_tokens(self) -> int:
        """The same where the request has tools."""

    @property
    def image_max_tokens(self) -> int:
        """Tokens of one image."""

    @property
    def audio_max_tokens(self) -> int:
        """Tokens of one piece of audio."""

    @property
    def file_max_tokens(self) -> int:
        """Tokens of one file."""

    @property
    def tool_calls_max(self) -> int:
        """Searches of the web that one request may make the provider do."""

    @property
    def tool_call_max_tokens(self) -> int:
        """Tokens that one of them adds to what is read next."""


# Made for each attempt: not frozen, which would double the time of making it.
@dataclass(slots=True)
class Terms:
    """What a translation needs to know of the request's admission and of one candidate."""

    upstream: str
    """The upstream's name in the catalogue; its quirks follow from it."""
    upstream_model: str
    serves: frozenset[int]
    """The endpoints that the candidate serves itself, as `common.v1.Endpoint` numbers."""
    ends_with_terminal_frame: bool
    public_model: str
    max_output_tokens: int
    """The model's output limit in the catalogue, for APIs that require one."""
    request_id: str
    """As clients see it, `req_` and 32 hexadecimal digits."""
    created: int
    """Seconds since 1970."""


class Problem(Protocol):
    """An error that a client is told, whatever its API's shape of errors."""

    status: int
    code: str | None
    message: str
    type: str
    param: str | None
    extra: dict[str, str | int]


class Translation(Protocol):
    """One request for one candidate, and its answer on the way back."""

    @property
    def path(self) -> bytes:
        """Below the upstream's base URL, with a query where the API wants one."""

    @property
    def headers(self) -> tuple[Header, ...]:
        """What the API wants beside credential and content type; from our own lists only."""

    @property
    def content_type(self) -> bytes:
        """The type of the body."""

    @property
    def written_bytes(self) -> int:
        """Bytes of the body as written for the upstream, with media; 0 where it is the client's."""

    def body(self, output_limit: int | None) -> bytes:
        """Return the body for the upstream; `output_limit` caps the output tokens of a choice."""

    def stream(self, price_of: PriceOf) -> AnswerStream:
        """Return what carries a streamed answer to the client."""

    def whole(self, body: bytes, content_type: bytes, price_of: PriceOf) -> WholeAnswer:
        """Return a whole answer as the client gets it.

        Raises:
            MalformedAnswer: it is not what the upstream's API answers.
        """


class ClientRequest(Protocol):
    """A checked request of a surface. What it holds is content: never shown, logged or kept."""

    model: str | None
    """The model that the client named."""
    service_tier: str | None
    stream: bool
    token_limit: int | None
    """The client's limit of output tokens for one choice."""
    choices: int
    media_bytes: int
    """Bytes of media data in the body, which `shape` counts and text bounds leave out."""
    is_free: bool
    """It costs nothing (counting tokens): nothing is held, and it has no quantities."""
    stream_type: bytes
    """The content type of a streamed answer; keep-alive comments go out in `EVENT_STREAM` only."""

    def shape(self, limits: ModelLimits) -> RequestShape:
        """Return the counts that bound what this request can use with this model.

        Raises:
            InvalidRequest: it has media or tools for which the catalogue has no maximum.
        """

    def translation(self, terms: Terms) -> Translation:
        """Return how this request reaches a candidate; it may be kept and used for one attempt.

        Raises:
            InvalidRequest: something in it cannot be carried over; the field is named.
        """

    def error_event(self, problem: Problem, request_id: str) -> bytes:
        """Return an error inside the streamed answer, as this API's SDKs raise it.

        Empty where the answer's format has no place for one: then the cut is all that tells.
        """


class Surface(Protocol):
    """One endpoint of one client API. `kind` is the `catalog.v1.Model.Kind` of its models."""

    endpoint: Endpoint.ValueType
    kind: int

    def read(
        self, raw: bytes, sent: Mapping[bytes, bytes], path: str, query: bytes
    ) -> ClientRequest:
        """Return the request of a body; `sent` are its headers, by allow-list only read.

        Raises:
            InvalidRequest: the subclass says how, its `param` says where.
        """

    def error_body(self, problem: Problem, request_id: str) -> bytes:
        """Return an error as the whole body of an answer."""


class NoWay(InvalidRequest):
    """No API of the candidate can carry this kind of request."""

    code = "model_not_for_endpoint"

    def __init__(self) -> None:
        super().__init__("model", "This model is not served by this endpoint.")
