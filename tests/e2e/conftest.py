"""The running service, for every end-to-end test of the session."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.support.replay.client import ReplayProcess
from tests.support.stack import Stack, stack

__all__ = ["stack"]


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
