"""Merkle trees after RFC 6962 and the bytes that hashes cover."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit import merkle
from kit.canonical import (
    CHAIN_START,
    content_hash,
    content_hash_of_bytes,
    encode,
    record_leaf,
    settlement_leaf,
    wallet_log_hash,
)
from kit.charge import quantities


def reference_root(leaves: list[bytes]) -> bytes:
    """The recursive definition of RFC 6962 section 2.1, as an oracle."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    left, right = reference_root(leaves[:split]), reference_root(leaves[split:])
    return hashlib.sha256(b"\x01" + left + right).digest()


leaf_lists = st.lists(st.binary(max_size=8), min_size=1, max_size=70)


@given(leaf_lists)
def test_the_root_is_the_one_of_the_rfc(leaves: list[bytes]) -> None:
    """Level by level equals the recursive definition."""
    assert merkle.root(leaves) == reference_root(leaves)


@given(leaf_lists)
def test_a_root_that_grows_is_the_one_of_the_leaves_so_far(leaves: list[bytes]) -> None:
    """After each of them, and of none."""
    growing = merkle.GrowingRoot()
    assert (growing.count, growing.root()) == (0, reference_root([]))
    for count, leaf in enumerate(leaves, 1):
        growing.add(leaf)
        assert (growing.count, growing.root()) == (count, reference_root(leaves[:count]))


@given(leaf_lists, st.data())
def test_a_proof_proves_its_leaf_and_no_other(leaves: list[bytes], data: st.DataObject) -> None:
    """The path leads to the root from this leaf only."""
    index = data.draw(st.integers(0, len(leaves) - 1))
    path = merkle.inclusion_proof(leaves, index)
    root = merkle.root(leaves)
    assert merkle.root_from_proof(leaves[index], index, len(leaves), path) == root
    assert merkle.root_from_proof(leaves[index] + b"x", index, len(leaves), path) != root
    assert merkle.root_from_proof(leaves[index], index, len(leaves), [*path, b""]) is None


def test_a_proof_of_a_leaf_that_is_not_there_is_refused() -> None:
    """There is no leaf beyond the last."""
    with pytest.raises(IndexError):
        merkle.inclusion_proof([b"a"], 1)


def test_the_leaf_of_a_settlement_has_stated_bytes() -> None:
    """Version, id, sequence, hash, root, count: 97 bytes, big-endian."""
    leaf = settlement_leaf(bytes(range(16)), 7, bytes(32), b"r" * 32, 3)
    expected = b"\x01" + bytes(range(16)) + (7).to_bytes(8, "big") + bytes(32) + b"r" * 32
    assert leaf == expected + (3).to_bytes(8, "big")


def test_the_leaf_of_a_record_has_stated_bytes() -> None:
    """Version, id, price version, twelve quantities, charge: 129 bytes, big-endian."""
    leaf = record_leaf(bytes(range(16)), 7, quantities(input=1, tool_calls=2), 3)
    assert len(leaf) == 1 + 16 + 8 + 12 * 8 + 8
    assert leaf[:17] == b"\x01" + bytes(range(16))
    assert leaf[17:33] == (7).to_bytes(8, "big") + (1).to_bytes(8, "big")
    assert leaf[-16:] == (2).to_bytes(8, "big") + (3).to_bytes(8, "big")


def test_canonical_json_is_one_text_for_one_value() -> None:
    """Key order and number size do not matter; numbers are strings, bytes are hex."""
    assert encode({"b": 2**70, "a": [b"\xff", None, True]}) == (
        b'{"a":["ff",null,true],"b":"1180591620717411303424"}'
    )
    assert content_hash({"a": 1, "b": 2}) == content_hash({"b": 2, "a": 1})


def test_the_chain_depends_on_what_came_before() -> None:
    """The same entry after another history has another hash."""
    first = wallet_log_hash(CHAIN_START, {"sequence": 1})
    assert wallet_log_hash(first, {"sequence": 2}) != wallet_log_hash(CHAIN_START, {"sequence": 2})


@given(st.binary(max_size=200))
def test_the_short_way_to_a_hash_of_bytes_leads_to_the_same(value: bytes) -> None:
    """The hash of records is stored and proved for years: no way to it may change it."""
    assert content_hash_of_bytes("usage_record", value) == content_hash({"usage_record": value})
