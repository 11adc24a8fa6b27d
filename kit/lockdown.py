"""What every process of ours does before anything else, so that nothing slips out of it (P1).

Its memory is in no core dump and in no reach of other programs of the same user. Where Python would
write an exception's or a warning's text by itself, its type and place are logged instead.
"""

from __future__ import annotations

import asyncio
import re
import resource
import sys
import threading
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TextIO

from kit.log import EventLog, silence_libraries
from kit.process_entry import kernel_call

_PR_SET_DUMPABLE: Final = 4
# Each makes a library or the interpreter write what passes through it, or the keys to read it.
_TELLTALE: Final = re.compile(
    r"GRPC_TRACE|SSLKEYLOGFILE|OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
    r"|PYTHON(ASYNCIODEBUG|DEVMODE|FAULTHANDLER|INSPECT|TRACEMALLOC)"
)
_VERBOSE_GRPC: Final = frozenset({"DEBUG", "INFO"})


def lock_down(log: EventLog) -> None:
    """Silence libraries and interpreter, and forbid dumps of this process's memory."""
    silence_libraries()
    _forbid_dumps()
    _tell_types_only(log)


def telltales(variables: Mapping[str, str]) -> list[str]:
    """Return the environment variables under which content could leave a process."""
    found = [name for name, value in variables.items() if value and _TELLTALE.fullmatch(name)]
    if variables.get("GRPC_VERBOSITY", "").upper() in _VERBOSE_GRPC:
        found.append("GRPC_VERBOSITY")
    return sorted(found)


def refuses_to_start(log: EventLog, variables: Mapping[str, str], profile: str) -> bool:
    """Say, and log, whether this profile must not run in this environment."""
    found = telltales(variables) if profile == "production" else []
    for name in found:
        log.event("environment_refused", variable=name)
    return bool(found)


def loop_faults(log: EventLog) -> Callable[[asyncio.AbstractEventLoop, dict[str, Any]], None]:
    """Return the handler of what nobody awaits: it tells an exception's type and place."""

    def handle(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        _fault(log, "loop_fault", context.get("exception"))

    return handle


def _forbid_dumps() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        kernel_call("prctl", _PR_SET_DUMPABLE, 0)


def _tell_types_only(log: EventLog) -> None:
    sys.excepthook = lambda _kind, error, _trace: _fault(log, "process_fault", error)
    threading.excepthook = lambda told: _fault(log, "thread_fault", told.exc_value)
    sys.unraisablehook = lambda told: _fault(log, "unraisable_fault", told.exc_value)

    def show(
        message: Warning | str,  # noqa: ARG001  it may show the value that it warns of
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,  # noqa: ARG001
        line: str | None = None,  # noqa: ARG001
    ) -> None:
        place = f"{Path(filename).name}:{lineno}"
        log.event("warning", category=category.__name__, at=place)

    warnings.showwarning = show


def _fault(log: EventLog, name: str, error: BaseException | None) -> None:
    if error is None:
        log.event(name)
    else:
        log.fault(name, error)
