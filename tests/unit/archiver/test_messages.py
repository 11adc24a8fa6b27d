"""What the archiver sends core at once fits into a message, up to the limits of the contract."""

from __future__ import annotations

import time
from datetime import date

import pytest
from google.protobuf.message import Message

from archiver.later import LATE_ROWS_MAX
from archiver.model import Part, focus_name, ids_name, manifest_name, usage_name
from archiver.parts import file_message
from kit.rpc.client import MAX_MESSAGE_BYTES
from kit.rpc.server import validate
from oneapi.partitions.v1 import partition_service_pb2 as pb
from oneapi.partitions.v1.partition_pb2 import ArchiveFile, RevisionReason

OWNER, MONTH, HASH = bytes([255]) * 16, date(2026, 12, 1), bytes([255]) * 32
LARGE = 2**62
LONGEST = max(
    usage_name(OWNER, MONTH, 9_999, HASH),
    focus_name(OWNER, MONTH, "parquet", HASH),
    focus_name(OWNER, MONTH, "csv.gz", HASH),
    manifest_name(OWNER, MONTH, 9_999),
    ids_name(MONTH, 9_999, HASH),
    key=len,
)


def file() -> ArchiveFile:
    """A file whose every field is as long as it gets."""
    part = Part(ArchiveFile.KIND_USAGE_PARQUET, LONGEST, LARGE, LARGE, HASH, None)
    made = file_message(part, OWNER, 9_999)
    made.charges.amount_nanos = LARGE
    return made


PUBLISH = pb.PublishMonthRequest(
    fence=LARGE,
    month="2026-12",
    revision=9_999,
    reason=RevisionReason.REVISION_REASON_LATE,
    files=[file()] * 50_000,
    late_ids=[OWNER] * LATE_ROWS_MAX,
)
DROP = pb.DropMonthRequest(fence=LARGE, month="2026-12", files=[file()] * 65_000)
DELETION = pb.RecordDeletionRequest(
    fence=LARGE,
    month="2026-12",
    reason=pb.RecordDeletionRequest.REASON_EXPIRED,
    names=[LONGEST] * 120_000,
)


@pytest.fixture(params=[PUBLISH, DROP, DELETION], ids=["publish", "drop", "delete"])
def largest(request: pytest.FixtureRequest) -> Message:
    """A request as long as the contract lets it be."""
    made: Message = request.param
    return made


def test_the_largest_request_of_the_contract_fits_into_a_message(largest: Message) -> None:
    """Where it would not, a month could never be published: the transport would refuse it."""
    assert largest.ByteSize() < MAX_MESSAGE_BYTES


def test_the_rules_of_the_contract_cost_next_to_nothing(largest: Message) -> None:
    """They are looked at on core's event loop, which serves everybody else meanwhile."""
    began = time.perf_counter()
    validate(largest)
    assert time.perf_counter() - began < 1


def test_a_month_of_many_workspaces_fits_many_times_over() -> None:
    """Two hundred of them, each with usage, two cost files and a manifest."""
    month = pb.PublishMonthRequest(fence=1, month="2026-12", files=[file()] * 4 * 200)
    assert month.ByteSize() * 50 < MAX_MESSAGE_BYTES
