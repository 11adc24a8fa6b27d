"""What no edge of ours sends: the same id with other content, and a spool with a hole in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import grpc
import psycopg

from edge.metering.frames import Place, encode
from edge.metering.messages import add_record
from edge.metering.records import Intent, Outcome
from kit.charge import quantities
from kit.ids import new_request_id
from kit.rpc.identity import bearer
from oneapi.admission.v1 import admission_service_pb2, admission_service_pb2_grpc
from oneapi.common.v1.error_reason_pb2 import ErrorReason
from oneapi.metering.v1 import metering_service_pb2 as pb
from oneapi.metering.v1 import metering_service_pb2_grpc
from oneapi.metering.v1 import usage_record_pb2 as usage

EDGE_ID: Final = 900
HOLE_FRAMES: Final = 7
ALARMS: Final = {"record_conflict": 1, "spool_gap": 1}
"""What the forgeries must raise, and nothing else."""
_CALL_SECONDS: Final = 30.0
_TEMPLATE: Final = """
SELECT workspace_id, key_id, model_number, upstream_number, price_version, requested_lane,
       served_lane, endpoint, streamed
  FROM usage_record ORDER BY id LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Answers:
    """What core said: the reasons of refusal, batch by batch."""

    first: list[int]
    again: list[int]
    other_content: list[int]
    after_the_hole: list[int]


def forge(target: str, token: str, database_url: str) -> Answers:
    """Send one new record, the same again, the same id with other content, then one after a hole.

    Two of the four are new records.
    """
    outcome = _outcome(database_url)
    other = replace(outcome, quantities=quantities(input=1, output=2))
    third = replace(outcome, request_id=new_request_id())
    with grpc.insecure_channel(target) as channel:
        epoch = _open_epoch(channel, token)
        batches = [
            _batch(epoch, 1, outcome),
            _batch(epoch, 1, outcome),
            _batch(epoch, 2, other),
            _batch(epoch, 3 + HOLE_FRAMES, third),
        ]
        # Each on a stream of its own: within one, an edge never leaves a hole.
        return Answers(*([_sent(channel, token, one) for one in batches]))


def refused_as_conflict(reasons: Sequence[int]) -> bool:
    """Say whether that is the answer to the same id with other content."""
    return list(reasons) == [ErrorReason.ERROR_REASON_RECORD_CONFLICT]


def _sent(channel: grpc.Channel, token: str, batch: pb.RecordUsageRequest) -> list[int]:
    stub = metering_service_pb2_grpc.MeteringServiceStub(channel)
    call = stub.RecordUsage(iter([batch]), timeout=_CALL_SECONDS, metadata=bearer(token))
    return [refused.reason for answer in call for refused in answer.rejected]


def _open_epoch(channel: grpc.Channel, token: str) -> int:
    stub = admission_service_pb2_grpc.AdmissionServiceStub(channel)
    request = admission_service_pb2.OpenEpochRequest(edge_id=EDGE_ID, boot_nonce=new_request_id())
    answer = stub.OpenEpoch(request, timeout=_CALL_SECONDS, metadata=bearer(token))
    return int(answer.epoch)


def _batch(epoch: int, sequence: int, outcome: Outcome) -> pb.RecordUsageRequest:
    batch = pb.RecordUsageRequest(
        edge_id=EDGE_ID, epoch=epoch, first_sequence=sequence, through_sequence=sequence
    )
    add_record(batch, sequence, encode(Place(EDGE_ID, epoch, sequence), outcome))
    return batch


def _outcome(database_url: str) -> Outcome:
    """Return a request that never was, of the workspace and model of one that was."""
    with psycopg.connect(database_url) as connection:
        connection.execute("SET ROLE oneapi_system")
        row: Any = connection.execute(_TEMPLATE).fetchone()
    intent = Intent(
        request_id=new_request_id(),
        workspace_id=row[0].bytes,
        key_id=row[1].bytes,
        started_at_micros=1_764_000_000_000_000,
        model_number=row[2],
        upstream_number=row[3],
        price_version=row[4],
        requested_lane=row[5],
        served_lane=row[6],
        endpoint=row[7],
        streamed=row[8],
        hold_nanos=1,
    )
    return Outcome.of(
        intent,
        outcome=usage.OUTCOME_FAILED,
        error_class=usage.ERROR_CLASS_CUT,
        quantities=quantities(),
    )
