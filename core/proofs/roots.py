"""Signs each day the root over all wallets' heads, so that a chain that is cut short is found.

A chain proves that nothing inside of it changed; that its end is missing only somebody knows who
kept the end. The signed roots do: each names every wallet's head of that day. They are public, so
that who keeps one can hold us to it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import date, datetime
from typing import Final

from core.audit import Act
from core.db.database import Pool, Transaction
from core.db.values import to_uuid
from core.ledger.proofs.finding import Finding, Tally, differing, stream
from core.platform_key import PlatformKey
from core.proofs import root_store
from core.proofs.root_store import SignedRoot
from kit.canonical import CHAIN_START, HEAD_BYTES, Canonical, encode, head_leaf, parse_head
from kit.clock import to_micros
from kit.ids import format_id
from kit.merkle import inclusion_proof, root
from kit.platform_keys import PublicKeys, signed_bytes
from kit.reasons import NotFound

ROOT_FORMAT: Final = "1api.club/signed_root/v1"
HEAD_FORMAT: Final = "1api.club/head_proof/v1"
CHECK: Final = "signed_root"
HEADS_AT_ONCE: Final = 10_000
_ALL_ROOTS: Final = (
    "SELECT day, root, wallets, key_id, signature, created_at, heads FROM signed_root ORDER BY day"
)
_LOGGED: Final = """
SELECT h.workspace_id, h.sequence, l.hash, w.workspace_id IS NOT NULL AS is_there
  FROM unnest(CAST(:workspaces AS uuid[]), CAST(:sequences AS bigint[]))
       AS h (workspace_id, sequence)
  LEFT JOIN wallet AS w ON w.workspace_id = h.workspace_id
  LEFT JOIN wallet_log AS l ON l.workspace_id = h.workspace_id AND l.sequence = h.sequence
"""


async def sign_today(pool: Pool, key: PlatformKey, act: Act) -> SignedRoot:
    """Sign the root of today (UTC), unless that was done, and return it."""
    day = act.now.date()
    async with pool.transaction("system", snapshot=True) as tx:
        found = await root_store.find(tx, day)
        if found is not None:
            return found
        heads = [head_leaf(*head) for head in await root_store.read_heads(tx)]
    signed = _signed(key, day, heads, act.now)
    async with pool.transaction("system") as tx:
        if await root_store.insert(tx, signed, b"".join(heads)):
            await act.audit(tx, "billing.SignRoot", day.isoformat())
        else:
            # Of two cores that sign at the same time one is first, and its root is the day's.
            signed = await root_store.find(tx, day) or signed
        await tx.commit()
    return signed


async def head_proof(tx: Transaction, workspace_id: bytes, day: date | None) -> bytes:
    """Return as JSON the head of a wallet on a day, its way to the root, and the signed root.

    Raises:
        NotFound: that day has no root, or the wallet was not there yet.
    """
    found = await root_store.find_with_heads(tx, day)
    if found is None:
        raise NotFound(signed_root="newest" if day is None else day.isoformat())
    signed, packed = found
    leaves = leaves_of(packed)
    owners = [parse_head(leaf)[0] for leaf in leaves]
    if workspace_id not in owners:
        raise NotFound(workspace=format_id("ws", workspace_id))
    index = owners.index(workspace_id)
    _, sequence, head_hash = parse_head(leaves[index])
    return encode(
        {
            "format": HEAD_FORMAT,
            "workspace_id": format_id("ws", workspace_id),
            "sequence": sequence,
            "hash": head_hash,
            "leaf": leaves[index],
            "inclusion": {
                "index": index,
                "size": len(leaves),
                "path": inclusion_proof(leaves, index),
            },
            "root": content_of(signed),
            "signature": {
                "algorithm": "Ed25519",
                "key_id": signed.key_id,
                "value": signed.signature,
            },
        }
    )


def content_of(signed: SignedRoot) -> dict[str, Canonical]:
    """Return what the signature of a root covers."""
    return {
        "format": ROOT_FORMAT,
        "day": signed.day.isoformat(),
        "root": signed.root,
        "wallets": signed.wallets,
        "created_at": to_micros(signed.created_at),
    }


def leaves_of(packed: bytes) -> list[bytes]:
    """Return the leaves of a root as they were stored."""
    return [packed[at : at + HEAD_BYTES] for at in range(0, len(packed), HEAD_BYTES)]


class RootProofs:
    """Checks all signed roots against the wallets' chains as they are now."""

    def __init__(self, keys: PublicKeys) -> None:
        """Take the public keys of the platform, those that were replaced too."""
        self._keys = keys

    async def check(
        self,
        tx: Transaction,
        workspace_id: bytes | None,
        tally: Tally,  # noqa: ARG002 - the port's signature
    ) -> AsyncIterator[Finding]:
        """Yield roots that are not signed by us, and heads that their chains do not have."""
        async for row in stream(tx, "roots", _ALL_ROOTS, {}):
            signed = SignedRoot(**{name: row[name] for name in SignedRoot.__dataclass_fields__})
            leaves = leaves_of(row["heads"])
            for finding in self._check_root(signed, leaves):
                yield finding
            for at in range(0, len(leaves), HEADS_AT_ONCE):
                batch = leaves[at : at + HEADS_AT_ONCE]
                for finding in await _check_heads(tx, signed.day, batch, workspace_id):
                    yield finding

    def _check_root(self, signed: SignedRoot, leaves: Sequence[bytes]) -> list[Finding]:
        name = signed.day.isoformat()
        message = signed_bytes(ROOT_FORMAT, content_of(signed))
        valid = self._keys.verifies(signed.key_id, signed.signature, message)
        return [
            *differing(CHECK, name, signed.root, root(leaves)),
            *differing(CHECK, name, signed.wallets, len(leaves)),
            *differing(CHECK, f"{name}:{signed.key_id}", "signed", "signed" if valid else "not"),
        ]


def _signed(key: PlatformKey, day: date, heads: Sequence[bytes], now: datetime) -> SignedRoot:
    unsigned = SignedRoot(day, root(heads), len(heads), key.key_id, b"", now)
    signature = key.sign(ROOT_FORMAT, content_of(unsigned))
    return SignedRoot(day, unsigned.root, unsigned.wallets, signature.key_id, signature.value, now)


async def _check_heads(
    tx: Transaction, day: date, leaves: Sequence[bytes], workspace_id: bytes | None
) -> list[Finding]:
    heads = {}
    for leaf in leaves:
        try:
            owner, sequence, head_hash = parse_head(leaf)
        except ValueError:
            return [Finding(CHECK, day.isoformat(), "heads", "malformed")]
        if workspace_id in {None, owner}:
            heads[owner] = (sequence, head_hash)
    rows = await tx.all(
        _LOGGED,
        workspaces=[to_uuid(owner) for owner in heads],
        sequences=[sequence for sequence, _ in heads.values()],
    )
    findings = []
    for row in rows:
        owner = row.workspace_id.bytes
        sequence, expected = heads[owner]
        name = f"{day.isoformat()}:{format_id('ws', owner)}:{sequence}"
        started = sequence == 0 and row.is_there
        findings += differing(CHECK, name, expected, CHAIN_START if started else row.hash or b"")
    return findings
