"""How OpenAI-compatible upstreams differ where it matters to requests and token counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

LimitField = Literal["max_tokens", "max_completion_tokens"]


@dataclass(frozen=True, slots=True)
class Quirks:
    """The differences of one upstream, as data.

    `limit_field` takes an output limit of ours where the client sent none. `asks_for_usage`: usage
    in streams must be asked for; the others send it always and refuse the unknown option.
    `images_priced_apart`: `image_tokens` inside the text counts have a price of their own.
    `hidden_reasoning`: the total exceeds prompt and completion by reasoning that no detail names.
    """

    limit_field: LimitField = "max_tokens"
    asks_for_usage: bool = True
    images_priced_apart: bool = False
    hidden_reasoning: bool = False


COMPATIBLE: Final = Quirks()

_BY_UPSTREAM: Final = {
    # OpenAI's reasoning models refuse `max_tokens` (OpenAI API reference, chat).
    "openai": Quirks(limit_field="max_completion_tokens"),
    "azure": Quirks(limit_field="max_completion_tokens"),
    # Sends usage in the last chunk and refuses fields it does not know (Mistral API reference).
    "mistral": Quirks(asks_for_usage=False),
    # The OpenAI endpoint of Gemini counts thoughts in the total only (Gemini API, compatibility).
    "google": Quirks(hidden_reasoning=True),
}


def quirks_of(upstream_name: str) -> Quirks:
    """Return what is special about an upstream, by its name in the catalogue."""
    return _BY_UPSTREAM.get(upstream_name, COMPATIBLE)
