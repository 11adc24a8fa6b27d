"""One line on the terminal per event: for people, or as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Final

_NAME_WIDTH: Final = 10


class Reporter:
    """Says what happens to whom. No secret comes here but the example key in the curl line."""

    def __init__(self, write: Callable[[str], None], *, as_json: bool) -> None:
        """Write lines with `write`."""
        self._write = write
        self._as_json = as_json

    def say(self, who: str, event: str, text: str, **fields: str | float) -> None:
        """Report one event: `text` for people, `event` and the fields for programs."""
        if self._as_json:
            self._write(json.dumps({"event": event, "who": who, **fields}))
        else:
            self._write(f"{who:<{_NAME_WIDTH}} {text}")
