"""Metrics of the archiver: served beside a replacement where ports are shared."""

from __future__ import annotations

import urllib.request
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from archiver.metrics import ArchiverMetrics, serve_metrics
from archiver.settings import ArchiverSettings
from tests.support.core_process import free_port


def settings(folder: Path, port: int, *, shares_port: bool) -> ArchiverSettings:
    """Of an archiver with metrics."""
    return ArchiverSettings(data_dir=folder, archiver_metrics_port=port, shares_port=shares_port)


def test_a_replacement_serves_metrics_beside_the_one_that_it_replaces(tmp_path: Path) -> None:
    """And alone once that one is gone."""
    registry = CollectorRegistry()
    ArchiverMetrics(registry).leading.set(1)
    shared = settings(tmp_path, free_port(), shares_port=True)
    first, second = (serve_metrics(registry, shared) for _ in range(2))
    try:
        first.shutdown()
        first.server_close()
        url = f"http://127.0.0.1:{shared.archiver_metrics_port}/metrics"
        with urllib.request.urlopen(url, timeout=5) as answer:
            assert b"oneapi_archive_leading 1.0" in answer.read()
    finally:
        second.shutdown()
        second.server_close()


def test_a_port_that_is_not_shared_is_had_once(tmp_path: Path) -> None:
    """Nobody takes half of another's looks by mistake."""
    alone = settings(tmp_path, free_port(), shares_port=False)
    server = serve_metrics(CollectorRegistry(), alone)
    try:
        with pytest.raises(OSError, match="in use"):
            serve_metrics(CollectorRegistry(), alone)
    finally:
        server.shutdown()
        server.server_close()
