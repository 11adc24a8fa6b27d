"""Reasoning that another API made, kept by the client in `encrypted_content` until it returns.

Makers want their reasoning back unchanged (Anthropic's signatures, Google's thought signatures),
and a reasoning item has one member for what only its maker can read. So what crosses over is
marked there with its maker: it goes back to that API, and to no other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from edge.translate.neutral.conversation import Maker

Kind = Literal["signed", "redacted", "call"]
"""A signature of the item's text, encrypted reasoning without text, the signature of a call."""

_MARK: Final = "1api"
_MAKERS: Final = {maker.name.lower(): maker for maker in Maker}
_KINDS: Final[dict[str, Kind]] = {"signed": "signed", "redacted": "redacted", "call": "call"}


@dataclass(frozen=True, slots=True, repr=False)
class Sealed:
    """What a marked `encrypted_content` says."""

    maker: Maker
    kind: Kind
    payload: str


def seal(maker: Maker, kind: Kind, payload: str) -> str:
    """Return what the client keeps for the maker."""
    return f"{_MARK}.{maker.name.lower()}.{kind}.{payload}"


def opened(content: Any) -> Sealed | None:
    """Return what the client brought back; None if it was not marked by us."""
    if not isinstance(content, str) or not content.startswith(f"{_MARK}."):
        return None
    mark, _, rest = content.partition(".")
    name, _, rest = rest.partition(".")
    word, _, payload = rest.partition(".")
    maker, kind = _MAKERS.get(name), _KINDS.get(word)
    if mark != _MARK or maker is None or kind is None:
        return None
    return Sealed(maker, kind, payload)


def is_useless(item: Mapping[str, Any]) -> bool:
    """Say whether a reasoning item means nothing to a provider of responses.

    Another API made it; or it has no content: then it only names what a provider with a store
    would have, which answers that the item does not exist (OpenAI, `store: false`).
    """
    if item.get("type") != "reasoning":
        return False
    if not item.get("encrypted_content"):
        return not item.get("content")
    return opened(item["encrypted_content"]) is not None
