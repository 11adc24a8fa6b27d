"""The records of many requests, read page by page, by their ids."""

from __future__ import annotations

import time

from oneapi.metering.v1 import usage_service_pb2
from oneapi.metering.v1.usage_service_pb2_grpc import UsageServiceStub
from tests.support.operator_calls import CALL_SECONDS_MAX, OperatorCalls

RECORDED_SECONDS_MAX = 30.0
PAGE = 1_000


def records(service: OperatorCalls, wanted: set[str]) -> dict[str, usage_service_pb2.Usage]:
    """Return the records of the requests; waits a while for those that are still on their way."""
    deadline = time.monotonic() + RECORDED_SECONDS_MAX
    while True:
        found = _read(service, wanted)
        if len(found) == len(wanted) or time.monotonic() > deadline:
            return found
        time.sleep(0.5)


def _read(service: OperatorCalls, wanted: set[str]) -> dict[str, usage_service_pb2.Usage]:
    stub, token = UsageServiceStub(service.channel), ""
    found: dict[str, usage_service_pb2.Usage] = {}
    while True:
        asked = usage_service_pb2.ListUsageRequest(
            workspace_id=service.workspace_id, page_size=PAGE, page_token=token
        )
        page = stub.ListUsage(asked, timeout=CALL_SECONDS_MAX)
        found |= {one.request_id: one for one in page.usages if one.request_id in wanted}
        token = page.next_page_token
        if not token or len(found) == len(wanted):
            return found
