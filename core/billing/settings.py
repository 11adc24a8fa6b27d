"""What core is told about money from outside."""

from __future__ import annotations

from pydantic import Field

from core.billing.documents.settings import SellerSettings
from core.billing.stripe.settings import StripeSettings
from core.mail.settings import MailSettings


class BillingSettings(StripeSettings, SellerSettings, MailSettings):
    """Payments, whom documents name as the seller, and mail."""

    refund_days: int = Field(default=365, ge=0, le=3_650)
    """For so many days after a purchase its unused credit goes back on request."""
