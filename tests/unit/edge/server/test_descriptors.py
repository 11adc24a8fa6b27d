"""Descriptors: a worker that has few refuses clients before it lacks any for itself."""

from __future__ import annotations

import resource
from collections.abc import Iterator

import pytest

from edge.server.descriptors import OWN_DESCRIPTORS, raise_limit, shares
from edge.server.front import FrontLimits


@pytest.fixture
def limits() -> Iterator[tuple[int, int]]:
    """Give this process's limits, and put them back."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield before
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize("descriptors", [64, 300, 1_024, 4_096, 20_000, 1_048_576])
def test_all_together_never_exceed_what_is_there(descriptors: int) -> None:
    """Clients get at least twice what upstreams get where it is scarce."""
    share = shares(descriptors, 2_000)
    assert share.clients + share.upstreams <= max(3, descriptors - OWN_DESCRIPTORS)
    assert 1 <= share.upstreams <= 2_000
    assert 2 <= share.clients <= FrontLimits().max_connections


def test_plenty_is_not_more_than_the_front_takes() -> None:
    """The bound of the front holds whatever the system allows."""
    assert shares(1_048_576, 2_000) == (FrontLimits().max_connections, 2_000)


def test_the_soft_limit_is_raised_to_the_hard_one(limits: tuple[int, int]) -> None:
    """Systems start programs with 1,024."""
    _, hard = limits
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, hard))
    assert raise_limit() == resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 512
