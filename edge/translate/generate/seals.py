"""Reasoning of another API's making, kept by Google's clients in `thoughtSignature`.

They give the signatures of thoughts back unchanged, as bytes: so what another maker wants back
travels there, marked with its maker (as in `responses/sealed.py`). It goes back to that API only;
Google would refuse it as a signature of its own.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any, Final

from edge.translate.neutral.conversation import Maker
from edge.translate.responses.sealed import Kind, Sealed, opened, seal
from oneapi.common.v1.endpoint_pb2 import Endpoint

MAKERS: Final = (
    (Endpoint.ENDPOINT_CHAT_COMPLETIONS, Maker.CHAT),
    (Endpoint.ENDPOINT_MESSAGES, Maker.ANTHROPIC),
    (Endpoint.ENDPOINT_RESPONSES, Maker.RESPONSES),
)
"""Whose reasoning an answer has, by what the candidate serves: in the order of preference."""
_MARK: Final = "MWFwaS"
"""How every seal begins in base64."""


def maker_of(serves: frozenset[int]) -> Maker:
    """Return whose reasoning comes from a candidate that serves these endpoints."""
    return next((maker for endpoint, maker in MAKERS if endpoint in serves), Maker.GOOGLE)


def sealed_signature(maker: Maker, kind: Kind, payload: str) -> str:
    """Return what stands as the signature of thoughts that are not Google's."""
    return base64.b64encode(seal(maker, kind, payload).encode()).decode()


def opened_signature(signature: str | None) -> Sealed | None:
    """Return what a signature says that is one of ours; None if it is Google's."""
    if signature is None or not signature.startswith(_MARK):
        return None
    padded = signature.rstrip("=") + "=" * (-len(signature.rstrip("=")) % 4)
    try:
        text = base64.b64decode(padded.translate({ord("-"): "+", ord("_"): "/"})).decode()
    except (binascii.Error, ValueError):
        return None
    return opened(text)


def is_foreign(part: Mapping[str, Any]) -> bool:
    """Say whether a part is the seal of reasoning that Google did not make."""
    signature = part.get("thoughtSignature")
    return isinstance(signature, str) and opened_signature(signature) is not None


def without_foreign(contents: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return contents without such parts, and without what then is empty."""
    if not any(is_foreign(part) for content in contents for part in content.get("parts") or ()):
        return contents
    kept = []
    for content in contents:
        parts = [part for part in content.get("parts") or () if not is_foreign(part)]
        if parts or not content.get("parts"):
            kept.append({**content, "parts": parts})
    return kept
