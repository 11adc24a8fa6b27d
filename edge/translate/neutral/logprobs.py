"""Log probabilities as answers carry them: token objects in the shape of OpenAI's chat."""

from __future__ import annotations

from typing import Any, Final

from edge.translate.json_body import objects

_TOP: Final = "top_logprobs"


def tokens_of(value: Any) -> list[dict[str, Any]]:
    """Return the token objects of an upstream's list.

    Their members are plain, as the API says. Others are left out: what can be read can be nested
    more deeply than what can be written again.
    """
    found = []
    for one in objects(value):
        token = _plain(one)
        if _TOP in one:
            token[_TOP] = [_plain(other) for other in objects(one[_TOP])]
        found.append(token)
    return found


def _plain(token: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in token.items() if _is_plain(value)}


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        return all(type(byte) is int for byte in value)
    return not isinstance(value, dict)
