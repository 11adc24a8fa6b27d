"""The last proof as a metric: a file in Prometheus' text format, for a node's textfile collector.

Core has no HTTP port. The file is `<data dir>/metrics/proof.prom`, replaced whole.
"""

from __future__ import annotations

import json
from pathlib import Path

from prometheus_client import Gauge

from core.proofs.report_store import Report
from kit.clock import to_micros
from kit.files import private_folder, write_private
from kit.telemetry import new_registry, render


def write_metrics(path: Path, report: Report) -> None:
    """Write what the last proof found.

    Raises:
        OSError: the file cannot be written.
    """
    registry = new_registry()
    total = Gauge("oneapi_proof_findings", "What did not add up.", registry=registry)
    total.set(report.findings)
    by_check = Gauge("oneapi_proof_check_findings", "By check.", ["check"], registry=registry)
    for check, count in json.loads(report.content)["findings"].items():
        by_check.labels(check).set(int(count))
    finished = Gauge(
        "oneapi_proof_finished_timestamp_seconds", "When it was done.", registry=registry
    )
    finished.set(to_micros(report.finished_at) // 1_000_000)
    private_folder(path.parent)
    write_private(path, render(registry))
