"""Who sells: what every receipt names. Read from `ONEAPI_SELLER_…`."""

from __future__ import annotations

import re
from typing import Final

from pydantic import Field

from core.billing.documents.model import Party
from kit.settings import ProcessSettings

_LINE_END: Final = re.compile(r"\s*(?:;|\r?\n)\s*")


class SellerSettings(ProcessSettings):
    """The seller's details, as the law wants them on an invoice."""

    seller_name: str = Field(default="", max_length=200)
    seller_address: str = Field(default="", max_length=500)
    """Lines separated by semicolons or line ends."""
    seller_country: str = Field(default="", pattern=r"^([A-Z]{2})?$")
    seller_tax_id: str = Field(default="", max_length=32)
    seller_email: str = Field(default="", max_length=254)

    @property
    def names_a_seller(self) -> bool:
        """Say whether receipts can be issued that stand in law."""
        return bool(self.seller_name and self.seller_address and self.seller_country)

    @property
    def seller(self) -> Party:
        """Return the seller; without settings one that nobody takes for real."""
        return Party(
            name=self.seller_name or "1API Club (development, not a seller)",
            address="\n".join(_LINE_END.split(self.seller_address.strip())),
            country=self.seller_country,
            tax_id=self.seller_tax_id,
            email=self.seller_email,
        )
