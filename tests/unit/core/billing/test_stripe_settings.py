"""What is refused at start, and what is never shown."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from core.billing.stripe.settings import StripeSettings
from kit.settings import wrong_variables


def refused(**settings: object) -> list[str]:
    """Return the variables that were refused."""
    with pytest.raises(ValidationError) as mistake:
        StripeSettings(**settings)  # type: ignore[arg-type]  # as the environment would
    return wrong_variables(mistake.value)


@pytest.mark.parametrize("secrets", ["", " ", "whsec_a,", ",whsec_a"])
def test_case_32_a_key_without_a_webhook_secret_is_refused(secrets: str) -> None:
    """Whoever knows an empty secret could sign whatever they like."""
    found = refused(stripe_key="sk_test_x", stripe_webhook_secrets=secrets)
    assert found == ["ONEAPI_STRIPE_WEBHOOK_SECRETS"]


def test_secrets_are_read_and_never_shown() -> None:
    """Newest first."""
    settings = StripeSettings.model_validate(
        {"stripe_key": "sk_test_x", "stripe_webhook_secrets": "whsec_b, whsec_a"}
    )
    assert settings.webhook_secrets == ("whsec_b", "whsec_a")
    assert "sk_test" not in repr(settings)
    assert "whsec" not in repr(settings)


def test_another_address_of_the_provider_is_for_drills() -> None:
    """On this machine, and never in production."""
    url = "http://127.0.0.1:4242"
    assert StripeSettings(stripe_base_url=url).stripe_base_url == url
    assert refused(stripe_base_url="https://evil.example") == ["ONEAPI_STRIPE_BASE_URL"]
    assert refused(profile="production", stripe_base_url=url) == ["ONEAPI_STRIPE_BASE_URL"]


@pytest.mark.parametrize("key", ["sk_test_x", "rk_test_x", "x"])
def test_production_takes_no_key_of_a_test_account(key: str) -> None:
    """Its cards pay for nothing."""
    told = {"profile": "production", "stripe_webhook_secrets": "whsec_a"}
    assert refused(**told, stripe_key=key) == ["ONEAPI_STRIPE_KEY"]
    assert StripeSettings.model_validate(told | {"stripe_key": "rk_live_x"}).takes_payments


@pytest.mark.parametrize(
    ("mode", "rate"),
    [
        ("none", "0.19"),
        ("static_rate", "0"),
        ("static_rate", "1"),
        ("static_rate", "-0.1"),
        ("static_rate", "0.1234567"),
        ("static_rate", "NaN"),
        ("static_rate", "Infinity"),
        ("static_rate", "x"),
    ],
)
def test_a_rate_that_is_none_is_refused(mode: str, rate: str) -> None:
    """Rate and mode belong together."""
    assert refused(tax_mode=mode, tax_rate=rate) == ["ONEAPI_TAX_RATE"]


def test_a_static_rate_is_exact() -> None:
    """Millionths, by decimal arithmetic."""
    assert StripeSettings(tax_mode="static_rate", tax_rate="0.081").tax_rate_ppm == 81_000
