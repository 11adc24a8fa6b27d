"""Paths of OpenAI's API that no model serves here: they answer `endpoint_not_available`.

An SDK that calls one gets an error that says so, not one that looks like a typing error in the base
URL. Everything here keeps something for later, or belongs to an account at OpenAI: we keep nothing.
Source: OpenAI's specification 2.3.0, `paths`.
"""

from __future__ import annotations

from typing import Final

from edge.api.routes import PREFIXES

_FAMILIES: Final = frozenset(
    {
        *("assistants", "batches", "chatkit", "containers", "content_provenance_checks"),
        *("conversations", "evals", "files", "fine_tuning", "organization", "projects"),
        *("realtime", "skills", "threads", "uploads", "vector_stores", "videos"),
    }
)
"""First segments all of whose paths are meant."""
_BRANCHES: Final = (
    "/audio/translations",
    "/audio/voice_consents",
    "/audio/voices",
    "/chat/completions/",
    "/images/variations",
    "/responses/",
)
"""Beginnings of paths beside those that are served."""
_OTHER_METHODS: Final = frozenset({("GET", "/chat/completions")})
"""Methods of served paths: the list of stored chats."""
_MODELS: Final = "/models/"
"""A fine-tuned model may be deleted at OpenAI: `DELETE /models/{model}`."""


def is_not_offered(method: str, path: str) -> bool:
    """Say whether a request that nothing serves is for a known part of the API."""
    for prefix in PREFIXES:
        if path.startswith(f"{prefix}/"):
            return _is_known(method, path.removeprefix(prefix))
    return False


def _is_known(method: str, path: str) -> bool:
    family = path[1:].partition("/")[0]
    if family in _FAMILIES:
        return not path.endswith("/")
    if method == "DELETE" and path.startswith(_MODELS):
        return len(path) > len(_MODELS)
    if (method, path) in _OTHER_METHODS:
        return True
    return not path.endswith("/") and path.startswith(_BRANCHES)
