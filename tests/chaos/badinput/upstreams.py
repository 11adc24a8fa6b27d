"""The tables of hostile upstreams: what the client is told, what is recorded, what it costs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx

from oneapi.metering.v1 import usage_record_pb2 as record
from tests.chaos.badinput.world import Row, World
from tests.contract.bad_upstreams import BAD_UPSTREAMS, BAD_USAGES, BadUpstream
from tests.support.asking import STREAMED, Told, ask
from tests.support.stack import STREAM, TEXT, public_ids

PEAK_GROWTH_MIB_MAX = 256
"""Of the worker, while a whole answer of the largest size is read."""


def attack(world: World) -> Iterator[Row]:
    """Let every upstream of the tables answer a whole chat and a stream."""
    names = public_ids()
    headers = {"authorization": f"Bearer {world.cluster.api_key}"}
    base_url = world.cluster.edges[0].base_url
    world.forget_peak()
    before = world.memory_kib()
    with httpx.Client(base_url=base_url, headers=headers, timeout=60, trust_env=False) as client:
        for name, stem, more in (("whole", TEXT, {}), ("stream", STREAM, STREAMED)):
            rows = [row for row in BAD_UPSTREAMS if (row.stream if more else row.whole)]
            yield _faults(world, client, rows, f"broken answers, {name}", stem, more)
            yield _usages(world, client, f"impossible usage, {name}", stem, more)
    world.replay.reset()
    growth = (world.memory_kib("VmHWM") - before) >> 10
    wrong = int(growth > PEAK_GROWTH_MIB_MAX)
    yield Row("upstreams", "memory", len(names), wrong, f"highest growth {growth} MiB")


def _faults(
    world: World,
    client: httpx.Client,
    rows: list[BadUpstream],
    name: str,
    stem: str,
    more: dict[str, Any],
) -> Row:
    told = {}
    for row in rows:
        world.replay.set_faults(stem, **row.faults)
        told[row.name] = ask(client, public_ids()[stem], **more)
    wrong = 0
    for row in rows:
        if fault := wrong_of_fault(row, told[row.name]) or _wrong_record(world, told[row.name]):
            wrong += 1
            world.findings.append(f"{name}: {row.name}: {fault}")
    return Row("upstreams", name, len(rows), wrong, "status or in-band code, record, no charge")


def wrong_of_fault(row: BadUpstream, told: Told) -> str:
    """Say what is wrong with what the client was told, if anything."""
    in_band = row.status == 200
    if (told.status, told.clean) != (row.status, not in_band):
        return f"status {told.status}, clean end: {told.clean}"
    try:
        last = told.text.strip().rpartition("data: ")[2] if in_band else told.text
        code = json.loads(last)["error"]["code"]
    except (ValueError, KeyError, TypeError):
        return "no error envelope"
    return "" if code == row.code else f"code {code}"


def _wrong_record(world: World, told: Told) -> str:
    usage = world.cluster.usage(told.request_id)
    sane = usage.outcome == record.OUTCOME_FAILED and usage.charge.amount_nanos == 0
    return "" if sane else f"outcome {usage.outcome}, charge {usage.charge.amount_nanos}"


def _usages(world: World, client: httpx.Client, name: str, stem: str, more: dict[str, Any]) -> Row:
    told = []
    for raw in BAD_USAGES:
        world.replay.set_faults(stem, usage_json=raw)
        told.append(ask(client, public_ids()[stem], max_tokens=100, **more))
    wrong = 0
    for raw, one in zip(BAD_USAGES, told, strict=True):
        usage = world.cluster.usage(one.request_id)
        within = 0 < usage.charge.amount_nanos <= usage.hold.amount_nanos
        if not within or usage.usage_source != record.USAGE_SOURCE_ESTIMATED:
            wrong += 1
            world.findings.append(f"{name}: {raw}: charge {usage.charge.amount_nanos}")
    return Row("upstreams", name, len(told), wrong, "estimated, flagged, 0 < charge <= hold")
