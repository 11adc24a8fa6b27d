"""What the catalogue holds. The same shapes are the parts of a catalogue document.

Prices are nano-US-dollars per 1,000,000 units. What a document leaves out of a price tier is filled
in by `FILL_RULE`, so that no dimension is ever free by omission.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from kit.charge import Dimension, PriceTier

LaneName = Literal["default", "economy", "coding", "priority", "opportunistic"]
LANES: Final[tuple[LaneName, ...]] = (
    "default",
    "economy",
    "coding",
    "priority",
    "opportunistic",
)
"""In the order of the contract's numbers, which begin with 1."""
DialectName = Literal["openai", "anthropic", "google"]
DIALECTS: Final[tuple[DialectName, ...]] = ("openai", "anthropic", "google")
StreamEndName = Literal["terminal", "eof"]
STREAM_ENDS: Final[tuple[StreamEndName, ...]] = ("terminal", "eof")
DisconnectName = Literal["cancel", "drain"]
DISCONNECT_POLICIES: Final[tuple[DisconnectName, ...]] = ("cancel", "drain")

BalanceName = Literal["weighted", "sticky", "lowest_latency"]
BALANCES: Final[tuple[BalanceName, ...]] = ("weighted", "sticky", "lowest_latency")

KindName = Literal["text", "embedding", "moderation", "image", "speech", "transcription"]
KINDS: Final[tuple[KindName, ...]] = (
    "text",
    "embedding",
    "moderation",
    "image",
    "speech",
    "transcription",
)
"""What models make, in the order of the contract's numbers, which begin with 1."""
EndpointName = Literal[
    "chat_completions",
    "responses",
    "completions",
    "embeddings",
    "messages",
    "generate_content",
    "moderations",
    "image_generations",
    "image_edits",
    "audio_speech",
    "audio_transcriptions",
    "count_tokens",
]
ENDPOINTS: Final[tuple[EndpointName, ...]] = (
    "chat_completions",
    "responses",
    "completions",
    "embeddings",
    "messages",
    "generate_content",
    "moderations",
    "image_generations",
    "image_edits",
    "audio_speech",
    "audio_transcriptions",
    "count_tokens",
)
"""In the order of the contract's numbers, which begin with 1."""
DIALECT_SURFACES: Final[dict[DialectName, EndpointName]] = {
    "openai": "chat_completions",
    "anthropic": "messages",
    "google": "generate_content",
}
"""What an upstream of a dialect always has, which need not be said."""
DataPolicyName = Literal["unknown", "trains", "retains", "zero_retention"]
DATA_POLICIES: Final[tuple[DataPolicyName, ...]] = (
    "unknown",
    "trains",
    "retains",
    "zero_retention",
)
"""Worst first, in the order of the contract's numbers, which begin with 0."""
StatusName = Literal["ready", "limited", "not_available"]
STATUSES: Final[tuple[StatusName, ...]] = ("ready", "limited", "not_available")

FILL_RULE: Final[dict[Dimension, Dimension | None]] = {
    Dimension.CACHED_INPUT: Dimension.INPUT,
    Dimension.CACHE_WRITE: Dimension.INPUT,
    Dimension.CACHE_WRITE_LONG: Dimension.CACHE_WRITE,
    Dimension.REASONING: Dimension.OUTPUT,
    Dimension.AUDIO_INPUT: Dimension.INPUT,
    Dimension.AUDIO_OUTPUT: Dimension.OUTPUT,
    Dimension.IMAGE_INPUT: Dimension.INPUT,
    Dimension.IMAGE_OUTPUT: Dimension.OUTPUT,
    Dimension.REQUESTS: None,
    Dimension.TOOL_CALLS: None,
}
"""Whose rate a missing dimension takes, in this order; None: it is free."""

RATE_MAX: Final = 10**15
"""A million dollars per 1,000,000 units: anything above is a typing error."""
TOKENS_MAX: Final = 2**32 - 1
TOOL_CALLS_MAX: Final = 100
"""Searches of one request: more than any provider makes, few enough to hold credit for."""

ModelId = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._/:-]{0,95}$")]
Word = Annotated[str, Field(pattern=r"^[a-z0-9_.-]{1,64}$")]
Tokens = Annotated[int, Field(ge=0, le=TOKENS_MAX)]
PositiveTokens = Annotated[int, Field(gt=0, le=TOKENS_MAX)]
Rate = Annotated[int, Field(ge=0, le=RATE_MAX)]
Milliseconds = Annotated[int, Field(gt=0, le=86_400_000)]
Surfaces = Annotated[tuple[EndpointName, ...], Field(max_length=len(ENDPOINTS))]


class Facts(BaseModel):
    """A frozen part of the catalogue, checked strictly; errors never show the input."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


class ModelFacts(Facts):
    """What is known of a model that clients may name."""

    public_id: ModelId
    kind: KindName = "text"
    display_name: str = Field(min_length=1, max_length=120)
    maker: Word
    context_tokens: PositiveTokens
    max_output_tokens: PositiveTokens
    input_overhead_tokens: int = Field(default=512, ge=512, le=TOKENS_MAX)
    input_overhead_with_tools_tokens: int = Field(default=2_048, ge=512, le=TOKENS_MAX)
    image_max_tokens: Tokens = 0
    audio_max_tokens: Tokens = 0
    file_max_tokens: Tokens = 0
    reasoning_beyond_limit_tokens: Tokens = 0
    tool_calls_max: int = Field(default=0, ge=0, le=TOOL_CALLS_MAX)
    tool_call_max_tokens: Tokens = 0
    capabilities: tuple[Word, ...] = Field(default=(), max_length=32)
    enabled: bool = True
    aliases: tuple[ModelId, ...] = Field(default=(), max_length=32)


class UpstreamFacts(Facts):
    """What is known of a provider's endpoint; its credential comes from core's environment."""

    name: Word
    base_url: str = Field(pattern=r"^https?://[^ ]{1,240}$")
    dialect: DialectName = "openai"
    stream_end: StreamEndName = "terminal"
    disconnect_policy: DisconnectName = "cancel"
    bills_refused: bool = False
    surfaces: Surfaces = ()
    data_policy: DataPolicyName = "unknown"

    def served(self) -> frozenset[EndpointName]:
        """Return the endpoints that it serves itself."""
        return frozenset(self.surfaces or (DIALECT_SURFACES[self.dialect],))


class Candidate(Facts):
    """One upstream that can serve a route."""

    upstream: Word
    upstream_model: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/:@+-]{0,127}$")
    weight: int = Field(default=1, ge=1, le=1_000_000)
    priority: int = Field(default=0, ge=0, le=1_000)
    first_byte_timeout_ms: Milliseconds = 120_000
    idle_timeout_ms: Milliseconds = 120_000
    max_running: int = Field(default=0, ge=0, le=1_000_000)
    surfaces: Surfaces = ()


class Policy(Facts):
    """How a route chooses among its candidates, and how long it waits for one that is full."""

    balance: BalanceName = "weighted"
    spare_only: bool = False
    queue_rank: int = Field(default=10, ge=0, le=100)
    queue_wait_ms: int = Field(default=0, ge=0, le=600_000)


class Route(Facts):
    """The candidates of a model in one lane, and how many attempts a request may cause."""

    lane: LaneName
    policy: Policy
    max_attempts: int = Field(default=3, ge=1, le=16)
    candidates: tuple[Candidate, ...] = Field(min_length=1, max_length=64)


class Rates(Facts):
    """One price tier as a document has it: only what is not filled in by `FILL_RULE`."""

    above_context_tokens: Tokens = 0
    input: Rate
    output: Rate
    cached_input: Rate | None = None
    cache_write: Rate | None = None
    cache_write_long: Rate | None = None
    reasoning: Rate | None = None
    audio_input: Rate | None = None
    audio_output: Rate | None = None
    image_input: Rate | None = None
    image_output: Rate | None = None
    requests: Rate | None = None
    tool_calls: Rate | None = None

    def tier(self) -> PriceTier:
        """Return the tier with all twelve rates."""
        rates = [getattr(self, dimension.name.lower()) for dimension in Dimension]
        for dimension, source in FILL_RULE.items():
            if rates[dimension] is None:
                rates[dimension] = 0 if source is None else rates[source]
        return PriceTier(self.above_context_tokens, tuple(rates))


class EndpointFacts(Facts):
    """What an operator states of an endpoint that clients can ask for."""

    endpoint: EndpointName
    status: StatusName
    note: str = Field(default="", max_length=200)


class StoredModel(Facts):
    """A model with its number, which is never reused."""

    number: int
    facts: ModelFacts
    created_at: datetime
    routes: tuple[Route, ...] = ()


class StoredUpstream(Facts):
    """An upstream with its number; it is used only while it has a credential."""

    number: int
    facts: UpstreamFacts
    enabled: bool
    credential_sealed: bytes | None = Field(repr=False)


class StoredPrice(Facts):
    """A price version; it never changes."""

    number: int
    public_id: str
    model_number: int
    lane: LaneName
    effective_from: datetime
    tiers: tuple[PriceTier, ...]


class Catalog(Facts):
    """All of the catalogue: of prices those in force and those to come, by model and lane."""

    models: dict[str, StoredModel]
    upstreams: dict[str, StoredUpstream]
    prices: dict[tuple[str, LaneName], tuple[StoredPrice, ...]]
    endpoints: tuple[EndpointFacts, ...] = ()


def endpoint_number(name: EndpointName) -> int:
    """Return the contract's number of an endpoint."""
    return ENDPOINTS.index(name) + 1


def in_endpoint_order(names: Iterable[EndpointName]) -> tuple[EndpointName, ...]:
    """Return endpoints in the order in which they are stored."""
    return tuple(sorted(names, key=endpoint_number))


def lane_number(name: LaneName) -> int:
    """Return the contract's number of a lane."""
    return LANES.index(name) + 1


def lane_name(number: int) -> LaneName:
    """Return the name of a lane's number."""
    return LANES[number - 1]
