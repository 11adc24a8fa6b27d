"""A core double on loopback, and a channel to it as the edge opens it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import grpc
import pytest

from kit.rpc.client import open_channel
from tests.integration.edge.metering.core_double import CoreDouble, RunningCore


@pytest.fixture
async def core() -> AsyncIterator[RunningCore]:
    """Give a running core double."""
    running = await RunningCore.start(CoreDouble())
    yield running
    await running.stop()


@pytest.fixture
async def channel(core: RunningCore) -> AsyncIterator[grpc.aio.Channel]:
    """Give a channel to the core double."""
    opened = open_channel(f"127.0.0.1:{core.port}", "token")
    yield opened
    await opened.close()
