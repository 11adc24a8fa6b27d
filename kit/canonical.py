"""Canonical encodings: the exact bytes that hashes cover, so that any auditor can compute them.

A usage record's leaf is fixed-size binary, big-endian: version (1 byte), request id (16), price
version (8), twelve quantities (8 each), charge in nano-US-dollars (8, signed). No member or key id,
so that erasing a person never breaks a proof. The leaf of a wallet's head: version (1 byte),
workspace id (16), sequence (8), hash (32). The leaf of a settlement in the archive: version (1
byte), transaction id (16), sequence (8), hash (32, zeros for none), records' root (32), how many
records (8). A wallet log entry is JSON with sorted keys, no
spaces, ASCII only, numbers as decimal strings, after a domain label.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping, Sequence
from typing import Final

from kit.charge import DIMENSIONS, Quantities

_LEAF = struct.Struct(f">B16sQ{DIMENSIONS}Qq")
_LEAF_VERSION: Final = 1
_SETTLEMENT: Final = struct.Struct(">B16sQ32s32sQ")
_SETTLEMENT_VERSION: Final = 1
_HEAD: Final = struct.Struct(">B16sQ32s")
_HEAD_VERSION: Final = 1
HEAD_BYTES: Final = _HEAD.size
_LOG_LABEL: Final = b"1api.club/wallet_log/v1\n"
_CONTENT_LABEL: Final = b"1api.club/content/v1\n"
CHAIN_START: Final = bytes(32)

Canonical = None | bool | int | str | bytes | Sequence["Canonical"] | Mapping[str, "Canonical"]


def record_leaf(
    request_id: bytes, price_version: int, quantities: Quantities, charge_nanos: int
) -> bytes:
    """Return the leaf of a usage record in its settlement's `records_root`."""
    return _LEAF.pack(_LEAF_VERSION, request_id, price_version, *quantities, charge_nanos)


def head_leaf(workspace_id: bytes, sequence: int, head_hash: bytes) -> bytes:
    """Return the leaf of a wallet's head in the daily root over all wallets."""
    return _HEAD.pack(_HEAD_VERSION, workspace_id, sequence, head_hash)


def settlement_leaf(
    transaction_id: bytes, sequence: int, log_hash: bytes, records_root: bytes, record_count: int
) -> bytes:
    """Return the leaf of a settlement in the root over a file of settlements."""
    return _SETTLEMENT.pack(
        _SETTLEMENT_VERSION, transaction_id, sequence, log_hash, records_root, record_count
    )


def parse_head(leaf: bytes) -> tuple[bytes, int, bytes]:
    """Return the workspace, sequence and hash of a head's leaf.

    Raises:
        ValueError: no such leaf.
    """
    if len(leaf) != HEAD_BYTES or leaf[0] != _HEAD_VERSION:
        raise ValueError
    _, workspace_id, sequence, head_hash = _HEAD.unpack(leaf)
    return workspace_id, sequence, head_hash


def wallet_log_hash(previous: bytes, entry: Mapping[str, Canonical]) -> bytes:
    """Return the hash of a wallet log entry, chained to the one before (32 zero bytes at first)."""
    return hashlib.sha256(_LOG_LABEL + previous + encode(entry)).digest()


def content_hash(value: Mapping[str, Canonical]) -> bytes:
    """Return the hash by which a repeated call with the same id is compared with the first."""
    return hashlib.sha256(_CONTENT_LABEL + encode(value)).digest()


def content_hash_of_bytes(name: str, value: bytes) -> bytes:
    """Return `content_hash` of one named value of bytes: there are thousands of these a second."""
    text = f'{{"{name}":"{value.hex()}"}}'
    return hashlib.sha256(_CONTENT_LABEL + text.encode("ascii")).digest()


def encode(value: Canonical) -> bytes:
    """Return the canonical JSON of a value: ints become decimal strings, bytes become hex."""
    plain = _plain(value)
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return text.encode("ascii")


def _plain(value: Canonical) -> object:
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return str(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value]
