"""Signed roots find what a chain alone cannot: that its end is missing."""

from __future__ import annotations

import json
from datetime import timedelta

import psycopg

from core.audit import Act
from core.db.values import to_uuid
from core.ledger.proofs.finding import Finding, Tally
from core.ledger.proofs.verify import verify
from core.metering.proofs import UsageProofs
from core.platform_key import PlatformKey
from core.proofs.root_store import SignedRoot
from core.proofs.roots import ROOT_FORMAT, RootProofs, content_of, head_proof, sign_today
from core.proofs.together import Together
from kit.canonical import parse_head
from kit.merkle import root_from_proof
from kit.platform_keys import PublicKeys, signed_bytes
from tests.support.metering_world import MeteringWorld
from tests.support.money_world import DOLLAR
from tests.support.postgres import PostgresServer


async def _sign(world: MeteringWorld, key: PlatformKey) -> SignedRoot:
    act = Act("core", world.money.now, world.money.ids)
    return await sign_today(world.money.database.jobs, key, act)


async def _findings(world: MeteringWorld, keys: PublicKeys) -> list[Finding]:
    proofs = Together(UsageProofs(), RootProofs(keys))
    async with world.money.database.jobs.transaction("system", snapshot=True) as tx:
        return [found async for found in verify(tx, None, proofs, Tally())]


async def test_a_day_has_one_root(world: MeteringWorld, key: PlatformKey) -> None:
    """A second one of the day is the first; the next day has its own."""
    workspace = await world.money.workspace(1)
    first = await _sign(world, key)
    await world.money.grant(workspace, DOLLAR)
    assert await _sign(world, key) == first
    world.money.now += timedelta(days=1)
    second = await _sign(world, key)
    assert (second.day - first.day).days == 1
    assert second.root != first.root
    message = signed_bytes(ROOT_FORMAT, content_of(second))
    assert key.public_keys.verifies(second.key_id, second.signature, message)
    assert await _findings(world, key.public_keys) == []


async def test_a_head_is_proved_to_be_in_a_root(world: MeteringWorld, key: PlatformKey) -> None:
    """With the proof alone; of the newest root and of an older one."""
    workspaces = [await world.money.workspace(1) for _ in range(5)]
    signed = await _sign(world, key)
    for workspace in workspaces:
        async with world.money.database.rpc.transaction("system") as tx:
            proof = json.loads(await head_proof(tx, workspace, signed.day))
        leaf = bytes.fromhex(proof["leaf"])
        inclusion = proof["inclusion"]
        path = [bytes.fromhex(each) for each in inclusion["path"]]
        led_to = root_from_proof(leaf, int(inclusion["index"]), int(inclusion["size"]), path)
        assert led_to == signed.root
        owner, sequence, head = parse_head(leaf)
        assert (owner, head.hex()) == (workspace, proof["hash"])
        assert str(sequence) == proof["sequence"]


async def test_case_67_a_chain_cut_short_is_found(
    world: MeteringWorld, key: PlatformKey, postgres_server: PostgresServer, database_url: str
) -> None:
    """Somebody with all rights removes the last transaction and mends everything else."""
    workspace = await world.money.workspace(1)
    await world.money.grant(workspace, DOLLAR)
    await _sign(world, key)
    assert await _findings(world, key.public_keys) == []
    with psycopg.connect(postgres_server.superuser_url_of(database_url)) as connection:
        row = connection.execute(
            "DELETE FROM wallet_log WHERE workspace_id = %s AND sequence = 2"
            " RETURNING txn_id, previous_hash",
            [to_uuid(workspace)],
        ).fetchone()
        assert row is not None
        connection.execute("DELETE FROM ledger_entry WHERE txn_id = %s", [row[0]])
        connection.execute("DELETE FROM credit_grant WHERE id = %s", [row[0]])
        connection.execute("DELETE FROM ledger_txn WHERE id = %s", [row[0]])
        connection.execute(
            "UPDATE wallet SET sequence = 1, head_hash = %s, posted = %s WHERE workspace_id = %s",
            [row[1], DOLLAR, to_uuid(workspace)],
        )
    found = await _findings(world, key.public_keys)
    assert [each.check for each in found] == ["signed_root"]
    assert f"ws_{workspace.hex()}:2" in found[0].object_id


async def test_a_root_that_was_changed_is_found(
    world: MeteringWorld, key: PlatformKey, postgres_server: PostgresServer, database_url: str
) -> None:
    """Its signature does not cover it any more, and its leaves lead elsewhere."""
    await world.money.workspace(1)
    await _sign(world, key)
    with psycopg.connect(postgres_server.superuser_url_of(database_url)) as connection:
        connection.execute("UPDATE signed_root SET root = sha256('other')")
    assert {each.check for each in await _findings(world, key.public_keys)} == {"signed_root"}
    assert len(await _findings(world, key.public_keys)) == 2
    assert len(await _findings(world, PublicKeys({}))) == 2
