"""Proves that all books agree, keeps the report, and raises an alarm if they do not.

One moment of the database: chains, cached figures, records, documents, signed roots, totals. Then
the payment provider's balance against the clearing account, which both sides move all the time.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol

from core.audit import Act
from core.billing.alarms import raise_alarm
from core.db.database import Pool
from core.ledger.proofs.finding import Finding, RecordProofs, Tally
from core.ledger.proofs.verify import verify
from core.proofs import report_store
from core.proofs.report_store import Report
from core.proofs.together import Together
from core.proofs.totals import Totals
from kit.canonical import Canonical, encode
from kit.clock import to_micros
from kit.ids import format_id
from kit.reasons import DomainError, Unavailable

FORMAT: Final = "1api.club/proof_report/v1"
FINDINGS_MAX: Final = 1_000
"""Findings that a report tells one by one; it counts all."""
BALANCE_TRIES: Final = 3
BALANCE_PAUSE_SECONDS: Final = 5.0
"""What is under way between the provider and us has arrived by then."""
STRIPE_CHECK: Final = "stripe_balance"
ERROR_CHECK: Final = "proof_error"
"""A check that a fault ended: what comes after it was not looked at."""


class Compared(Protocol):
    """Both sides of our money at the payment provider, in nano-dollars."""

    @property
    def clearing(self) -> int:
        """Return what the ledger says."""

    @property
    def balance(self) -> int:
        """Return what the provider says."""

    @property
    def unexplained(self) -> Sequence[Any]:
        """Return the provider's movements that no posting explains."""


Reconcile = Callable[[], Any]
"""Compares both sides now; awaited, it returns a `Compared`."""


@dataclass(slots=True)
class _Found:
    """What a proof has found so far."""

    counts: Counter[str] = field(default_factory=Counter)
    told: list[Finding] = field(default_factory=list)

    def add(self, finding: Finding) -> None:
        """Count a finding, and keep it while there is room."""
        self.counts[finding.check] += 1
        if len(self.told) < FINDINGS_MAX:
            self.told.append(finding)


class Prover:
    """Proves everything, on demand and once a day."""

    def __init__(
        self,
        pool: Pool,
        proof_pool: Pool,
        records: RecordProofs,
        reconcile: Reconcile | None,
        act: Callable[[], Act],
        *,
        on_done: Callable[[Report], None] = lambda _: None,
        pause_seconds: float = BALANCE_PAUSE_SECONDS,
    ) -> None:
        """Read through `proof_pool`, which a proof occupies for as long as it takes.

        Without `reconcile` there is no payment provider to compare with.
        """
        self._pool = pool
        self._proof_pool = proof_pool
        self._records = records
        self._reconcile = reconcile
        self._act = act
        self._on_done = on_done
        self._pause_seconds = pause_seconds

    async def prove_today(self) -> Report | None:
        """Prove everything unless that was done today (UTC)."""
        today = self._act().now.replace(hour=0, minute=0, second=0, microsecond=0)
        async with self._pool.transaction("system") as tx:
            if await report_store.proved_since(tx, today):
                return None
        return await self.prove()

    async def prove(self) -> Report:
        """Prove everything now and keep the report."""
        started = self._act().now
        found, tally, totals = _Found(), Tally(), Totals()
        proofs = Together(self._records, totals)
        await self._verify(found, proofs, tally)
        compared = await self._compare(found)
        act = self._act()
        content = _content(started, act.now, tally, totals, found) | {"stripe": compared}
        report = Report(
            report_id=act.ids.new(),
            started_at=started,
            finished_at=max(act.now, started),
            findings=found.counts.total(),
            content=encode(content),
        )
        async with self._pool.transaction("system") as tx:
            await report_store.insert(tx, report)
            if report.findings:
                name = format_id("proof", report.report_id)
                await raise_alarm(tx, act, "proof_failed", name, expected=0, found=report.findings)
            await tx.commit()
        self._on_done(report)
        return report

    async def _verify(self, found: _Found, proofs: Together, tally: Tally) -> None:
        """Check all books; what stops a check is a finding itself: damage may be why."""
        try:
            async with self._proof_pool.transaction("system", snapshot=True) as tx:
                async for finding in verify(tx, None, proofs, tally):
                    found.add(finding)
        except Unavailable:
            # Nothing is said of the books: it is tried again.
            raise
        except Exception as fault:  # noqa: BLE001 the boundary: its text may quote a row
            found.add(_error(fault))

    async def _compare(self, found: _Found) -> dict[str, Canonical] | None:
        """Compare with the provider; what differs for a moment only is no finding."""
        if self._reconcile is None:
            return None
        compared: Compared | None = None
        for attempt in range(BALANCE_TRIES):
            if attempt:
                await asyncio.sleep(self._pause_seconds)
            try:
                compared = await self._reconcile()
            except DomainError:
                continue
            except Exception as fault:  # noqa: BLE001 the boundary, as above
                found.add(_error(fault))
                break
            if compared is not None and compared.clearing == compared.balance:
                break
        if compared is None:
            found.add(Finding(STRIPE_CHECK, "psp.stripe_clearing", "an answer", "none"))
            return {"answered": False}
        if compared.clearing != compared.balance:
            sides = (str(compared.clearing), str(compared.balance))
            found.add(Finding(STRIPE_CHECK, "psp.stripe_clearing", *sides))
        return {
            "answered": True,
            "clearing_nanos": compared.clearing,
            "balance_nanos": compared.balance,
            "unexplained": len(compared.unexplained),
        }


def _error(fault: Exception) -> Finding:
    """Return a fault as a finding: its type, never its text."""
    return Finding(ERROR_CHECK, type(fault).__name__, "an end", "a fault")


def _content(
    started: datetime, finished: datetime, tally: Tally, totals: Totals, found: _Found
) -> dict[str, Canonical]:
    return {
        "format": FORMAT,
        "started_at": to_micros(started),
        "finished_at": to_micros(finished),
        "wallets": tally.wallets,
        "transactions": tally.transactions,
        "entries": tally.entries,
        "records": tally.records,
        "charges_nanos": tally.charges,
        "prices": [
            {
                "price_version": each.price_version,
                "records": each.records,
                "charged_nanos": each.charged,
                "waived_nanos": each.waived,
            }
            for each in totals.prices
        ],
        "findings": dict(found.counts),
        "details": [
            {
                "check": each.check,
                "object_id": each.object_id,
                "expected": each.expected,
                "found": each.found,
            }
            for each in found.told
        ],
    }
