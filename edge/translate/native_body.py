"""What a native request's body may not ask for, and what of it no provider gets (ADR 0022).

Unknown fields pass, and what one provider does not know switches something on at another. So the
fields below are treated alike in every client API, whoever serves the request.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from edge.translate.errors import UnsupportedParameter

PROVIDER_TOOL_FIELDS: Final = (
    # xAI, Anthropic's connector, OpenRouter, Alibaba (search and code), Groq: each call is billed.
    *("search_parameters", "mcp_servers", "plugins", "enable_search", "enable_code_interpreter"),
    *("compound_custom", "search_settings"),
)
"""Fields that make a provider run tools, or call servers of others."""
OTHER_MODEL_FIELDS: Final = (
    # OpenRouter's routing, Anthropic's and others' fallbacks, Vercel's gateway, Together's guard.
    *("models", "provider", "route", "transforms", "preset", "fallbacks", "providerOptions"),
    "safety_model",
)
"""Fields that make a provider ask other models or other providers, at prices of theirs."""
ACCOUNT_FIELDS: Final = ("deferred", "extra_body")
"""xAI keeps a deferred answer, which we would pay for and nobody fetches; what Google takes here
names caches of our account."""
MODERATION: Final = "moderation"
"""OpenAI reads what is asked and answered with a second model. Of images it is the degree of a
filter that runs anyway (OpenAI API reference)."""
UNBOUND_FIELDS: Final = (*PROVIDER_TOOL_FIELDS, *OTHER_MODEL_FIELDS, *ACCOUNT_FIELDS, MODERATION)
NOT_FORWARDED: Final = (
    *("metadata", "client_metadata", "user_profile_id"),
    # OpenRouter's, for its own log and those of tracing services.
    *("session_id", "trace"),
)
"""What says who or where the client is, and changes no answer."""
_UNBOUND: Final = frozenset(UNBOUND_FIELDS)

_NOT_FORWARDED: Final = frozenset(NOT_FORWARDED)

IN_MEMORY: Final = "in_memory"
"""The one word about a cache that can only shorten its life."""


def refuse_unbound(body: Mapping[str, Any], names: Collection[str] = _UNBOUND) -> None:
    """Refuse what makes the cost of a request unbounded.

    Raises:
        UnsupportedParameter: one of these fields is there; it is named.
    """
    for name, value in body.items():
        # An empty object switches a tool on as well.
        if name in names and value is not None and value is not False:
            raise UnsupportedParameter(name)


def forwarded(body: Mapping[str, Any], upstream_model: str) -> dict[str, Any]:
    """Return a copy of a body for a provider: its own model, nobody's identity, nothing kept."""
    copied = {**body, "model": upstream_model}
    if not _NOT_FORWARDED.isdisjoint(copied):
        copied = {name: value for name, value in copied.items() if name not in _NOT_FORWARDED}
    if copied.get("store"):
        copied["store"] = False
    _shorten_caches(copied)
    return copied


def _shorten_caches(body: dict[str, Any]) -> None:
    """Leave out what makes a provider keep a cache for longer than our account with it says.

    OpenAI's default follows the account: in memory only where it has agreed to keep nothing (OpenAI
    API reference, `prompt_cache_retention`, a maximum, and `prompt_cache_options.ttl`, a minimum).
    """
    if "prompt_cache_retention" in body and body["prompt_cache_retention"] != IN_MEMORY:
        del body["prompt_cache_retention"]
    options = body.get("prompt_cache_options")
    if isinstance(options, dict) and "ttl" in options:
        body["prompt_cache_options"] = {n: one for n, one in options.items() if n != "ttl"}
