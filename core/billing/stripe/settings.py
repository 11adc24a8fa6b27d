"""What core is told about payments. Keys and secrets are read here and shown nowhere."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Final, Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from kit.settings import ProcessSettings

PPM: Final = 1_000_000
_LIVE: Final = ("sk_live_", "rk_live_")
_LOCAL: Final = r"^http://(127\.0\.0\.1|localhost)(:[0-9]{1,5})?$"


class StripeSettings(ProcessSettings):
    """The payment provider, tax, and where its pages send people back to."""

    public_url: str = Field(
        default="http://127.0.0.1:8080", pattern=r"^https?://[a-zA-Z0-9.\[\]:-]{1,253}$"
    )
    """Where browsers find us: Checkout returns to `/billing/return` there."""
    stripe_key: SecretStr = SecretStr("")
    stripe_webhook_secrets: SecretStr = Field(default=SecretStr(""), validate_default=True)
    """Separated by commas, newest first: while one is replaced both are valid."""
    stripe_base_url: str | None = Field(default=None, pattern=_LOCAL, validate_default=True)
    """The simulator's address; in the dev profile only."""
    stripe_retries: int = Field(default=2, ge=0, le=5)
    tax_mode: Literal["none", "stripe", "static_rate"] = "none"
    tax_rate: str = Field(default="0", validate_default=True)
    """A fraction such as `0.19`, of `static_rate`."""

    @field_validator("stripe_webhook_secrets")
    @classmethod
    def _has_secrets(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        key = info.data.get("stripe_key", SecretStr("")).get_secret_value()
        text = value.get_secret_value()
        # Whoever knows an empty secret could sign whatever they like.
        if (key or text) and not all(part.strip() for part in text.split(",")):
            raise ValueError
        return value

    @field_validator("stripe_key")
    @classmethod
    def _is_live_in_production(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        key = value.get_secret_value()
        # A test key takes cards that nobody pays with, for credit that is real.
        if key and info.data.get("profile") == "production" and not is_live(key):
            raise ValueError
        return value

    @field_validator("stripe_base_url")
    @classmethod
    def _is_for_drills(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and info.data.get("profile") == "production":
            raise ValueError
        return value

    @field_validator("tax_rate")
    @classmethod
    def _is_a_rate(cls, value: str, info: ValidationInfo) -> str:
        ppm = _ppm(value)
        if (info.data.get("tax_mode") == "static_rate") != (ppm > 0):
            raise ValueError
        return value

    @property
    def takes_payments(self) -> bool:
        """Say whether a payment provider is set."""
        return bool(self.stripe_key.get_secret_value())

    @property
    def webhook_secrets(self) -> tuple[str, ...]:
        """Return the secrets that webhooks may be signed with."""
        value = self.stripe_webhook_secrets.get_secret_value()
        return tuple(part.strip() for part in value.split(",")) if value else ()

    @property
    def tax_rate_ppm(self) -> int:
        """Return the static tax rate in millionths."""
        return _ppm(self.tax_rate)


def is_live(key: str) -> bool:
    """Say whether a key moves money (docs.stripe.com/keys)."""
    return key.startswith(_LIVE)


def _ppm(text: str) -> int:
    """Return a fraction in millionths.

    Raises:
        ValueError: it is none, not below one, or finer than that.
    """
    try:
        ppm = Decimal(text) * PPM
        exact = int(ppm)
    except (InvalidOperation, OverflowError, ValueError):
        raise ValueError from None
    if ppm != exact or not 0 <= exact < PPM:
        raise ValueError
    return exact
