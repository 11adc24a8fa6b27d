"""What operators see of the archiver in numbers."""

from __future__ import annotations

import threading
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, make_wsgi_app

from archiver.settings import ArchiverSettings


class ArchiverMetrics:
    """The archiver's metrics; labels are words of ours."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register them."""
        self.steps = Histogram(
            "oneapi_archive_step_seconds",
            "How long a step of a month took.",
            ["step"],
            buckets=(0.1, 1, 10, 60, 300, 1_800, 7_200),
            registry=registry,
        )
        self.failures = Counter(
            "oneapi_archive_step_failures",
            "Steps that failed and will be repeated.",
            ["step"],
            registry=registry,
        )
        self.rows = Counter(
            "oneapi_archive_rows", "Rows that were exported and verified.", registry=registry
        )
        self.months = Gauge(
            "oneapi_archive_months", "Months by their state.", ["state"], registry=registry
        )
        self.overdue = Gauge(
            "oneapi_archive_overdue_seconds",
            "How long the oldest step has been due.",
            registry=registry,
        )
        self.leading = Gauge(
            "oneapi_archive_leading", "Whether this archiver has the lease.", registry=registry
        )


class _Server(ThreadingMixIn, WSGIServer):
    """One thread for each look, none of which keeps the process."""

    daemon_threads = True


class _SharingServer(_Server):
    allow_reuse_port = True


class _Silent(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Write nothing: a line of a request is text of others."""


def serve_metrics(registry: CollectorRegistry, settings: ArchiverSettings) -> WSGIServer:
    """Serve the metrics on the loopback interface, in a thread of its own.

    Where ports are shared, a replacement serves beside us while it takes our place.

    Raises:
        OSError: the address cannot be bound.
    """
    kind = _SharingServer if settings.shares_port else _Server
    app = make_wsgi_app(registry)
    port = settings.archiver_metrics_port
    server = make_server("127.0.0.1", port, app, server_class=kind, handler_class=_Silent)
    threading.Thread(target=server.serve_forever, daemon=True, name="metrics").start()
    return server
