"""What operators see of the archiver in numbers."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


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
