"""Billing accounts: whom receipts name, the saved card, automatic top-up's settings."""
