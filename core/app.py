"""Core's composition root: settings in, a serving process out."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from typing import Any, Final

from core.access.rpc import access_service
from core.accounts.rpc import workspace_service
from core.admission import idempotency, limits
from core.admission.credit import CreditDesk, LeaseTerms
from core.admission.rpc import admission_service
from core.admission.watch import Snapshots, Watch
from core.audit import Act
from core.billing.documents.issue import Documents
from core.billing.documents.proofs import DocumentProofs
from core.billing.receipt_rpc import receipt_service
from core.billing.statements.rpc import statement_service
from core.billing.stripe.opening import open_stripe
from core.billing.wiring import Billing
from core.catalog.providers import Providers
from core.catalog.rpc import catalog_service
from core.catalog.sealing import Sealer
from core.catalog.seeding import seed_catalog
from core.catalog.service import Upstreams
from core.db import call_replay
from core.db.bootstrap import ensure_roles
from core.db.database import Database, open_pool
from core.db.migrate import migrate
from core.dev import make_example
from core.feed.poller import ChangeFeed
from core.keyring import Keyring, load_or_make_keyring
from core.keys import spend
from core.keys.expiry import record_expiries
from core.keys.rpc import key_service
from core.ledger import expiry, leases
from core.ledger.model import LEASE_GRACE_SECONDS
from core.ledger.rpc import credit_service, ledger_service
from core.metering.incident_rpc import incident_service
from core.metering.intake import Intake
from core.metering.partitions import keep_partitions, make_partitions
from core.metering.proofs import UsageProofs
from core.metering.rpc import metering_service
from core.metering.usage_rpc import usage_service
from core.operations.rpc import operations_service
from core.partitions.proofs import ArchiveProofs
from core.partitions.rpc import partition_service
from core.platform_key import load_or_make_platform_key
from core.proofs.daily import keep_proving, keep_signing
from core.proofs.metrics import write_metrics
from core.proofs.report import Prover
from core.proofs.report_store import Report
from core.proofs.roots import RootProofs
from core.proofs.rpc import proof_service
from core.proofs.together import Together
from core.settings import CoreSettings
from kit.clock import Clock, clock_for, now
from kit.ids import IdSource
from kit.lockdown import loop_faults
from kit.log import EventLog
from kit.process import announce_ready
from kit.reasons import DomainError, Unavailable
from kit.rpc.identity import Tokens
from kit.rpc.server import RpcServer, Service, start_server

GRACE_SECONDS: Final = 5.0
PREPARE_ATTEMPTS: Final = 5
PREPARE_PAUSE_SECONDS: Final = 0.5
TIDY_SECONDS: Final = 10.0
PROOF_STATEMENT_MS: Final = 3_600_000


class Core:
    """One core process."""

    def __init__(self, settings: CoreSettings, log: EventLog, clock: Clock) -> None:
        """Put the parts together; nothing is connected yet."""
        self._settings = settings
        self._log = log
        self._clock = clock
        self._ids = IdSource(now_ns=clock.now_ns)
        self._platform_key = load_or_make_platform_key(settings.platform_key)
        self._peppers: Keyring = load_or_make_keyring(settings.peppers)
        sealer = Sealer(load_or_make_keyring(settings.key_encryption_keys))
        providers = Providers.of_environment(os.environ, settings.demo_base_url)
        self._upstreams = Upstreams(providers, sealer)
        self._stripe = open_stripe(settings)
        self._documents = Documents(settings.seller, self._ids)
        self._database = Database.connect(settings.database_url)
        self._billing = Billing(
            settings, self._stripe, self._database, clock, self._ids, log, self._documents
        )
        # A proof takes long, and nobody is to wait for a connection because of it: one for that
        # of each day, one for those that are asked for.
        self._proof_pool = open_pool(
            settings.database_url, size=2, statement_timeout_ms=PROOF_STATEMENT_MS
        )
        self._feed = ChangeFeed(self._database.rpc, clock, log)
        self._intake = Intake(self._database.metering, clock, self._ids, log)

    async def run(self, stopping: asyncio.Event) -> None:
        """Prepare the database, serve until told to stop, then let running calls finish.

        Raises:
            Exception: a background loop died; the supervisor starts another core.
        """
        await self._patiently(self._prepare)
        await self._feed.start()
        self._intake.start()
        server = await self._start()
        loops = [asyncio.create_task(loop) for loop in self._loops()]
        stop = asyncio.create_task(stopping.wait())
        await server.set_serving(serving=True)
        self._log.event("core_serving", port=server.port)
        announce_ready(self._settings.ready_fd)
        done, _ = await asyncio.wait([*loops, stop], return_when=asyncio.FIRST_COMPLETED)
        # Streams of edges never end by themselves: without this they would use up the grace time.
        self._feed.stop()
        self._intake.retire()
        await server.stop(GRACE_SECONDS)
        await self._intake.stop()
        for task in (*loops, stop):
            task.cancel()
        await asyncio.gather(*loops, stop, return_exceptions=True)
        await self._stripe.close()
        await self._proof_pool.close()
        await self._database.close()
        for task in done:
            task.result()

    async def _prepare(self) -> None:
        await asyncio.to_thread(ensure_roles, self._settings.database_url)
        await asyncio.to_thread(migrate, self._settings.database_url)
        await make_partitions(self._database.jobs, self._clock)
        act = self._act()
        is_dev = self._settings.profile == "dev"
        await seed_catalog(self._database.jobs, act, self._upstreams, with_demo=is_dev)
        if is_dev:
            file = self._settings.example_file
            await make_example(self._database.jobs, act, self._peppers, file)

    async def _patiently(self, step: Callable[[], Awaitable[None]]) -> None:
        """Repeat a step that may be repeated while the database is busy, or other cores start.

        Raises:
            Unavailable: it stayed so.
        """
        for _ in range(PREPARE_ATTEMPTS):
            try:
                return await step()
            except Unavailable as error:
                self._log.event("database_busy", sqlstate=error.metadata.get("sqlstate"))
            await asyncio.sleep(PREPARE_PAUSE_SECONDS)
        return await step()

    async def _start(self) -> RpcServer:
        return await start_server(
            self._services(),
            target=f"127.0.0.1:{self._settings.core_port}",
            tokens=Tokens.read(self._settings.credentials_file),
            log=self._log,
            shares_port=self._settings.shares_port,
        )

    def _services(self) -> list[Service]:
        pool, clock, ids = self._database.rpc, self._clock, self._ids
        snapshots = Snapshots(pool, clock, self._feed, self._upstreams.sealer)
        watch = Watch(pool, clock, self._feed, snapshots)
        return [
            workspace_service(pool, clock, ids),
            key_service(pool, clock, ids, self._peppers),
            catalog_service(pool, clock, ids, self._upstreams),
            credit_service(pool, clock, ids, self._settings.support_goodwill_nanos),
            *self._billing.services(),
            ledger_service(pool, self._proof_pool, self._proofs()),
            statement_service(pool),
            proof_service(pool, self._prover()),
            receipt_service(pool, clock, ids, self._platform_key),
            access_service(pool, clock, ids, self._platform_key),
            usage_service(pool, clock),
            incident_service(pool, clock, ids),
            operations_service(self._database.jobs, clock, lease_silence=self._lease_silence()),
            metering_service(self._intake),
            partition_service(
                self._database.jobs, self._settings.database_url, self._platform_key, clock, ids
            ),
            admission_service(pool, clock, ids, CreditDesk(pool, clock, self._terms()), watch),
        ]

    def _loops(self) -> list[Coroutine[Any, Any, None]]:
        return [
            self._feed.run(),
            keep_partitions(self._database.jobs, self._clock, self._log),
            self._tidy(),
            *self._billing.loops(),
            keep_proving(self._prover(), self._log),
            keep_signing(self._database.jobs, self._platform_key, self._act, self._log),
        ]

    def _proofs(self) -> Together:
        roots = RootProofs(self._platform_key.public_keys)
        archive = ArchiveProofs(self._platform_key.public_keys)
        return Together(UsageProofs(), archive, DocumentProofs(), roots)

    def _prover(self) -> Prover:
        return Prover(
            self._database.jobs,
            self._proof_pool,
            self._proofs(),
            self._billing.reconcile(),
            self._act,
            on_done=self._show_proof,
        )

    def _show_proof(self, report: Report) -> None:
        try:
            write_metrics(self._settings.data_dir / "metrics" / "proof.prom", report)
        except OSError as error:
            # The report is kept; a metric that grows old says itself that it was not written.
            self._log.fault("proof_metric_not_written", error)

    async def _tidy(self) -> None:
        """Write down what time has decided: correctness never waits for it."""
        while True:
            await asyncio.sleep(TIDY_SECONDS)
            try:
                await record_expiries(self._database.jobs, self._act())
                await self._close_and_forget()
            except DomainError as error:
                self._log.fault("tidying_failed", error)

    async def _close_and_forget(self) -> None:
        terms, moment = self._terms(), now(self._clock)
        async with self._database.jobs.transaction("system") as tx:
            await leases.close_expired(
                tx,
                None,
                moment,
                lifetime_s=terms.disconnected_seconds,
                request_max_s=terms.request_max_seconds,
            )
            await tx.commit()
        async with self._database.jobs.transaction("system") as tx:
            await expiry.expire_due(tx, moment)
            await tx.commit()
        async with self._database.jobs.transaction("system") as tx:
            await limits.sweep(tx, moment)
            await spend.sweep(tx, moment - terms.silence, moment)
            await idempotency.sweep(tx, moment)
            await call_replay.sweep(tx, moment)
            await tx.commit()

    def _terms(self) -> LeaseTerms:
        return LeaseTerms(
            disconnected_seconds=self._settings.disconnected_seconds,
            request_max_seconds=self._settings.request_max_seconds,
        )

    def _lease_silence(self) -> timedelta:
        """Return after how long nobody can be using a lease any more."""
        terms = self._terms()
        seconds = terms.disconnected_seconds + terms.request_max_seconds
        return timedelta(seconds=seconds + LEASE_GRACE_SECONDS)

    def _act(self) -> Act:
        return Act("core", now(self._clock), self._ids)


async def serve(settings: CoreSettings) -> None:
    """Serve until SIGTERM or SIGINT."""
    clock = clock_for(settings.test_clock, settings.profile)
    log = EventLog("core", clock=clock)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(loop_faults(log))
    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, stopping.set)
    await Core(settings, log, clock).run(stopping)
