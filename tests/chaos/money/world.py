"""PostgreSQL, a simulated payment provider, and a core that is killed and started again."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from tests.chaos.money.link import Link, webhooks
from tests.support.core_process import CoreProcess, free_port
from tests.support.postgres import forgetful_server
from tests.support.processes import kill_hard
from tests.support.stripe import API_KEY, WEBHOOK_SECRET, StripeSimulator

COST = 10_000_000
"""Of one request, in nano-dollars: a cent."""


@dataclass(frozen=True, slots=True)
class Price:
    """A price version of the catalogue, and how many input tokens cost a cent by it."""

    version: int
    model_number: int
    tokens: int


class World:
    """What the suite works with."""

    def __init__(self, folder: Path, dsn: str, simulator: StripeSimulator, port: int) -> None:
        self.simulator = simulator
        self.link = Link(f"127.0.0.1:{port}")
        self.kills = 0
        self._folder = folder
        self._dsn = dsn
        self._port = port
        self._clock = folder / "clock"
        self._offset = 0
        self._core: CoreProcess | None = None

    def start(self) -> None:
        """Start core and wait until it serves."""
        self._core = CoreProcess(
            self._folder / "core",
            self._dsn,
            CORE_PORT=str(self._port),
            TEST_CLOCK=str(self._clock),
            STRIPE_KEY=API_KEY,
            STRIPE_WEBHOOK_SECRETS=WEBHOOK_SECRET,
            STRIPE_BASE_URL=self.simulator.origin,
        )
        self._core.target = self.target
        self._core.until_serving()

    @property
    def target(self) -> str:
        """Where core serves."""
        return f"127.0.0.1:{self._port}"

    @property
    def data_dir(self) -> Path:
        """Core's data directory."""
        return self._folder / "core"

    def kill(self) -> None:
        """Kill -9 core."""
        assert self._core is not None
        assert self._core.process.poll() is None, self._core.log.read_text()[-2_000:]
        kill_hard(self._core.process)
        self.kills += 1

    def stop(self) -> None:
        """End core, if it runs."""
        if self._core is not None and self._core.process.poll() is None:
            kill_hard(self._core.process)

    def pass_time(self, seconds: int) -> None:
        """Move the clocks of core and of the provider."""
        self._offset += seconds
        self._clock.write_text(str(self._offset))

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        """Read rows over all tenants."""
        with psycopg.connect(self._dsn) as connection:
            connection.execute("SET ROLE oneapi_system")
            return connection.execute(sql.encode()).fetchall()

    def price(self) -> Price:
        """Find a price by which a whole number of tokens costs a cent."""
        found = self.rows(
            "SELECT p.number, p.model_number, t.rates[1] FROM price_version AS p"
            " JOIN price_tier AS t ON t.price_version = p.number AND t.above_context_tokens = 0"
            " WHERE p.lane = 1 AND t.rates[1] > 0 ORDER BY p.number"
        )
        for version, model_number, rate in found:
            assert isinstance(version, int)
            assert isinstance(model_number, int)
            assert isinstance(rate, int)
            tokens, rest = divmod(COST * 1_000_000, rate)
            if rest == 0 and tokens < 100_000:
                return Price(version, model_number, tokens)
        raise LookupError("no price is a divisor of a cent")


@contextmanager
def world(seed: int) -> Iterator[World]:
    """Run everything; core is up."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="oneapi-money-")))
        dsn = stack.enter_context(forgetful_server()).dsn
        clock = folder / "clock"
        clock.write_text("0")
        port = free_port()
        simulator = stack.enter_context(StripeSimulator(test_clock=clock, seed=seed))
        here = World(folder, dsn, simulator, port)
        stack.callback(here.link.close)
        url = stack.enter_context(webhooks(here.link))
        simulator.order("webhooks", url=url)
        stack.callback(here.stop)
        here.start()
        yield here
