"""What the Python programs share: a line `case<TAB>ok` or `case<TAB>what went wrong` for each case.

A program runs in an environment of its own, where this project's packages are not installed. It
finds the service in CLIENT_ORIGIN and CLIENT_KEY, and the models of its cases in CLIENT_MODELS.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable
from importlib.metadata import version

ORIGIN = os.environ["CLIENT_ORIGIN"]
KEY = os.environ["CLIENT_KEY"]
MODELS: dict[str, str] = json.loads(os.environ["CLIENT_MODELS"])
QUESTION = "Name a thing that is blue."
SYSTEM = "Answer in one sentence."
OUTPUT_TOKENS = 4_000
PIXEL_BASE64 = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8"
    "BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
)
PIXEL = f"data:image/png;base64,{PIXEL_BASE64}"
TIDE_PARAMETERS = {
    "type": "object",
    "properties": {"harbor": {"type": "string"}, "unit": {"type": "string", "enum": ["m", "ft"]}},
    "required": ["harbor", "unit"],
    "additionalProperties": False,
}
HARBOR = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "depth_m": {"type": "integer"}},
    "required": ["name", "depth_m"],
    "additionalProperties": False,
}


def called_well(name: str, arguments: object) -> None:
    """Check a tool call's name and arguments."""
    assert name == "tide_height"
    assert isinstance(arguments, dict)
    assert arguments.keys() == {"harbor", "unit"}
    assert arguments["unit"] in {"m", "ft"}


def run(package: str, *cases: Callable[[], str | None]) -> None:
    """Run every case; one that fails does not stop the others. A text that it returns is shown."""
    for case in cases:
        detail = None
        try:
            detail = case()
            told = "ok"
        except BaseException as error:  # noqa: BLE001  whatever the client raises is the finding
            told = f"{type(error).__name__} at {_place(error)}"
            if os.environ.get("CLIENT_TRACES"):
                traceback.print_exc()
        sys.stdout.write(f"{case.__name__}\t{told}\n")
        if detail:
            sys.stdout.write(f"{case.__name__}_seen\t{detail}\n")
        sys.stdout.flush()
    sys.stdout.write(f"version\t{version(package)}\n")
    sys.stdout.flush()
    # Some libraries leave threads behind that would wait for the endless stream.
    os._exit(0)


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    own = [one for one in frames if "programs" in one.filename and "cases.py" not in one.filename]
    return f"line {own[-1].lineno}" if own else "no line of ours"


def seen(error: BaseException) -> str:
    """Say how a client shows an error: its class, and our code where it has that."""
    body = getattr(error, "body", None) or getattr(error, "details", None)
    said = f"{getattr(error, 'code', '')} {body or ''} {error.__cause__ or ''} {error}"
    name = type(error).__name__
    return f"`{name}` with our words" if "upstream" in said else f"`{name}`"


def raises(kind: type[BaseException], action: Callable[[], object]) -> BaseException:
    """Return the error that an action must raise."""
    try:
        action()
    except kind as error:
        return error
    raise AssertionError("no error")
