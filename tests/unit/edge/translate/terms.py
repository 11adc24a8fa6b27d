"""Terms of a candidate for tests of translations."""

from __future__ import annotations

from edge.translate.surface import Terms
from kit.charge import Quantities
from oneapi.common.v1.endpoint_pb2 import Endpoint

REQUEST_ID = "req_0123456789abcdef0123456789abcdef"
CREATED = 1_790_000_000


def terms(
    *serves: Endpoint.ValueType, upstream: str = "demo", ends_with_terminal_frame: bool = True
) -> Terms:
    """Return the terms of a candidate that serves these endpoints itself."""
    return Terms(
        upstream=upstream,
        upstream_model="upstream-model",
        serves=frozenset(serves or {Endpoint.ENDPOINT_CHAT_COMPLETIONS}),
        ends_with_terminal_frame=ends_with_terminal_frame,
        public_model="public-model",
        max_output_tokens=4096,
        request_id=REQUEST_ID,
        created=CREATED,
    )


def price_of(_: Quantities) -> int:
    """Price everything at 1.5 dollars."""
    return 1_500_000_000
