"""Receipts of single charges, checked offline: `docs/charge-receipts.md` has the format.

Only the receipt and the platform's public keys are needed. What the chain holds is
computed again: the charge from quantities and prices, the leaf and its way to the settlement's
root, the settlement's entries, and the link of the wallet's chain that has all of it in its hash.
Model, lane, `accepted_at`, why a charge was waived and what a price version says are not in the
chain: for them there is the signature.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from kit.canonical import content_hash, encode, record_leaf, wallet_log_hash
from kit.charge import (
    DIMENSIONS,
    MAX_TIERS,
    Dimension,
    InvalidQuantityError,
    Price,
    PriceTier,
    charge_nanos,
)
from kit.ids import InvalidIdError, parse_id
from kit.merkle import root_from_proof
from kit.money import MAX_NANOS, InvalidAmountError, parse_dollars
from kit.platform_keys import PublicKeys, signed_bytes

FORMAT: Final = "1api.club/charge_receipt/v1"
RECEIPT_BYTES_MAX: Final = 4 * 1024 * 1024
DEPTH_MAX: Final = 8
LATE: Final = "late"
SETTLEMENT: Final = "settle"
LATE_WAIVER: Final = "late_waiver"
REVENUE: Final = "rev.usage"
DIMENSION_NAMES: Final = tuple(each.name.lower() for each in Dimension)
BALANCES: Final = ("posted_after", "held_after", "frozen_after", "receivable_after")
_INTEGER: Final = re.compile(r"^-?[0-9]{1,20}$", re.ASCII)
_HASH: Final = re.compile(r"^[0-9a-f]{64}$", re.ASCII)
_HEX: Final = re.compile(r"^(?:[0-9a-f]{2})*$", re.ASCII)


class ReceiptNotValid(ValueError):
    """A receipt is malformed, or does not prove what it says; `check` is where it failed."""

    def __init__(self, check: str) -> None:
        super().__init__(check)
        self.check = check


@dataclass(frozen=True, slots=True)
class Proved:
    """What a valid receipt proves, and which checks said so."""

    request_id: str
    workspace_id: str
    charge_nanos: int
    settlement_id: str
    sequence: int | None
    key_id: str
    checks: tuple[str, ...]


def verify_receipt(text: bytes, keys: PublicKeys) -> Proved:
    """Check a receipt against the platform's public keys.

    Raises:
        ReceiptNotValid: at the first check that fails.
    """
    document = _parsed(text)
    receipt = _map(document, "receipt")
    _check("format", receipt.get("format") == FORMAT and "link" in receipt)
    signature = _map(document, "signature")
    key_id = _text(signature, "key_id")
    value = _bytes(signature, "value")
    _check("signature", keys.verifies(key_id, value, signed_bytes(FORMAT, receipt)))
    passed = ["format", "signature"]
    for name, check in _CHECKS:
        try:
            holds = check(receipt)
        except ReceiptNotValid:
            raise
        except (InvalidQuantityError, InvalidAmountError, InvalidIdError, OverflowError):
            holds = False
        _check(name, holds)
        passed.append(name)
    link = receipt["link"]
    return Proved(
        request_id=_text(receipt, "request_id"),
        workspace_id=_text(receipt, "workspace_id"),
        charge_nanos=_int(receipt, "charge_nanos"),
        settlement_id=_text(receipt, "settlement_id"),
        sequence=None if link is None else _int(_map(receipt, "link"), "sequence"),
        key_id=key_id,
        checks=tuple(passed),
    )


def _charge(receipt: Mapping[str, Any]) -> bool:
    """The charge is what the price version makes of the quantities, or waived for a reason."""
    figure = charge_nanos(_quantities(receipt), _price(_map(receipt, "price")))
    amounts = (_int(receipt, "charge_nanos"), _int(receipt, "waived_nanos"))
    waived = _text(receipt, "waive_reason")
    in_dollars = parse_dollars(_text(receipt, "charge"))
    return in_dollars == amounts[0] and amounts == ((0, figure) if waived else (figure, 0))


def _leaf(receipt: Mapping[str, Any]) -> bool:
    """The leaf is the canonical encoding of what the receipt says of the record."""
    return _leaf_of(receipt) == _bytes(receipt, "leaf")


def _inclusion(receipt: Mapping[str, Any]) -> bool:
    """The leaf is in the tree whose root the settlement has (RFC 6962, section 2.1.1)."""
    inclusion, transaction = _map(receipt, "inclusion"), _map(receipt, "transaction")
    size = _int(inclusion, "size")
    path = [_hash(item) for item in _list(inclusion, "path")]
    led_to = root_from_proof(_leaf_of(receipt), _int(inclusion, "index"), size, path)
    same_size = size == _int(transaction, "record_count")
    return same_size and led_to == _hash(_text(transaction, "records_root"))


def _settlement(receipt: Mapping[str, Any]) -> bool:
    """The settlement is of this workspace, its entries sum to zero and hold the charge."""
    transaction = _map(receipt, "transaction")
    mine = (
        parse_id("txn", _text(receipt, "settlement_id")).hex() == _text(transaction, "txn"),
        parse_id("ws", _text(receipt, "workspace_id")).hex() == _text(transaction, "workspace"),
    )
    is_late = _text(receipt, "waive_reason") == LATE
    kind = LATE_WAIVER if is_late else SETTLEMENT
    entries = [_entry(item, place) for place, item in enumerate(_list(transaction, "entries"))]
    revenue = sum(amount for account, amount in entries if account == REVENUE)
    return (
        all(mine)
        and _text(transaction, "kind") == kind
        and sum(amount for _, amount in entries) == 0
        and revenue >= _int(receipt, "charge_nanos")
    )


def _link(receipt: Mapping[str, Any]) -> bool:
    """The link's hash covers the settlement and the link before; a late waiver's own hash does."""
    transaction = _map(receipt, "transaction")
    if receipt["link"] is None:
        covered = _hash(_text(receipt, "content_hash")) == content_hash(transaction)
        return covered and _text(transaction, "kind") == LATE_WAIVER
    link = _map(receipt, "link")
    entry = {
        **transaction,
        "content_hash": _text(receipt, "content_hash"),
        "sequence": _int(link, "sequence"),
        **{name: _int(link, name) for name in BALANCES},
    }
    return wallet_log_hash(_hash(_text(link, "previous_hash")), entry) == _hash(_text(link, "hash"))


_CHECKS: Final[tuple[tuple[str, Callable[[Mapping[str, Any]], bool]], ...]] = (
    ("charge", _charge),
    ("leaf", _leaf),
    ("inclusion", _inclusion),
    ("settlement", _settlement),
    ("link", _link),
)


def _leaf_of(receipt: Mapping[str, Any]) -> bytes:
    version = _int(_map(receipt, "price"), "version")
    charge = _int(receipt, "charge_nanos")
    _check("price", 0 <= version <= MAX_NANOS and 0 <= charge <= MAX_NANOS)
    request_id = parse_id("req", _text(receipt, "request_id"))
    return record_leaf(request_id, version, _quantities(receipt), charge)


def _quantities(receipt: Mapping[str, Any]) -> tuple[int, ...]:
    stated = _map(receipt, "quantities")
    _check("quantities", set(stated) == set(DIMENSION_NAMES))
    values = tuple(_int(stated, name) for name in DIMENSION_NAMES)
    _check("quantities", all(0 <= value <= MAX_NANOS for value in values))
    return values


def _price(price: Mapping[str, Any]) -> Price:
    tiers = []
    for item in _list(price, "tiers"):
        _check("price", isinstance(item, Mapping))
        rates = _map(item, "rates")
        _check("price", set(rates) == set(DIMENSION_NAMES))
        values = tuple(_int(rates, name) for name in DIMENSION_NAMES)
        tiers.append(PriceTier(_int(item, "above_context_tokens"), values))
    _check("price", 1 <= len(tiers) <= MAX_TIERS and len(tiers[0].rates) == DIMENSIONS)
    _check("price", all(min(tier.rates) >= 0 for tier in tiers))
    return Price(_int(price, "version"), 0, 0, 0, tuple(tiers))


def _entry(item: Any, place: int) -> tuple[str, int]:
    """Return an entry's account and amount: [place, account, workspace, grant, amount]."""
    _check("entries", isinstance(item, list) and len(item) == 5 and item[0] == str(place))
    _check("entries", isinstance(item[1], str) and isinstance(item[4], str))
    _check("entries", _INTEGER.fullmatch(item[4]) is not None)
    return item[1], int(item[4])


def _parsed(text: bytes) -> Mapping[str, Any]:
    """Read JSON of texts, nulls, lists and objects only: in canonical JSON numbers are texts."""
    _check("size", len(text) <= RECEIPT_BYTES_MAX)
    try:
        found = json.loads(text, parse_int=_refuse, parse_float=_refuse, parse_constant=_refuse)
        # A text that no encoding can hold fails here.
        encode(found)
    except (ValueError, TypeError, RecursionError):
        raise ReceiptNotValid("json") from None
    _check("json", isinstance(found, Mapping) and _is_shallow(found, DEPTH_MAX))
    return dict(found)


def _refuse(_text: str) -> object:
    raise ValueError


def _is_shallow(value: Any, depth: int) -> bool:
    if isinstance(value, Mapping):
        return depth > 0 and all(_is_shallow(each, depth - 1) for each in value.values())
    if isinstance(value, list):
        return depth > 0 and all(_is_shallow(each, depth - 1) for each in value)
    return value is None or isinstance(value, str)


def _map(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = value.get(name)
    if not isinstance(found, Mapping):
        raise ReceiptNotValid(name)
    return found


def _list(value: Mapping[str, Any], name: str) -> Sequence[Any]:
    found = value.get(name)
    if not isinstance(found, list):
        raise ReceiptNotValid(name)
    return found


def _text(value: Mapping[str, Any], name: str) -> str:
    found = value.get(name)
    if not isinstance(found, str):
        raise ReceiptNotValid(name)
    return found


def _int(value: Mapping[str, Any], name: str) -> int:
    found = _text(value, name)
    if _INTEGER.fullmatch(found) is None:
        raise ReceiptNotValid(name)
    return int(found)


def _bytes(value: Mapping[str, Any], name: str) -> bytes:
    found = _text(value, name)
    if _HEX.fullmatch(found) is None:
        raise ReceiptNotValid(name)
    return bytes.fromhex(found)


def _hash(text: Any) -> bytes:
    if not isinstance(text, str) or _HASH.fullmatch(text) is None:
        raise ReceiptNotValid("hash")
    return bytes.fromhex(text)


def _check(name: str, holds: bool) -> None:  # noqa: FBT001 - the question itself
    if not holds:
        raise ReceiptNotValid(name)
