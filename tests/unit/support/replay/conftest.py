"""A running replay upstream and a client of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.replay.client import ReplayProcess


@pytest.fixture(scope="module")
def process() -> Iterator[ReplayProcess]:
    """Start one replay upstream on the project's own fixtures."""
    with ReplayProcess(recordings=Path("/nonexistent")) as started:
        yield started


@pytest.fixture
def replay(process: ReplayProcess) -> ReplayProcess:
    """Begin without faults and without memory."""
    process.reset()
    return process


@pytest.fixture
def client(replay: ReplayProcess) -> Iterator[httpx.Client]:
    """Talk to it without a proxy and never for long."""
    with httpx.Client(base_url=replay.base_url, timeout=10, trust_env=False) as opened:
        yield opened
