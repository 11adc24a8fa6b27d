"""The payment provider of the dev profile: a simulated account, where no real one is set."""

from __future__ import annotations

import importlib.util
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from core.up.settings import HOST, UpSettings

MODULE: Final = "tools.stripe_sim"
NAME: Final = "stripe"
KEY_VARIABLE: Final = "STRIPE_SIM_API_KEY"
SECRETS_VARIABLE: Final = "STRIPE_SIM_WEBHOOK_SECRETS"
"""As `tools.stripe_sim` reads them, which is no part of what is installed."""


@dataclass(frozen=True, slots=True)
class Simulator:
    """Where the simulated account listens, and what it and core know of each other."""

    port: int
    edge_port: int
    state: Path
    key: str
    secret: str
    test_clock: Path | None = None

    @property
    def url(self) -> str:
        """Return where its API and its pages are."""
        return f"http://{HOST}:{self.port}"

    @property
    def arguments(self) -> tuple[str, ...]:
        """Return the module and what everybody may see that it is told."""
        clock = () if self.test_clock is None else ("--test-clock", str(self.test_clock))
        return (
            MODULE,
            *("--port", str(self.port)),
            *("--webhook-url", f"http://{HOST}:{self.edge_port}/webhooks/stripe"),
            *("--state", str(self.state)),
            *clock,
        )

    @property
    def secrets(self) -> Mapping[str, str]:
        """Return what else it is told: in its environment, which only its owner can read."""
        return {KEY_VARIABLE: self.key, SECRETS_VARIABLE: self.secret}

    @property
    def variables(self) -> Mapping[str, str]:
        """Return what core is told of it."""
        return {
            "ONEAPI_STRIPE_KEY": self.key,
            "ONEAPI_STRIPE_WEBHOOK_SECRETS": self.secret,
            "ONEAPI_STRIPE_BASE_URL": self.url,
        }


def simulator_of(settings: UpSettings, port: int, edge_port: int) -> Simulator | None:
    """Return the simulated account of this run; None where a real one is set, or none is there.

    Its key and secret are of this run only: what it holds outlives it, who may ask does not.
    """
    if not settings.stripe_simulator or settings.stripe_key.get_secret_value():
        return None
    if importlib.util.find_spec(MODULE) is None:
        return None
    return Simulator(
        port=port,
        edge_port=edge_port,
        state=settings.root / "stripe" / "account.json",
        key=f"sk_test_{secrets.token_hex(16)}",
        secret=f"whsec_{secrets.token_hex(16)}",
        test_clock=settings.test_clock,
    )
