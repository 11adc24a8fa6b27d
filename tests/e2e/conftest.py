"""The running service, for every end-to-end test of the session."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.support.cluster import Cluster
from tests.support.replay.client import ReplayProcess
from tests.support.stack import STREAM, TEXT, Stack, catalogue_document, public_ids, stack

__all__ = ["stack"]

HARD_END_SECONDS = 5


@pytest.fixture(scope="session")
def cluster_replay() -> Iterator[ReplayProcess]:
    """Run the upstream of the cluster."""
    with ReplayProcess() as running:
        yield running


@pytest.fixture(scope="session")
def cluster(
    cluster_replay: ReplayProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """Run one edge behind a wire to core, with a hard end of requests that a test can wait for."""
    document = catalogue_document(cluster_replay.base_url)
    served = {public_ids()[TEXT], public_ids()[STREAM]}
    document["models"] = [one for one in document["models"] if one["public_id"] in served]
    names = {f"{one['name'].upper()}_API_KEY": "credential" for one in document["upstreams"]}
    with Cluster(
        tmp_path_factory.mktemp("cluster"),
        edge_count=1,
        edge_settings={"REQUEST_MAX_SECONDS": str(HARD_END_SECONDS)},
        provider_variables=names,
    ) as running:
        running.import_catalogue(document)
        yield running


@pytest.fixture
def replay(stack: Stack) -> ReplayProcess:
    """Give the upstream, without faults and without memories of another test."""
    stack.replay.reset()
    return stack.replay


@pytest.fixture
def client(stack: Stack, replay: ReplayProcess) -> Iterator[httpx.Client]:
    """Give a plain HTTP client with the example key, in front of an upstream without faults."""
    with stack.client() as found:
        yield found
