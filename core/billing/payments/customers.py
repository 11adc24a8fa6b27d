"""What the provider is told of a customer: whom receipts name and, where it calculates the tax,
where they are and their tax id.

Without a place no tax can be calculated; without a tax id a business pays the tax that it would owe
at home by itself (reverse charge).
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from core.billing.accounts import store as accounts
from core.billing.accounts.model import Profile
from core.billing.documents.model import EU_COUNTRIES, TaxMode
from core.billing.payments import store
from core.billing.payments.calls import content_key
from core.billing.payments.model import Payment
from core.billing.stripe.gateway import (
    GONE,
    NO_PLACE,
    Address,
    CustomerDetails,
    PaymentUnknown,
    StripeGateway,
    StripeRefused,
    TaxId,
)
from core.db.database import Pool
from kit.clock import Clock, now
from kit.ids import format_id
from kit.log import EventLog
from kit.reasons import InvalidArgument

FIELD_OF_REFUSAL: Final = {"email_invalid": "email", NO_PLACE: "address"}
"""What of a profile a refusal is about (docs.stripe.com/error-codes)."""
PROFILE_TRIES_MAX: Final = 3
"""How often a new customer is told what its profile has become while it was told."""
_POSTAL_CODES: Final = {
    "US": re.compile(r"\b([0-9]{5}(?:-[0-9]{4})?)\W*$", re.ASCII),
    "CA": re.compile(r"\b([A-Z][0-9][A-Z][ -]?[0-9][A-Z][0-9])\W*$", re.ASCII | re.IGNORECASE),
}
"""Where tax depends on more than the country (docs.stripe.com/tax/customer-locations)."""
_IN_EU: Final = re.compile(r"[A-Z]{2}[0-9A-Z+*]{2,13}", re.ASCII)
_GREECE: Final = "EL"
_NORTHERN_IRELAND: Final = "XI"
"""Greece's prefix is not its code, and Northern Ireland's is no country's (2006/112/EC, 215)."""
TAX_ID_KINDS: Final = {
    "AE": "ae_trn",
    "AU": "au_abn",
    "CA": "ca_gst_hst",
    "CH": "ch_vat",
    "GB": "gb_vat",
    "IL": "il_vat",
    "IN": "in_gst",
    "IS": "is_vat",
    "KR": "kr_brn",
    "LI": "li_vat",
    "NO": "no_vat",
    "NZ": "nz_gst",
    "SA": "sa_vat",
    "SG": "sg_gst",
    "TH": "th_vat",
    "TW": "tw_vat",
    "UA": "ua_vat",
    "US": "us_ein",
    "ZA": "za_vat",
}
"""The tax id of a business, for countries where one kind says that; others are on receipts only."""


def details_of(profile: Profile, tax_mode: TaxMode) -> CustomerDetails:
    """Return what the provider is told.

    Raises:
        InvalidArgument: tax depends on a postal code, and the address does not end with one.
    """
    if profile == Profile():
        return CustomerDetails("", "", Address())
    if tax_mode is not TaxMode.STRIPE:
        return CustomerDetails(profile.name, profile.email, None)
    return CustomerDetails(
        profile.name,
        profile.email,
        _address_of(profile),
        tax_id_of(profile.country, profile.tax_id),
    )


def _address_of(profile: Profile) -> Address | None:
    """Return the address; None without a country: then what its page asked for stays."""
    if not profile.country:
        return None
    lines = [line.strip() for line in profile.address.splitlines() if line.strip()]
    return Address(
        country=profile.country,
        line1=lines[0] if lines else "",
        line2=", ".join(lines[1:]),
        postal_code=_postal_code(profile),
    )


def _postal_code(profile: Profile) -> str:
    pattern = _POSTAL_CODES.get(profile.country)
    if pattern is None:
        return ""
    found = pattern.search(profile.address)
    if found is None:
        raise InvalidArgument(fields="address")
    return found[1].upper()


def tax_id_of(country: str, text: str) -> TaxId | None:
    """Return a tax id with its kind; None where the kind is not known."""
    plain = re.sub(r"[\s.-]", "", text).upper()
    prefix = plain[:2].replace(_GREECE, "GR")
    if _IN_EU.fullmatch(plain) and (prefix in EU_COUNTRIES or prefix == _NORTHERN_IRELAND):
        # Businesses are registered in other member states than their own, too.
        return TaxId("eu_vat", plain) if country in {*EU_COUNTRIES, "GB"} else None
    kind = TAX_ID_KINDS.get(country)
    return TaxId(kind, text.strip()) if kind and text.strip() else None


class Customers:
    """The provider's customers of our workspaces."""

    def __init__(
        self, pool: Pool, gateway: StripeGateway, clock: Clock, log: EventLog, tax_mode: TaxMode
    ) -> None:
        """Work on the pool's database and with the provider."""
        self._pool = pool
        self._gateway = gateway
        self._clock = clock
        self._log = log
        self._tax_mode = tax_mode

    def check(self, profile: Profile) -> None:
        """Refuse a profile that says too little to calculate the tax by.

        Raises:
            InvalidArgument: see `details_of`.
        """
        details_of(profile, self._tax_mode)

    async def update(self, customer_id: str, profile: Profile) -> None:
        """Tell the provider what a profile has become.

        Raises:
            InvalidArgument: the provider does not take the email address, the address or the tax
                id.
            StripeRefused: it does not take something else.
            PaymentUnknown: the provider does not answer: to be repeated.
        """
        details = details_of(profile, self._tax_mode)
        try:
            await self._gateway.update_customer(customer_id, details)
        except StripeRefused as refusal:
            self._log.event("customer_not_updated", code=refusal.code or "unknown")
            if refusal.code == GONE:  # which is as good as erased
                return
            if refusal.code not in FIELD_OF_REFUSAL:
                raise
            raise InvalidArgument(fields=FIELD_OF_REFUSAL[refusal.code]) from None
        try:
            await self._gateway.set_tax_id(customer_id, details.tax_id)
        except StripeRefused as refusal:
            self._log.event("tax_id_not_taken", code=refusal.code or "unknown")
            raise InvalidArgument(fields="tax_id") from None

    async def has_place(self, payment: Payment) -> bool:
        """Say whether the provider is told by the profile where a payment's customer is."""
        if payment.tax_mode is not TaxMode.STRIPE:
            return False
        async with self._pool.transaction("system") as tx:
            account = await accounts.read(tx, payment.workspace_id)
        address = self._details(account.profile).address
        return address is not None and bool(address.country)

    async def give(self, payment: Payment) -> Payment:
        """Give a payment, and its workspace, a customer at the provider.

        Raises:
            PaymentUnknown: the provider does not answer, or the profile changes all the time.
            StripeRefused: it refuses to make one.
        """
        if payment.customer_id:
            return payment
        async with self._pool.transaction("system") as tx:
            account = await accounts.read(tx, payment.workspace_id)
        told = account.profile
        customer = account.customer_id or await self._make(payment, told)
        for _ in range(PROFILE_TRIES_MAX):
            payment, changed = await self._name(payment, customer, told)
            if changed is None:
                return payment
            # Whoever changed it could not tell a customer that was not named yet.
            told = changed
            await self._tell_new(customer, self._details(told))
        raise PaymentUnknown(code="profile_changes")

    async def _name(
        self, payment: Payment, customer: str, told: Profile
    ) -> tuple[Payment, Profile | None]:
        """Name a customer of an account and a payment, or that which the account has.

        Nothing is written if the new one was told of another profile than this; then that is
        returned as well.
        """
        async with self._pool.transaction("system") as tx:
            moment = now(self._clock)
            account = await accounts.lock(tx, payment.workspace_id, moment)
            if not account.customer_id and account.profile != told:
                return payment, account.profile
            named = account.customer_id or customer
            await accounts.name_customer(tx, payment.workspace_id, named, moment)
            await store.set_customer(tx, payment.payment_id, named, moment)
            payment = await store.get(tx, payment.payment_id)
            await tx.commit()
        return payment, None

    async def _make(self, payment: Payment, profile: Profile) -> str:
        details = self._details(profile)
        made = await self._gateway.make_customer(
            format_id("ws", payment.workspace_id),
            details,
            key=content_key(f"{payment.name}:customer", *details.words),
        )
        await self._set_tax_id(made, details)
        return made

    async def _tell_new(self, customer: str, details: CustomerDetails) -> None:
        # No page has asked this one yet where it is: what it was told of that goes.
        address = details.address or Address()
        await self._gateway.update_customer(customer, replace(details, address=address))
        await self._set_tax_id(customer, details)

    async def _set_tax_id(self, customer: str, details: CustomerDetails) -> None:
        try:
            await self._gateway.set_tax_id(customer, details.tax_id)
        except StripeRefused as refusal:
            # Whoever wrote it down is told when they change it; meanwhile tax is added.
            self._log.event("tax_id_not_taken", code=refusal.code or "unknown")

    def _details(self, profile: Profile) -> CustomerDetails:
        try:
            return details_of(profile, self._tax_mode)
        except InvalidArgument:
            # Written before the provider calculated tax: its page asks where they are.
            return CustomerDetails(profile.name, profile.email, None)
