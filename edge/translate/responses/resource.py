"""The response object around an answer that we write: what was asked, as the API shows it again.

Every member that OpenAI's description requires is there, with the API's default where the client
said nothing (OpenAI API reference, "The response object").
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_ECHOED: Final = (
    *("instructions", "max_output_tokens", "max_tool_calls", "prompt_cache_key"),
    *("safety_identifier",),
)
_DEFAULTS: Final[dict[str, Any]] = {
    "frequency_penalty": 0,
    "metadata": {},
    "parallel_tool_calls": True,
    "presence_penalty": 0,
    "temperature": 1,
    "tool_choice": "auto",
    "top_logprobs": 0,
    "top_p": 1,
    "truncation": "disabled",
}


def resource(body: Mapping[str, Any], response_id: str, created: int, model: str) -> dict[str, Any]:
    """Return the response to a request, in progress and without output."""
    echoed = {name: body.get(name) for name in _ECHOED}
    chosen = {
        name: default if body.get(name) is None else body[name]
        for name, default in _DEFAULTS.items()
    }
    return {
        "id": response_id,
        "object": "response",
        "created_at": created,
        "status": "in_progress",
        "background": False,
        "completed_at": None,
        "error": None,
        "incomplete_details": None,
        "model": model,
        "output": [],
        "previous_response_id": None,
        "reasoning": _reasoning(body),
        "service_tier": "default",
        "store": False,
        "text": _text(body),
        "tools": [_tool(one) for one in body.get("tools") or () if isinstance(one, dict)],
        "usage": None,
        **echoed,
        **chosen,
    }


def _reasoning(body: Mapping[str, Any]) -> dict[str, Any]:
    asked = body.get("reasoning")
    asked = asked if isinstance(asked, dict) else {}
    summary = asked.get("summary") or asked.get("generate_summary")
    return {"effort": asked.get("effort"), "summary": summary}


def _text(body: Mapping[str, Any]) -> dict[str, Any]:
    asked = body.get("text")
    asked = asked if isinstance(asked, dict) else {}
    text = {"format": asked.get("format") or {"type": "text"}}
    if asked.get("verbosity") is not None:
        text["verbosity"] = asked["verbosity"]
    return text


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    if tool.get("type") != "function":
        return tool
    return {"description": None, "parameters": None, "strict": False, **tool}
