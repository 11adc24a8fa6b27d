"""`1api doctor`: what is wrong with this installation, and how to mend it.

Each process contributes its checks by the entry-point group `oneapi.doctor`, as commands do. They
look and change nothing; they work while the services are down, and say so. No finding holds a
secret: what is found are numbers, names, paths and states.
"""

from __future__ import annotations

import enum
import os
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Final

import click
from pydantic import ValidationError

from kit.cli import CommandSource, Exit, output, wants_json
from kit.clock import Clock, SystemClock
from kit.settings import ProcessSettings, read_or_default, wrong_variables

GROUP: Final = "oneapi.doctor"
_COLUMNS: Final = ("check", "verdict", "found", "mend")


class Verdict(enum.StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found, and how to mend it where it is not right."""

    check: str
    verdict: Verdict
    found: str
    mend: str = ""


def fine(check: str, found: str) -> Finding:
    """Return a finding that nothing is wrong."""
    return Finding(check, Verdict.OK, found)


def warning(check: str, found: str, mend: str) -> Finding:
    """Return a finding that somebody should look at."""
    return Finding(check, Verdict.WARNING, found, mend)


def problem(check: str, found: str, mend: str) -> Finding:
    """Return a finding that must be mended."""
    return Finding(check, Verdict.PROBLEM, found, mend)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What checks look at."""

    settings: ProcessSettings
    environment: Mapping[str, str] = field(repr=False)
    ready: Mapping[str, Any] = field(repr=False)
    """What `1api up` wrote when everything served; empty while it is down."""
    known_variables: frozenset[str] = frozenset()
    clock: Clock = field(default_factory=SystemClock)

    @property
    def data_dir(self) -> Path:
        """Return the data directory."""
        return self.settings.data_dir

    def target(self, name: str) -> str:
        """Return an address such as `core_target`: the environment's, else that of this run."""
        given = getattr(self.settings, name)
        return str(given if name in self.settings.model_fields_set else self.ready.get(name, given))


Check = Callable[[Surroundings], Iterable[Finding]]


@dataclass(frozen=True, slots=True)
class Practice:
    """What one process knows to look at, and the settings that it reads."""

    checks: tuple[Check, ...]
    settings: tuple[type[ProcessSettings], ...] = ()


@click.command
@click.pass_context
def doctor(context: click.Context) -> None:
    """Look for what is wrong with this installation. Exit code 1 if anything must be mended."""
    findings = examine(load_practices(entry_points(group=GROUP)), os.environ)
    is_well = all(one.verdict is not Verdict.PROBLEM for one in findings)
    rows = [{name: str(getattr(one, name)) for name in _COLUMNS} for one in findings]
    if wants_json(context):
        output(context, {"ok": is_well, "findings": rows})
    else:
        output(context, rows, table=_COLUMNS)
    if not is_well:
        context.exit(int(Exit.FAILED))


def load_practices(sources: Iterable[CommandSource]) -> list[Practice | Finding]:
    """Return what each installed process knows to look at; a broken one is a finding itself."""
    found: list[Practice | Finding] = []
    for source in sources:
        try:
            found.append(source.load())
        except Exception as error:  # noqa: BLE001 - one broken process must not hide the rest
            found.append(
                warning(
                    source.name,
                    f"its checks cannot be loaded ({type(error).__name__})",
                    f"Install the extra `{source.name}`, or leave it out on this machine.",
                )
            )
    return found


def examine(
    practices: Iterable[Practice | Finding], environment: Mapping[str, str]
) -> list[Finding]:
    """Run all checks; one that fails itself is a problem and hides no other."""
    from kit.cli_link import read_ready  # noqa: PLC0415 - commands start quickly
    from kit.doctor_machine import MACHINE  # noqa: PLC0415

    every = [MACHINE, *practices]
    settings = read_or_default(ProcessSettings)
    surroundings = Surroundings(
        settings, environment, read_ready(settings.data_dir), _known_variables(every)
    )
    found = list(_wrong_settings(every))
    for one in every:
        if isinstance(one, Finding):
            found.append(one)
        else:
            for check in one.checks:
                found += _guarded(check, surroundings)
    return found


def _wrong_settings(practices: Iterable[Practice | Finding]) -> Iterator[Finding]:
    """Name the variables that a process would refuse; what one of them lacks is its own matter."""
    wrong: set[str] = set()
    kinds: set[type[ProcessSettings]] = {ProcessSettings}
    kinds.update(*(one.settings for one in practices if isinstance(one, Practice)))
    for kind in kinds:
        try:
            kind()
        except ValidationError as mistake:
            wrong.update(wrong_variables(mistake, with_missing=False))
    if wrong:
        mend = "Correct or unset them: processes that read them do not start."
        yield problem("settings", f"wrong: {', '.join(sorted(wrong))}", mend)


def _guarded(check: Check, surroundings: Surroundings) -> list[Finding]:
    try:
        return list(check(surroundings))
    except Exception as error:  # noqa: BLE001 - its text could hold anything
        frame = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(frame.filename).name}:{frame.lineno}"
        name = getattr(check, "__name__", "check")
        mend = "Look at what it looks at by hand, and report the fault."
        return [problem(name, f"the check itself failed: {type(error).__name__} at {place}", mend)]


def _known_variables(practices: Iterable[Practice | Finding]) -> frozenset[str]:
    names = set()
    for one in practices:
        for settings in one.settings if isinstance(one, Practice) else ():
            prefix = settings.model_config.get("env_prefix", "")
            names |= {
                f"{prefix}{name}".upper()
                for name, one in settings.model_fields.items()
                # One with a name of its own, such as DATABASE_URL, is not read by ours.
                if one.validation_alias is None
            }
    return frozenset(names)
