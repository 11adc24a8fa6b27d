"""Usage of the month that is attacked: made before, and reported late while the blows fall."""

from __future__ import annotations

import queue
import secrets
import threading
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from pathlib import Path

from archiver.calendar import start_of
from core.audit import Act
from core.catalog.providers import Providers
from core.catalog.sealing import Sealer
from core.catalog.seeding import seed_catalog
from core.catalog.service import Upstreams
from core.db.database import Database
from core.demo_usage.maker import Maker, Plan
from core.demo_usage.shape import Customer
from core.keyring import load_or_make_keyring
from kit.clock import to_micros
from kit.files import private_folder
from kit.ids import IdSource, uuid7_bytes
from kit.reasons import DomainError
from oneapi.admission.v1 import admission_service_pb2, admission_service_pb2_grpc
from oneapi.common.v1 import quantities_pb2
from oneapi.common.v1.endpoint_pb2 import Endpoint
from oneapi.common.v1.lane_pb2 import Lane
from oneapi.metering.v1 import metering_service_pb2_grpc, usage_record_pb2
from tests.chaos.money.link import Link
from tests.support.metering_world import batch

METERING = metering_service_pb2_grpc.MeteringServiceStub
EDGE_ID = 7
AT_ONCE = 2


async def make_usage(
    dsn: str, keys: Path, month: date, rows: int, workspaces: int
) -> list[Customer]:
    """Fill the catalogue and make a month of usage; `keys` is core's folder of key files."""
    database = Database.connect(dsn)
    private_folder(keys)
    try:
        upstreams = Upstreams(Providers({}), Sealer(load_or_make_keyring(keys / "kek.json")))
        act = Act("operator", start_of(month), IdSource())
        await seed_catalog(database.jobs, act, upstreams, with_demo=True)
        plan = Plan(month, 1, rows, workspaces, "kills")
        peppers = load_or_make_keyring(keys / "pepper.json")
        maker = Maker(database.jobs, IdSource(), peppers, plan)
        await maker.make(lambda *_: None)
        return maker.customers
    finally:
        await database.close()


class Reporter(threading.Thread):
    """An edge that comes back with old records: some at each new step, each until core has it."""

    def __init__(
        self, link: Link, customers: Sequence[Customer], price: tuple[int, int], month: date
    ) -> None:
        super().__init__(daemon=True)
        self.reported: dict[bytes, bytes] = {}
        """Each record's id, and whose it is."""
        self.fault: BaseException | None = None
        self.idle = threading.Event()
        self._link = link
        self._customers = list(customers)
        self._price = price
        self._start = start_of(month)
        self._wanted: queue.SimpleQueue[bool] = queue.SimpleQueue()

    def run(self) -> None:
        """Report until it is ended."""
        try:
            epoch = self._link.call(
                admission_service_pb2_grpc.AdmissionServiceStub,
                "OpenEpoch",
                admission_service_pb2.OpenEpochRequest(
                    edge_id=EDGE_ID, boot_nonce=secrets.token_bytes(16)
                ),
                "edge",
            ).epoch
            while self._wanted.get():
                records = [self._record() for _ in range(AT_ONCE)]
                sent = batch(records, edge_id=EDGE_ID, epoch=epoch)
                answer = self._link.stream(METERING, "RecordUsage", sent, "edge")
                refused = [(each.sequence, each.reason) for each in answer.rejected]
                assert not refused, f"refused: {refused}"
                self.reported |= {each.request_id: each.workspace_id for each in records}
                # What was acknowledged may come again, and changes nothing.
                again = self._link.stream(METERING, "RecordUsage", sent, "edge")
                assert not again.rejected, "what was taken is refused"
                if self._wanted.empty():
                    self.idle.set()
        except (DomainError, AssertionError) as fault:
            self.fault = fault

    def nudge(self) -> None:
        """Let it report some more."""
        self.idle.clear()
        self._wanted.put(True)  # noqa: FBT003 - a queue's item

    def wait(self) -> None:
        """Wait until core has all that it was to report.

        Raises:
            AssertionError: core does not take it.
        """
        assert self.idle.wait(120), "usage was not taken"
        assert self.fault is None, f"usage was refused: {self.fault}"

    def end(self) -> None:
        """End it; all that was reported is durable then."""
        self._wanted.put(False)  # noqa: FBT003 - a queue's item
        self.join(300)
        assert not self.is_alive(), "usage was not taken"
        assert self.fault is None, f"usage was refused: {self.fault}"

    def _record(self) -> usage_record_pb2.UsageRecord:
        customer = secrets.choice(self._customers)
        at: datetime = self._start + timedelta(seconds=secrets.randbelow(27 * 86_400))
        model, version = self._price
        micros = to_micros(at)
        return usage_record_pb2.UsageRecord(
            request_id=uuid7_bytes(
                micros // 1_000, secrets.randbelow(4_096), secrets.token_bytes(8)
            ),
            workspace_id=customer.workspace_id,
            key_id=customer.keys[0],
            started_at_micros=micros,
            model_number=model,
            served_lane=Lane.LANE_DEFAULT,
            upstream_number=1,
            endpoint=Endpoint.ENDPOINT_CHAT_COMPLETIONS,
            quantities=quantities_pb2.Quantities(input_tokens=1_000, output_tokens=100),
            outcome=usage_record_pb2.OUTCOME_SUCCEEDED,
            http_status=200,
            first_token_ms=120,
            total_ms=900,
            price_version=version,
            usage_source=usage_record_pb2.USAGE_SOURCE_PROVIDER,
            hold_nanos=50_000_000,
            finish_reason=usage_record_pb2.FINISH_REASON_STOP,
            attempts=[usage_record_pb2.Attempt(upstream_number=1, http_status=200)],
        )
