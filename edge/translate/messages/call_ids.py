"""Ids of tool calls that carry a signature: what a maker wants back with its call.

Google's models want the signature of a call together with its result, and this API has no field for
it. Clients return ids unchanged, so it travels in the id, in its alphabet (`^[a-zA-Z0-9_-]+$`).
"""

from __future__ import annotations

import re
from typing import Final

_MARK: Final = "__signed__"
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_TO_ID: Final = str.maketrans({"+": "-", "/": "_", "=": None})
_FROM_ID: Final = str.maketrans({"-": "+", "_": "/"})
_FOREIGN = re.compile(r"[^a-zA-Z0-9_-]")


def signed(id: str, signature: str | None) -> str:
    """Return the id with its call's signature, which is base64 text."""
    if not signature or not _BASE64.fullmatch(signature):
        return id
    return id + _MARK + signature.translate(_TO_ID)


def split(id: str) -> tuple[str, str | None]:
    """Return the id as its maker gave it, and the signature, if it carries one."""
    plain, mark, tail = id.partition(_MARK)
    if not mark or not plain or not tail:
        return id, None
    signature = tail.translate(_FROM_ID)
    return plain, signature + "=" * (-len(signature) % 4)


def in_alphabet(id: str) -> str:
    """Return the id of another API's call in the alphabet of this one."""
    return _FOREIGN.sub("_", id) or "_"
