"""The receipt of a charge proves it with nothing but the published keys."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime
from typing import Any, Final

import pytest

from core.platform_key import PlatformKey
from core.proofs.charge_receipt import charge_receipt
from kit.charge_receipt import FORMAT, ReceiptNotValid, verify_receipt
from kit.ids import format_id
from kit.platform_keys import PublicKeys, parse_keys
from kit.reasons import NotFound
from oneapi.metering.v1 import usage_record_pb2
from tests.support.metering_world import MeteringWorld
from tests.support.money_world import DOLLAR


async def _receipt(
    world: MeteringWorld, key: PlatformKey, request_id: bytes, workspace_id: bytes | None = None
) -> bytes:
    async with world.money.database.rpc.transaction("system", snapshot=True) as tx:
        return await charge_receipt(tx, key, request_id, workspace_id)


async def test_every_charge_of_a_batch_has_a_receipt(
    world: MeteringWorld, key: PlatformKey
) -> None:
    """Twenty records of one settlement, and one of the next."""
    workspace = await world.money.workspace(10)
    await world.money.acquire(workspace, 1, DOLLAR)
    records = [world.record(workspace, input_tokens=1_000 + place) for place in range(20)]
    await world.report(records)
    last = world.record(workspace)
    await world.report([last])
    keys = parse_keys(key.public_keys.to_json())
    for record in [*records, last]:
        text = await _receipt(world, key, record.request_id, workspace)
        proved = verify_receipt(text, keys)
        assert proved.request_id == format_id("req", record.request_id)
        assert proved.charge_nanos == record.charge_nanos
        assert proved.checks == (
            *("format", "signature", "charge"),
            *("leaf", "inclusion", "settlement", "link"),
        )
        assert text == await _receipt(world, key, record.request_id)


async def test_waived_charges_have_receipts_of_nothing(
    world: MeteringWorld, key: PlatformKey
) -> None:
    """An edge that died, and a record that came after its month was archived."""
    workspace = await world.money.workspace(10)
    crash = world.record(
        workspace,
        outcome=usage_record_pb2.OUTCOME_EDGE_CRASH,
        waive_reason=usage_record_pb2.WAIVE_REASON_EDGE_CRASH,
        charge_nanos=0,
    )
    late = world.record(workspace, moment=datetime(2026, 9, 30, tzinfo=UTC))
    await world.report([crash])
    async with world.money.database.jobs.transaction("partitions") as tx:
        await tx.run("RESET ROLE")
        await tx.run("SET LOCAL ROLE oneapi_owner")
        await tx.run("UPDATE archive_watermark SET month = '2026-10-01'")
        await tx.commit()
    await world.report([late])
    for record, reason in ((crash, "edge_crash"), (late, "late")):
        text = await _receipt(world, key, record.request_id)
        proved = verify_receipt(text, key.public_keys)
        assert proved.charge_nanos == 0
        assert json.loads(text)["receipt"]["waive_reason"] == reason
        assert (proved.sequence is None) == (reason == "late")


async def test_another_workspace_has_no_receipt_of_it(
    world: MeteringWorld, key: PlatformKey
) -> None:
    """Nor has anybody one of a request that never was."""
    mine, theirs = await world.money.workspace(1), await world.money.workspace(1)
    record = world.record(mine)
    await world.report([record])
    for request_id, workspace in ((record.request_id, theirs), (world.request_id(), mine)):
        with pytest.raises(NotFound):
            await _receipt(world, key, request_id, workspace)


def _resigned(key: PlatformKey, receipt: Any) -> bytes:
    """The receipt signed anew, as a platform that lies would."""
    signature = key.sign(FORMAT, receipt)
    signed = {"key_id": signature.key_id, "value": signature.value.hex()}
    return json.dumps({"receipt": receipt, "signature": signed}).encode()


LIES: Final[tuple[tuple[str, tuple[Any, ...], Any], ...]] = (
    ("charge", ("quantities", "output"), "99"),
    ("charge", ("charge_nanos",), "1"),
    ("charge", ("charge",), "9.99"),
    ("charge", ("charge",), "free"),
    ("charge", ("price", "tiers", 0, "rates", "input"), "1"),
    ("charge", ("waive_reason",), "late"),
    ("leaf", ("request_id",), "req_" + "0" * 32),
    ("leaf", ("price", "version"), "2"),
    ("inclusion", ("inclusion", "index"), "0"),
    ("inclusion", ("inclusion", "path", 0), "0" * 64),
    ("inclusion", ("transaction", "records_root"), "0" * 64),
    ("inclusion", ("transaction", "record_count"), "7"),
    ("settlement", ("workspace_id",), "ws_" + "0" * 32),
    ("settlement", ("transaction", "entries", 0, 4), "-1"),
    ("settlement", ("transaction", "kind"), "paid_grant"),
    ("link", ("transaction", "created_at"), "1"),
    ("link", ("link", "posted_after"), "1"),
    ("link", ("link", "sequence"), "1"),
    ("link", ("link", "previous_hash"), "0" * 64),
    ("link", ("content_hash",), "0" * 64),
    ("link", ("link",), None),
)


async def test_a_lie_that_is_signed_is_found_all_the_same(
    world: MeteringWorld, key: PlatformKey
) -> None:
    """Each part of a receipt follows from the others."""
    workspace = await world.money.workspace(10)
    records = [world.record(workspace, input_tokens=place + 1) for place in range(3)]
    await world.report(records)
    chosen = max(records, key=lambda record: record.request_id)
    honest = json.loads(await _receipt(world, key, chosen.request_id))["receipt"]
    assert verify_receipt(_resigned(key, honest), key.public_keys).checks
    for check, path, value in LIES:
        receipt = copy.deepcopy(honest)
        target = receipt
        for step in path[:-1]:
            target = target[step]
        assert target[path[-1]] != value
        target[path[-1]] = value
        with pytest.raises(ReceiptNotValid) as found:
            verify_receipt(_resigned(key, receipt), key.public_keys)
        assert (path, found.value.check) == (path, check)


async def test_a_receipt_signed_by_somebody_else_is_not_ours(
    world: MeteringWorld, key: PlatformKey
) -> None:
    """Nor is one that was changed after it was signed."""
    workspace = await world.money.workspace(10)
    record = world.record(workspace)
    await world.report([record])
    text = await _receipt(world, key, record.request_id)
    for changed, keys in (
        (text, PublicKeys({})),
        (text.replace(b'"lane":"default"', b'"lane":"economy"'), key.public_keys),
    ):
        with pytest.raises(ReceiptNotValid) as found:
            verify_receipt(changed, keys)
        assert found.value.check == "signature"
