"""What core and the archiver agree on: the columns of an export, and what a signature covers.

An export (`ExportMonth`, `ExportLate`) is Arrow IPC with exactly these columns in this order, none
nullable, rows ordered by workspace and id. Enums are the numbers of the protos; the archiver turns
them into words and nano-dollars into dollars.
"""

from __future__ import annotations

from typing import Final

from kit.charge import Dimension
from kit.platform_keys import signed_bytes

MANIFEST_FORMAT: Final = "1api.club/archive_manifest/v1"
ID: Final = "id"
"""16 bytes: Arrow's fixed_size_binary(16), without the extension type."""
TIME: Final = "time"
"""Arrow's timestamp in microseconds, UTC."""
TEXT: Final = "text"
"""Arrow's utf8."""
BOOL: Final = "bool"
INT16: Final = "int16"
INT32: Final = "int32"
INT64: Final = "int64"

QUANTITY_COLUMNS: Final = tuple(
    each.name.lower() + ("" if each in {Dimension.REQUESTS, Dimension.TOOL_CALLS} else "_tokens")
    for each in Dimension
)
EXPORT_COLUMNS: Final[tuple[tuple[str, str], ...]] = (
    ("id", ID),
    ("workspace_id", ID),
    ("key_id", ID),
    ("started_at", TIME),
    # The public model id.
    ("model", TEXT),
    ("requested_lane", INT16),
    ("served_lane", INT16),
    ("endpoint", INT16),
    ("streamed", BOOL),
    *((name, INT64) for name in QUANTITY_COLUMNS),
    ("outcome", INT16),
    ("error_class", INT16),
    ("finish_reason", INT16),
    ("http_status", INT16),
    ("first_token_ms", INT32),
    ("total_ms", INT32),
    ("price_version", INT32),
    ("charge_nanos", INT64),
    ("waived_nanos", INT64),
    ("waive_reason", INT16),
    ("usage_source", INT16),
    ("hold_nanos", INT64),
    # How often an upstream was asked: those that the record tells of and those it left out.
    ("attempt_count", INT32),
    ("delivered_events", INT32),
    ("data_policy", INT16),
    ("settlement_id", ID),
)


def manifest_message(manifest_sha256: bytes) -> bytes:
    """Return what the platform key signs: a label and the manifest's hash without its signature."""
    return signed_bytes(MANIFEST_FORMAT, {"manifest_sha256": manifest_sha256})
