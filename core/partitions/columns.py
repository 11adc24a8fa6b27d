"""Which columns of a usage record leave core for the archive: an allow-list, in their order.

Everything that a customer may see of a request. Ours alone, and left out: the upstream and its
attempts (how many there were is told), the edge, its spool, and the hash of what it reported.
"""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from core.metering.proofs import QUANTITY_COLUMNS

_TIME: Final = pa.timestamp("us", tz="UTC")
_ENUMS: Final = (
    "requested_lane",
    "served_lane",
    "endpoint",
    "outcome",
    "error_class",
    "finish_reason",
    "waive_reason",
    "usage_source",
    "data_policy",
)
ATTEMPTS: Final = (
    "CAST(coalesce(array_length(attempts, 1), 0) / 5 + attempts_omitted AS integer) AS attempts"
)
SCHEMA: Final = pa.schema(
    [
        *((name, pa.uuid()) for name in ("id", "workspace_id", "key_id", "settlement_id")),
        *((name, _TIME) for name in ("started_at", "recorded_at")),
        ("model", pa.string()),
        *((name, pa.int16()) for name in (*_ENUMS, "http_status")),
        ("streamed", pa.bool_()),
        *((name, pa.int64()) for name in QUANTITY_COLUMNS),
        *((name, pa.int32()) for name in ("first_token_ms", "total_ms", "price_version")),
        *((name, pa.int64()) for name in ("charge_nanos", "waived_nanos", "hold_nanos")),
        *((name, pa.int32()) for name in ("delivered_events", "attempts")),
    ]
)
SELECTED: Final = ", ".join(
    {"model": "model_number", "attempts": ATTEMPTS}.get(name, name) for name in SCHEMA.names
)
"""The same columns in the table's terms: models by their number, which `arrow.py` names."""

BILLING_SCHEMA: Final = pa.schema(
    [
        ("workspace_id", pa.uuid()),
        ("transaction_id", pa.uuid()),
        ("posted_at", _TIME),
        ("kind", pa.string()),
        ("category", pa.string()),
        ("grant_id", pa.uuid()),
        ("amount_nanos", pa.int64()),
        ("document", pa.string()),
    ]
)
