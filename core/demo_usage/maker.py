"""Makes past months of usage: workspaces, keys, credit, records and their settlements.

Everything goes the way that real usage goes (`core.metering.settle`), only in larger batches and
with the time of then: so records have their hashes, wallets their chains, settlements their roots,
and `1api audit verify` finds nothing. A wallet's months are made in their order.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from itertools import islice
from typing import Final, TypeVar

from core.accounts import service as accounts
from core.admission.epochs import close_epoch, open_epoch
from core.audit import Act
from core.db.database import Pool, Transaction
from core.demo_usage.hold import ArchiveHold
from core.demo_usage.shape import (
    KEYS_MAX,
    Customer,
    month_counts,
    records,
    request_times,
    row_counts,
    start_of,
)
from core.keyring import Keyring
from core.keys import service as keys
from core.keys.model import KeySettings
from core.ledger import credits as ledger_credits
from core.ledger.model import GrantKind
from core.metering.model import Record, add_months, figure_of
from core.metering.partitions import ensure_month, read_watermark
from core.metering.prices import read_prices
from core.metering.settle import Reported, settle_group
from core.metering.store import FROZEN
from kit.charge import Price
from kit.clock import from_micros
from kit.ids import IdSource, unix_ms_of
from kit.money import NANOS_PER_DOLLAR
from kit.reasons import InvalidState, Unavailable

EDGE_ID: Final = 1_000_000
"""A slot that no real edge takes."""
ROWS_PER_SETTLEMENT: Final = 2_000
CREDIT_STEP_NANOS: Final = 50 * NANOS_PER_DOLLAR
ACTOR: Final = "operator"
TRIES: Final = 5
PAUSE_SECONDS: Final = 2.0
_T = TypeVar("_T")
_PRICES: Final = """
SELECT max(v.number) AS number FROM price_version AS v JOIN model AS m ON m.number = v.model_number
 WHERE m.enabled GROUP BY v.model_number, v.lane ORDER BY number
"""
Tell = Callable[[date, int], None]
"""Is told of each month how many rows of it are made."""


class NoPrices(InvalidState):
    """The catalogue has no price to charge demo usage by."""


class MonthsArchived(InvalidState):
    """A month that usage was to be made for is frozen or in the archive."""


class RecordsRefused(InvalidState):
    """Made-up records were refused: they are not what usage looks like. Their batch is not kept."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be made: so many rows of so many workspaces over whole months up to `last`."""

    last: date
    months: int
    rows: int
    workspaces: int
    seed: str

    def all_months(self) -> list[date]:
        """Return the months, oldest first."""
        return [add_months(self.last, place - self.months + 1) for place in range(self.months)]


@dataclass(frozen=True, slots=True)
class Made:
    """What was made; money in nano-dollars."""

    workspaces: int
    rows: int
    charged_nanos: int


class Maker:
    """Makes the usage of a plan, month by month."""

    def __init__(
        self,
        pool: Pool,
        ids: IdSource,
        peppers: Keyring,
        plan: Plan,
        hold: ArchiveHold | None = None,
    ) -> None:
        """Make it on a database. Without a hold nothing may archive meanwhile."""
        self._pool = pool
        self._ids = ids
        self._peppers = peppers
        self._plan = plan
        self._hold = hold
        self._epoch = 0
        self._prices: list[Price] = []
        self.customers: list[Customer] = []

    async def make(self, tell: Tell) -> Made:
        """Make everything; what a broken run has made stays, and is whole in itself.

        Raises:
            NoPrices: the catalogue is empty.
            MonthsArchived: a month is no longer hot.
            RecordsRefused: a mistake of ours; what was made before stays.
            ArchiverWorks: the archiver is at work, and does not come to an end.
        """
        if self._hold is None:
            return await self._make(tell)
        await self._hold.take()
        try:
            return await self._make(tell)
        finally:
            await self._hold.release()

    async def _make(self, tell: Tell) -> Made:
        try:
            await self.prepare()
            charged = await self._all_months(tell)
        finally:
            await self.finish()
        return Made(len(self.customers), self._plan.rows, charged)

    async def _all_months(self, tell: Tell) -> int:
        charged = 0
        for month in self._plan.all_months():
            rows, cost = await self.make_month(month)
            charged += cost
            tell(month, rows)
        return charged

    async def prepare(self) -> None:
        """Make workspaces and keys, as of the start of the first month.

        Raises:
            NoPrices: the catalogue is empty.
            MonthsArchived: the first month is no longer hot.
        """
        first = self._plan.all_months()[0]
        async with self._pool.transaction("system") as tx:
            if first < await read_watermark(tx):
                raise MonthsArchived(month=f"{first:%Y-%m}")
            numbers = [row.number for row in await tx.all(_PRICES)]
            self._prices = list((await read_prices(tx, numbers)).values())
        if not self._prices:
            raise NoPrices
        act = Act(ACTOR, start_of(first), self._ids)
        async with self._pool.transaction("system") as tx:
            self._epoch = await open_epoch(tx, act, EDGE_ID, self._ids.new())
            await tx.commit()
        for place in range(self._plan.workspaces):
            run = self._ids.new().hex()
            self.customers.append(await _patiently(partial(self._customer, act, place, run)))

    async def make_month(self, month: date) -> tuple[int, int]:
        """Make one month; months come in their order. Returns its rows and what they cost.

        Raises:
            MonthsArchived: the month is no longer hot.
            RecordsRefused: a mistake of ours.
        """
        plan = self._plan
        async with self._pool.transaction("partitions") as tx:
            await ensure_month(tx, month)
            await tx.commit()
        place = plan.all_months().index(month)
        rows = charged = 0
        shares = row_counts(plan.rows, plan.workspaces)
        for customer, share in zip(self.customers, shares, strict=True):
            count = month_counts(share, plan.months)[place]
            charged += await self._usage(customer, month, count)
            rows += count
        return rows, charged

    async def finish(self) -> None:
        """End the epoch under which the usage was reported, if one was begun."""
        if not self._epoch:
            return
        at = start_of(add_months(self._plan.last, 1))
        async with self._pool.transaction("system") as tx:
            await close_epoch(tx, Act(ACTOR, at, self._ids), EDGE_ID, self._epoch, 0)
            await tx.commit()

    async def _customer(self, act: Act, place: int, run: str) -> Customer:
        async with self._pool.transaction("system") as tx:
            workspace = await accounts.create_workspace(
                tx, act, request_id=f"demo-{run}", display_name=f"Demo {place + 1}", default_lane=0
            )
            made = [
                await keys.create_key(
                    tx,
                    act,
                    self._peppers,
                    request_id=f"demo-{run}-{number}",
                    workspace_id=workspace.workspace_id,
                    display_name=f"Demo key {number + 1}",
                    settings=KeySettings(),
                )
                for number in range(1 + place % KEYS_MAX)
            ]
            await tx.commit()
        return Customer(workspace.workspace_id, tuple(shown.key.key_id for shown in made))

    async def _usage(self, customer: Customer, month: date, rows: int) -> int:
        """Make one workspace's month; return what it was charged."""
        if not rows:
            return 0
        # Of the workspace too: a second run with the same seed must mint other request ids.
        owner = customer.workspace_id.hex()
        source = random.Random(f"{self._plan.seed} {owner} {month}")  # noqa: S311 - no secret is made
        by_number = {price.number: price for price in self._prices}
        made = records(source, customer, self._prices, request_times(source, month, rows))
        charged = credit = 0
        # A part at a time: a record takes a kilobyte.
        for start in range(0, rows, ROWS_PER_SETTLEMENT):
            group = [
                _reported(record, by_number, self._epoch)
                for record in islice(made, ROWS_PER_SETTLEMENT)
            ]
            group.sort(key=lambda each: each.record.request_id)
            charged += sum(0 if each.record.waive_reason else each.figure for each in group)
            if charged >= credit:
                needed = charged - credit
                credit += await _patiently(partial(self._grant, customer, needed, month, start))
            await _patiently(partial(self._settle, customer, month, group))
        return charged

    async def _grant(self, customer: Customer, needed: int, month: date, place: int) -> int:
        """Give the credit that a part of a month takes, in whole steps; return how much it is."""
        owner = customer.workspace_id
        amount = CREDIT_STEP_NANOS * (needed // CREDIT_STEP_NANOS + 1)
        async with self._pool.transaction("system") as tx:
            await ledger_credits.grant_credit(
                tx,
                workspace_id=owner,
                kind=GrantKind.PROMOTIONAL,
                amount=amount,
                expires_at=None,
                business_key=f"promo:demo:{owner.hex()}:{month:%Y-%m}:{place}",
                actor=ACTOR,
                now=start_of(month),
            )
            await tx.commit()
        return amount

    async def _settle(self, customer: Customer, month: date, group: Sequence[Reported]) -> None:
        try:
            async with self._pool.transaction("system") as tx:
                if self._hold is not None:
                    await self._hold.renew(tx)
                await self._write(tx, customer, month, group)
                await tx.commit()
        except Unavailable as error:
            if error.metadata.get("cause") == FROZEN:
                raise MonthsArchived(month=f"{month:%Y-%m}") from None
            raise

    async def _write(
        self, tx: Transaction, customer: Customer, month: date, group: Sequence[Reported]
    ) -> None:
        if month < await read_watermark(tx):
            raise MonthsArchived(month=f"{month:%Y-%m}")
        moment = from_micros(unix_ms_of(group[-1].record.request_id) * 1_000)
        verdict = await settle_group(
            tx, customer.workspace_id, month, group, ids=self._ids, now=moment
        )
        if verdict.refused:
            raise RecordsRefused(month=f"{month:%Y-%m}", records=str(len(verdict.refused)))


async def _patiently(step: Callable[[], Awaitable[_T]]) -> _T:
    """Do a step, which may be repeated, again where the database has too much to do.

    Raises:
        Unavailable: it has for too long.
    """
    for _ in range(TRIES - 1):
        try:
            return await step()
        except Unavailable:
            await asyncio.sleep(PAUSE_SECONDS)
    return await step()


def _reported(record: Record, prices: dict[int, Price], epoch: int) -> Reported:
    figure = figure_of(record, prices[record.price_version]) or 0
    return Reported(record, EDGE_ID, epoch, 0, edge_figure=figure, figure=figure)
