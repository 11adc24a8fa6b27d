"""Signed reasoning in chat completions: OpenRouter's `reasoning_details` and Google's signatures.

OpenAI's chat has no place for reasoning that must come back unchanged. These two are what clients
of compatible APIs already keep and send back: a list of details with the name of their format
(OpenRouter, "Preserving reasoning blocks"), and `extra_content.google.thought_signature` of a tool
call (Gemini API, OpenAI compatibility).
"""

from __future__ import annotations

from typing import Any, Final

from edge.translate import fields
from edge.translate.errors import UnsupportedValue
from edge.translate.neutral.conversation import Maker, Reasoning

TEXT: Final = "reasoning.text"
SUMMARY: Final = "reasoning.summary"
ENCRYPTED: Final = "reasoning.encrypted"
FORMATS: Final = {
    Maker.ANTHROPIC: "anthropic-claude-v1",
    Maker.GOOGLE: "google-gemini-v1",
    Maker.RESPONSES: "openai-responses-v1",
    Maker.CHAT: "unknown",
}
_MAKERS: Final = {name: maker for maker, name in FORMATS.items()}
_TEXTS: Final = ("text", "summary", "signature")
"""What comes in pieces."""


def text_detail(maker: Maker, text: str, *, summary: bool) -> dict[str, Any]:
    """Return a piece of reasoning that can be read."""
    kind, name = (SUMMARY, "summary") if summary else (TEXT, "text")
    return {"type": kind, name: text, "format": FORMATS[maker], "index": 0}


def signature_detail(maker: Maker, signature: str) -> dict[str, Any]:
    """Return the signature of the reasoning so far."""
    return {"type": TEXT, "signature": signature, "format": FORMATS[maker], "index": 0}


def encrypted_detail(maker: Maker, data: str) -> dict[str, Any]:
    """Return reasoning that only its maker can read."""
    return {"type": ENCRYPTED, "data": data, "format": FORMATS[maker], "index": 0}


def written(reasoning: Reasoning) -> list[dict[str, Any]]:
    """Return the details of earlier reasoning that has a signature or is encrypted, else none."""
    found = []
    if reasoning.signature is not None:
        detail = text_detail(reasoning.maker, reasoning.text, summary=False)
        found.append({**detail, "signature": reasoning.signature})
    if reasoning.redacted is not None:
        found.append(encrypted_detail(reasoning.maker, reasoning.redacted))
    return found if reasoning.id is None else [{**one, "id": reasoning.id} for one in found]


def call_extra(signature: str) -> dict[str, Any]:
    """Return what Google wants back with a tool call."""
    return {"google": {"thought_signature": signature}}


def signature_of(call: dict[str, Any]) -> str | None:
    """Return the signature with a tool call, None if there is none."""
    inside: Any = call
    for name in ("extra_content", "google", "thought_signature"):
        inside = inside.get(name) if isinstance(inside, dict) else None
    return inside if isinstance(inside, str) else None


def joined(details: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return details with the pieces of one block put together, as they arrive in a stream.

    A block ends with its signature, and where kind or format change.
    """
    blocks: list[dict[str, Any]] = []
    pieces: list[dict[str, list[str]]] = []
    is_open = False
    for one in details:
        if not is_open or not _goes_on(blocks[-1], one):
            blocks.append(dict(one))
            pieces.append({})
        for name in _TEXTS:
            if isinstance(one.get(name), str):
                pieces[-1].setdefault(name, []).append(one[name])
        is_open = one.get("type") != ENCRYPTED and not one.get("signature")
    for block, texts in zip(blocks, pieces, strict=True):
        block |= {name: "".join(found) for name, found in texts.items()}
    return blocks


def _goes_on(block: dict[str, Any], piece: dict[str, Any]) -> bool:
    """Say whether a piece belongs to the block before it; a signature belongs to any kind."""
    is_signature = bool(piece.get("signature")) and not piece.get("text")
    same_kind = block.get("type") == piece.get("type")
    return block.get("format") == piece.get("format") and (same_kind or is_signature)


def read(holder: dict[str, Any], path: str) -> list[Reasoning]:
    """Return the reasoning in a message's `reasoning_details`.

    Raises:
        InvalidRequest: a detail is not what this format has.
    """
    found: list[Reasoning] = []
    details = []
    for at, one in fields.mappings(holder, "reasoning_details", path):
        for name in ("type", *_TEXTS):
            fields.text(one, name, at)
        details.append(one)
    place = f"{path}.reasoning_details"
    for one in joined(details):
        maker = _MAKERS.get(fields.text(one, "format", place) or "", Maker.CHAT)
        identity = fields.text(one, "id", place)
        if one.get("type") == ENCRYPTED:
            data = fields.required_text(one, "data", place)
            last = found[-1] if found else None
            if last is not None and last.maker is maker is Maker.RESPONSES and not last.redacted:
                # There a summary and what is encrypted are one item.
                last.redacted = data
            else:
                found.append(Reasoning(place, maker, "", redacted=data, id=identity))
        elif one.get("type") in {TEXT, SUMMARY}:
            name = "text" if one["type"] == TEXT else "summary"
            text = fields.text(one, name, place) or ""
            signature = fields.text(one, "signature", place)
            found.append(Reasoning(place, maker, text, signature, id=identity))
        else:
            raise UnsupportedValue(place)
    return found
