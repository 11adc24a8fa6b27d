"""Write core/catalog/seed/catalog.json from a models.json of public model facts.

Usage: python tools/make_catalog_seed.py path/to/models.json

The input lists models with limits in tokens and prices in US dollars per 1,000,000 tokens. Only
facts are taken: limits, prices, modalities. The rules that fill gaps are in docs/catalogue.md.
Run by people, reviewed like code; nothing runs it automatically.
"""

from __future__ import annotations

import json
import re
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

TARGET: Final = Path(__file__).parent.parent / "core" / "catalog" / "seed" / "catalog.json"
NANOS_PER_DOLLAR: Final = 1_000_000_000

UPSTREAMS: Final[tuple[tuple[str, str, str], ...]] = (
    ("openai", "https://api.openai.com/v1", "openai"),
    ("anthropic", "https://api.anthropic.com/v1", "anthropic"),
    ("google", "https://generativelanguage.googleapis.com/v1beta", "google"),
    ("groq", "https://api.groq.com/openai/v1", "openai"),
    ("mistral", "https://api.mistral.ai/v1", "openai"),
    ("deepseek", "https://api.deepseek.com/v1", "openai"),
    ("xai", "https://api.x.ai/v1", "openai"),
    ("cerebras", "https://api.cerebras.ai/v1", "openai"),
    ("togetherai", "https://api.together.xyz/v1", "openai"),
    ("moonshotai", "https://api.moonshot.ai/v1", "openai"),
    ("cohere", "https://api.cohere.ai/compatibility/v1", "openai"),
)
# The endpoints that an upstream serves itself, where they are more than its dialect always has.
SURFACES: Final[dict[str, tuple[str, ...]]] = {
    "openai": (
        *("chat_completions", "responses", "embeddings", "moderations"),
        *("image_generations", "image_edits", "audio_speech", "audio_transcriptions"),
    ),
    "anthropic": ("messages", "count_tokens"),
    "google": ("generate_content", "count_tokens"),
    "mistral": ("chat_completions", "embeddings"),
    "xai": ("chat_completions", "responses"),
    "cerebras": ("chat_completions", "completions"),
    "togetherai": ("chat_completions", "completions"),
}
# What providers' public terms say of their API without a special agreement or setting; the sources
# are in docs/catalogue.md. Where they say nothing clear, a provider is not listed: unknown.
DATA_POLICIES: Final = {
    "openai": "retains",
    "anthropic": "retains",
    "google": "retains",
    "groq": "retains",
    "mistral": "retains",
    "xai": "retains",
    "togetherai": "retains",
    "cerebras": "zero_retention",
}
SURFACES_OF_KIND: Final[dict[str, tuple[str, ...]]] = {
    "text": (
        *("chat_completions", "responses", "completions", "messages", "generate_content"),
        "count_tokens",
    ),
    "embedding": ("embeddings", "generate_content"),
    "moderation": ("moderations",),
    "image": ("image_generations", "image_edits"),
    "speech": ("audio_speech",),
    "transcription": ("audio_transcriptions",),
}
RESELLERS: Final = frozenset({"groq", "togetherai", "cerebras"})
"""They serve models of others: their public ids begin with the provider's name."""

# Not chat models: embeddings, images, speech, guards, and models served by other endpoints only.
OTHER_KINDS: Final = re.compile(r"embed|image|tts|guard|deep-research|codex|-pro$|multi-agent")
NOT_ONLY_CHAT: Final = frozenset({"deepseek-v4-pro", "gemini-2.5-pro"})

# OpenAI serves these by its responses endpoint only (its pages of these models).
RESPONSES_ONLY: Final = re.compile(r"codex|-pro$")

# What the input leaves out and the makers publish: context, output, modalities, reasoning.
KNOWN: Final[dict[str, dict[str, Any]]] = {
    "gpt-5": {
        "name": "GPT-5",
        "limit": {"context": 400_000, "output": 128_000},
        "modalities": {"input": ["text", "image", "pdf"], "output": ["text"]},
        "reasoning": True,
        "tool_call": True,
        "structured_output": True,
    },
    "gemini-2.5-flash": {
        "name": "Gemini 2.5 Flash",
        "limit": {"context": 1_048_576, "output": 65_536},
        "modalities": {"input": ["text", "image", "audio", "pdf"], "output": ["text"]},
        "reasoning": True,
        "tool_call": True,
        "structured_output": True,
    },
    "gemini-2.5-pro": {
        "name": "Gemini 2.5 Pro",
        "limit": {"context": 1_048_576, "output": 65_536},
        "modalities": {"input": ["text", "image", "audio", "pdf"], "output": ["text"]},
        "reasoning": True,
        "tool_call": True,
        "structured_output": True,
    },
    "mistral-medium-latest": {
        "name": "Mistral Medium",
        "limit": {"context": 262_144, "output": 262_144},
        "modalities": {"input": ["text", "image"], "output": ["text"]},
        "tool_call": True,
    },
    "openai/gpt-oss-120b": {
        "name": "GPT OSS 120B",
        "limit": {"context": 131_072, "output": 65_536},
        "modalities": {"input": ["text"], "output": ["text"]},
        "reasoning": True,
        "tool_call": True,
    },
    "gpt-oss-120b": {
        "name": "GPT OSS 120B",
        "limit": {"context": 131_072, "output": 40_960},
        "modalities": {"input": ["text"], "output": ["text"]},
        "reasoning": True,
        "tool_call": True,
    },
}
# Models that make no text. The input has the prices of some; what it leaves out the makers publish.
OTHERS: Final[tuple[dict[str, Any], ...]] = (
    {
        "provider": "openai",
        "id": "omni-moderation-latest",
        "kind": "moderation",
        "name": "Omni Moderation",
        "limit": {"context": 32_768, "output": 1},
        "modalities": {"input": ["text", "image"]},
        "cost": {"input": 0, "output": 0},
    },
    {
        "provider": "openai",
        "id": "gpt-image-2",
        "kind": "image",
        "name": "GPT Image 2",
        # No maximum is published for one image of the largest size: far above all that are known.
        "limit": {"context": 131_072, "output": 65_536},
        "modalities": {"input": ["text", "image"]},
        "cost": {"input": 5, "output": 30, "cache_read": Decimal("1.25"), "input_image": 8},
    },
    {
        "provider": "openai",
        "id": "tts-1",
        "kind": "speech",
        "name": "TTS-1",
        # Characters.
        "limit": {"context": 4_096, "output": 1},
        "cost": {"input": 15, "output": 0},
    },
    {
        "provider": "openai",
        "id": "gpt-4o-mini-transcribe",
        "kind": "transcription",
        "name": "GPT-4o mini Transcribe",
        "limit": {"context": 16_000, "output": 2_000},
        "modalities": {"input": ["text", "audio"]},
        "cost": {"input": Decimal("1.25"), "output": 5, "input_audio": Decimal("1.25")},
    },
    {
        "provider": "openai",
        "id": "whisper-1",
        "kind": "transcription",
        "name": "Whisper",
        # Seconds: 25 MB, the largest file, at 6 kbit/s, the lowest rate of speech codecs.
        "limit": {"context": 36_000, "output": 1},
        "modalities": {"input": ["audio"]},
        # 0.006 US dollars a minute.
        "cost": {"input": 0, "output": 0, "input_audio": 100},
    },
)
EMBEDDING: Final = re.compile(r"embed")
# Upper bounds of what one image counts as, by provider; generous, because a hold must be a bound.
IMAGE_TOKENS: Final = {"openai": 10_000, "anthropic": 5_000, "google": 16_384}
IMAGE_TOKENS_OF: Final = {"gpt-4o-mini": 50_000}
IMAGE_TOKENS_ELSEWHERE: Final = 10_000
AUDIO_TOKENS: Final = 65_536
# Providers that do not count reasoning inside the output limit.
REASONING_BEYOND: Final = frozenset({"xai"})
DEFAULT_OVERHEAD_WITH_TOOLS: Final = 2_048
CAPABILITIES: Final = {
    "tool_call": "tools",
    "reasoning": "reasoning",
    "structured_output": "structured_output",
}
INPUTS: Final = {"image": "image_input", "audio": "audio_input", "pdf": "file_input"}
POLICIES: Final = {
    "default": {"queue_wait_ms": 2_000},
    "economy": {"queue_rank": 20, "queue_wait_ms": 30_000},
    "coding": {"balance": "sticky", "queue_wait_ms": 10_000},
    "priority": {"balance": "lowest_latency", "queue_rank": 0, "queue_wait_ms": 5_000},
    "opportunistic": {"spare_only": True, "queue_rank": 30},
}
CLAUDE_VERSION: Final = re.compile(r"^(claude-[a-z]+-\d)-(\d)$")


def main() -> None:
    """Read the facts and write the seed."""
    source = json.loads(Path(sys.argv[1]).read_text(), parse_float=Decimal)
    chat = [model_entry(merged(model)) for model in source["models"] if is_chat(model)]
    chat += [model_entry(merged(model)) for model in source["models"] if is_responses_only(model)]
    vectors = [model_entry(embedding(model)) for model in source["models"] if is_embedding(model)]
    entries = [*chat, *vectors, *map(model_entry, OTHERS)]
    models = sorted((entry for entry in entries if entry), key=lambda entry: entry["public_id"])
    upstreams = [upstream_entry(*upstream) for upstream in UPSTREAMS]
    head = {"format": 1, "policies": POLICIES, "upstreams": upstreams}
    lines = [json.dumps(model, separators=(",", ":")) for model in models]
    text = json.dumps(head, indent=1)[:-2] + ',\n "models": [\n' + ",\n".join(lines) + "\n ]\n}\n"
    json.loads(text)
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(text)


def is_chat(model: dict[str, Any]) -> bool:
    """Say whether a model answers chat completions today."""
    outputs = (model.get("modalities") or {}).get("output") or ["text"]
    name = model["id"]
    other = OTHER_KINDS.search(name.lower()) is not None and name not in NOT_ONLY_CHAT
    return model.get("status") != "deprecated" and outputs == ["text"] and not other


def is_responses_only(model: dict[str, Any]) -> bool:
    """Say whether a model answers the responses endpoint and no other."""
    is_current = model["provider"] == "openai" and model.get("status") != "deprecated"
    return is_current and RESPONSES_ONLY.search(model["id"]) is not None


def is_embedding(model: dict[str, Any]) -> bool:
    """Say whether a model makes embeddings and its upstream has an endpoint for them."""
    served = SURFACES.get(model["provider"], ())
    has_endpoint = not set(served).isdisjoint(SURFACES_OF_KIND["embedding"])
    return EMBEDDING.search(model["id"]) is not None and has_endpoint


def embedding(model: dict[str, Any]) -> dict[str, Any]:
    """Return the facts of a model for embeddings: the input counts dimensions as output."""
    return {**model, "kind": "embedding", "limit": {**model["limit"], "output": 1}}


def merged(model: dict[str, Any]) -> dict[str, Any]:
    """Add what is known beyond the input, where the input has nothing."""
    known = KNOWN.get(model["id"], {})
    found = {key: value for key, value in model.items() if value is not None}
    limit = {**known.get("limit", {}), **found.get("limit", {})}
    return {**known, **found, "limit": limit}


def upstream_entry(name: str, base_url: str, dialect: str) -> dict[str, Any]:
    """Return an upstream of the document."""
    end = "eof" if dialect == "google" else "terminal"
    entry: dict[str, Any] = {"name": name, "base_url": base_url, "dialect": dialect}
    entry["stream_end"] = end
    if name in SURFACES:
        entry["surfaces"] = SURFACES[name]
    return {**entry, "data_policy": DATA_POLICIES.get(name, "unknown")}


def model_entry(model: dict[str, Any]) -> dict[str, Any] | None:
    """Return a model of the document, None where its limits are not known."""
    limit, provider, kind = model["limit"], model["provider"], model.get("kind", "text")
    if not {"context", "output"} <= limit.keys():
        return None
    public_id, aliases = names(provider, model["id"])
    output = min(limit["output"], limit["context"])
    entry: dict[str, Any] = {
        "public_id": public_id,
        **({} if kind == "text" else {"kind": kind}),
        "display_name": model.get("name", model["id"]),
        "maker": maker(provider, model["id"]),
        "context_tokens": limit["context"],
        "max_output_tokens": output,
        **media_limits(model),
        "capabilities": capabilities(model),
    }
    if aliases:
        entry["aliases"] = aliases
    if model.get("reasoning") and provider in REASONING_BEYOND:
        entry["reasoning_beyond_limit_tokens"] = output
    surfaces = surfaces_of(provider, kind)
    if is_responses_only(model):
        surfaces = ["responses"]
    entry["routes"] = routes(provider, model["id"], surfaces)
    entry["prices"] = [{"tiers": tiers(provider, model["cost"])}]
    return entry


def names(provider: str, identifier: str) -> tuple[str, list[str]]:
    """Return the public id and aliases: Claude's versions are written with a dot."""
    lowered = identifier.lower()
    if provider in RESELLERS:
        return f"{provider}/{lowered}", []
    version = CLAUDE_VERSION.match(lowered)
    if version is None:
        return lowered, []
    family, minor = version.groups()
    return (family if minor == "0" else f"{family}.{minor}"), [lowered]


def maker(provider: str, identifier: str) -> str:
    """Return who made the model: the name before the slash where a reseller gives one."""
    before, slash, _ = identifier.lower().partition("/")
    return before if slash else provider


def media_limits(model: dict[str, Any]) -> dict[str, int]:
    """Return the most tokens that an image, an audio part and a file can count as."""
    inputs = (model.get("modalities") or {}).get("input", [])
    limits = {}
    if "image" in inputs:
        usual = IMAGE_TOKENS.get(model["provider"], IMAGE_TOKENS_ELSEWHERE)
        limits["image_max_tokens"] = IMAGE_TOKENS_OF.get(model["id"], usual)
    if "audio" in inputs:
        limits["audio_max_tokens"] = min(AUDIO_TOKENS, model["limit"]["context"])
    if "pdf" in inputs:
        # Nothing smaller is a bound: a file may fill the context.
        limits["file_max_tokens"] = model["limit"]["context"]
    return limits


def capabilities(model: dict[str, Any]) -> list[str]:
    """Return short names of what the model can do."""
    inputs = (model.get("modalities") or {}).get("input", [])
    can = {word for key, word in CAPABILITIES.items() if model.get(key)}
    return sorted(can | {word for key, word in INPUTS.items() if key in inputs})


def surfaces_of(provider: str, kind: str) -> list[str]:
    """Return the upstream's endpoints that take models of a kind; none where all of them do."""
    served = SURFACES.get(provider, ())
    fitting = [name for name in served if name in SURFACES_OF_KIND[kind]]
    return fitting if len(fitting) < len(served) else []


def routes(provider: str, identifier: str, surfaces: list[str]) -> list[dict[str, Any]]:
    """Return one candidate for all lanes; agents and spare capacity get their own time-outs."""
    candidate: dict[str, Any] = {"upstream": provider, "upstream_model": identifier}
    if surfaces:
        candidate["surfaces"] = surfaces
    patient = {**candidate, "first_byte_timeout_ms": 600_000, "idle_timeout_ms": 300_000}
    hurried = {**candidate, "first_byte_timeout_ms": 60_000, "idle_timeout_ms": 60_000}
    return [
        {"lanes": ["default", "opportunistic"], "candidates": [candidate]},
        {"lanes": ["economy", "coding"], "candidates": [patient]},
        {"lanes": ["priority"], "candidates": [hurried]},
    ]


def tiers(provider: str, cost: dict[str, Any]) -> list[dict[str, int]]:
    """Return the price tiers, smallest context first."""
    larger = [rates(provider, tier, tier["tier"]["size"]) for tier in cost.get("tiers", ())]
    found = [rates(provider, cost, 0), *larger]
    return sorted(found, key=lambda tier: tier["above_context_tokens"])


def rates(provider: str, cost: dict[str, Any], above: int) -> dict[str, int]:
    """Return the rates that the input has; a cache price of 0 beside a real price means none."""
    found = {"above_context_tokens": above, "input": nanos(cost["input"])}
    found["output"] = nanos(cost["output"])
    cached = nanos(cost.get("cache_read") or cost.get("cached_input") or 0)
    written = nanos(cost.get("cache_write") or 0)
    audio = nanos(cost.get("input_audio") or 0)
    image = nanos(cost.get("input_image") or 0)
    found |= {"cached_input": cached} if cached else {}
    found |= {"cache_write": written} if written else {}
    found |= {"audio_input": audio} if audio else {}
    found |= {"image_input": image} if image else {}
    if provider == "anthropic":
        # Published rule: writing to the one-hour cache costs twice the input price.
        found["cache_write_long"] = 2 * found["input"]
    return found


def nanos(dollars: Decimal | int) -> int:
    """Return nano-dollars, exactly."""
    exact = Decimal(dollars) * NANOS_PER_DOLLAR
    if exact != int(exact):
        raise ValueError("a price finer than a nano-dollar per 1,000,000 units")
    return int(exact)


if __name__ == "__main__":
    main()
