"""Long lists and totals of requests, checked by hand: faster than by the contract's rules.

Those are interpreted one by one, on the event loop: a month of 200 workspaces would keep core from
everything else for seconds, one of some thousand for minutes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from core.partitions.messages import file_of_message, totals_of_message
from core.partitions.model import File, Totals
from kit.ids import ID_BYTES, InvalidIdError
from kit.reasons import InvalidArgument
from oneapi.common.v1.money_pb2 import Money
from oneapi.partitions.v1 import partition_pb2 as pb

PUBLISHED_FILES_MAX: Final = 50_000
"""As many as fit into a message, with late records' ids; as all of these limits."""
KEPT_FILES_MAX: Final = 65_000
NAMES_MAX: Final = 120_000
LATE_IDS_MAX: Final = 200_000
HASH_BYTES: Final = 32
CURRENCY: Final = "USD"
_ID_OR_NONE: Final = frozenset({0, ID_BYTES})
_NAME: Final = re.compile(r"[a-z0-9][A-Za-z0-9._=/-]{0,255}")


def files_of(messages: Sequence[pb.ArchiveFile], limit: int) -> list[File]:
    """Return the files of a request.

    Raises:
        InvalidArgument: they are too many, or a field of one is missing or malformed.
    """
    _check_length(messages, limit, "files")
    return [_file(message) for message in messages]


def ids_of(ids: Sequence[bytes], name: str) -> Sequence[bytes]:
    """Return ids of late records.

    Raises:
        InvalidArgument: they are too many, or one is no id.
    """
    _check_length(ids, LATE_IDS_MAX, name)
    if any(len(each) != ID_BYTES for each in ids):
        raise InvalidArgument(fields=name)
    return ids


def names_of(names: Sequence[str]) -> Sequence[str]:
    """Return names of files.

    Raises:
        InvalidArgument: they are too many, or one is no name of a file.
    """
    _check_length(names, NAMES_MAX, "names")
    if not all(map(_NAME.fullmatch, names)):
        raise InvalidArgument(fields="names")
    return names


def counted_of(message: pb.WorkspaceTotals) -> Totals:
    """Return totals of a request: sums over a month, which no rule for one request bounds.

    Raises:
        InvalidArgument: a field is missing or malformed.
    """
    _require("totals.first_id", [len(message.first_id) in _ID_OR_NONE])
    _require("totals.last_id", [len(message.last_id) in _ID_OR_NONE])
    _require("totals.ids_hash", [len(message.ids_hash) == HASH_BYTES])
    try:
        totals = totals_of_message(message)
    except InvalidIdError:
        raise InvalidArgument(fields="totals.workspace_id") from None
    _require("totals.records", [totals.records >= 0])
    _require("totals.quantities", [each >= 0 for each in totals.quantities])
    _require("totals.charges", [totals.charges >= 0, _is_dollars(message.charges)])
    _require("totals.waived", [totals.waived >= 0, _is_dollars(message.waived)])
    return totals


def _is_dollars(amount: Money) -> bool:
    return amount.currency_code == CURRENCY


def _check_length(items: Sequence[object], limit: int, name: str) -> None:
    if len(items) > limit:
        raise InvalidArgument(fields=name)


def _file(message: pb.ArchiveFile) -> File:
    _require("files.name", [_NAME.fullmatch(message.name) is not None])
    _require("files.kind", [message.kind in pb.ArchiveFile.Kind.values(), message.kind != 0])
    _require("files.revision", [message.revision > 0])
    _require("files.size_bytes", [message.size_bytes >= 0])
    _require("files.rows", [message.rows >= 0])
    _require("files.sha256", [len(message.sha256) == HASH_BYTES])
    try:
        return file_of_message(message)
    except InvalidIdError:
        raise InvalidArgument(fields="files.workspace_id") from None


def _require(field: str, rules: Iterable[bool]) -> None:
    if not all(rules):
        raise InvalidArgument(fields=field)
