"""What the simulated payment provider of a run is told, and where."""

from __future__ import annotations

from pathlib import Path

from core.up.simulator import Simulator
from tools.stripe_sim.__main__ import KEY_VARIABLE, SECRETS_VARIABLE

KEY, SECRET = "sk_test_of_this_run", "whsec_of_this_run"


def test_its_key_and_secret_are_in_no_command_line() -> None:
    """Everybody on the machine can list processes; an environment is its owner's."""
    simulator = Simulator(4_100, 8_080, Path("/data/account.json"), KEY, SECRET)
    line = " ".join(simulator.arguments)
    assert KEY not in line
    assert SECRET not in line
    assert simulator.secrets == {KEY_VARIABLE: KEY, SECRETS_VARIABLE: SECRET}
    assert simulator.variables["ONEAPI_STRIPE_KEY"] == KEY
    assert simulator.variables["ONEAPI_STRIPE_WEBHOOK_SECRETS"] == SECRET
