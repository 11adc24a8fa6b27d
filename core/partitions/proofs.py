"""Holds archived months against the ledger, by what was signed of them: their records are gone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from core.db.database import Transaction
from core.ledger.model import LATE_WAIVER
from core.ledger.proofs.finding import Finding, Tally, differing, stream
from core.ledger.settlement import SETTLEMENT
from core.ledger.store import optional_uuid
from core.partitions.file_store import IS_PUBLISHED
from core.partitions.model import month_name
from kit.archive_manifest import manifest_message
from kit.ids import format_id
from kit.platform_keys import PublicKeys

TOTALS: Final = "archive_totals"
SIGNATURE: Final = "archive_signature"
LATE: Final = "archive_late"

# The first revision has what was settled in time; what came late was charged nothing.
_MONTHS: Final = """
WITH signed AS (
    SELECT a.month, a.workspace_id, a.records, a.charges_nanos
      FROM archive_totals AS a JOIN archive_month AS m ON m.month = a.month
     WHERE m.published_at IS NOT NULL AND a.revision = 1
), settled AS (
    SELECT t.usage_month AS month, t.workspace_id, sum(t.record_count) AS records,
           coalesce(sum(e.amount), 0) AS charges, count(*) AS settlements
      FROM ledger_txn AS t
      JOIN archive_month AS m ON m.month = t.usage_month AND m.published_at IS NOT NULL
      LEFT JOIN LATERAL (SELECT sum(amount) AS amount FROM ledger_entry
                          WHERE txn_id = t.id AND account = 'rev.usage') AS e ON true
     WHERE t.records_root IS NOT NULL AND t.kind = %(settlement)s
     GROUP BY t.usage_month, t.workspace_id
)
SELECT month, workspace_id, CAST(s.records AS bigint) AS signed_records,
       s.charges_nanos AS signed_charges, CAST(l.records AS bigint) AS settled_records,
       CAST(l.charges AS bigint) AS settled_charges
  FROM signed AS s FULL JOIN settled AS l USING (month, workspace_id)
 WHERE CAST(%(workspace)s AS uuid) IS NULL OR workspace_id = CAST(%(workspace)s AS uuid)
 ORDER BY month, workspace_id
"""
_SIGNED: Final = """
SELECT a.month, a.workspace_id, a.revision, a.manifest_sha256, a.key_id, a.signature
  FROM archive_totals AS a
  JOIN archive_month AS m ON m.month = a.month AND a.revision <= m.revision
 WHERE CAST(%(workspace)s AS uuid) IS NULL OR a.workspace_id = CAST(%(workspace)s AS uuid)
 ORDER BY a.month, a.workspace_id, a.revision
"""
# What came late is in a file, or waits here: the rows of what is in files go, their ids stay.
_WAIVED: Final = """
WITH waived AS (
    SELECT usage_month AS month, workspace_id, sum(record_count) AS records FROM ledger_txn
     WHERE records_root IS NOT NULL AND kind = %(late)s GROUP BY usage_month, workspace_id
), kept AS (
    SELECT month, workspace_id, count(*) AS records
      FROM (SELECT month, workspace_id FROM usage_late_archived
            UNION ALL
            SELECT t.usage_month, r.workspace_id
              FROM usage_late AS r JOIN ledger_txn AS t ON t.id = r.settlement_id
             WHERE NOT EXISTS (SELECT 1 FROM usage_late_archived AS a WHERE a.id = r.id)) AS each
     GROUP BY month, workspace_id
)
SELECT month, workspace_id, CAST(coalesce(w.records, 0) AS bigint) AS expected,
       coalesce(k.records, 0) AS found
  FROM waived AS w FULL JOIN kept AS k USING (month, workspace_id)
 WHERE CAST(%(workspace)s AS uuid) IS NULL OR workspace_id = CAST(%(workspace)s AS uuid)
 ORDER BY month, workspace_id
"""
# The newest manifest has what the first one had, and what came late since. What only came after
# the files were gone is known, and was in none.
_NEWEST: Final = f"""
WITH signed AS (
    SELECT t.month, t.workspace_id, t.revision, t.records
      FROM archive_totals AS t JOIN archive_month AS m
        ON m.month = t.month AND t.revision <= m.revision
     WHERE {IS_PUBLISHED}
), newest AS (
    SELECT DISTINCT ON (month, workspace_id) month, workspace_id, records FROM signed
     ORDER BY month, workspace_id, revision DESC
), added AS (
    SELECT a.month, a.workspace_id, count(*) AS records
      FROM usage_late_archived AS a JOIN archive_month AS m ON m.month = a.month
     WHERE NOT a.duplicate AND (m.expired_at IS NULL OR a.archived_at < m.expired_at)
     GROUP BY a.month, a.workspace_id
), first AS (
    SELECT month, workspace_id, records FROM signed WHERE revision = 1
)
SELECT month, workspace_id, coalesce(f.records, 0) + coalesce(a.records, 0) AS expected,
       coalesce(n.records, 0) AS found
  FROM newest AS n FULL JOIN first AS f USING (month, workspace_id)
  FULL JOIN added AS a USING (month, workspace_id)
 WHERE CAST(%(workspace)s AS uuid) IS NULL OR workspace_id = CAST(%(workspace)s AS uuid)
 ORDER BY month, workspace_id
"""  # noqa: S608 - constants
# Told from the chain only: what the records' own proof had no record of.
_CHAIN_ONLY: Final = """
SELECT count(*) AS settlements, CAST(coalesce(sum(t.record_count), 0) AS bigint) AS records
  FROM ledger_txn AS t JOIN archive_month AS m
    ON m.month = t.usage_month AND m.published_at IS NOT NULL
 WHERE t.records_root IS NOT NULL
   AND (CAST(:workspace AS uuid) IS NULL OR t.workspace_id = CAST(:workspace AS uuid))
   AND NOT EXISTS (SELECT 1 FROM usage_record AS r WHERE r.settlement_id = t.id)
   AND NOT (t.kind = :late AND EXISTS (
            SELECT 1 FROM usage_late AS r WHERE r.settlement_id = t.id))
"""


class ArchiveProofs:
    """Checks that what was signed of each published month is what the ledger charged for it."""

    def __init__(self, keys: PublicKeys) -> None:
        """Take the public keys of the platform, those that were replaced too."""
        self._keys = keys

    async def check(
        self, tx: Transaction, workspace_id: bytes | None, tally: Tally
    ) -> AsyncIterator[Finding]:
        """Yield months whose signed totals are not the ledger's, or are not signed by us."""
        scope = {
            "workspace": optional_uuid(workspace_id),
            "settlement": SETTLEMENT,
            "late": LATE_WAIVER,
        }
        async for row in stream(tx, "archived", _MONTHS, scope):
            for finding in _compare(row):
                yield finding
        for name, sql in (("waived", _WAIVED), ("newest", _NEWEST)):
            async for row in stream(tx, name, sql, scope):
                for finding in differing(LATE, _name(row), row["expected"], row["found"]):
                    yield finding
        async for row in stream(tx, "signed", _SIGNED, scope):
            for finding in self._check_signature(row):
                yield finding
        counted = await tx.one(_CHAIN_ONLY, workspace=optional_uuid(workspace_id), late=LATE_WAIVER)
        if counted is not None:
            tally.archived_settlements += counted.settlements
            tally.archived_records += counted.records

    def _check_signature(self, row: Mapping[str, Any]) -> list[Finding]:
        workspace, month = format_id("ws", row["workspace_id"].bytes), month_name(row["month"])
        message = manifest_message(workspace, month, row["revision"], row["manifest_sha256"])
        valid = self._keys.verifies(row["key_id"], row["signature"], message)
        name = f"{month}:{workspace}:{row['revision']}"
        return differing(SIGNATURE, name, "signed", "signed" if valid else "not")


def _compare(row: Mapping[str, Any]) -> list[Finding]:
    settled = (row["settled_records"] or 0, row["settled_charges"] or 0)
    signed = (row["signed_records"] or 0, row["signed_charges"] or 0)
    return differing(TOTALS, _name(row), settled, signed)


def _name(row: Mapping[str, Any]) -> str:
    return f"{month_name(row['month'])}:{format_id('ws', row['workspace_id'].bytes)}"
