"""`python -m tests.leaktest.faulty edge --slot 0`: a process of ours that fails where it is told.

The process is the product's own, unchanged but for its functions: each asks a shared page before it
runs whether it is the one that shall raise. What it raises quotes its arguments, as the exceptions
of careless code and of libraries do, and a canary. The page also notes which functions ran.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import json
import mmap
import os
import pkgutil
import runpy
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from tests.leaktest.canaries import Kind

POINTS_MAX = 16_384
PAGE_BYTES = 8 + POINTS_MAX
PAGE = "LEAKTEST_PAGE"
MARK = "LEAKTEST_MARK"
_PARTS = {
    "edge": (
        *("api", "admission", "translate", "upstream", "metering", "server", "core_link"),
        "webhooks",
    ),
    "core": (
        *("admission", "metering", "keys", "catalog", "ledger", "feed", "db", "accounts"),
        *("billing", "proofs"),
    ),
}
_LEFT_ALONE = frozenset({"core.db.migrations", "edge.demo"})
_order = struct.Struct("<II")


class Page:
    """The shared page: which point shall fail, with an OSError's number or 0, and which ran."""

    def __init__(self, path: Path) -> None:
        """Map the page, making it if it is not there."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        os.ftruncate(descriptor, PAGE_BYTES)
        self._map = mmap.mmap(descriptor, PAGE_BYTES)
        os.close(descriptor)
        self.names = path.with_suffix(".names")

    def fail_at(self, point: int, number: int = 0) -> None:
        """Order a point to fail; -1: none."""
        _order.pack_into(self._map, 0, point + 1, number)

    def order(self) -> tuple[int, int]:
        """Return the point that shall fail and how."""
        point, number = _order.unpack_from(self._map)
        return point - 1, number

    def note(self, point: int) -> None:
        """Note that a point ran."""
        self._map[8 + point] = 1

    def points(self) -> list[str]:
        """Return all points' names."""
        found: list[str] = json.loads(self.names.read_text())
        return found

    def ran(self) -> list[int]:
        """Return the points that ran."""
        return [point for point in range(len(self.points())) if self._map[8 + point]]


class Faults:
    """Wraps the functions of a process."""

    def __init__(self, page: Page, kind: Kind) -> None:
        self._page = page
        self._kind = kind
        self.names: list[str] = []
        self.wrapped: dict[int, Callable[..., Any]] = {}

    def wrap(self, name: str, function: FunctionType) -> Callable[..., Any]:
        """Return a function that may fail instead, and otherwise is the given one."""
        point = len(self.names)
        self.names.append(name)

        def check(given: object) -> None:
            self._page.note(point)
            ordered, number = self._page.order()
            if ordered == point:
                text = f"{self._kind.canary(point)} {given!r}"
                raise OSError(number, text, text) if number else ValueError(text)

        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def later(*given: Any, **named: Any) -> Any:
                check((given, named))
                return await function(*given, **named)

            wrapped: Callable[..., Any] = later
        else:

            @functools.wraps(function)
            def at_once(*given: Any, **named: Any) -> Any:
                check((given, named))
                return function(*given, **named)

            wrapped = at_once
        self.wrapped[id(function)] = wrapped
        return wrapped

    def wrap_module(self, module: ModuleType) -> None:
        """Wrap what a module defines."""
        for name, value in list(vars(module).items()):
            if getattr(value, "__module__", None) != module.__name__:
                continue
            if isinstance(value, FunctionType):
                setattr(module, name, self.wrap(f"{module.__name__}.{name}", value))
            elif inspect.isclass(value):
                self._wrap_class(module, value)

    def _wrap_class(self, module: ModuleType, kind: type) -> None:
        for name, value in list(vars(kind).items()):
            if isinstance(value, FunctionType) and _is_own_method(kind, name, value):
                wrapped = self.wrap(f"{module.__name__}.{kind.__name__}.{name}", value)
                setattr(kind, name, wrapped)

    def replace_in(self, module: ModuleType) -> None:
        """Put wrapped functions where a module has imported them by name."""
        for name, value in list(vars(module).items()):
            if id(value) in self.wrapped and isinstance(value, FunctionType):
                setattr(module, name, self.wrapped[id(value)])


def _is_own_method(kind: type, name: str, function: FunctionType) -> bool:
    """Leave out what Python makes for dataclasses, and the special methods."""
    is_special = name.startswith("__") and name != "__call__"
    return not is_special and function.__qualname__.startswith(f"{kind.__name__}.")


def _modules(process: str) -> list[ModuleType]:
    package = importlib.import_module(process)
    importlib.import_module(f"{process}.app")
    found = []
    for part in pkgutil.walk_packages(package.__path__, f"{process}."):
        chosen = part.name.split(".")[1] in _PARTS[process]
        if chosen and not part.ispkg and not part.name.startswith(tuple(_LEFT_ALONE)):
            found.append(importlib.import_module(part.name))
    return found


def main() -> None:
    """Wrap, then be the process."""
    process, *arguments = sys.argv[1:]
    page = Page(Path(os.environ[PAGE]))
    faults = Faults(page, Kind("exception", os.environ[MARK]))
    originals = []
    for module in _modules(process):
        faults.wrap_module(module)
        originals.append(module)
    for module in [*originals, sys.modules[f"{process}.app"]]:
        faults.replace_in(module)
    page.names.write_text(json.dumps(faults.names))
    sys.argv = [process, *arguments]
    runpy.run_module(process, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
