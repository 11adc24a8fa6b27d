"""What core is told about money from outside."""

from __future__ import annotations

from core.billing.documents.settings import SellerSettings
from core.billing.stripe.settings import StripeSettings
from core.mail.settings import MailSettings


class BillingSettings(StripeSettings, SellerSettings, MailSettings):
    """Payments, whom documents name as the seller, and mail."""
