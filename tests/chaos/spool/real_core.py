"""A real core on PostgreSQL as the spool's suites need it: epochs, prices, and the books after."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from kit.ids import parse_id
from kit.rpc.client import sync_channel
from oneapi.admission.v1 import admission_service_pb2 as pb
from oneapi.admission.v1 import admission_service_pb2_grpc
from tests.support.core_process import TOKENS

CALL_SECONDS = 20


@dataclass(slots=True)
class RealCore:
    """Where core listens, its database, and the example workspace whose usage is reported."""

    target: str
    database_url: str = field(repr=False)
    workspace_id: str
    model: str = "demo"

    def facts(self) -> dict[str, Any]:
        """Return what the records of a request must say for core to take and price them."""
        (row,) = self.rows(
            "SELECT p.number, p.model_number, t.rates FROM price_version p"
            " JOIN model m ON m.number = p.model_number"
            " JOIN price_tier t ON t.price_version = p.number AND t.above_context_tokens = 0"
            f" WHERE m.public_id = '{self.model}' AND p.lane = 1"
            " ORDER BY p.effective_from DESC LIMIT 1"
        )
        ((key_id,),) = self.rows("SELECT id FROM api_key ORDER BY id LIMIT 1")
        return {
            "target": self.target,
            "token": TOKENS["edge"],
            "workspace_id": parse_id("ws", self.workspace_id).hex(),
            "key_id": key_id.bytes.hex(),
            "price_version": row[0],
            "model_number": row[1],
            "rates": list(row[2]),
        }

    def open_epoch(self, edge_id: int = 1) -> int:
        """Open an epoch as a starting worker does."""
        request = pb.OpenEpochRequest(edge_id=edge_id, boot_nonce=secrets.token_bytes(16))
        with sync_channel(self.target, TOKENS["edge"]) as channel:
            stub = admission_service_pb2_grpc.AdmissionServiceStub(channel)
            epoch: int = stub.OpenEpoch(request, timeout=CALL_SECONDS).epoch
        return epoch

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Read rows over all tenants."""
        with psycopg.connect(self.database_url) as connection:
            connection.execute("SET ROLE oneapi_system")
            return connection.execute(statement).fetchall()

    def number(self, statement: str) -> int:
        """Read one number."""
        ((value,),) = self.rows(statement)
        return int(value or 0)

    def alarms(self) -> dict[str, int]:
        """Return how many alarms of each kind there are."""
        return dict(self.rows("SELECT kind, count(*) FROM alarm GROUP BY kind ORDER BY kind"))

    def books(self) -> dict[str, int]:
        """Return the sums that must agree, nano-dollars: charges, revenue, all entries.

        In one statement, so of one moment: records may still be settled.
        """
        statement = (
            "SELECT (SELECT coalesce(sum(charge_nanos), 0) FROM usage_record),"
            " (SELECT coalesce(sum(amount), 0) FROM ledger_entry WHERE account = 'rev.usage'),"
            " (SELECT coalesce(sum(amount), 0) FROM ledger_entry)"
        )
        (row,) = self.rows(statement)
        return dict(zip(("charges", "revenue", "all"), map(int, row), strict=True))

    def wrong_books(self) -> list[str]:
        """Return what does not agree."""
        books = self.books()
        wrong = []
        if books["charges"] != books["revenue"]:
            wrong.append("charges and revenue differ")
        if books["all"] != 0:
            wrong.append("the ledger does not balance")
        return wrong


def of_folder(target: str, database_url: str, data_dir: Path) -> RealCore:
    """Describe a core by its data directory, where it wrote the example workspace."""
    example = json.loads((data_dir / "dev" / "example.json").read_bytes())
    return RealCore(target, database_url, example["workspace_id"], example["demo_model"])
