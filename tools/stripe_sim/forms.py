"""Decodes the form encoding of Stripe's API v1: `line_items[0][price_data][currency]=usd`.

The result is a tree of texts. A list is a node whose keys are its positions, because only the
parameter's type says which of the two a node is.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import parse_qsl

BYTES_MAX: Final = 1 << 20
PAIRS_MAX: Final = 1_000
DEPTH_MAX: Final = 8
_KEY: Final = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")
_PART: Final = re.compile(r"\[([^\[\]]*)\]")


class FormIsBadError(ValueError):
    """A form that cannot be read; the sentence names no part of it."""

    def __init__(self, sentence: str) -> None:
        """Say what is wrong."""
        super().__init__(sentence)
        self.sentence = sentence


class Form(dict[str, "str | Form"]):
    """One node of the tree."""


def decode(text: bytes) -> Form:
    """Return the tree of a query string or a form body.

    Raises:
        FormIsBadError: too large or too deep, not UTF-8, a key that is no key, or a key that is
            both a value and a node.
    """
    if len(text) > BYTES_MAX:
        raise FormIsBadError("the form is too large")
    try:
        pairs = parse_qsl(
            text.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=PAIRS_MAX,
        )
    except ValueError:
        raise FormIsBadError("the form has too many fields or is not UTF-8") from None
    root = Form()
    for key, value in pairs:
        place(root, path_of(key), value)
    return root


def path_of(key: str) -> list[str]:
    """Return the steps of `a[b][]`: `a`, `b` and an empty one for the next position.

    Raises:
        FormIsBadError: brackets that do not close, no name before them, or too many.
    """
    match = _KEY.fullmatch(key)
    if match is None:
        raise FormIsBadError("a key of the form is malformed")
    path = [match.group(1), *_PART.findall(match.group(2))]
    if len(path) > DEPTH_MAX:
        raise FormIsBadError("a key of the form is too deep")
    return path


def place(root: Form, path: list[str], value: str) -> None:
    """Put a value into the tree; of two values of one key the last counts.

    Raises:
        FormIsBadError: the key is both a value and a node.
    """
    node = root
    for step in path[:-1]:
        child = node.setdefault(step or str(len(node)), Form())
        if isinstance(child, str):
            raise FormIsBadError("a key of the form is both a value and an object")
        node = child
    last = path[-1] or str(len(node))
    if isinstance(node.get(last), Form):
        raise FormIsBadError("a key of the form is both a value and an object")
    node[last] = value
