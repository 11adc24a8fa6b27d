"""What images used: OpenAI's counts as our dimensions, and what is taken where there are none.

Text and images are priced apart in both directions (OpenAI API reference, images, `usage`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edge.translate.counts import Contradiction, count, details_of, difference
from kit.charge import MAX_QUANTITY, Quantities, quantities


def is_counted_by_us(max_output_tokens: int) -> bool:
    """Say whether a model is priced by the image."""
    return max_output_tokens <= 1


def from_images(usage: Mapping[str, Any]) -> Quantities | None:
    """Return the quantities of a `usage` object of images, None if it is not to be used.

    Input that no detail calls an image is text; output that no detail calls text is images.
    """
    try:
        read = count(usage, "input_tokens", required=True)
        made = count(usage, "output_tokens", required=True)
        if usage.get("total_tokens") is not None and count(usage, "total_tokens") != read + made:
            return None
        image_input = count(details_of(usage, "input_tokens_details"), "image_tokens")
        output = count(details_of(usage, "output_tokens_details"), "text_tokens")
        return quantities(
            input=difference(read, image_input),
            image_input=image_input,
            output=output,
            image_output=difference(made, output),
            requests=1,
        )
    except Contradiction:
        return None


def estimated(text_bytes: int, *, images: int, image_tokens: int) -> Quantities:
    """Return what an answer without counts is charged: each image at the catalogue's most.

    That is exact where the price is per image: there the most is one.
    """
    return quantities(
        input=max(1, text_bytes // 4),
        image_output=min(images * image_tokens, MAX_QUANTITY),
        requests=1,
    )
