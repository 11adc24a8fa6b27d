"""Opens the payment provider that the settings name."""

from __future__ import annotations

import secrets
from typing import Final

from core.billing.stripe.client import StripeAdapter
from core.billing.stripe.settings import StripeSettings

_NOBODY: Final = "http://127.0.0.1:9"
"""The discard port (RFC 863), where nothing of ours listens."""


def open_stripe(settings: StripeSettings) -> StripeAdapter:
    """Return the provider. Where none is set, one that never answers and whose secret nobody has.

    So a core without payments refuses them like one whose provider is away: nothing is made.
    """
    if not settings.takes_payments:
        nobodys = secrets.token_hex()
        return StripeAdapter("absent", [nobodys], base_url=_NOBODY, retries=0)
    return StripeAdapter(
        settings.stripe_key.get_secret_value(),
        settings.webhook_secrets,
        base_url=settings.stripe_base_url,
        retries=settings.stripe_retries,
    )
