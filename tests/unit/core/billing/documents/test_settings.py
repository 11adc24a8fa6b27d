"""Who sells is a setting."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from core.billing.documents.settings import SellerSettings


def test_a_seller_is_named_by_settings() -> None:
    """An address has lines."""
    settings = SellerSettings(
        seller_name="Seller", seller_address="Street 1; 10115 Berlin\n", seller_country="DE"
    )
    assert settings.names_a_seller
    assert settings.seller.address == "Street 1\n10115 Berlin"


def test_without_settings_nobody_sells() -> None:
    """A development receipt names no firm."""
    settings = SellerSettings()
    assert not settings.names_a_seller
    assert "development" in settings.seller.name


def test_a_country_is_two_letters() -> None:
    """ISO 3166."""
    with pytest.raises(ValidationError):
        SellerSettings(seller_country="Germany")
