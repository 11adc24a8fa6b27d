"""Metrics in the Prometheus text format. Labels are catalogue or enum words, never client text."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4


def new_registry() -> CollectorRegistry:
    """Return a registry of one process; no global one exists."""
    return CollectorRegistry(auto_describe=True)


def render(registry: CollectorRegistry) -> bytes:
    """Return the metrics of a registry as text."""
    return generate_latest(registry)
