"""Runs the machine for a number of steps with a seed."""

from __future__ import annotations

import secrets
import sys
from collections import Counter
from typing import ClassVar, Final

import hypothesis
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.simulation.machine import Machine
from tests.support.postgres import PostgresServer

STEPS_PER_STORY: Final = 50
"""A story begins with empty books; long enough for a lease to be opened, spent and expire."""


def simulate(
    machine: type[Machine], server: PostgresServer, template: str, *, steps: int, seed: int | None
) -> tuple[Counter[str], Counter[str]]:
    """Run stories of a machine until `steps` steps were made; return what was tried and what came.

    Raises:
        AssertionError: an invariant does not hold; the story that shows it is printed, with the
            seed that tells it again.
    """
    chosen = secrets.randbits(32) if seed is None else seed
    sys.stdout.write(f"seed {chosen}\n")
    sys.stdout.flush()

    class Story(machine):  # type: ignore[misc,valid-type]
        steps: ClassVar[Counter[str]] = Counter()
        effects: ClassVar[Counter[str]] = Counter()

    Story.server, Story.template = server, template
    rules = settings(
        max_examples=-(-steps // STEPS_PER_STORY),
        stateful_step_count=STEPS_PER_STORY,
        deadline=None,
        database=None,
        # A story is short enough to be read; to shrink one takes minutes and finds other faults.
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(hypothesis.seed(chosen)(Story), settings=rules)
    return Counter(Story.steps), Counter(Story.effects)
