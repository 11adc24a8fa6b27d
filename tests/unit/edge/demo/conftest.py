"""A running demo provider and a client of it."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.support.demo import DemoProcess


@pytest.fixture(scope="module")
def demo() -> Iterator[DemoProcess]:
    """Start one demo provider for the module."""
    with DemoProcess() as process:
        yield process


@pytest.fixture
def client(demo: DemoProcess) -> Iterator[httpx.Client]:
    """Talk to it without a proxy and never for long."""
    with httpx.Client(base_url=demo.origin, timeout=10, trust_env=False) as opened:
        yield opened
