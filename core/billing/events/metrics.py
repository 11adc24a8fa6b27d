"""The last comparison as a metric: a file in Prometheus' text format, for a textfile collector."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from prometheus_client import Gauge

from core.billing.events.movements import Comparison
from kit.files import private_folder, write_private
from kit.money import NANOS_PER_CENT
from kit.telemetry import new_registry, render

NAME: Final = "stripe.prom"


def write_metrics(folder: Path, found: Comparison) -> None:
    """Write both sides and what is between them, in cents of US dollars.

    Raises:
        OSError: the file cannot be written.
    """
    registry = new_registry()
    sides = {
        "oneapi_stripe_clearing_cents": (
            "What the provider owes us by the ledger.",
            found.clearing,
        ),
        "oneapi_stripe_balance_cents": ("What the provider says that it owes us.", found.balance),
        "oneapi_stripe_difference_cents": ("The balance minus clearing.", found.difference),
    }
    for name, (meaning, nanos) in sides.items():
        Gauge(name, meaning, registry=registry).set(nanos // NANOS_PER_CENT)
    private_folder(folder)
    write_private(folder / NAME, render(registry))
