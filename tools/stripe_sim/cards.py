"""Stripe's test cards: what each number does (docs.stripe.com/testing), and its `pm_card_` name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Authentication = Literal["never", "unless_set_up", "always"]
RefundFate = Literal["succeeds", "pends", "fails_later"]
Complaint = Literal["dispute", "inquiry", "warning"]


@dataclass(frozen=True, slots=True)
class Card:
    """One card number and how banks treat it."""

    number: str
    token: str | None = None
    brand: str = "visa"
    decline: tuple[str, str | None] | None = None
    """The error's code and its decline code, None when payments succeed."""
    declines_at_attach: bool = True
    """Whether saving a card that is declined fails as well."""
    authentication: Authentication = "never"
    complaint: Complaint | None = None
    """What the cardholder does after each payment."""
    refunds: RefundFate = "succeeds"
    is_available_at_once: bool = False

    @property
    def last4(self) -> str:
        """The digits that everybody may see."""
        return self.number[-4:]


_DECLINED: Final = "card_declined"
CARDS: Final = (
    Card("4242424242424242", "pm_card_visa"),
    Card("4000056655665556", "pm_card_visa_debit"),
    Card("5555555555554444", "pm_card_mastercard", brand="mastercard"),
    Card("378282246310005", "pm_card_amex", brand="amex"),
    Card("4000000000000077", "pm_card_bypassPending", is_available_at_once=True),
    Card("4000000000000002", "pm_card_chargeDeclined", decline=(_DECLINED, "generic_decline")),
    Card(
        "4000000000009995",
        "pm_card_chargeDeclinedInsufficientFunds",
        decline=(_DECLINED, "insufficient_funds"),
    ),
    Card("4000000000009987", decline=(_DECLINED, "lost_card")),
    Card("4000000000009979", decline=(_DECLINED, "stolen_card")),
    Card("4100000000000019", "pm_card_radarBlock", decline=(_DECLINED, "fraudulent")),
    Card("4000000000000069", "pm_card_chargeDeclinedExpiredCard", decline=("expired_card", None)),
    Card("4000000000000127", "pm_card_chargeDeclinedIncorrectCvc", decline=("incorrect_cvc", None)),
    Card(
        "4000000000000119",
        "pm_card_chargeDeclinedProcessingError",
        decline=("processing_error", None),
    ),
    Card(
        "4000000000000341",
        "pm_card_chargeCustomerFail",
        decline=(_DECLINED, "generic_decline"),
        declines_at_attach=False,
    ),
    Card(
        "4000002500003155",
        "pm_card_authenticationRequiredOnSetup",
        authentication="unless_set_up",
    ),
    Card("4000002760003184", "pm_card_authenticationRequired", authentication="always"),
    Card("4000000000003220", "pm_card_threeDSecure2Required", authentication="always"),
    Card("4000000000000259", "pm_card_createDispute", complaint="dispute"),
    Card("4000000000001976", "pm_card_createDisputeInquiry", complaint="inquiry"),
    Card("4000000000005423", "pm_card_createIssuerFraudRecord", complaint="warning"),
    Card("4000000000007726", "pm_card_pendingRefund", refunds="pends"),
    Card("4000000000005126", "pm_card_refundFail", refunds="fails_later"),
)
BY_NUMBER: Final = {card.number: card for card in CARDS}
BY_TOKEN: Final = {card.token: card for card in CARDS if card.token is not None}

MESSAGES: Final = {
    "card_declined": "Your card was declined.",
    "insufficient_funds": "Your card has insufficient funds.",
    "expired_card": "Your card has expired.",
    "incorrect_cvc": "Your card's security code is incorrect.",
    "incorrect_number": "Your card number is incorrect.",
    "processing_error": "An error occurred while processing your card.",
    "authentication_required": "Your card was declined: this payment requires authentication.",
    "payment_intent_authentication_failure": "The card could not be authenticated.",
    "setup_intent_authentication_failure": "The card could not be authenticated.",
    "invalid_expiry_month": "Your card's expiration month is invalid.",
    "invalid_expiry_year": "Your card's expiration year is invalid.",
    "invalid_cvc": "Your card's security code is invalid.",
}


def has_valid_check_digit(number: str) -> bool:
    """Say whether the last digit fits the others (ISO/IEC 7812-1, the Luhn formula)."""
    total = 0
    for position, digit in enumerate(reversed(number)):
        value = int(digit) * (1 + position % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0
