"""Every process of a running service is exchanged under load; no request fails, no stream is cut.

`python -m tests.chaos.rolling --rounds 3` runs `1api up` with two edge workers and its own
PostgreSQL, keeps clients going that never repeat a request, and in each round restarts core,
archiver and edge by `1api restart`, then PostgreSQL, then kills one edge worker after another with
-9. A kill loses what that worker was answering, and nothing else. At the end every request that was
accepted has one record, and the charges are the revenue are the drop of the wallet.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, LiteralString

import grpc
import psycopg

from kit.rpc.client import sync_channel
from kit.rpc.identity import Tokens
from tests.support.operator_calls import OperatorCalls
from tests.support.recordings import PROJECT
from tests.support.steady_load import Habit, SteadyLoad, Story
from tests.support.up import Up

CREDIT_NANOS = 1_000_000_000_000
KEYS = 12
LONG = "rolling-long"
STREAM_SECONDS = 4.8
SPARE_SECONDS = 60.0
CONTROL_SECONDS = 10.0
_COMMAND = (sys.executable, "-c", "from kit.cli import main; main()")
_SETTINGS = {"EDGE_WORKERS": "2", "RETIRE_SECONDS": "60", "DRAIN_SECONDS": "10"}
HABITS = (
    Habit("kept", clients=6, pause_seconds=0.1),
    Habit("pausing", clients=6, pause_seconds=2.0),
    Habit("fresh", clients=2, pause_seconds=0.1, keeps=False),
    Habit("claiming", clients=2, pause_seconds=0.1, claims=True),
    Habit("streams", clients=4, model="demo-pace-20", stream=True, pause_seconds=0.1),
    Habit("long streams", clients=3, model=LONG, stream=True, pause_seconds=0.1),
)
LONG_TOKENS = 60


def model(stream_seconds: float) -> dict[str, Any]:
    """Return a model whose streams take so long."""
    name = f"demo-pace-{stream_seconds * 1_000 / LONG_TOKENS:.0f}+tokens-{LONG_TOKENS}"
    return {
        "public_id": LONG,
        "display_name": "Long streams",
        "maker": "tests",
        "context_tokens": 131_072,
        "max_output_tokens": 4_096,
        "routes": [{"candidates": [{"upstream": "demo", "upstream_model": name}]}],
        "prices": [{"tiers": [{"input": 100_000_000, "output": 400_000_000}]}],
    }


class Running(OperatorCalls):
    """`1api up` with a load on it."""

    def __init__(
        self, folder: Path, *, stream_seconds: float = STREAM_SECONDS, **settings: str
    ) -> None:
        self.stream_seconds = stream_seconds
        self.up = Up(folder / "data", "--json", **{**_SETTINGS, **settings})
        self.ready = self.up.ready()
        document = folder / "models.json"
        document.write_text(json.dumps({"format": 1, "models": [model(stream_seconds)]}))
        self.command_at_once("catalog", "import", str(document))
        self.grant(CREDIT_NANOS)
        self.given = self.balance().total.amount_nanos
        self.keys = [self.ready["api_key"], *(self.make_key()[1] for _ in range(KEYS))]

    @cached_property
    def channel(self) -> grpc.Channel:
        """Return an operator's channel to core."""
        token = Tokens.read(Path(self.ready["credentials"])).of("operator")
        return sync_channel(self.ready["core_target"], token)

    @cached_property
    def workspace_id(self) -> str:
        """Return the example workspace."""
        example = json.loads((self.up.data_dir / "dev" / "example.json").read_bytes())
        return str(example["workspace_id"])

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment of a command."""
        inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        paths = {"PYTHONPATH": os.environ["PYTHONPATH"]} if "PYTHONPATH" in os.environ else {}
        return {**inherited, **paths, "ONEAPI_DATA_DIR": str(self.up.data_dir)}

    def command_at_once(self, *words: str) -> None:
        """Run a command while nothing else goes on."""
        asyncio.run(self.command(*words))

    async def command(self, *words: str) -> list[dict[str, Any]]:
        """Run a command that answers with lines of JSON; it must succeed."""
        process = await asyncio.create_subprocess_exec(
            *_COMMAND,
            *words,
            "--json",
            cwd=PROJECT,
            env=self.environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        if process.returncode != 0:
            raise AssertionError((words, process.returncode, err.decode()))
        lines = out.decode().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]

    def edges(self) -> list[int]:
        """Return the process ids of the edge workers that run."""
        return [child for name, child in self.up.every_child() if name == "edge"]

    async def settled(self) -> None:
        """Wait until no replaced worker is left: what it recorded has been shipped."""
        async with asyncio.timeout(self.stream_seconds + 120):
            while len(self.edges()) != int(_SETTINGS["EDGE_WORKERS"]):  # noqa: ASYNC110 - processes
                await asyncio.sleep(0.1)

    def books(self, request_ids: Sequence[str]) -> dict[str, int]:
        """Read the books from the tables; `found` are the records of these requests."""
        with psycopg.connect(self.ready["database_url"]) as connection:
            connection.execute("SET ROLE oneapi_system")

            def number(statement: LiteralString, *values: object) -> int:
                row = connection.execute(statement, values).fetchone()
                return int(row[0] or 0) if row else 0

            asked = [uuid.UUID(one.removeprefix("req_")) for one in request_ids]
            return {
                "found": number("SELECT count(*) FROM usage_record WHERE id = ANY(%s)", asked),
                "records": number("SELECT count(*) FROM usage_record"),
                "charges": number("SELECT sum(charge_nanos) FROM usage_record"),
                "revenue": number(
                    "SELECT sum(amount) FROM ledger_entry WHERE account = 'rev.usage'"
                ),
                "drop": self.given - number("SELECT sum(posted) FROM wallet"),
                "all_entries": number("SELECT sum(amount) FROM ledger_entry"),
                "alarms": number("SELECT count(*) FROM alarm"),
            }


@dataclass
class Row:
    """One line of the table: what was done how often, and what the clients saw of it."""

    what: str
    times: int
    story: Story
    seconds: float = 0.0
    exchange_seconds: list[float] = field(default_factory=list)

    @property
    def held(self) -> bool:
        """Say whether no request failed; a killed worker's own answers are another matter."""
        return not self.story.failures

    def line(self) -> str:
        """Return the row for people."""
        story = self.story
        streams = story.answered["streams"] + story.answered["long streams"]
        slowest = max(self.exchange_seconds, default=0.0)
        return (
            f"{self.what:<22} {self.times:>5} {sum(story.asked.values()):>8} "
            f"{sum(story.answered.values()):>8} {streams:>8} {len(story.failures):>6} "
            f"{story.announced:>9} {story.closed_idle:>6} {slowest:>8.2f} {self.seconds:>7.1f}"
        )


HEAD = (
    f"{'':<22} {'times':>5} {'requests':>8} {'answered':>8} {'streams':>8} {'failed':>6} "
    f"{'announced':>9} {'idle':>6} {'slowest':>8} {'seconds':>7}"
)


async def under_load(
    service: Running,
    what: str,
    habits: Sequence[Habit],
    *commands: tuple[str, ...],
    seconds: float = 1.0,
) -> Row:
    """Run commands one after the other while clients go on, and tell what they saw."""
    load = SteadyLoad(
        service.ready["base_url"],
        service.keys,
        habits,
        seed=time.time_ns(),
        answer_seconds_max=service.stream_seconds + SPARE_SECONDS,
    )
    row, began = Row(what, len(commands), load.story), time.monotonic()
    running = asyncio.create_task(load.run())
    await asyncio.sleep(seconds)
    for words in commands:
        for said in await service.command(*words):
            if said["state"] in {"replaced", "restarted"}:
                row.exchange_seconds.append(said["seconds"])
        await asyncio.sleep(1.0)
    load.halt()
    await running
    await service.settled()
    row.seconds = time.monotonic() - began
    return row


async def queued_through_a_kill(service: Running, count: int) -> Row:
    """Kill all edges while clients queue in front of them: nobody is turned away."""
    habits = [Habit("queued", clients=count)]
    load = SteadyLoad(service.ready["base_url"], service.keys[:1], habits)
    edges, began = service.edges(), time.monotonic()
    for edge in edges:
        os.kill(edge, signal.SIGSTOP)
    running = asyncio.create_task(load.run())
    while load.story.asked["queued"] < count:  # noqa: ASYNC110 - counted by the clients
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.3)
    load.halt()
    for edge in edges:
        os.kill(edge, signal.SIGKILL)
    await running
    await service.settled()
    return Row("kill -9, queue stays", len(edges), load.story, time.monotonic() - began)


async def one_round(service: Running, times: int) -> list[Row]:
    """Exchange every process so often under load, then kill the edges."""
    # Where a machine is so busy that this row fails, the others prove nothing about exchanges.
    rows = [await under_load(service, "nothing (control)", HABITS, seconds=CONTROL_SECONDS)]
    rows += [
        await under_load(service, f"restart {part}", HABITS, *[("restart", part)] * times)
        for part in ("core", "archiver", "edge")
    ]
    # Who needs core for each request waits for PostgreSQL; inside leases nobody does.
    inside = [habit for habit in HABITS if not habit.claims]
    service.keys = service.keys[:1]
    rows.append(
        await under_load(service, "restart postgres", inside, *[("restart", "postgres")] * times)
    )
    rows.append(await queued_through_a_kill(service, 40))
    return rows


async def long_streams(service: Running, times: int) -> list[Row]:
    """Exchange everything so often while streams run that outlast all of it."""
    commands = [("restart", "all")] * times
    calm = [replace(habit, pause_seconds=habit.pause_seconds + 1.0) for habit in HABITS]
    return [await under_load(service, "all, long streams", calm, *commands)]


def settled_books(service: Running, answered: Sequence[str]) -> dict[str, int]:
    """Return the books once every answered request has its record, or as they are after 60 s."""
    books = service.books(answered)
    deadline = time.monotonic() + 60
    while books["found"] < len(answered) and time.monotonic() < deadline:
        time.sleep(0.2)
        books = service.books(answered)
    return books


def main() -> int:
    """Run the rounds on a service of its own; 0 if nothing failed and the books are right."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--times", type=int, default=3, help="restarts of each part in a round")
    parser.add_argument(
        "--stream-seconds",
        type=float,
        help="instead of rounds: streams of this length, all processes exchanged while they run",
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="oneapi-rolling-") as folder:
        length = options.stream_seconds or STREAM_SECONDS
        window = str(int(length + SPARE_SECONDS))
        service = Running(Path(folder), stream_seconds=length, RETIRE_SECONDS=window)
        try:
            rows = []
            say(HEAD)
            work = long_streams if options.stream_seconds else one_round
            for _ in range(options.rounds):
                for row in asyncio.run(work(service, options.times)):
                    say(row.line())
                    rows.append(row)
            answered = [one for row in rows for one in row.story.request_ids if one]
            books = settled_books(service, answered)
            proof = subprocess_json(service, "audit", "verify")
        finally:
            service.up.stop()
    say(json.dumps({"requests": len(answered), **books, "audit_ok": proof["ok"]}))
    for row in rows:
        for failure in row.story.failures[:20]:
            say(f"{row.what}: {failure}")
    return 0 if all(row.held for row in rows) and right(books, len(answered), proof) else 1


def right(books: dict[str, int], answered: int, proof: dict[str, Any]) -> bool:
    """Say whether each request has its record and every sum agrees."""
    return (
        books["found"] == answered
        and books["charges"] == books["revenue"] == books["drop"] > 0
        and books["all_entries"] == books["alarms"] == 0
        and bool(proof["ok"])
    )


def subprocess_json(service: Running, *words: str) -> dict[str, Any]:
    """Run a command that prints one JSON object."""
    done = subprocess.run(
        [*_COMMAND, *words, "--json"],
        cwd=PROJECT,
        env=service.environment,
        capture_output=True,
        timeout=120,
        check=False,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
