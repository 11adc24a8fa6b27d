"""How OpenAI-compatible upstreams differ where it matters to requests and token counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

LimitField = Literal["max_tokens", "max_completion_tokens"]
ThinkingField = Literal["effort", "switch", "switch_and_effort", "object"]
SchemaField = Literal["json_schema", "json_object", "none"]

_OWN_TO_OTHERS: Final = frozenset({"top_k", "verbosity"})
"""`top_k` is not in OpenAI's chat; `verbosity` is in OpenAI's only."""


@dataclass(frozen=True, slots=True)
class Quirks:
    """The differences of one upstream, as data.

    `limit_field` takes an output limit of ours where the client sent none. `asks_for_usage`: usage
    in streams must be asked for; the others send it always and refuse the unknown option.
    `images_priced_apart`: `image_tokens` inside the text counts have a price of their own.
    `hidden_reasoning`: the total exceeds prompt and completion by reasoning that no detail names.

    `knows_one_limit`: the other name of the output limit is refused or, worse for a hold, ignored.
    `knows_developer`: the role is known; elsewhere its messages are `system`'s.

    The rest is for requests that cross over from another API; in native ones it is the client's own
    affair. `refuses`: fields of the neutral form that the upstream cannot take. `thinking`: how
    reasoning is asked for: `reasoning_effort`, a `thinking` switch, both, or OpenRouter's
    `reasoning` object. `reasoning_field`: where an assistant message takes its earlier reasoning;
    `thinking` is Mistral's content part, None means nowhere. `keeps_details`: it passes signed
    reasoning on to whoever made it, in `reasoning_details`. `schemas`: where a JSON schema goes,
    if anywhere. `required`: the word for "must call a tool". `call_id_characters`: ids of tool
    calls are exactly so long, letters and digits. `text_only`: content is a string.
    """

    limit_field: LimitField = "max_tokens"
    asks_for_usage: bool = True
    images_priced_apart: bool = False
    hidden_reasoning: bool = False
    knows_one_limit: bool = False
    knows_developer: bool = True
    refuses: frozenset[str] = _OWN_TO_OTHERS
    thinking: ThinkingField = "effort"
    reasoning_field: str | None = None
    keeps_details: bool = False
    schemas: SchemaField = "json_schema"
    required: str = "required"
    seed_field: str = "seed"
    has_refusals: bool = False
    has_file_urls: bool = False
    signs_calls: bool = False
    text_only: bool = False
    call_id_characters: int | None = None


COMPATIBLE: Final = Quirks()

_OPENAI: Final = Quirks(
    # OpenAI's reasoning models refuse `max_tokens` (OpenAI API reference, chat).
    limit_field="max_completion_tokens",
    refuses=frozenset({"top_k"}),
    has_refusals=True,
)
_BY_UPSTREAM: Final = {
    "openai": _OPENAI,
    "azure": _OPENAI,
    "demo": Quirks(refuses=frozenset(), reasoning_field="reasoning_content"),
    # Sends usage in the last chunk and refuses fields it does not know (Mistral API reference);
    # ids of calls: "must be a-z, A-Z, 0-9, with a length of 9" (its error).
    "mistral": Quirks(
        asks_for_usage=False,
        knows_one_limit=True,
        knows_developer=False,
        refuses=_OWN_TO_OTHERS | {"logprobs", "top_logprobs", "logit_bias"},
        reasoning_field="thinking",
        required="any",
        seed_field="random_seed",
        has_file_urls=True,
        call_id_characters=9,
    ),
    # The OpenAI endpoint of Gemini counts thoughts in the total only (Gemini API, compatibility).
    "google": Quirks(
        hidden_reasoning=True, refuses=_OWN_TO_OTHERS | {"logit_bias"}, signs_calls=True
    ),
    # "Currently unsupported OpenAI features" (Groq docs, OpenAI compatibility).
    "groq": Quirks(
        refuses=_OWN_TO_OTHERS | {"logprobs", "top_logprobs", "logit_bias", "choices"},
        reasoning_field="reasoning",
    ),
    # JSON without a schema only; reasoning is switched (DeepSeek API docs, chat and thinking mode).
    "deepseek": Quirks(
        knows_one_limit=True,
        knows_developer=False,
        refuses=_OWN_TO_OTHERS | {"logit_bias", "seed", "choices", "parallel_tools"},
        thinking="switch_and_effort",
        reasoning_field="reasoning_content",
        schemas="none",
        text_only=True,
    ),
    "xai": Quirks(refuses=_OWN_TO_OTHERS | {"logit_bias"}, reasoning_field="reasoning_content"),
    # Fields that are answered with 400 (Cerebras docs, OpenAI compatibility).
    "cerebras": Quirks(
        refuses=_OWN_TO_OTHERS
        | {"frequency_penalty", "presence_penalty", "logit_bias", "parallel_tools", "choices"},
        reasoning_field="reasoning",
    ),
    # A JSON schema stands beside the type `json_object` (Cohere docs, compatibility API).
    "cohere": Quirks(
        knows_one_limit=True,
        refuses=_OWN_TO_OTHERS
        | {"logit_bias", "logprobs", "top_logprobs", "parallel_tools", "choices"},
        schemas="json_object",
    ),
    # Tools cannot be forced (Moonshot docs, tool use); reasoning is switched.
    "moonshotai": Quirks(
        knows_developer=False,
        refuses=_OWN_TO_OTHERS
        | {"logit_bias", "logprobs", "top_logprobs", "seed", "parallel_tools", "forced_tools"},
        thinking="switch",
        reasoning_field="reasoning_content",
    ),
    "togetherai": Quirks(
        knows_one_limit=True, refuses=frozenset({"verbosity"}), reasoning_field="reasoning"
    ),
    "openrouter": Quirks(
        refuses=frozenset(),
        thinking="object",
        reasoning_field="reasoning",
        keeps_details=True,
        has_file_urls=True,
    ),
}


def quirks_of(upstream_name: str) -> Quirks:
    """Return what is special about an upstream, by its name in the catalogue."""
    return _BY_UPSTREAM.get(upstream_name, COMPATIBLE)
