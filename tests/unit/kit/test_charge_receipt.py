"""A file that says it is a receipt may be anything: it is refused in words of ours."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from kit.charge_receipt import DIMENSION_NAMES, FORMAT, ReceiptNotValid, verify_receipt
from kit.platform_keys import PublicKeys, key_id_of, signed_bytes

PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(32))
PUBLIC = PRIVATE.public_key().public_bytes_raw()
KEYS = PublicKeys({key_id_of(PUBLIC): PUBLIC})
TEXTS = st.one_of(
    st.sampled_from(["0", "-1", "12", "0" * 64, "late", "settle", "req_" + "1" * 32, "9" * 21]),
    st.text(max_size=20),
)
VALUES = st.recursive(
    st.one_of(st.none(), TEXTS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.sampled_from([*DIMENSION_NAMES, "rates", "above_context_tokens"]), inner, max_size=12
        ),
    ),
    max_leaves=20,
)


def signed(receipt: Any) -> bytes:
    """A receipt with a signature that is right."""
    value = PRIVATE.sign(signed_bytes(FORMAT, receipt))
    signature = {"key_id": key_id_of(PUBLIC), "value": value.hex()}
    return json.dumps({"receipt": receipt, "signature": signature}).encode()


def example() -> dict[str, Any]:
    """The fields of a receipt, with nothing that proves anything."""
    numbers = dict.fromkeys(DIMENSION_NAMES, "0")
    return {
        "format": FORMAT,
        "request_id": "req_" + "1" * 32,
        "workspace_id": "ws_" + "1" * 32,
        "settlement_id": "txn_" + "1" * 32,
        "quantities": numbers,
        "charge": "0.00",
        "charge_nanos": "0",
        "waived_nanos": "0",
        "waive_reason": "",
        "price": {"version": "1", "tiers": [{"above_context_tokens": "0", "rates": numbers}]},
        "leaf": "",
        "inclusion": {"index": "0", "size": "1", "path": []},
        "transaction": {"records_root": "0" * 64, "record_count": "1", "entries": []},
        "content_hash": "0" * 64,
        "link": None,
    }


@given(st.binary(max_size=200))
def test_any_bytes_are_refused(text: bytes) -> None:
    """Not JSON, or not a receipt."""
    with pytest.raises(ReceiptNotValid):
        verify_receipt(text, KEYS)


@given(st.sampled_from(sorted(example())), VALUES)
def test_any_value_anywhere_is_refused(name: str, value: Any) -> None:
    """Even if it is signed: never another error, never a proof."""
    with pytest.raises(ReceiptNotValid) as found:
        verify_receipt(signed(example() | {name: value}), KEYS)
    assert found.value.check.replace("_", "").isalnum()


@given(st.sampled_from(["price", "inclusion", "transaction"]), VALUES, VALUES)
def test_any_value_inside_is_refused(name: str, key: Any, value: Any) -> None:
    """One level down."""
    receipt = example()
    inner = sorted(receipt[name])[hash(str(key)) % len(receipt[name])]
    receipt[name] |= {inner: value}
    with pytest.raises(ReceiptNotValid):
        verify_receipt(signed(receipt), KEYS)


@pytest.mark.parametrize(
    "text",
    [
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"receipt": {"format": 1}}',
        b'{"receipt": {"format": 1.5}}',
        b'{"receipt": NaN}',
        b'{"receipt": true}',
        b"null",
        b'"\\ud800"',
        b" " * (5 * 1024 * 1024),
    ],
)
def test_hostile_json_is_refused_at_once(text: bytes) -> None:
    """Deep, huge, numbers that JSON readers read differently."""
    with pytest.raises(ReceiptNotValid) as found:
        verify_receipt(text, KEYS)
    assert found.value.check in {"json", "size"}
