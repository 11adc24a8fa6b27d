"""All SQL of proof reports."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from core.db.database import Transaction
from core.db.values import to_uuid

_INSERT: Final = """
INSERT INTO proof_report (id, started_at, finished_at, findings, report)
VALUES (:id, :started, :finished, :findings, :report)
"""
_LIST: Final = """
SELECT id, started_at, finished_at, findings, report FROM proof_report
 WHERE id < :before ORDER BY id DESC LIMIT :limit
"""


@dataclass(frozen=True, slots=True)
class Report:
    """What a proof found; `content` is canonical JSON of ids and numbers."""

    report_id: bytes
    started_at: datetime
    finished_at: datetime
    findings: int
    content: bytes


async def insert(tx: Transaction, report: Report) -> None:
    """Write a report."""
    await tx.run(
        _INSERT,
        id=to_uuid(report.report_id),
        started=report.started_at,
        finished=report.finished_at,
        findings=report.findings,
        report=report.content,
    )


async def list_reports(tx: Transaction, *, before: bytes, limit: int) -> list[Report]:
    """Read reports, newest first, older than `before`."""
    rows = await tx.all(_LIST, before=to_uuid(before), limit=limit)
    return [
        Report(row.id.bytes, row.started_at, row.finished_at, row.findings, row.report)
        for row in rows
    ]


async def proved_since(tx: Transaction, moment: datetime) -> bool:
    """Say whether a proof was begun at or after a moment."""
    row = await tx.one(
        "SELECT EXISTS (SELECT 1 FROM proof_report WHERE started_at >= :moment) AS there",
        moment=moment,
    )
    return row is not None and bool(row.there)
