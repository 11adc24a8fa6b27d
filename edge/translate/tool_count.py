"""How many tools a request may have, in every API for text."""

from __future__ import annotations

from collections.abc import Sized
from typing import Final

from edge.translate.errors import InvalidValue

MAX_TOOLS: Final = 2_048
"""In one list, and of their names in a choice: OpenAI takes 128 (create chat completion)."""


def check(found: Sized, path: str) -> None:
    """Check the length of a list of tools, or of their names.

    Raises:
        InvalidValue: there are too many.
    """
    if len(found) > MAX_TOOLS:
        raise InvalidValue(path)
