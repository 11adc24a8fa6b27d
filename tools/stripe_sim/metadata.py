"""Metadata: the caller's own words on an object, within Stripe's limits."""

from __future__ import annotations

from typing import Final

from tools.stripe_sim.errors import InvalidRequest

KEYS_MAX: Final = 50
KEY_CHARACTERS_MAX: Final = 40
VALUE_CHARACTERS_MAX: Final = 500

Change = dict[str, str] | str | None


def merged(old: dict[str, str], change: Change) -> dict[str, str]:
    """Return metadata after a change: an empty value removes a key, an empty text all of them.

    Raises:
        InvalidRequest: too many keys, or one or its value too long.
    """
    if change is None:
        return dict(old)
    if isinstance(change, str):
        return {}
    for key, value in change.items():
        if len(key) > KEY_CHARACTERS_MAX or len(value) > VALUE_CHARACTERS_MAX:
            raise InvalidRequest("A key or value of the metadata is too long", param="metadata")
    kept = {key: value for key, value in {**old, **change}.items() if value}
    if len(kept) > KEYS_MAX:
        raise InvalidRequest("The metadata have too many keys", param="metadata")
    return kept
