"""Google's `usageMetadata` as our disjoint dimensions.

The prompt includes what came from a cache; candidates leave thoughts out (Gemini API reference,
UsageMetadata). Whether the prompt includes what tools of the provider read, Google's own pages
disagree: the total decides, as it does for thoughts that no count names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from edge.translate.counts import Contradiction, count, difference
from kit.charge import Quantities

OUTPUT_COUNTS: Final = ("candidatesTokenCount", "thoughtsTokenCount")
_MODALITIES: Final = ("AUDIO", "IMAGE")


def from_google(usage: Mapping[str, Any]) -> Quantities | None:
    """Return the quantities of a `usageMetadata`, None if it is not to be used.

    None: a count is missing, negative, not an integer, beyond `MAX_QUANTITY`, or contradicts
    another one. Audio and images are counted apart, by the details of modalities.
    """
    try:
        prompt = count(usage, "promptTokenCount", required=True)
        candidates = count(usage, "candidatesTokenCount")
        thoughts, read_by_tools = _beyond(usage, prompt + candidates)
        cached = count(usage, "cachedContentTokenCount")
        rest = difference(prompt, cached)
        audio_in, image_in = _prompt_media(usage, rest)
        audio_out, image_out = _by_modality(usage, "candidatesTokensDetails")
        output = difference(candidates, audio_out + image_out)
    except Contradiction:
        return None
    # In the order of `Dimension`.
    inputs = (rest - audio_in - image_in + read_by_tools, cached, 0, 0)
    return (*inputs, output, thoughts, audio_in, audio_out, image_in, image_out, 1, 0)


def has_output(usage: Mapping[str, Any]) -> bool:
    """Say whether a usage counts any output, as the last one of an answer does."""
    return any(usage.get(name) is not None for name in OUTPUT_COUNTS)


def to_google(used: Quantities, cost: str | None) -> dict[str, Any]:
    """Return quantities as a `usageMetadata`; `cost` is in US dollars, decimal."""
    text, cached, written, written_long, output, reasoning = used[:6]
    audio_in, audio_out, image_in, image_out = used[6:10]
    prompt = text + cached + written + written_long + audio_in + image_in
    candidates = output + audio_out + image_out
    usage: dict[str, Any] = {
        "promptTokenCount": prompt,
        "candidatesTokenCount": candidates,
        "totalTokenCount": prompt + candidates + reasoning,
    }
    if cached:
        usage["cachedContentTokenCount"] = cached
    if reasoning:
        usage["thoughtsTokenCount"] = reasoning
    if cost is not None:
        usage["cost"] = cost
    return usage


def _beyond(usage: Mapping[str, Any], counted: int) -> tuple[int, int]:
    """Return thoughts, and what tools read beyond the prompt, by the provider's own total."""
    thoughts = count(usage, "thoughtsTokenCount")
    if usage.get("totalTokenCount") is None:
        return thoughts, 0
    read = count(usage, "toolUsePromptTokenCount")
    left = difference(count(usage, "totalTokenCount"), counted)
    if left == thoughts:
        return thoughts, 0
    if left == thoughts + read:
        return thoughts, read
    if not thoughts and not read:
        # Models whose thoughts only the total has (as by Google's OpenAI endpoint).
        return left, 0
    raise Contradiction


def _prompt_media(usage: Mapping[str, Any], rest: int) -> tuple[int, int]:
    """Return audio and image tokens of the prompt that no cache served."""
    audio, image = _by_modality(usage, "promptTokensDetails")
    cached_audio, cached_image = _by_modality(usage, "cacheTokensDetails")
    audio = min(max(0, audio - cached_audio), rest)
    return audio, min(max(0, image - cached_image), rest - audio)


def _by_modality(usage: Mapping[str, Any], name: str) -> tuple[int, int]:
    details = usage.get(name)
    if details is None:
        return 0, 0
    if not isinstance(details, list) or not all(isinstance(one, dict) for one in details):
        raise Contradiction
    audio, image = (
        sum(count(one, "tokenCount") for one in details if one.get("modality") == modality)
        for modality in _MODALITIES
    )
    return audio, image
