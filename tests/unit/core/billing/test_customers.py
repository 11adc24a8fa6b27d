"""What the provider is told of a customer, by the profile and by who calculates the tax."""

from __future__ import annotations

import typing

import pytest
from stripe.params import CustomerTaxIdCreateParams

from core.billing.accounts.model import Profile
from core.billing.documents.model import TaxMode
from core.billing.payments.customers import TAX_ID_KINDS, details_of, tax_id_of
from core.billing.stripe.gateway import Address, TaxId
from kit.reasons import InvalidArgument

LINES = "Example House\nRoad 1\n10115 Berlin"


def test_where_the_provider_calculates_it_knows_the_place() -> None:
    """The first line, all others in the second one, the country, the tax id."""
    profile = Profile("Example Ltd", "a@example.org", LINES, "DE", "DE 123.456.789")
    details = details_of(profile, TaxMode.STRIPE)
    assert details.address == Address("DE", "Example House", "Road 1, 10115 Berlin")
    assert details.tax_id == TaxId("eu_vat", "DE123456789")


@pytest.mark.parametrize("mode", [TaxMode.NONE, TaxMode.STATIC_RATE])
def test_where_it_does_not_it_need_not_know(mode: TaxMode) -> None:
    """What is not needed is not given away."""
    details = details_of(Profile("Example Ltd", "a@example.org", LINES, "DE", "DE1"), mode)
    assert (details.address, details.tax_id) == (None, None)


@pytest.mark.parametrize("mode", TaxMode)
def test_an_empty_profile_erases(mode: TaxMode) -> None:
    """Also where nothing was to be told: it may have been told before."""
    details = details_of(Profile(), mode)
    assert (details.address, details.tax_id) == (Address(), None)


def test_without_a_country_the_place_stays() -> None:
    """The page on which somebody paid had asked for it."""
    assert details_of(Profile(name="Example Ltd"), TaxMode.STRIPE).address is None


@pytest.mark.parametrize(
    ("country", "address", "code"),
    [
        ("US", "12345 Main Street\nSpringfield, IL 62701", "62701"),
        ("US", "1 Road, Springfield 62701-1234.", "62701-1234"),
        ("CA", "1 Road\nOttawa ON k1a 0b1", "K1A 0B1"),
        ("DE", "Road 1\n10115 Berlin", ""),
    ],
)
def test_the_postal_code_ends_the_address_where_tax_needs_it(
    country: str, address: str, code: str
) -> None:
    """A number before the end may be a house's."""
    details = details_of(Profile("A", "", address, country), TaxMode.STRIPE)
    assert details.address is not None
    assert details.address.postal_code == code


@pytest.mark.parametrize("address", ["", "12345 Main Street", "62701 Springfield, Illinois"])
def test_without_it_the_profile_is_refused(address: str) -> None:
    """No tax could be calculated."""
    with pytest.raises(InvalidArgument):
        details_of(Profile("A", "", address, "US"), TaxMode.STRIPE)


@pytest.mark.parametrize(
    ("country", "text", "tax_id"),
    [
        ("AT", "ATU12345678", TaxId("eu_vat", "ATU12345678")),
        ("GR", "el 123456789", TaxId("eu_vat", "EL123456789")),
        ("GB", "XI123456789", TaxId("eu_vat", "XI123456789")),
        ("FR", "DE123456789", TaxId("eu_vat", "DE123456789")),
        ("GB", "GB123456789", TaxId("gb_vat", "GB123456789")),
        ("US", "12-3456789", TaxId("us_ein", "12-3456789")),
        ("CH", "CHE-123.456.789 MWST", TaxId("ch_vat", "CHE-123.456.789 MWST")),
        ("DE", "12/345/67890", None),
        ("BR", "12.345.678/0001-00", None),
        ("US", " ", None),
        ("", "DE123456789", None),
    ],
)
def test_a_tax_id_has_a_kind(country: str, text: str, tax_id: TaxId | None) -> None:
    """By its prefix in the union, by the country elsewhere; what we cannot name is not told."""
    assert tax_id_of(country, text) == tax_id


def test_the_sdk_knows_every_kind() -> None:
    """An upgrade that takes one away is seen."""
    hints = typing.get_type_hints(CustomerTaxIdCreateParams)
    (words,) = [one for one in typing.get_args(hints["type"]) if one is not str]
    assert {*TAX_ID_KINDS.values(), "eu_vat"} <= set(typing.get_args(words))
