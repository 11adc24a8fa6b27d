"""Whether an event is from the provider: its signature over the raw body, by one of our secrets.

The provider's scheme (docs.stripe.com/webhooks/signature): `Stripe-Signature: t=<seconds>,v1=<hex>`
and more `v1`, HMAC-SHA256 over `<t>.<body>`. While a secret is being replaced both are ours.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import stripe

from kit.clock import from_micros
from kit.reasons import InvalidArgument

TOLERANCE: Final = timedelta(minutes=5)
"""How far the moment of signing may be from ours, to both sides."""
SIGNATURE_MAX: Final = 4_096


def checked_body(body: bytes, signature: str, secrets: Sequence[str], now: datetime) -> Any:
    """Return the JSON of a body that the provider signed a moment ago.

    Raises:
        InvalidArgument: it was not; `fields` says whether the signature or the body is wrong.
    """
    if not any(_signed(body, signature, secret) for secret in secrets):
        raise InvalidArgument(fields="signature")
    if abs(now - _signed_at(signature)) > TOLERANCE:
        raise InvalidArgument(fields="signature.timestamp")
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise InvalidArgument(fields="body") from None


def _signed(body: bytes, signature: str, secret: str) -> bool:
    if len(signature) > SIGNATURE_MAX or not signature.isascii():
        return False
    try:
        # Its age is judged by our own clock, which drills may move.
        stripe.WebhookSignature.verify_header(body, signature, secret, tolerance=None)
    except (stripe.SignatureVerificationError, UnicodeDecodeError):
        return False
    return True


def _signed_at(signature: str) -> datetime:
    stamps = [part[2:] for part in signature.split(",") if part.startswith("t=")]
    try:
        return from_micros(int(stamps[0]) * 1_000_000)
    except (OverflowError, ValueError, IndexError):
        raise InvalidArgument(fields="signature") from None
