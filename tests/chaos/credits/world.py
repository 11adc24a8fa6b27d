"""Three edges, one or two cores, a provider that uses every hold whole, and wallets as needed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from core.ledger.model import Balance
from tests.support.bound_upstream import charge_of, hold_of, model_entry
from tests.support.cluster import Cluster
from tests.support.server_process import ServerProcess

WHOLE = "use-100-0010"
"""Uses its whole hold, at once."""
SLOW_WHOLE = "use-100-1500"
"""Uses its whole hold after 1.5 s."""
TENTH = "use-010-0040"
"""Uses a tenth of its hold."""
MORE = "use-150-0020"
"""Uses half as much again as its hold."""
MODELS = (WHOLE, SLOW_WHOLE, TENTH, MORE)
MAX_TOKENS = 100
LIFETIME_SECONDS = 600
REQUEST_MAX_SECONDS = 30
SILENCE_SECONDS = LIFETIME_SECONDS + REQUEST_MAX_SECONDS + 60 + 1
"""After so long without a sign of life a lease is closed."""


@dataclass(frozen=True, slots=True)
class Purse:
    """A workspace of its own with one key."""

    workspace_id: str
    key: str
    credit: int


@dataclass
class World:
    """The cluster and what the checks of this suite ask of it."""

    cluster: Cluster

    def purse(self, credit: int) -> Purse:
        """Make a workspace with so many nano-US-dollars."""
        workspace = self.cluster.empty_workspace()
        if credit:
            self.cluster.grant(credit, workspace)
        return Purse(workspace, self.cluster.make_key(workspace)[1], credit)

    def balance(self, purse: Purse) -> Balance:
        """Return what core has."""
        found = self.cluster.balance(purse.workspace_id)
        return Balance(
            total=found.total.amount_nanos,
            held=found.held.amount_nanos,
            available=found.available.amount_nanos,
            frozen=found.frozen.amount_nanos,
            debt=found.debt.amount_nanos,
        )

    def settled(self, purse: Purse, total: int, patience_seconds: float = 10.0) -> Balance:
        """Wait until the total is as expected, or no longer; return what there is."""
        deadline = time.monotonic() + patience_seconds
        while (now := self.balance(purse)).total != total and time.monotonic() < deadline:
            time.sleep(0.02)
        return now

    @property
    def ports(self) -> list[int]:
        """Return the edges' ports."""
        return [edge.port for edge in self.cluster.edges]


def body_of(model: str, *, stream: bool = False, max_tokens: int = MAX_TOKENS) -> bytes:
    """Return a chat request, written as the edge writes it again."""
    fields = {
        "model": model,
        "messages": [{"role": "user", "content": "Name a thing that is blue."}],
        "max_tokens": max_tokens,
    }
    if stream:
        fields |= {"stream": True, "stream_options": {"include_usage": True}}
    return json.dumps(fields, separators=(",", ":")).encode()


def hold(model: str, *, stream: bool = False, max_tokens: int = MAX_TOKENS) -> int:
    """Return the hold of such a request, in nano-US-dollars."""
    return hold_of(body_of(model, stream=stream, max_tokens=max_tokens), max_tokens)


def tenth(*, max_tokens: int = MAX_TOKENS) -> int:
    """Return what a request costs that uses a tenth of its hold."""
    return charge_of(body_of(TENTH, max_tokens=max_tokens), max_tokens, 10)


def terms(clock: Path) -> dict[str, str]:
    """Return the settings of edges and cores, which all read the clock's file."""
    clock.write_text("0")
    return {
        "TEST_CLOCK": str(clock),
        "DISCONNECTED_SECONDS": str(LIFETIME_SECONDS),
        "REQUEST_MAX_SECONDS": str(REQUEST_MAX_SECONDS),
    }


@contextmanager
def world(
    folder: Path, *, edges: int = 3, cores: int = 1, settings: Mapping[str, str]
) -> Iterator[World]:
    """Run the cluster with the provider."""
    with (
        ServerProcess("tests.support.bound_upstream") as upstream,
        Cluster(
            folder,
            edge_count=edges,
            core_count=cores,
            link="none",
            edge_settings=settings,
            core_settings=settings,
            provider_variables={"BOUND_API_KEY": "none", "BOUND_BASE_URL": upstream.base_url},
        ) as cluster,
    ):
        cluster.import_catalogue(
            {
                "format": 1,
                "upstreams": [{"name": "bound", "base_url": upstream.base_url}],
                "models": [model_entry(name) for name in MODELS],
            }
        )
        yield World(cluster)
