"""Payments: credit bought on the provider's page, by the saved card, or automatically."""
